// What a case that two observers read waits for, and the way there. The server says the step; the numbers are the page's.

import { speaker } from "./words.js";

export const Step = {
  props: { now: Object, given: Object, counts: Object },
  emits: ["queue"],
  template: `
    <p v-if="words" class="banner step" role="note"><span>{{ words }}</span>
      <a v-if="step === 'read'" :href="page">{{ say('finish') }}</a>
      <template v-else-if="step === 'settle'">
        <button v-if="counts.proposed" type="button" class="plain" @click="$emit('queue', 'proposed')">{{ say('to_agree', { n: counts.proposed }) }}</button>
        <button v-if="here && counts.differing" type="button" class="plain" @click="$emit('queue', 'differing')">{{ say('look') }}</button>
        <a v-if="!here" :href="differences">{{ say('look') }}</a>
        <a :href="page">{{ say('how') }}</a>
      </template></p>`,
  computed: {
    say() {
      return speaker(this.given.steps);
    },
    step() {
      return this.now?.step;
    },
    here() {
      return this.given.reading === "adjudicated";
    },
    page() {
      return `/cases/${this.given.case}/observers`;
    },
    differences() {
      return `/cases/${this.given.case}?reading=adjudicated&queue=differing`;
    },
    words() {
      const { looked, waiting_for: waiting } = this.now ?? {};
      switch (this.step) {
        case "read":
          return this.say("read", { open: looked.cells - looked.looked, cells: looked.cells, unsure: looked.unsure });
        case "wait":
          return this.say("wait", { others: waiting.join(", ") });
        case "settle":
          if (!this.here) return this.say("both");
          if (!this.counts.differing) return this.say("settled");
          return `${this.say("settle", { n: this.counts.differing })} ${this.say(this.given.proposes ? "proposing" : "third")}`;
        default:
          return "";
      }
    },
  },
};
