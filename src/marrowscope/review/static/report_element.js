// The page of a report: what is counted, what people say about it, signature, versions, log.

import { showStatus } from "marrowscope-review/case_status.js";
import { answer, get, poll, url } from "marrowscope-review/api.js";
import ReportLog from "marrowscope-review/desk/report_log.js";
import ReportSigning from "marrowscope-review/desk/report_signing.js";
import ReportTable from "marrowscope-review/desk/report_table.js";
import ReportWords from "marrowscope-review/desk/report_words.js";
import { repeatedly, told } from "marrowscope-review/desk/words.js";

const EACH = 6000;

export default {
  components: { ReportLog, ReportSigning, ReportTable, ReportWords },
  props: { texts: Object, caseNumber: Number, person: Object, comments: Array, identifiers: Array, days: Array },
  data: () => ({ found: null, now: null, types: {}, cases: [], fault: "", page: "", previewing: false }),
  computed: {
    waiting() {
      return this.found.observers.length > this.found.finished.length;
    },
    // An earlier result is a signed one; what was chosen before is shown whatever it is now.
    others() {
      return this.cases.filter((one) => one.status === "signed" || String(one.case) === this.found.words.earlier_case);
    },
    training() {
      return url(`/cases/${this.caseNumber}/training.zip`);
    },
  },
  async mounted() {
    try {
      const [types, cases] = await Promise.all([get("/types"), get("/cases")]);
      this.types = Object.fromEntries(types.map((type) => [type.name, type]));
      this.cases = cases.filter((one) => one.case !== this.caseNumber);
    } catch (error) {
      this.fault = told(error, this.texts);
    }
    this.stop = repeatedly(this.load, EACH);
  },
  beforeUnmount() {
    this.stop?.();
  },
  methods: {
    async load(again = false) {
      try {
        const found = await poll(`/cases/${this.caseNumber}`);
        const older = () => found.n < this.found?.n; // than what is shown: it was asked for before, and came late
        if (!older() && (again || found.n !== this.found?.n)) {
          const reading = found.readings.includes(found.final) ? found.final : "main";
          const now = await poll(`/cases/${this.caseNumber}/differential?reading=${encodeURIComponent(reading)}`);
          if (!older()) Object.assign(this, { found, now }), showStatus(found.status);
        }
        this.fault = "";
      } catch (error) {
        this.fault = told(error, this.texts);
      }
    },
    flush() {
      return this.$refs.words.flush();
    },
    known(n) {
      return this.$refs.words.known(n);
    },
    // The page is fetched and put into a frame of its own that may run nothing, so that no page may frame ours.
    async preview() {
      this.previewing = true;
      this.page = "";
      this.$refs.dialog.showModal();
      try {
        await this.flush();
        this.page = await (await answer(`/cases/${this.caseNumber}/preview.html`)).text();
      } catch (error) {
        this.$refs.dialog.close();
        this.fault = told(error, this.texts);
      } finally {
        this.previewing = false;
      }
    },
  },
  template: `
    <div class="desk">
      <p class="bad" role="alert" v-if="fault">✘ {{ fault }}</p>
      <p v-if="!found && !fault" class="empty">{{ texts.loading }}</p>
      <template v-if="found && now">
        <div class="row">
          <h1>{{ texts.heading }}</h1>
          <nav class="row" :aria-label="texts.parts"><a href="#comments">{{ texts.comments }}</a><a href="#specimen">{{ texts.specimen }}</a><a href="#signature">{{ texts.signature }}</a></nav>
          <span class="space"></span>
          <a v-if="person.mayEdit" :href="training" download>{{ texts.training }}</a>
          <a :href="'/cases/' + found.case + '/observers'">{{ found.observers.length ? texts.observers_of : texts.observers }}</a>
          <button type="button" class="plain" :disabled="waiting" @click="preview">{{ texts.preview }}</button>
        </div>
        <p v-if="waiting" class="warn">{{ texts.read_blind }}</p>
        <div class="columns">
          <div class="stack">
            <report-table :texts="texts" :now="now" :types="types"></report-table>
          </div>
          <div class="stack">
            <report-words ref="words" :texts="texts" :found="found" :comments="comments" :identifiers="identifiers" :days="days" :others="others" :locked="found.status === 'signed' || !person.mayEdit" @kept="load()"></report-words>
            <report-signing :texts="texts" :found="found" :person="person" :flush="flush" :known="known" @changed="load(true)"></report-signing>
            <report-log :texts="texts" :found="found" :types="types"></report-log>
          </div>
        </div>
      </template>
      <dialog ref="dialog" :aria-label="texts.preview_title">
        <div class="row"><h2>{{ texts.preview_title }}</h2><span class="quiet" role="status">{{ previewing ? texts.making : "" }}</span><span class="space"></span><button type="button" class="plain" @click="$refs.dialog.close()">{{ texts.close }}</button></div>
        <iframe v-if="page" sandbox="" :srcdoc="page" :title="texts.preview_title"></iframe>
      </dialog>
    </div>`,
};
