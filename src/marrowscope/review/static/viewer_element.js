// The page of a slide: deep zoom, the cells over it, and the one that is chosen.

import { get, url } from "marrowscope-review/api.js";
import { showStatus } from "marrowscope-review/case_status.js";
import { certainty as shown } from "marrowscope-review/certainty.js";
import { SlideWatch } from "marrowscope-review/slide_watch.js";
import { ChosenBox, DrawnBox } from "marrowscope-review/viewer/box.js";
import { edits } from "marrowscope-review/viewer/edits.js";
import Help from "marrowscope-review/viewer/help.js";
import { onKey } from "marrowscope-review/viewer/keyboard.js";
import { SlideMap } from "marrowscope-review/viewer/map.js";
import Minimap from "marrowscope-review/viewer/minimap.js";
import Panel from "marrowscope-review/viewer/panel.js";
import { Review } from "marrowscope-review/viewer/review.js";
import ScaleBar from "marrowscope-review/viewer/scale.js";
import { styles } from "marrowscope-review/viewer/styles.js";
import { number, sentence, speaker } from "marrowscope-review/viewer/words.js";

const PRESETS = [5, 10, 20, 40, 100];
const CLOSE = 40; // the magnification at which a cell of the address is shown
const REACH = 12; // um around a click in which a cell is sought
const FINGER = 10; // px, when that is more

export default {
  components: { Help, Minimap, Panel, ScaleBar },
  props: { given: Object },
  template: `
    <div class="viewer" :data-state="state">
      <p v-if="state === 'missing'" class="missing" role="alert">{{ failure }}<br>
        <a class="plain" :href="gallery">{{ say('to_gallery') }}</a></p>
      <template v-else>
        <section class="viewer-main" :aria-label="say('slide', { label: given.label })">
          <div class="tools" role="toolbar" :aria-label="say('tools')">
            <button type="button" class="plain" :class="{ strong: adding }" :aria-pressed="adding" :disabled="!!locked" @click="add">{{ say('add') }}</button>
            <button type="button" class="plain" :disabled="!!locked || !now?.may_undo" @click="undo">{{ say('undo') }}</button>
            <button type="button" class="plain" :disabled="!!locked || !now?.may_redo" @click="redo">{{ say('redo') }}</button>
            <span class="part"></span>
            <label><input type="checkbox" :checked="cells" @change="toggleCells"> {{ say('cells') }}</label>
            <label><input type="checkbox" :checked="regions" @change="toggleRegions"> <i class="line region"></i>{{ say('regions') }}</label>
            <label v-if="about?.fields"><input type="checkbox" :checked="fields" @change="toggleFields"> <i class="line field"></i>{{ say('fields') }}</label>
            <select :value="by" :aria-label="say('colour')" @change="colour($event.target.value); $refs.map.focus()">
              <option v-for="one in ['type', 'certainty']" :key="one" :value="one">{{ say('by_' + one) }}</option></select>
            <span class="space"></span>
            <span class="magnify"><button v-for="one in presets" :key="one" type="button" class="plain small" :aria-label="say('magnify', { n: one })" @click="slide.magnify(one)">{{ one }}×</button></span>
            <button type="button" class="plain small" @click="slide.whole()">{{ say('whole') }}</button>
            <button type="button" class="plain small" :aria-label="say('help_title')" @click="help">?</button>
          </div>
          <p v-if="locked" class="banner">{{ locked }}</p>
          <p v-if="offline" class="banner bad" role="alert">{{ say('offline') }}</p>
          <p v-if="gone" class="banner bad gone" role="alert">{{ gone }} {{ say('gone') }}</p>
          <p v-if="trouble" class="banner bad" role="alert">{{ trouble }} <button type="button" class="plain small" @click="trouble = ''">{{ say('close') }}</button></p>
          <div class="stage">
            <div ref="map" class="viewer-map" tabindex="0" role="application" :aria-label="say('map')"></div>
            <p v-if="state === 'loading'" class="loading">{{ say('loading') }}</p>
            <template v-else>
              <div class="zoom" role="group" :aria-label="say('zoom')">
                <button type="button" class="plain" :aria-label="say('zoom_in')" @click="slide.zoom(1)">+</button>
                <output :title="say('magnification')" :aria-label="say('magnification')">{{ shownMagnification }}</output>
                <button type="button" class="plain" :aria-label="say('zoom_out')" @click="slide.zoom(-1)">−</button>
              </div>
              <Minimap :about="about" :base="base" :seen="seen" :label="say('minimap')" @go="(x, y) => slide.go(x, y)" />
              <ScaleBar :per-pixel="step * about.spacing[0]" :label="say('scale')" />
              <i v-if="adding" class="middle" aria-hidden="true"></i>
            </template>
          </div>
          <div class="foot"><p class="status" role="status">{{ note }}</p><p class="unseen" role="status">{{ described }}</p><span class="place" :aria-label="say('place')">{{ place }}</span></div>
        </section>
        <Panel :given="given" :cell="cell" :draft="draft" :outside="outside" :picture="picture" :gallery="gallery" :locked="locked" :by="by" :counts="counts" :looked="now?.looked"
          @retype="retype" @confirm="confirm" @remove="remove" @close="choose(null)" @add="addAs" @cancel="leave" />
        <Help ref="help" :given="given" />
      </template>
    </div>`,
  data() {
    return {
      state: "loading", failure: "", about: null, now: null, n: 0, offline: false, gone: "", trouble: "", note: "",
      by: "type", cells: true, regions: true, fields: true, adding: false, draft: null, outside: false, cell: null,
      seen: [0, 0, 1, 1], step: 1, magnification: 1, pointer: null, locked: this.given.locked,
    };
  },
  computed: {
    say() {
      return speaker(this.given.words);
    },
    base() {
      return url(this.path);
    },
    path() {
      return `/cases/${this.given.case}/slides/${this.given.slide}`;
    },
    reading() {
      return `reading=${encodeURIComponent(this.given.reading)}`;
    },
    presets() {
      return PRESETS.filter((one) => this.about && one <= this.slide.largest);
    },
    shownMagnification() {
      return `${number(this.magnification, this.magnification < 9.5 ? 1 : 0)}×`;
    },
    place() {
      if (!this.pointer) return "";
      const { x, y } = this.pointer;
      const [across, down] = this.about.spacing;
      return this.say("at", { x: Math.floor(x), y: Math.floor(y), across: Math.round(x * across), down: Math.round(y * down) });
    },
    picture() {
      return this.cell && `${this.base}/cells/${this.cell.cell}/picture.jpg?um=25&pixels=256&${this.reading}&n=${this.cell.last?.n ?? 0}`;
    },
    gallery() {
      const asked = this.given.asked ? `&${this.reading}` : "";
      return `/cases/${this.given.case}?slide=${this.given.slide}${this.cell ? `&cell=${this.cell.cell}` : ""}${asked}`;
    },
    // The chosen cell for those who hear the page.
    described() {
      if (!this.cell) return "";
      const { cell, type, certainty, looked, outside } = this.cell;
      const sure = certainty === null ? "" : this.say("certain_of", { percent: shown(certainty) });
      const words = [this.say("cell_number", { cell }), this.titleOf(type), sure, this.say(looked ? "looked" : "not_looked"), outside && this.say("outside")];
      return words.filter(Boolean).join(", ");
    },
    counts() {
      const { rows, others } = this.now?.differential ?? { rows: [], others: [] };
      return Object.fromEntries([...rows, ...others].map(({ type, count }) => [type, count ?? 0]));
    },
  },
  async mounted() {
    try {
      this.review = new Review(`/cases/${this.given.case}`, this.given.reading, {
        changed: (...told) => this.changed(...told),
        now: (answer) => this.tell(answer),
        offline: (offline) => (this.offline = offline),
        failed: (error) => (this.trouble = this.why(error)),
      });
      const [about] = await Promise.all([get(this.path), this.review.start(), styles("nicegui-leaflet/leaflet/leaflet.css")]);
      this.about = about;
    } catch (error) {
      this.review.stop();
      this.state = "missing";
      this.failure = sentence(this.why(error));
      this.watch = new SlideWatch(this.path, { gone: () => {}, damaged: () => {}, back: () => location.reload() });
      if (error.kind === "gone") this.watch.lost(error);
      return;
    }
    this.watch = new SlideWatch(this.path, {
      gone: (message) => message && ((this.gone = sentence(message)), this.slide.hold()),
      damaged: (message) => (this.trouble = sentence(message)),
      back: () => ((this.gone = ""), this.slide.release()),
    });
    const view = { reading: this.given.reading, by: this.by, n: this.n };
    this.slide = new SlideMap(this.$refs.map, this.about, this.base, view, {
      moved: () => this.look(),
      pointed: (x, y) => (this.pointer = { x, y }),
      clicked: (x, y) => !this.adding && this.chooseAt(x, y),
      failed: (address) => this.watch.check(address),
    });
    this.chosen = new ChosenBox(this.slide.map, (box) => this.move(box));
    this.drawn = new DrawnBox(this.slide.map, { usual: this.about.usual_box, size: this.about, onDrawn: (box) => this.drew(box) });
    this.look();
    this.state = "open";
    this.keys = (event) => onKey(event, this) && event.preventDefault();
    this.keysUp = (event) => event.key === "Alt" && this.nudged();
    document.addEventListener("keydown", this.keys);
    document.addEventListener("keyup", this.keysUp);
    if (this.given.cell !== null) await this.choose(this.given.cell, true);
  },
  unmounted() {
    document.removeEventListener("keydown", this.keys);
    document.removeEventListener("keyup", this.keysUp);
    this.review?.stop();
    this.watch?.stop();
    this.slide?.remove();
  },
  methods: {
    ...edits,

    why(error) {
      return error.status === 0 ? this.say("offline") : error.status === 401 ? this.say("logged_out") : error.message;
    },
    tell(answer) {
      this.now = answer;
      showStatus(answer.status);
      this.n = this.review.n;
      if (answer.status === "signed") this.locked ||= this.say("signed");
    },
    look() {
      this.seen = this.slide.seen;
      this.step = this.slide.step;
      this.magnification = this.slide.magnification;
    },

    // What is shown.
    colour(by) {
      this.by = typeof by === "string" ? by : this.by === "type" ? "certainty" : "type";
      this.slide.cells.refresh({ by: this.by });
    },
    toggleCells() {
      this.slide.show("cells", (this.cells = !this.cells));
    },
    toggleRegions() {
      this.slide.show("regions", (this.regions = !this.regions));
    },
    toggleFields() {
      if (this.about.fields) this.slide.show("fields", (this.fields = !this.fields));
    },
    help() {
      this.$refs.help.open();
    },

    // The chosen cell.
    async chooseAt(x, y) {
      const within = Math.max(REACH / this.about.spacing[0], FINGER * this.slide.step);
      try {
        const { cell } = await get(`${this.path}/nearest?x=${x}&y=${y}&within=${within}&${this.reading}`);
        await this.choose(cell);
      } catch (error) {
        this.trouble = this.why(error);
      }
    },
    chooseMiddle() {
      const { x, y } = this.slide.middle;
      this.chooseAt(x, y);
    },
    async choose(number, fly = false) {
      const turn = (this.turn = {});
      let found = null;
      try {
        found = number === null ? null : await get(`${this.path}/cells/${number}?${this.reading}`);
      } catch (error) {
        this.trouble = this.why(error);
      }
      if (turn !== this.turn) return; // another one was chosen meanwhile
      if (found && fly) this.slide.go((found.box[0] + found.box[2]) / 2, (found.box[1] + found.box[3]) / 2, CLOSE);
      if (found?.removed) {
        this.note = this.say("deleted_cell", { cell: found.cell });
        found = null;
      }
      this.cell = found;
      this.nudging = null;
      if (found) this.chosen.show(found.box, this.locked ? null : this.about);
      else this.chosen.hide();
      const to = new URL(location.href);
      if (found) to.searchParams.set("cell", found.cell);
      else to.searchParams.delete("cell");
      history.replaceState(history.state, "", to);
    },

    // Keys.
    enter() {
      if (this.adding && !this.draft) this.drew(this.drawn.around(this.slide.middle.x, this.slide.middle.y));
      else if (this.cell) this.confirm();
      else this.chooseMiddle();
    },
    typed(key) {
      const type = this.given.types.find((one) => one.key === key);
      if (!type) return false;
      if (this.draft) this.addAs(type.name);
      else if (this.cell) this.retype(type.name);
      else this.note = this.say("choose_help");
      return true;
    },
  },
};
