// The cell under the cursor, closely: pictures, what the pack and people say, cells near it and cells like it.

import { get, url } from "../api.js";
import { certainty } from "../certainty.js";
import { Calls, UNSETTLED } from "../settle.js";
import { number, speaker, utc, when } from "./words.js";

// Milliseconds: cells that are only passed by are not asked for, nor are pictures of others while somebody works fast.
const PASSING = 90;
const RESTING = 700;
const VIEWS = ["close", "around", "why"];

export const Detail = {
  components: { Calls },
  // `alone`: it is the one chosen cell. `edition`: grows with each edit; `versions`: of the slides, so that browsers keep no other folder's pictures; empty
  // while the file of a slide is away.
  props: { given: Object, locked: Boolean, alone: Boolean, cell: Object, edition: Number, versions: Array },
  emits: ["go", "give", "remove", "agree"],
  data: () => ({ told: null, view: "close", why: null, rested: false, missing: "" }),
  template: `
    <section class="gallery-detail" :aria-label="say('detail')">
      <template v-if="told">
        <h2><i class="swatch" :style="{ background: type(told.type).colour }"></i>{{ type(told.type).title }}</h2>
        <p class="quiet">{{ where }} · <a :href="slideLink">{{ say('on_slide') }}</a></p>
        <figure>
          <img v-if="versions[told.slide]" :key="picture" :src="picture" :alt="type(told.type).title + ', ' + say('view_' + view)" width="264" height="264" @error="broken">
          <figcaption class="quiet">{{ caption }}</figcaption>
        </figure>
        <div class="choice" role="radiogroup" :aria-label="say('views')">
          <button v-for="name in views" :key="name" type="button" role="radio" :aria-checked="String(view === name)"
            @mousedown.prevent @click="look(name)">
            {{ say('view_' + name) }}</button>
        </div>
        <label v-if="view === 'why'" class="why">{{ say('why_type') }}
          <select v-model="why"><option v-for="row in bars" :key="row.name" :value="row.name">{{ row.title }}</option></select>
        </label>
        <p v-if="missing" class="bad">{{ missing }}</p>
        <dl class="facts">
          <dt>{{ say('pack') }}</dt>
          <dd>{{ told.model_type ? say('pack_says', { type: type(told.model_type).title, percent: certainty(told.certainty) }) : say('pack_missed') }}</dd>
          <dt>{{ say('people') }}</dt>
          <dd :title="told.last ? utc(told.last.at) : null">{{ people }}</dd>
          <template v-if="marks.length"><dt>{{ say('marks') }}</dt><dd>{{ marks.join(', ') }}</dd></template>
        </dl>
        <Calls :told="told" :type="type" :say="say" :actor="given.actor" :other="other" :locked="locked" :enter="alone"
          @give="$emit('give', $event, told)" @remove="$emit('remove', told)" @agree="$emit('agree', told)" />
        <ul class="bars" v-if="bars.length" :aria-label="say('probabilities')">
          <li v-for="row in bars.slice(0, 5)" :key="row.name"><span>{{ row.title }}</span>
            <i><b :style="{ width: 100 * row.p + '%', background: row.colour }"></b></i><span class="figure">{{ certainty(row.p) }} %</span></li>
        </ul>
        <template v-for="(rows, name) in { similar: told.similar, neighbours: told.neighbours }" :key="name">
          <h3>{{ say(name) }}</h3>
          <p v-if="!rows.length" class="quiet">{{ say('none_' + name) }}</p>
          <div class="thumbs" v-else>
            <button v-for="row in rows" :key="row" type="button" @click="$emit('go', { slide: told.slide, row })" :aria-label="say('go_to', { row: String(row) })">
              <img v-if="rested && versions[told.slide]" :src="pictureOf(row, 22, 124)" alt="" width="60" height="60">
            </button>
          </div>
        </template>
        <template v-if="told.history.length">
          <h3>{{ say('history') }}</h3>
          <ol class="history"><li v-for="entry in told.history" :key="entry.n" :title="utc(entry.at)">{{ deed(entry) }}</li></ol>
        </template>
      </template>
      <p v-else class="quiet">{{ missing || say('no_cell') }}</p>
    </section>`,
  computed: {
    say() {
      return speaker(this.given.words);
    },
    other() {
      return this.given.proposes ? this.given.observers[2 - this.given.proposes] : "";
    },
    views() {
      return this.told.added ? VIEWS.slice(0, 2) : VIEWS;
    },
    base() {
      return `/cases/${this.given.case}/slides/${this.told.slide}`;
    },
    where() {
      const cell = this.say("cell_number", { row: String(this.told.cell) });
      return this.given.slides.length > 1 ? `${this.given.slides[this.told.slide].label}, ${cell}` : cell;
    },
    slideLink() {
      const reading = this.given.asked ? `&reading=${encodeURIComponent(this.given.asked)}` : "";
      return `${this.base}?cell=${this.told.cell}${reading}`;
    },
    // As wide as the cell and what is close around it, um.
    close() {
      const [x0, y0, x1, y1] = this.told.box;
      const wide = 1.7 * Math.max((x1 - x0) * (this.told.spacing[0] ?? 0.25), (y1 - y0) * (this.told.spacing[1] ?? 0.25));
      return Math.min(200, Math.max(16, Math.round(wide)));
    },
    picture() {
      if (this.view === "why") {
        const of = this.why ? `&of=${encodeURIComponent(this.why)}` : "";
        return url(`${this.base}/cells/${this.told.cell}/explanation.jpg?v=${this.versions[this.told.slide] ?? ""}${of}`);
      }
      return this.pictureOf(this.told.cell, this.view === "around" ? 6 * this.close : this.close, 528);
    },
    caption() {
      if (this.view === "why") return this.say("caption_why");
      return this.say("caption_um", { um: this.view === "around" ? Math.min(500, 6 * this.close) : this.close });
    },
    bars() {
      return Object.entries(this.told.probabilities)
        .map(([name, p]) => ({ name, p, ...this.type(name) }))
        .sort((a, b) => b.p - a.p);
    },
    people() {
      const { last, looked } = this.told;
      if (last) return this.deed(last);
      if (this.told.type === null) return this.say("mark_differs");
      return this.say(looked ? "mark_looked" : "not_looked");
    },
    marks() {
      const found = this.told.flags.map((name) => this.say(`flag_${name}`));
      if (this.told.anomaly !== null && this.told.anomaly !== undefined) {
        found.push(this.say("anomaly_score", { score: number(this.told.anomaly, 2) }));
      }
      return [...found, ...["differs", "added", "outside"].filter((name) => this.told[name]).map((name) => this.say(`mark_${name}`))];
    },
  },
  watch: {
    cell: { handler: "changed", immediate: true },
    edition: "changed",
  },
  methods: {
    utc,
    changed() {
      clearTimeout(this.timer);
      clearTimeout(this.later);
      this.timer = setTimeout(() => this.fetch(), PASSING);
    },
    async fetch() {
      const { cell } = this;
      if (!cell) return (this.told = null);
      const same = this.told && this.told.slide === cell.slide && this.told.cell === cell.row;
      const path = `/cases/${this.given.case}/slides/${cell.slide}/cells/${cell.row}?reading=${encodeURIComponent(this.given.reading)}`;
      let told;
      try {
        told = await get(path);
      } catch (error) {
        if (this.cell === cell) this.missing = error.message;
        return;
      }
      if (this.cell !== cell) return; // the cursor has gone on
      if (!same) this.rested = false;
      this.told = { ...told, slide: cell.slide };
      this.missing = "";
      this.why = told.type in told.probabilities ? told.type : told.model_type;
      if (told.added && this.view === "why") this.view = "close";
      this.later = setTimeout(() => (this.rested = true), RESTING);
    },
    look(name) {
      this.view = name;
      this.missing = "";
    },
    broken() {
      this.missing = this.say("no_picture");
    },
    pictureOf(row, um, pixels) {
      const of = `um=${Math.min(500, um)}&pixels=${pixels}&reading=${encodeURIComponent(this.given.reading)}`;
      return url(`${this.base}/cells/${row}/picture.jpg?${of}`);
    },
    type(name) {
      return this.given.types.find((type) => type.name === name) ?? { title: this.say("differs"), colour: UNSETTLED };
    },
    certainty,
    deed({ kind, actor, at, payload }) {
      const proposed = payload.proposes?.[this.told.slide]?.includes(this.told.cell);
      return this.say(proposed ? `deed_proposed_${kind}` : `deed_${kind}`, { actor, at: when(at), type: payload.to ? this.type(payload.to).title : "" });
    },
  },
};
