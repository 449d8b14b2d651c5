// The log of the case in sentences: who did what when, and whether the chain of hashes is whole.

import { poll } from "marrowscope-review/api.js";
import { fill, number, told, utc, when } from "marrowscope-review/desk/words.js";

const FIRST = 100;
const PAGE = 1000;

export default {
  props: { texts: Object, found: Object, types: Object },
  data: () => ({ open: false, rows: [], from: 0, upTo: 0, whole: null, broken: "", fault: "", asked: null }),
  computed: {
    shown() {
      return [...this.rows].reverse();
    },
  },
  watch: {
    found: "load",
    // Whoever opens the log has all of it checked; after that only rows that are new.
    open() {
      return this.load("full");
    },
  },
  methods: {
    fill,
    number,
    utc,
    when,
    // One after the other: two answers that cross would put rows in twice.
    load(check) {
      const full = check === "full" ? "full" : "new";
      this.asked = (this.asked ?? Promise.resolve()).then(() => this.loadNew(full));
      return this.asked;
    },
    loadAll() {
      this.asked = (this.asked ?? Promise.resolve()).then(() => this.guarded(() => this.loadOlder()));
      return this.asked;
    },
    async loadNew(check) {
      if (!this.open) return;
      await this.guarded(async () => {
        if (!this.upTo) this.from = this.upTo = Math.max(0, this.found.n - FIRST);
        const known = this.rows.length;
        let log;
        do {
          log = await this.page(this.upTo, PAGE, log ? "new" : check);
          this.rows.push(...log.rows);
          this.upTo = log.next ?? log.n;
        } while (log.next !== null);
        Object.assign(this, { broken: log.fault ?? "", whole: log.fault === null });
        // The rows of blind readings, which were left out, can be seen from then on.
        if (known && this.rows.slice(known).some(({ kind }) => kind === "finish" || kind === "dismiss")) {
          Object.assign(this, { rows: [], upTo: 0 });
          await this.loadNew("new");
        }
      });
    },
    async loadOlder() {
      const older = [];
      let since = 0;
      while (since < this.from) {
        const log = await this.page(since, Math.min(PAGE, this.from - since), "new");
        older.push(...log.rows);
        since = Math.min(log.next ?? log.n, this.from);
      }
      this.rows.unshift(...older);
      this.from = 0;
    },
    page(since, limit, check) {
      return poll(`/cases/${this.found.case}/log?since=${since}&limit=${limit}&check=${check}`);
    },
    async guarded(work) {
      try {
        await work();
        this.fault = "";
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
      <div class="row" v-if="from > 0"><button type="button" class="plain small" @click="loadAll">{{ fill(texts.log_all, { count: number(upTo) }) }}</button></div>
    </details>`,
};
