// Asks before a blind reading is finished: what was not looked at, and that it cannot be opened again.

import { fill, number } from "marrowscope-review/desk/words.js";

export default {
  props: { texts: Object },
  emits: ["finish"],
  data: () => ({ looked: null }),
  computed: {
    open() {
      return this.looked.cells - this.looked.looked;
    },
  },
  methods: {
    fill,
    number,
    // The button that changes nothing has the focus: Enter alone finishes no reading.
    ask(looked) {
      this.looked = looked;
      this.$refs.dialog.showModal();
      this.$nextTick(() => this.$refs.cancel.focus());
    },
    finish() {
      this.$refs.dialog.close();
      this.$emit("finish");
    },
  },
  template: `
    <dialog ref="dialog" class="question" aria-labelledby="finish-title" aria-describedby="finish-words">
      <h2 id="finish-title">{{ texts.finish_title }}</h2>
      <div id="finish-words" class="stack" v-if="looked">
        <p v-if="open" class="warn">{{ fill(texts.finish_open, { count: number(open), cells: number(looked.cells) }) }}</p>
        <p v-else class="good">✔ {{ fill(texts.finish_all, { cells: number(looked.cells) }) }}</p>
        <p v-if="looked.unsure" class="warn">{{ fill(texts.finish_unsure, { count: number(looked.unsure) }) }}</p>
        <p>{{ texts.finish_sure }}</p>
      </div>
      <div class="row"><span class="space"></span>
        <button ref="cancel" type="button" class="plain" @click="$refs.dialog.close()">{{ texts.cancel }}</button>
        <button type="button" class="plain strong" @click="finish">{{ texts.finish_yes }}</button></div>
    </dialog>`,
};
