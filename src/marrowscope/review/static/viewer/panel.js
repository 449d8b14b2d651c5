// The panel beside the slide: the chosen cell, a new cell that waits for its type, or what the colours mean.

import { certainty } from "../certainty.js";
import { Calls, UNSETTLED } from "../settle.js";
import TypeList from "./types.js";
import { length, number, speaker } from "./words.js";

const PICTURE = 25; // um
const MOST = 5; // probabilities that are shown

export default {
  components: { Calls, TypeList },
  props: { cell: Object, draft: Array, outside: Boolean, given: Object, picture: String, gallery: String, locked: String, by: String, counts: Object, looked: Object },
  emits: ["retype", "confirm", "remove", "close", "add", "cancel"],
  template: `
    <aside class="viewer-panel" :aria-label="say('panel')">
      <section v-if="draft">
        <h2>{{ say('new_cell') }}</h2>
        <p class="quiet">{{ say('new_cell_help') }}</p>
        <p v-if="outside" class="outside" role="alert">{{ say('outside_help') }}</p>
        <TypeList :types="given.types" choose :label="say('types')" @chosen="$emit('add', $event)" />
        <button type="button" class="plain" @click="$emit('cancel')">{{ say('cancel') }} <kbd>Esc</kbd></button>
      </section>
      <section v-else-if="cell" class="cell" :data-cell="cell.cell">
        <header><h2>{{ say('cell_number', { cell: cell.cell }) }}</h2>
          <button type="button" class="plain close" :aria-label="say('close')" @click="$emit('close')">×</button></header>
        <div class="look">
          <img :src="picture" width="128" height="128" :alt="say('picture', { type: title(cell.type), um: ${PICTURE} })">
          <dl>
            <dt>{{ say('type') }}</dt><dd class="now"><i :style="{ background: colour(cell.type) }"></i>{{ title(cell.type) }}</dd>
            <dt>{{ say('by_pack') }}</dt>
            <dd>{{ cell.model_type ? title(cell.model_type) : say('not_found') }}<template v-if="cell.certainty !== null">, {{ percent(cell.certainty) }}</template></dd>
            <dt>{{ say('size') }}</dt><dd>{{ size }}</dd>
          </dl>
        </div>
        <p class="state" :class="{ looked: cell.looked }">{{ state }}<span v-for="flag in cell.flags" :key="flag" class="flag">{{ say('flag_' + flag) }}</span>
          <span v-if="cell.outside" class="flag">{{ say('outside') }}</span></p>
        <p v-if="cell.outside" class="quiet">{{ say('outside_told') }}</p>
        <div class="deeds">
          <button type="button" class="plain strong" :disabled="!!locked" @click="$emit('confirm')">{{ say('confirm') }} <kbd>Enter</kbd></button>
          <button type="button" class="plain" :disabled="!!locked" @click="$emit('remove')">{{ say('delete') }} <kbd>Del</kbd></button>
          <a class="plain" :href="gallery">{{ say('in_gallery') }}</a>
        </div>
        <Calls :told="cell" :type="known" :say="say" :actor="given.actor" :other="other" :locked="!!locked"
          @give="$emit('retype', $event)" @remove="$emit('remove')" @agree="$emit('confirm')" />
        <template v-if="likely.length">
          <h3>{{ say('probabilities') }}</h3>
          <ul class="chances"><li v-for="[name, chance] in likely" :key="name">
            <span class="name">{{ title(name) }}</span><span class="bar"><i :style="{ width: 100 * chance + '%', background: colour(name) }"></i></span>
            <span class="value">{{ percent(chance) }}</span></li></ul>
        </template>
        <h3>{{ locked ? say('types') : say('give_type') }}</h3>
        <TypeList :types="given.types" :current="cell.type" :choose="!locked" :label="say('types')" @chosen="$emit('retype', $event)" />
      </section>
      <section v-else>
        <h2>{{ say('cells_here') }}</h2>
        <p class="quiet">{{ say('choose_help') }}</p>
        <p v-if="looked" class="quiet">{{ say('looked_at', { n: looked.looked, all: looked.cells }) }}</p>
        <template v-if="by === 'certainty'">
          <div class="ramp" aria-hidden="true"></div>
          <p class="ends"><span>{{ say('unsure') }}</span><span>{{ say('sure') }}</span></p>
          <p class="type"><i style="background: #5a5a5a"></i>{{ say('looked') }}</p>
        </template>
        <TypeList v-else :types="present" :counts="counts" :label="say('types')" />
      </section>
    </aside>`,
  computed: {
    say() {
      return speaker(this.given.words);
    },
    other() {
      return this.given.proposes ? this.given.observers[2 - this.given.proposes] : "";
    },
    present() {
      return this.given.types.filter((type) => this.counts?.[type.name]);
    },
    likely() {
      const chances = Object.entries(this.cell.probabilities).sort((one, other) => other[1] - one[1]);
      return chances.slice(0, MOST).filter(([, chance], place) => place === 0 || chance >= 0.005);
    },
    size() {
      const [x0, y0, x1, y1] = this.cell.box;
      const [across, down] = this.cell.spacing;
      return `${number((x1 - x0) * across, 1)} × ${length((y1 - y0) * down, 1)}`;
    },
    state() {
      const { last, added, looked } = this.cell;
      if (looked && last) return this.say(added ? "added_by" : "looked_by", { actor: last.actor });
      return this.say(looked ? "looked" : "not_looked");
    },
  },
  methods: {
    known(name) {
      return this.given.types.find((type) => type.name === name) ?? { title: this.say("differs"), colour: UNSETTLED };
    },
    title(name) {
      return this.known(name).title;
    },
    colour(name) {
      return this.known(name).colour;
    },
    percent: (share) => `${certainty(share)}\u00a0%`,
  },
};
