// Pictures of single cells, named and explained at once; nothing of them is kept on the server.

import { get, upload } from "marrowscope-review/api.js";
import { certainty } from "marrowscope-review/certainty.js";
import { fill, told } from "marrowscope-review/desk/words.js";

const SHOWN = 3;
const quoted = (value) => `"${String(value).replaceAll('"', '""')}"`;
// A table program would run a name that begins like a formula.
const plain = (name) => (/^[=+\-@\t\r]/.test(name) ? `'${name}` : name);

export default {
  props: { texts: Object, mostPictures: Number, largestBytes: Number },
  data: () => ({ packs: [], pack: "", spacing: "", specimen: "marrow", over: false, busy: false, fault: "", said: "", kept: [], cells: [], skipped: [], answer: null }),
  computed: {
    chosen() {
      return this.packs.find((pack) => pack.name === this.pack);
    },
    table() {
      const types = Object.keys(this.answer?.titles ?? {});
      const head = ["file", "type", "certainty", "unsure", "anomalous", "anomaly", ...types];
      const rows = this.cells.map((cell) => {
        const chances = Object.fromEntries(cell.types);
        const [[type, certainty]] = cell.types;
        return [quoted(plain(cell.file)), type, certainty, cell.unsure, cell.anomalous, cell.anomaly ?? "", ...types.map((name) => chances[name])];
      });
      return [head, ...rows].map((row) => row.join(",")).join("\n") + "\n";
    },
  },
  async mounted() {
    try {
      this.packs = (await get("/packs")).filter((pack) => pack.names_pictures);
      this.pack = this.packs[0]?.name ?? "";
    } catch (error) {
      this.fault = told(error, this.texts);
    }
  },
  methods: {
    fill,
    certainty,
    top: (cell) => cell.types.slice(0, SHOWN),
    title(name) {
      return this.answer.titles[name] ?? name;
    },
    drop(event) {
      this.over = false;
      this.take([...event.dataTransfer.files]);
    },
    async take(files) {
      this.fault = this.said = "";
      if (!files.length || this.busy) return;
      this.kept = files; // until they are named: nobody should have to look for them again
      if (this.chosen?.needs_spacing && !(Number(this.spacing) > 0)) {
        this.fault = fill(this.texts.needs_spacing, { pack: this.pack });
        this.$refs.spacing.focus();
        return;
      }
      const large = files.filter((file) => file.size > this.largestBytes);
      const sent = files.filter((file) => file.size <= this.largestBytes).slice(0, this.mostPictures);
      const skipped = large.map((file) => [file.name, fill(this.texts.too_large, { mib: this.largestBytes >> 20 })]);
      if (files.length - large.length > this.mostPictures) this.fault = fill(this.texts.too_many, { most: this.mostPictures });
      const form = new FormData();
      for (const file of sent) form.append("pictures", file, file.name);
      form.append("pack", this.pack);
      form.append("specimen", this.specimen);
      if (Number(this.spacing) > 0) form.append("spacing", String(this.spacing));
      this.busy = true;
      try {
        if (sent.length) {
          this.answer = await upload("/try", form);
          this.cells = this.answer.cells;
          skipped.push(...this.answer.skipped);
          this.kept = [];
          this.said = fill(this.texts.named, { count: this.cells.length, pack: this.answer.pack });
        }
        if (!sent.length) this.kept = [];
        this.skipped = skipped;
      } catch (error) {
        this.fault = told(error, this.texts);
      } finally {
        this.busy = false;
      }
    },
    download() {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([this.table], { type: "text/csv" }));
      link.download = "cells.csv";
      link.click();
      URL.revokeObjectURL(link.href);
    },
  },
  template: `
    <div class="desk">
      <h1>{{ texts.heading }}</h1>
      <p class="quiet">{{ fill(texts.explained, { most: mostPictures, mib: largestBytes >> 20 }) }}</p>
      <section class="card">
        <div class="row form">
          <label class="field">{{ texts.pack }}<select v-model="pack" name="pack"><option v-for="one in packs" :key="one.name" :value="one.name">{{ one.name }}{{ one.phantom ? " (" + texts.phantom + ")" : "" }}</option></select></label>
          <label class="field narrow">{{ texts.spacing }}<input ref="spacing" v-model="spacing" name="spacing" type="number" min="0.01" max="99" step="any" @keydown.enter="take(kept)" :placeholder="chosen?.needs_spacing ? '' : texts.no_spacing"></label>
          <label class="field">{{ texts.specimen }}<select v-model="specimen" name="specimen"><option value="marrow">{{ texts.marrow }}</option><option value="blood">{{ texts.blood }}</option><option value="any">{{ texts.any }}</option></select></label>
          <span class="quiet" v-if="chosen">{{ chosen.title }}</span>
        </div>
        <div class="drop" :class="{ over }" @dragover.prevent="over = true" @dragleave="over = false" @drop.prevent="drop">
          <label class="button">{{ texts.choose }}<input type="file" multiple accept="image/*,.tif,.tiff,.bmp" class="unseen" :disabled="busy" @change="take([...$event.target.files]); $event.target.value = ''"></label>
          <span class="quiet">{{ texts.or_drop }}</span>
          <span role="status" aria-live="polite">{{ busy ? texts.naming : said }}</span>
          <span class="space"></span>
          <button v-if="cells.length" type="button" class="plain" @click="download">{{ texts.csv }}</button>
        </div>
        <p v-if="fault" class="bad" role="alert">✘ {{ fault }}</p>
        <p v-if="kept.length && !busy" class="row kept-files"><span>{{ fill(texts.waiting, { count: kept.length }) }}</span>
          <button type="button" class="plain strong" @click="take(kept)">{{ texts.name_them }}</button>
          <button type="button" class="plain" @click="kept = []; fault = ''">{{ texts.forget }}</button></p>
        <ul v-if="skipped.length" class="files" :aria-label="texts.skipped">
          <li v-for="[name, words] in skipped" :key="name" class="bad">✘ <span class="name">{{ name }}</span> <span>{{ words }}</span></li>
        </ul>
      </section>
      <p v-if="cells.length" class="quiet">{{ answer.meaning }}</p>
      <div class="tried">
        <section v-for="(cell, index) in cells" :key="index" class="card" :aria-label="cell.file">
          <div class="pictures"><img :src="cell.picture" :alt="cell.file"><img :src="cell.evidence" :alt="fill(texts.evidence, { type: title(cell.types[0][0]) })"></div>
          <h2>{{ title(cell.types[0][0]) }}</h2>
          <p class="row"><span v-if="cell.unsure" class="warn"><span aria-hidden="true">?</span> {{ texts.unsure }} </span><span v-else class="good"><span aria-hidden="true">✔</span> {{ texts.sure }} </span><span v-if="cell.anomalous" class="bad"><span aria-hidden="true">!</span> {{ texts.anomalous }}</span></p>
          <div class="bars"><template v-for="[name, chance] in top(cell)" :key="name"><span>{{ title(name) }}</span><span class="bar" aria-hidden="true"><i :style="{ width: 100 * chance + '%' }"></i></span><span class="number">{{ certainty(chance) }} %</span></template></div>
          <p class="quiet name">{{ cell.file }}</p>
        </section>
      </div>
    </div>`,
};
