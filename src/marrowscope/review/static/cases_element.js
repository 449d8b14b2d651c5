// The list of cases: search, filter, order; new results and new slides; what is being counted.

import { poll, post } from "marrowscope-review/api.js";
import AddSlides from "marrowscope-review/desk/add_slides.js";
import { fill, number, percent, repeatedly, told, utc, when } from "marrowscope-review/desk/words.js";

const SIGNS = { counted: "○", "in review": "◐", signed: "●" };
const EACH = 15_000;
const EACH_COUNTING = 700;

// What a column is ordered by; what is not known comes last.
const ORDERS = {
  title: (row) => row.title.toLowerCase(),
  status: (row) => Object.keys(SIGNS).indexOf(row.status),
  slides: (row) => row.slides.length,
  cells: (row) => row.cells,
  flags: (row) => row.flags.above * 1000 + row.flags["not decided"],
  quality: (row) => row.quality.length,
  unsure: (row) => row.unsure,
  looked: (row) => row.looked,
  last_at: (row) => row.last_at,
};
const DESCENDING = new Set(["slides", "cells", "flags", "quality", "unsure", "last_at"]);

export default {
  components: { AddSlides },
  props: { texts: Object, faults: Object, mayEdit: Boolean },
  data() {
    return {
      broken: this.faults,
      rows: null,
      fault: "",
      said: "",
      search: "",
      status: "",
      order: "last_at",
      descending: true,
      adding: false,
      jobs: [],
      own: [],
      looking: false,
    };
  },
  computed: {
    statuses: () => Object.keys(SIGNS),
    columns() {
      return Object.keys(ORDERS).map((name) => ({ name, words: this.texts[`column_${name}`] }));
    },
    shown() {
      const wanted = this.search.trim().toLowerCase();
      const found = (this.rows ?? []).filter(
        (row) =>
          (!this.status || row.status === this.status) &&
          (!wanted || [row.title, ...row.slides, row.last_actor].some((text) => text.toLowerCase().includes(wanted))),
      );
      const by = ORDERS[this.order];
      const turn = this.descending ? -1 : 1;
      return found.sort((a, b) => {
        const [one, other] = [by(a), by(b)];
        if (one === null || other === null) return (one === null) - (other === null) || a.case - b.case;
        return turn * (one < other ? -1 : one > other ? 1 : 0) || a.case - b.case;
      });
    },
    counting() {
      return this.jobs.filter((job) => job.status === "waiting" || job.status === "counting");
    },
    listed() {
      return this.jobs.filter((job) => job.status !== "done" && job.status !== "stopped");
    },
  },
  mounted() {
    this.stop = [repeatedly(this.load, EACH)];
    if (this.mayEdit) this.watchCounts();
    document.addEventListener("keydown", this.key);
  },
  beforeUnmount() {
    for (const stop of this.stop) stop();
    clearTimeout(this.timer);
    document.removeEventListener("keydown", this.key);
  },
  methods: {
    fill,
    number,
    percent,
    utc,
    when,
    sign: (status) => SIGNS[status],
    async load() {
      try {
        this.rows = await poll("/cases");
        this.fault = "";
      } catch (error) {
        this.fault = told(error, this.texts);
      }
    },
    async watchCounts() {
      clearTimeout(this.timer);
      try {
        this.jobs = await poll("/counts");
      } catch (error) {
        this.fault = told(error, this.texts);
      }
      for (const job of this.jobs.filter((one) => one.status === "done" && this.own.includes(one.id))) {
        this.own = this.own.filter((id) => id !== job.id);
        if (!this.own.length && !this.adding) window.location.assign(`/cases/${job.case}`);
      }
      if (this.counting.length) this.timer = setTimeout(this.watchCounts, EACH_COUNTING);
      else this.load();
    },
    started(job) {
      this.own.push(job.id);
      this.adding = false;
      this.said = fill(this.texts.started, { title: job.title });
      this.watchCounts();
    },
    async stopCount(job) {
      try {
        this.jobs = await post(`/counts/${job.id}/stop`, {});
      } catch (error) {
        this.fault = told(error, this.texts);
      }
    },
    async takeUp() {
      this.looking = true;
      try {
        const { opened, not_taken_up: broken } = await post("/cases/take-up", {});
        this.broken = broken;
        this.said = opened.length ? fill(this.texts.opened, { count: opened.length }) : this.texts.none_opened;
        await this.load();
      } catch (error) {
        this.fault = told(error, this.texts);
      } finally {
        this.looking = false;
      }
    },
    // What a case that two observers read waits for, in words and with the page where it is done.
    step(row) {
      const waiting = row.observers.filter((name) => !row.finished.includes(name)).join(", ");
      const start = `/cases/${row.case}`;
      const left = { words: fill(this.texts.step_settle, { count: number(row.differing ?? 0) }), href: `${start}?queue=differing` };
      return {
        read: { words: this.texts.step_read, href: start, own: true },
        wait: { words: fill(this.texts.step_wait, { others: waiting }), href: `${start}/observers` },
        others_read: { words: fill(this.texts.step_others_read, { others: waiting }), href: `${start}/observers` },
        settle:
          row.differing === null
            ? { words: this.texts.step_look, href: `${start}/observers`, own: true }
            : row.differing
              ? { ...left, own: true }
              : { words: this.texts.step_settled, href: `${start}/observers` },
      }[row.step];
    },
    sort(name) {
      this.descending = this.order === name ? !this.descending : DESCENDING.has(name);
      this.order = name;
    },
    sorted(name) {
      return this.order !== name ? "none" : this.descending ? "descending" : "ascending";
    },
    // "/" searches; arrows go from case to case; Enter opens, as on every link.
    key(event) {
      const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
      if (event.key === "/" && !typing) {
        event.preventDefault();
        this.$refs.search.focus();
      } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && (!typing || event.target === this.$refs.search)) {
        const links = [...this.$el.querySelectorAll("tbody .title > a")];
        if (!links.length) return;
        const now = links.indexOf(document.activeElement);
        const next = event.key === "ArrowDown" ? Math.min(now + 1, links.length - 1) : now - 1;
        event.preventDefault();
        if (next < 0) this.$refs.search.focus();
        else links[next].focus();
      }
    },
  },
  template: `
    <div class="desk">
      <div class="row tools">
        <h1>{{ texts.heading }}</h1>
        <input ref="search" v-model="search" type="search" class="search" :placeholder="texts.search" :aria-label="texts.search_words">
        <div role="group" :aria-label="texts.filter" class="row joined">
          <button type="button" class="plain" :aria-pressed="status === ''" @click="status = ''">{{ texts.all }}</button>
          <button v-for="one in statuses" :key="one" type="button" class="plain" :aria-pressed="status === one" @click="status = status === one ? '' : one">
            <span aria-hidden="true">{{ sign(one) }}</span> {{ texts["status_" + one.replace(" ", "_")] }}
          </button>
        </div>
        <span class="space"></span>
        <template v-if="mayEdit">
          <button type="button" class="plain" :disabled="looking" @click="takeUp">{{ texts.take_up }}</button>
          <button type="button" class="plain strong" :aria-expanded="adding" @click="adding = !adding">{{ texts.add }}</button>
        </template>
      </div>
      <p class="notice bad" role="alert" v-if="fault">{{ fault }}</p>
      <p class="notice" role="status" aria-live="polite">{{ said }}</p>
      <add-slides v-if="adding" :texts="texts" @started="started" @close="adding = false"></add-slides>
      <section v-if="listed.length" class="card" :aria-label="texts.counting">
        <div v-for="job in listed" :key="job.id" class="row job">
          <strong>{{ job.title }}</strong>
          <template v-if="job.status === 'failed'"><span class="bad" role="alert">✘ {{ job.fault }}</span></template>
          <template v-else>
            <progress :value="job.status === 'waiting' ? 0 : job.done" max="1" :aria-label="job.title"></progress>
            <span class="quiet">{{ job.status === "waiting" ? texts.waiting : job.stage }}</span>
            <span class="space"></span>
            <button type="button" class="plain small" @click="stopCount(job)">{{ texts.stop }}</button>
          </template>
        </div>
      </section>
      <div class="scroll" v-if="rows">
        <table class="list">
          <caption class="unseen">{{ texts.heading }}</caption>
          <thead><tr>
            <th v-for="column in columns" :key="column.name" scope="col" :class="column.name" :aria-sort="sorted(column.name)">
              <button type="button" @click="sort(column.name)">{{ column.words }}<span aria-hidden="true" class="arrow">{{ order === column.name ? (descending ? "▼" : "▲") : "" }}</span></button>
            </th>
          </tr></thead>
          <tbody>
            <tr v-for="row in shown" :key="row.case" :class="{ broken: row.fault }">
              <td class="title">
                <a v-if="!row.fault" :href="'/cases/' + row.case">{{ row.title }}</a>
                <template v-else><span>{{ row.title }}</span><div class="bad">⚠ {{ row.fault }}</div></template>
                <div v-if="step(row) && !row.fault" class="step"><span aria-hidden="true" :class="step(row).own ? 'warn' : 'quiet'">{{ step(row).own ? "➜" : "◔" }}</span> <a :href="step(row).href">{{ step(row).words }}</a></div>
              </td>
              <td><span :class="['status', row.status.replace(' ', '-')]"><span aria-hidden="true">{{ sign(row.status) }}</span> {{ texts["status_" + row.status.replace(" ", "_")] }}</span></td>
              <td class="slides"><span :title="row.slides.join(', ')">{{ row.slides.length }}</span></td>
              <td class="cells">{{ number(row.cells) }}</td>
              <td class="flags">
                <span v-if="row.flags.above" class="flag above" :title="fill(texts.above, { count: row.flags.above })"><span aria-hidden="true">▲</span>{{ row.flags.above }}<span class="unseen">{{ fill(texts.above, { count: row.flags.above }) }}</span></span>
                <span v-if="row.flags['not decided']" class="flag undecided" :title="fill(texts.not_decided, { count: row.flags['not decided'] })"><span aria-hidden="true">◆</span>{{ row.flags["not decided"] }}<span class="unseen">{{ fill(texts.not_decided, { count: row.flags["not decided"] }) }}</span></span>
                <span v-if="row.of_count" class="quiet of-count" :title="texts.of_count_words">{{ texts.of_count }}</span>
              </td>
              <td class="quality"><span v-if="row.quality.length" :title="row.quality.join('\\n')" class="warn"><span aria-hidden="true">!</span> {{ fill(texts.notes, { count: row.quality.length }) }}</span></td>
              <td class="unsure" :title="row.unsure === null && !row.fault ? texts.not_open : ''"><a v-if="row.unsure && row.step !== 'others_read'" :href="'/cases/' + row.case + '?queue=unsure'" :aria-label="fill(texts.show_unsure, { title: row.title })">{{ number(row.unsure) }}</a><template v-else>{{ row.unsure === null ? "–" : number(row.unsure) }}</template></td>
              <td class="looked" :title="row.looked === null && !row.fault ? texts.not_open : ''">{{ row.looked === null ? "–" : percent(row.looked) }}</td>
              <td class="last_at"><time :datetime="row.last_at" :title="utc(row.last_at)">{{ when(row.last_at) }}</time> <span class="quiet">{{ row.last_actor }}</span></td>
            </tr>
          </tbody>
        </table>
        <p v-if="!rows.length" class="empty">{{ texts.no_cases }}</p>
        <p v-else-if="!shown.length" class="empty">{{ texts.none_found }}</p>
      </div>
      <section v-if="Object.keys(broken).length" class="card" :aria-label="texts.not_taken_up">
        <h2>{{ texts.not_taken_up }}</h2>
        <p v-for="(fault, name) in broken" :key="name"><strong>{{ name }}</strong> <span class="bad">⚠ {{ fault }}</span></p>
      </section>
      <p class="quiet keys">{{ texts.keys }}</p>
    </div>`,
};
