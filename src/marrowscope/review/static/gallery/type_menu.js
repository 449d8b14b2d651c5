// The list of all types, to give the cells that it was opened for one of them: typing finds, arrows choose, Enter gives.

import { speaker } from "./words.js";

// Enter gives the first: "mono" must be the monocyte, not the promonocyte.
function rank(title, sought) {
  const name = title.toLowerCase();
  return name.startsWith(sought) ? 0 : name.includes(` ${sought}`) ? 1 : name.includes(sought) ? 2 : 3;
}

export const TypeMenu = {
  props: { types: Array, words: Object },
  emits: ["give", "closed"],
  data: () => ({ sought: "", at: 0, n: 0 }),
  template: `
    <dialog ref="dialog" class="gallery-menu" :aria-label="say('give_type')" @close="$emit('closed')" @click.self="close" @keydown="key">
      <label>{{ say('give_to', { n }) }}
        <input ref="input" v-model="sought" type="text" role="combobox" aria-expanded="true" aria-controls="gallery-types"
          :aria-activedescendant="found.length ? 'gallery-type-' + found[at].code : null" :placeholder="say('search_type')" autocomplete="off" spellcheck="false">
      </label>
      <ul id="gallery-types" ref="list" role="listbox" :aria-label="say('give_type')">
        <li v-for="(type, place) in found" :key="type.code" :id="'gallery-type-' + type.code" role="option"
          :aria-selected="String(place === at)" @click="give(type.code)" @pointermove="at = place">
          <i class="swatch" :style="{ background: type.colour }"></i><span>{{ type.title }}</span>
          <span class="quiet" v-if="!type.counted">{{ say('not_counted') }}</span><kbd v-if="type.key">{{ type.key }}</kbd>
        </li>
        <li v-if="!found.length" class="quiet">{{ say('no_type') }}</li>
      </ul>
    </dialog>`,
  computed: {
    say() {
      return speaker(this.words);
    },
    found() {
      const sought = this.sought.trim().toLowerCase();
      const words = sought.split(/\s+/).filter(Boolean);
      return this.types
        .map((type, code) => ({ ...type, code }))
        .filter((type) => words.every((word) => `${type.title} ${type.lineage}`.toLowerCase().includes(word)))
        .sort((a, b) => rank(a.title, sought) - rank(b.title, sought));
    },
  },
  watch: {
    sought() {
      this.at = 0;
    },
  },
  methods: {
    // `cells`: what is given stays theirs, whatever is chosen meanwhile. `place`: where the pointer asked for it; without
    // one, in the middle.
    open(cells, place) {
      this.cells = cells;
      Object.assign(this, { sought: "", at: 0, n: cells.length });
      const { dialog, input } = this.$refs;
      dialog.showModal();
      dialog.style.margin = place ? "0" : "";
      const { offsetWidth, offsetHeight } = dialog;
      dialog.style.left = place ? `${Math.min(place.x, innerWidth - offsetWidth - 8)}px` : "";
      dialog.style.top = place ? `${Math.max(8, Math.min(place.y, innerHeight - offsetHeight - 8))}px` : "";
      input.focus();
    },
    close() {
      this.$refs.dialog.close();
    },
    give(code) {
      this.close();
      this.$emit("give", code, this.cells);
    },
    key(event) {
      const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (by && this.found.length) {
        this.at = (this.at + by + this.found.length) % this.found.length;
        this.$nextTick(() => this.$refs.list.children[this.at].scrollIntoView({ block: "nearest" }));
        event.preventDefault();
      } else if (event.key === "Enter") {
        if (this.found.length) this.give(this.found[this.at].code);
        event.preventDefault();
      }
    },
  },
};
