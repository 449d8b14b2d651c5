// A form that makes a new case: slides by upload or by path, counted with a pack.

import { get, post } from "marrowscope-review/api.js";
import { sendFile } from "marrowscope-review/desk/uploading.js";
import { fill, percent, told } from "marrowscope-review/desk/words.js";

export default {
  props: { texts: Object },
  emits: ["started", "close"],
  data: () => ({
    files: [],
    paths: "",
    title: "",
    packs: [],
    pack: "",
    specimen: "marrow",
    cells: 500,
    all: false,
    spacing: "",
    busy: false,
    fault: "",
    over: false,
  }),
  async mounted() {
    try {
      this.packs = (await get("/packs")).filter((pack) => pack.counts);
      this.pack = this.packs[0]?.name ?? "";
    } catch (error) {
      this.fault = told(error, this.texts);
    }
    this.$refs.first?.focus();
  },
  beforeUnmount() {
    for (const file of this.files) file.stop?.();
  },
  methods: {
    fill,
    percent,
    take(list) {
      for (const file of list) {
        if (!this.files.some((known) => known.file.name === file.name)) {
          this.files.push({ file, done: 0, path: "", fault: "", stop: null });
        }
      }
    },
    drop(event) {
      this.over = false;
      this.take(event.dataTransfer.files);
    },
    remove(index) {
      this.files[index].stop?.();
      this.files.splice(index, 1);
    },
    async send(entry) {
      if (entry.path) return entry.path;
      const { answer, stop } = sendFile(entry.file, (done) => (entry.done = done));
      entry.stop = stop;
      entry.fault = "";
      try {
        entry.path = (await answer).path;
        entry.done = 1;
        return entry.path;
      } catch (error) {
        entry.fault = error.kind === "stopped" ? this.texts.upload_stopped : told(error, this.texts);
        throw error;
      } finally {
        entry.stop = null;
      }
    },
    async start() {
      this.fault = "";
      const paths = this.paths.split("\n").map((line) => line.trim()).filter(Boolean);
      if (!paths.length && !this.files.length) {
        this.fault = this.texts.no_slide;
        return;
      }
      this.busy = true;
      try {
        for (const entry of this.files) paths.push(await this.send(entry));
        const spacing = String(this.spacing).trim();
        const job = await post("/cases/count", {
          paths,
          title: this.title,
          pack: this.pack,
          specimen: this.specimen,
          cells: this.all ? "all" : Number(this.cells),
          spacing: spacing ? Number(spacing) : null,
        });
        this.$emit("started", job);
      } catch (error) {
        // What is wrong with a file stands beside it.
        if (!this.files.some((entry) => entry.fault)) this.fault = told(error, this.texts);
      } finally {
        this.busy = false;
      }
    },
  },
  template: `
    <form class="card form" :aria-label="texts.add" @submit.prevent="start" @keydown.esc="$emit('close')">
      <h2>{{ texts.add }}</h2>
      <p class="quiet">{{ texts.add_words }}</p>
      <div class="drop" :class="{ over }" @dragover.prevent="over = true" @dragleave="over = false" @drop.prevent="drop">
        <label class="plain button">{{ texts.choose_files }}
          <input ref="first" type="file" multiple class="unseen" @change="take($event.target.files); $event.target.value = ''">
        </label>
        <span class="quiet">{{ texts.or_drop }}</span>
        <ul v-if="files.length" class="files">
          <li v-for="(entry, index) in files" :key="entry.file.name">
            <span class="name">{{ entry.file.name }}</span>
            <progress v-if="busy && !entry.path && !entry.fault" :value="entry.done" max="1" :aria-label="entry.file.name"></progress>
            <span v-if="entry.path" class="good">✔ {{ texts.uploaded }}</span>
            <button type="button" class="plain small" :aria-label="fill(texts.remove, { name: entry.file.name })" @click="remove(index)">✕</button>
            <p v-if="entry.fault" class="bad" role="alert">{{ entry.fault }}</p>
          </li>
        </ul>
      </div>
      <label class="field">{{ texts.paths }}
        <textarea v-model="paths" rows="2" spellcheck="false" :placeholder="texts.paths_example"></textarea>
      </label>
      <div class="row">
        <label class="field wide">{{ texts.case_title }}<input v-model="title" maxlength="200" :placeholder="texts.case_title_example"></label>
        <label class="field">{{ texts.pack }}
          <select v-model="pack"><option v-for="one in packs" :key="one.name" :value="one.name">{{ one.name }}{{ one.phantom ? " (" + texts.phantom + ")" : "" }}</option></select>
        </label>
        <label class="field">{{ texts.specimen }}
          <select v-model="specimen" name="specimen"><option v-for="one in ['marrow', 'blood', 'any']" :key="one" :value="one">{{ texts["specimen_" + one] }}</option></select>
        </label>
        <label class="field narrow">{{ texts.cells_to_count }}<input v-model="cells" type="number" min="1" max="1000000" :disabled="all"></label>
        <label class="check"><input v-model="all" type="checkbox"> {{ texts.all_cells }}</label>
        <label class="field narrow">{{ texts.spacing }}<input v-model="spacing" type="number" min="0.01" max="99" step="any" :placeholder="texts.spacing_example"></label>
      </div>
      <p v-if="fault" class="bad" role="alert">{{ fault }}</p>
      <div class="row">
        <button type="submit" class="plain strong" :disabled="busy || !pack">{{ busy ? texts.starting : texts.start }}</button>
        <button type="button" class="plain" @click="$emit('close')">{{ texts.cancel }}</button>
      </div>
    </form>`,
};
