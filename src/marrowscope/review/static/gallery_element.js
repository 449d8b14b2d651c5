// The page of a case: the differential, the gallery of its cells, and the cell under the cursor.

import { cellOf } from "marrowscope-review/gallery/cells.js";
import { Detail } from "marrowscope-review/gallery/detail.js";
import { Gallery, LARGEST, SMALLEST } from "marrowscope-review/gallery/gallery.js";
import { Help } from "marrowscope-review/gallery/help.js";
import { onKey } from "marrowscope-review/gallery/keyboard.js";
import { QUEUES } from "marrowscope-review/gallery/layout.js";
import { Panel } from "marrowscope-review/gallery/panel.js";
import { Pointer } from "marrowscope-review/gallery/pointer.js";
import { Step } from "marrowscope-review/gallery/step.js";
import { TypeMenu } from "marrowscope-review/gallery/type_menu.js";
import { number, speaker } from "marrowscope-review/gallery/words.js";
import { sentence } from "marrowscope-review/viewer/words.js";

const BARS = [1, 2, 5, 10, 20, 50];

export default {
  components: { Detail, Help, Panel, Step, TypeMenu },
  props: { given: Object },
  template: `
    <div class="gallery" :data-state="state">
      <Panel :now="ui.now" :types="given.types" :words="given.words" :counts="ui.counts" :per-type="ui.perType" :drop="ui.drop ?? -1"
        @jump="act('jump', $event)" @queue="act('look', { queue: $event })" />
      <section class="gallery-main" :aria-label="say('cells_of_case')">
        <div class="tools">
          <label>{{ say('queue') }} <select :aria-label="say('queue')" :value="ui.view.queue" @change="act('look', { queue: $event.target.value })">
            <option v-for="queue in queues" :key="queue" :value="queue">{{ say('queue_' + queue) }} ({{ whole(ui.counts[queue]) }})</option>
          </select></label>
          <label v-if="given.slides.length > 1">{{ say('slide') }} <select :aria-label="say('slide')" :value="ui.view.slide ?? ''" @change="act('look', { slide: $event.target.value === '' ? null : Number($event.target.value) })">
            <option value="">{{ say('all_slides') }}</option>
            <option v-for="slide in given.slides" :key="slide.slide" :value="slide.slide">{{ slide.label }}</option>
          </select></label>
          <label>{{ say('sort') }} <select :aria-label="say('sort')" :value="ui.view.sort" @change="act('look', { sort: $event.target.value })">
            <option v-for="sort in ['certainty', 'place']" :key="sort" :value="sort">{{ say('sort_' + sort) }}</option>
          </select></label>
          <span class="space"></span>
          <label class="size">{{ say('size') }} <input type="range" :min="smallest" :max="largest" :value="ui.size" @input="gallery?.zoom(Number($event.target.value))"></label>
          <button type="button" class="plain" @click="$refs.help.open()" :aria-label="say('help_title')">?</button>
        </div>
        <div class="tools second">
          <span class="chosen">{{ ui.chosen ? say('chosen', { n: ui.chosen }) : say('none_chosen') }}</span>
          <button type="button" class="plain" :disabled="!may" @click="openTypes()">{{ say('give_type') }} <kbd>/</kbd></button>
          <button type="button" class="plain" :disabled="!may" @click="act('confirm')">{{ say('confirm') }} <kbd>Enter</kbd></button>
          <button type="button" class="plain" :disabled="!may" @click="act('remove')">{{ say('delete') }} <kbd>Del</kbd></button>
          <span class="space"></span>
          <button type="button" class="plain" :disabled="!!ui.locked || !ui.now?.may_undo" @click="act('undo')">{{ say('undo') }}</button>
          <button type="button" class="plain" :disabled="!!ui.locked || !ui.now?.may_redo" @click="act('redo')">{{ say('redo') }}</button>
        </div>
        <Step :now="ui.now" :given="given" :counts="ui.counts" @queue="act('look', { queue: $event, slide: null })" />
        <p v-if="ui.locked && !(ui.now && waits)" class="banner">{{ ui.locked }}</p>
        <p v-if="ui.offline" class="banner bad" role="alert">{{ say('offline') }}</p>
        <p v-for="(why, slide) in ui.gone" :key="slide" class="banner bad gone" role="alert">{{ sentence(why) }} {{ say('gone') }}</p>
        <p v-if="ui.warning" class="banner bad" role="alert">{{ ui.warning }}
          <button type="button" class="plain" @click="ui.warning = ''; focus()">{{ say('dismiss') }}</button></p>
        <div class="stage">
          <div class="scroller" ref="scroller" tabindex="0" role="listbox" aria-multiselectable="true" :aria-label="say('cells_of_case')"
            :aria-activedescendant="ui.described ? 'gallery-cell-' + turn : null" @scroll="gallery?.draw()" @focus="focusing(true)" @blur="focusing(false)">
            <canvas ref="canvas" aria-hidden="true"></canvas>
            <div ref="ground" class="ground" aria-hidden="true"></div>
            <div :id="'gallery-cell-' + turn" :key="turn" role="option" :aria-selected="String(ui.atChosen)" class="unseen">{{ ui.described }}</div>
          </div>
          <p v-if="state === 'loading'" class="empty">{{ say('loading') }}</p>
          <p v-if="state === 'failed'" class="empty bad" role="alert">{{ failure }}</p>
          <p v-if="state === 'open' && !ui.shown" class="empty">{{ say(ui.counts.all || ui.counts.deleted ? 'empty' : 'no_cells') }}</p>
          <div v-if="scale" class="scale" :aria-label="say('scale', { um: scale.um })"><i :style="{ width: scale.px + 'px' }"></i>{{ scale.um }} µm</div>
        </div>
        <p class="status" role="status">{{ ui.note }}</p>
      </section>
      <Detail :given="given" :locked="!!ui.locked" :alone="ui.atChosen && ui.chosen === 1" :cell="ui.cursor" :edition="ui.now?.n ?? 0" :versions="versions" @go="go"
        @give="(name, cell) => act('retype', given.types.findIndex((type) => type.name === name), [numberOf(cell)])"
        @remove="act('remove', [numberOf($event)])" @agree="act('confirm', [numberOf($event)])" />
      <TypeMenu ref="types" :types="given.types" :words="given.words" @give="(code, cells) => act('retype', code, cells)" @closed="focus" />
      <Help ref="help" :types="given.types" :words="given.words" />
      <div ref="ghost" class="ghost" hidden></div>
    </div>`,
  data() {
    return {
      ui: {
        view: { queue: "all", slide: null, sort: "certainty" },
        counts: Object.fromEntries(QUEUES.map((queue) => [queue, 0])),
        perType: [],
        shown: 0,
        size: 72,
        chosen: 0,
        atChosen: false,
        cursor: null,
        described: "",
        now: null,
        locked: this.given.locked,
        offline: false,
        gone: {}, // by slide, why its pictures cannot be had
        warning: "",
        note: "",
        drop: null,
        complete: false,
      },
      state: "loading",
      failure: "",
      turn: 0,
      versions: [],
      spacing: null, // um that the picture of a cell is wide
      smallest: SMALLEST,
      largest: LARGEST,
    };
  },
  computed: {
    say() {
      return speaker(this.given.words);
    },
    queues() {
      const ofTwo = ["differing", "proposed"];
      const here = (queue) => !ofTwo.includes(queue) || this.given.reading === "adjudicated";
      return QUEUES.filter((queue) => here(queue) && (queue !== "anomalous" || this.given.scored));
    },
    // The step says more than why one cannot change anything.
    waits() {
      return this.ui.now.step === "wait" && this.given.reading === `blind:${this.given.actor}`;
    },
    may() {
      return !this.ui.locked && this.ui.chosen > 0;
    },
    scale() {
      if (!this.spacing) return null;
      const perUm = this.ui.size / this.spacing;
      const um = BARS.findLast((length) => length * perUm <= 90) ?? BARS[0];
      return { um, px: um * perUm };
    },
  },
  watch: {
    // Another element is named each time, so that screen readers read the new cell.
    "ui.described"() {
      this.turn = 1 - this.turn;
    },
    "ui.cursor"(cell) {
      clearTimeout(this.addressing);
      this.addressing = setTimeout(() => this.address(cell), 400);
    },
    "ui.view": { handler: "remember", deep: true },
    "ui.size": "remember",
    "ui.gone": "aboutSlides",
    "ui.offline"(offline) {
      if (!offline) this.ui.note = this.say("online");
    },
  },
  async mounted() {
    const { canvas, scroller, ground, ghost } = this.$refs;
    this.recall();
    this.gallery = new Gallery(this.given, this.ui, this.say, { canvas, scroller, ground });
    try {
      await this.gallery.load();
    } catch (error) {
      this.state = "failed";
      this.failure = error.status === 0 ? this.say("why_offline") : error.message;
      return;
    }
    this.aboutSlides();
    this.state = "open";
    this.pointer = new Pointer(this.gallery, { scroller, ghost, onMenu: (place) => this.openTypes(place) });
    this.observer = new ResizeObserver(() => this.gallery.resize());
    this.observer.observe(scroller);
    this.themes = new MutationObserver(() => (this.gallery.canvas.readColours(), this.gallery.draw()));
    this.themes.observe(document.body, { attributes: true, attributeFilter: ["class"] });
    this.onKey = (event) =>
      onKey(event, this.gallery, {
        openTypes: () => this.openTypes(),
        openHelp: () => this.$refs.help.open(),
        dragging: () => this.pointer.press?.kind,
        cancelDrag: () => this.pointer.cancel(),
      });
    document.addEventListener("keydown", this.onKey);
    this.onLeave = (event) => this.gallery.edits.busy && event.preventDefault();
    window.addEventListener("beforeunload", this.onLeave);
    this.focus();
  },
  unmounted() {
    document.removeEventListener("keydown", this.onKey);
    window.removeEventListener("beforeunload", this.onLeave);
    this.observer?.disconnect();
    this.themes?.disconnect();
    this.gallery?.stop();
  },
  methods: {
    whole: (value) => number(value),
    sentence,
    numberOf: ({ slide, cell }) => cellOf(slide, cell),
    aboutSlides() {
      if (!this.gallery.slides) return;
      const about = this.gallery.slides.find(Boolean);
      this.spacing = about ? about.sprite * about.sprite_spacing : null;
      this.versions = this.gallery.slides.map((slide, number) => (this.ui.gone[number] ? "" : (slide?.version ?? "")));
    },
    act(name, ...values) {
      if (this.state !== "open") return;
      this.gallery[name](...values);
      this.focus();
    },
    go({ slide, row }) {
      this.act("goTo", cellOf(slide, row));
    },
    focus() {
      this.$refs.scroller?.focus({ preventScroll: true });
    },
    focusing(focused) {
      this.gallery.focused = focused;
      this.gallery.draw();
    },
    openTypes(place) {
      const { cells } = this.gallery.selection;
      if (this.ui.locked) return;
      if (cells.length) this.$refs.types.open(cells, place);
      else this.ui.note = this.say("choose_first");
    },
    // Queue, order and size stay while one goes to the slide and back.
    remember() {
      sessionStorage.setItem(`marrowscope-cells-${this.given.case}`, JSON.stringify({ view: this.ui.view, size: this.ui.size }));
    },
    recall() {
      const found = JSON.parse(sessionStorage.getItem(`marrowscope-cells-${this.given.case}`) ?? "null");
      const fits = found && this.queues.includes(found.view.queue) && found.view.slide < this.given.slides.length;
      if (fits) Object.assign(this.ui, found);
      const asked = new URLSearchParams(location.search).get("queue"); // list, report and observers lead to one
      if (!this.queues.includes(asked)) return;
      Object.assign(this.ui.view, { queue: asked, slide: null });
      const to = new URL(location.href); // another queue that is chosen then stays when the page is loaded again
      to.searchParams.delete("queue");
      history.replaceState(history.state, "", to);
    },
    // The address leads back to the cell.
    address(cell) {
      if (!cell) return;
      const to = new URL(location.href);
      to.searchParams.set("slide", cell.slide);
      to.searchParams.set("cell", cell.row);
      history.replaceState(history.state, "", to);
    },
  },
};
