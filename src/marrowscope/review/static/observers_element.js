// Two observers of a case: who they are, how far each has read, and then how they agree.

import { get, poll } from "marrowscope-review/api.js";
import EndReading from "marrowscope-review/desk/end_reading.js";
import FinishReading from "marrowscope-review/desk/finish_reading.js";
import { fill, number, percent, repeatedly, told } from "marrowscope-review/desk/words.js";
import { newEdit, sendEdit } from "marrowscope-review/edit_request.js";

const EACH = 6000;
const MOST = 8;

export default {
  components: { EndReading, FinishReading },
  props: { texts: Object, caseNumber: Number, person: Object, users: Array },
  data: () => ({ found: null, agreement: null, own: null, types: {}, first: "", second: "", busy: false, fault: "", said: "" }),
  computed: {
    both() {
      return this.found.observers.length > 0 && this.found.observers.every((name) => this.found.finished.includes(name));
    },
    reads() {
      return this.found.observers.includes(this.person.name) && !this.found.finished.includes(this.person.name);
    },
    may_appoint() {
      return this.person.login && this.person.mayEdit && this.found.status === "counted";
    },
    mine() {
      return `/cases/${this.caseNumber}?reading=${encodeURIComponent(`blind:${this.person.name}`)}`;
    },
    queue() {
      return `/cases/${this.caseNumber}?reading=adjudicated&queue=differing`;
    },
    pairs() {
      return [this.agreement.observers, ...this.agreement.with_model];
    },
  },
  mounted() {
    this.stop = repeatedly(this.load, EACH);
  },
  beforeUnmount() {
    this.stop();
  },
  methods: {
    fill,
    number,
    percent,
    most: (pair) => pair.differences.slice(0, MOST),
    rest: (pair) => pair.differences.slice(MOST).reduce((sum, one) => sum + one.cells, 0),
    name(who) {
      return who === "model" ? this.texts.model : who;
    },
    kappa({ value, low, high }) {
      if (value === null) return this.texts.no_kappa;
      const interval = low === null ? "" : ` (${low.toFixed(3)}–${high.toFixed(3)})`;
      return value.toFixed(3) + interval;
    },
    async load() {
      try {
        if (!Object.keys(this.types).length) {
          this.types = Object.fromEntries((await get("/types")).map((type) => [type.name, type.title]));
        }
        const found = await poll(`/cases/${this.caseNumber}`);
        if (found.n < this.found?.n) return; // asked for before what is shown, and came late
        this.found = found;
        if (this.both) this.agreement = await poll(`/cases/${this.caseNumber}/agreement`);
        if (this.reads) await this.loadOwn();
        this.fault = "";
      } catch (error) {
        this.fault = told(error, this.texts);
      }
    },
    async loadOwn() {
      const reading = encodeURIComponent(`blind:${this.person.name}`);
      this.own = (await poll(`/cases/${this.caseNumber}/differential?reading=${reading}`)).looked;
    },
    // With the numbers of now: what is asked is answered for good.
    async askToFinish() {
      this.busy = true;
      try {
        await this.loadOwn();
        this.$refs.finish.ask(this.own);
      } catch (error) {
        this.fault = told(error, this.texts);
      } finally {
        this.busy = false;
      }
    },
    end(reason) {
      this.edit({ kind: "dismiss", reason }, "main", this.texts.ended_now);
    },
    async edit(edit, reading, words) {
      Object.assign(this, { busy: true, said: "" });
      try {
        await sendEdit(`/cases/${this.caseNumber}`, newEdit(edit, reading));
        await this.load();
        this.said = words;
      } catch (error) {
        this.fault = told(error, this.texts);
      } finally {
        this.busy = false;
      }
    },
    appoint() {
      this.edit({ kind: "appoint", observers: [this.first, this.second] }, "main", this.texts.appointed);
    },
    finish() {
      this.edit({ kind: "finish" }, `blind:${this.person.name}`, this.texts.finished_now);
    },
  },
  template: `
    <div class="desk">
      <div class="row"><h1>{{ texts.heading }}</h1><span class="space"></span><a :href="'/cases/' + caseNumber + '/report'">{{ texts.to_report }}</a></div>
      <p class="bad" role="alert" v-if="fault">✘ {{ fault }}</p>
      <p class="good notice" role="status" aria-live="polite">{{ said }}</p>
      <template v-if="found">
        <section v-if="!found.observers.length" class="card">
          <p>{{ texts.explained }}</p>
          <p v-if="!person.login" class="warn">{{ texts.needs_login }}</p>
          <p v-else-if="found.status !== 'counted'" class="warn">{{ texts.too_late }}</p>
          <p v-else-if="!person.mayEdit" class="quiet">{{ texts.no_reviewer }}</p>
          <form v-if="may_appoint" class="form" @submit.prevent="appoint">
            <div class="row">
              <label class="field wide">{{ texts.first }}<select v-model="first" name="first" required><option value="" disabled></option><option v-for="one in users" :key="one" :disabled="one === second">{{ one }}</option></select></label>
              <label class="field wide">{{ texts.second }}<select v-model="second" name="second" required><option value="" disabled></option><option v-for="one in users" :key="one" :disabled="one === first">{{ one }}</option></select></label>
              <button type="submit" class="plain strong" :disabled="busy || !first || !second || first === second">{{ texts.appoint }}</button>
            </div>
          </form>
        </section>
        <section v-else class="card" :aria-label="texts.heading">
          <ul class="checks">
            <li v-for="one in found.observers" :key="one">
              <span aria-hidden="true" :class="found.finished.includes(one) ? 'good' : 'warn'">{{ found.finished.includes(one) ? "✔" : "◐" }}</span>
              <span>{{ fill(found.finished.includes(one) ? texts.has_finished : texts.is_reading, { name: one }) }}</span>
            </li>
          </ul>
          <template v-if="reads">
            <p v-if="own">{{ fill(texts.own_progress, { looked: number(own.looked), cells: number(own.cells), unsure: number(own.unsure) }) }}</p>
            <div class="row">
              <a class="button" :href="mine">{{ texts.read }}</a>
              <button type="button" class="plain" :disabled="busy" @click="askToFinish">{{ texts.finish }}</button>
            </div>
            <finish-reading ref="finish" :texts="texts" @finish="finish"></finish-reading>
          </template>
          <p v-else-if="!both" class="quiet">{{ texts.waiting }}</p>
          <end-reading v-if="person.maySign && found.status !== 'signed'" :texts="texts" @end="end"></end-reading>
        </section>
        <template v-if="both && agreement">
          <section class="card" :aria-label="texts.differences">
            <h2>{{ texts.differences }}</h2>
            <p v-if="agreement.left" class="warn">{{ fill(texts.left, { left: number(agreement.left), differing: number(agreement.differing) }) }}</p>
            <p v-else class="good">✔ {{ fill(texts.none_left, { differing: number(agreement.differing) }) }}</p>
            <p v-if="agreement.taken_out" class="quiet">{{ fill(agreement.taken_out === 1 ? texts.taken_out_one : texts.taken_out, { count: number(agreement.taken_out) }) }}</p>
            <p class="quiet">{{ texts.who_settles }}</p>
            <div class="row"><a class="button" :href="queue">{{ texts.settle }}</a></div>
          </section>
          <div class="three">
            <section v-for="pair in pairs" :key="pair.first + '/' + pair.second" class="card" :aria-label="name(pair.first) + ', ' + name(pair.second)">
              <h2>{{ fill(texts.pair, { first: name(pair.first), second: name(pair.second) }) }}</h2>
              <p><strong>κ {{ kappa(pair.kappa) }}</strong></p>
              <p class="quiet">{{ fill(texts.same, { same: number(pair.same), cells: number(pair.cells), share: pair.cells ? percent(pair.same / pair.cells) : "–" }) }}</p>
              <table v-if="pair.differences.length" class="plain">
                <thead><tr><th scope="col">{{ name(pair.first) }}</th><th scope="col">{{ name(pair.second) }}</th><th scope="col" class="number">{{ texts.cells }}</th></tr></thead>
                <tbody>
                  <tr v-for="one in most(pair)" :key="one.first + one.second"><td>{{ types[one.first] }}</td><td>{{ types[one.second] }}</td><td class="number">{{ number(one.cells) }}</td></tr>
                  <tr v-if="rest(pair)"><td colspan="2" class="quiet">{{ texts.rest }}</td><td class="number">{{ number(rest(pair)) }}</td></tr>
                </tbody>
              </table>
              <p v-else class="quiet">{{ texts.no_difference }}</p>
            </section>
          </div>
          <p class="quiet">{{ texts.kappa_words }}</p>
        </template>
      </template>
    </div>`,
};
