// The log of the case in sentences: who did what when, and whether the chain of hashes is whole.

import { poll } from "marrowscope-review/api.js";
import { fill, number, told, utc, when } from "marrowscope-review/desk/words.js";

const FIRST = 100;

export default {
  props: { texts: Object, found: Object, types: Object },
  data: () => ({ open: false, rows: [], whole: null, broken: "", fault: "", all: false }),
  computed: {
    shown() {
      const newest = [...this.rows].reverse();
      return this.all ? newest : newest.slice(0, FIRST);
    },
  },
  watch: {
    found: "load",
    open: "load",
  },
  methods: {
    fill,
    number,
    utc,
    when,
    async load() {
      if (!this.open) return;
      try {
        const log = await poll(`/cases/${this.found.case}/log`);
        Object.assign(this, { rows: log.rows, broken: log.fault ?? "", whole: log.fault === null, fault: "" });
      } catch (error) {
        this.fault = told(error, this.texts);
      }
    },
    sentence({ kind, payload }) {
      const cells = Object.values(payload.cells ?? {}).reduce((sum, rows) => sum + rows.length, 0);
      const values = {
        ...payload,
        cells: kind === "add_slide" ? number(payload.cells) : number(cells),
        to: this.types[payload.to]?.title ?? payload.to,
        field: this.texts[`field_${payload.field}`] ?? payload.field,
        observers: (payload.observers ?? []).join(", "),
        slide: Number(payload.slide ?? 0) + 1,
      };
      return fill(this.texts[`log_${kind}`] ?? kind, values);
    },
  },
  template: `
    <details class="card" @toggle="open = $event.target.open">
      <summary>{{ fill(texts.log, { count: number(found.n) }) }}</summary>
      <p v-if="fault" class="bad" role="alert">{{ fault }}</p>
      <p v-if="whole" class="good">✔ {{ texts.log_whole }}</p>
      <p v-if="broken" class="bad" role="alert">✘ {{ fill(texts.log_broken, { fault: broken }) }}</p>
      <div class="log" tabindex="0" :aria-label="texts.log_table" v-if="rows.length">
        <table class="plain">
          <thead><tr><th scope="col" class="number">{{ texts.log_row }}</th><th scope="col">{{ texts.log_at }}</th><th scope="col">{{ texts.log_who }}</th><th scope="col">{{ texts.log_what }}</th></tr></thead>
          <tbody><tr v-for="row in shown" :key="row.n">
            <td class="number">{{ row.n }}</td><td><time :datetime="row.at" :title="utc(row.at)">{{ when(row.at) }}</time></td><td>{{ row.actor }}</td>
            <td class="name">{{ sentence(row) }}<span v-if="row.reading !== 'main'" class="quiet"> · {{ row.reading }}</span></td>
          </tr></tbody>
        </table>
      </div>
      <div class="row" v-if="rows.length > shown.length"><button type="button" class="plain small" @click="all = true">{{ fill(texts.log_all, { count: number(rows.length) }) }}</button></div>
    </details>`,
};
