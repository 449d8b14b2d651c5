// The list of keys and of the marks of a cell.

import { MARKS, cross, edge } from "./marks.js";
import { speaker } from "./words.js";

const KEYS = [
  ["Enter", "Space"], ["Delete"], ["Ctrl+Z"], ["Ctrl+Shift+Z", "Ctrl+Y"], ["/"], ["←", "→", "↑", "↓"], ["Shift+←", "Shift+→"],
  ["Home", "End"], ["Page Up", "Page Down"], ["Ctrl+A"], ["Esc"], ["+", "-"], ["?"],
];
const MEANINGS = ["confirm", "delete", "undo", "redo", "types", "arrows", "extend", "ends", "pages", "group", "clear", "zoom", "help"];
const SHOWN = ["unsure", "anomalous", "looked", "differs", "proposed", "added", "outside", "deleted"];

export const Help = {
  props: { types: Array, words: Object },
  template: `
    <dialog ref="dialog" class="gallery-help" aria-labelledby="gallery-help-title" @click.self="close">
      <header><h2 id="gallery-help-title">{{ say('help_title') }}</h2>
        <button type="button" class="plain" @click="close">{{ say('close') }}</button></header>
      <div class="columns">
        <section><h3>{{ say('help_keys') }}</h3>
          <dl><template v-for="(keys, at) in keys" :key="at">
            <dt><kbd v-for="key in keys" :key="key">{{ key }}</kbd></dt><dd>{{ say('key_' + meanings[at]) }}</dd>
          </template></dl></section>
        <section><h3>{{ say('help_types') }}</h3>
          <dl><template v-for="type in withKey" :key="type.name">
            <dt><kbd>{{ type.key }}</kbd></dt><dd>{{ type.title }}</dd></template></dl></section>
        <section><h3>{{ say('help_marks') }}</h3>
          <dl class="marks"><template v-for="mark in marks" :key="mark">
            <dt><canvas :ref="(el) => paint(el, mark)" width="64" height="64" aria-hidden="true"></canvas></dt>
            <dd>{{ say('mark_' + mark) }}</dd></template></dl>
          <h3>{{ say('help_mouse') }}</h3>
          <ul><li v-for="name in ['click', 'band', 'drag', 'menu', 'wheel']" :key="name">{{ say('mouse_' + name) }}</li></ul></section>
      </div>
    </dialog>`,
  data: () => ({ keys: KEYS, meanings: MEANINGS, marks: SHOWN }),
  computed: {
    say() {
      return speaker(this.words);
    },
    withKey() {
      return this.types.filter((type) => type.key);
    },
  },
  methods: {
    open() {
      this.$refs.dialog.showModal();
    },
    close() {
      this.$refs.dialog.close();
    },
    paint(canvas, mark) {
      if (!canvas) return;
      const ctx = canvas.getContext("2d");
      ctx.setTransform(2, 0, 0, 2, 0, 0);
      ctx.fillStyle = "#e9d3de";
      ctx.fillRect(0, 0, 32, 32);
      edge(ctx, 0, 0, 32, "#7b1fa2", mark === "unsure");
      if (mark === "deleted") cross(ctx, 0, 0, 32);
      MARKS[mark]?.(ctx, 16, 16, 7);
    },
  },
};
