// The gallery of a case: what is shown, what is chosen, and what a person does to the cells. The component around it
// (gallery_element.js) shows `ui`, which this writes; pointer and keyboard call the actions.

import { columns, get } from "../api.js";
import { showStatus } from "../case_status.js";
import { UNSETTLED } from "../settle.js";
import { Canvas } from "./canvas.js";
import { Cells, cellOf, rowOf, slideOf } from "./cells.js";
import { describe } from "./describing.js";
import { Edits } from "./edits.js";
import { Layout, proposalsFor } from "./layout.js";
import { Selection } from "./selection.js";
import { Pictures } from "./sheets.js";
import { SlideWatch } from "../slide_watch.js";

export const SMALLEST = 32;
export const LARGEST = 256;

export class Gallery {
  // `given`: what the page knows; `ui`: what is shown around the canvas; `say(key, values)`: words.
  constructor(given, ui, say, { canvas, scroller, ground }) {
    Object.assign(this, { given, ui, say, scroller, ground });
    this.base = `/cases/${given.case}`;
    this.selection = new Selection();
    this.band = this.drop = this.layout = this.told = null;
    this.focused = false;
    this.watches = {};
    this.canvas = new Canvas(canvas, scroller, () => this.layout && this);
    this.types = [...given.types, { name: null, title: say("differs"), colour: UNSETTLED, counted: false, key: null }];
    this.proposals = proposalsFor(given.proposes);
    this.bits = given.bits;
  }

  // Fetch all cells; then the pictures come as they are drawn.
  async load() {
    const reading = encodeURIComponent(this.given.reading);
    const numbers = this.given.slides.map(({ slide }) => slide);
    const abouts = Promise.all(
      numbers.map((slide) => get(`${this.base}/slides/${slide}`).catch((error) => (this.lost(slide, error), null))),
    );
    const [blocks, slides, now] = await Promise.all([
      Promise.all(numbers.map((slide) => columns(`${this.base}/slides/${slide}/cells?reading=${reading}`))),
      abouts,
      get(`${this.base}/differential?reading=${reading}`),
    ]);
    this.cells = new Cells(blocks);
    this.slides = slides;
    this.pictures = new Pictures({
      base: this.base,
      reading: this.given.reading,
      cells: this.cells,
      slides,
      onPicture: () => this.draw(),
      onError: ({ status, message }) => status && this.note(message), // without an answer the page says it is offline
      onGone: (slide, error) => this.lost(slide, error),
    });
    this.edits = new Edits({
      base: this.base,
      reading: this.given.reading,
      actor: this.given.actor,
      proposes: this.given.proposes,
      cells: this.cells,
      n: Math.min(...blocks.map((block) => block.n)),
      on: {
        changed: () => this.arrange(),
        now: (answer) => this.take(answer),
        refused: (error, lost) => this.refused(error, lost),
        others: (change) => this.others(change),
        offline: (offline) => (this.ui.offline = offline),
      },
    });
    this.take(now);
    this.canvas.resize();
    this.arrange();
    const { cell } = this.given;
    if (cell?.slide >= 0 && cell.row >= 0 && this.cells.has(cellOf(cell.slide, cell.row))) this.goTo(cellOf(cell.slide, cell.row));
    else if (this.layout.ids.length) this.point(this.layout.ids[0]);
    this.edits.poll();
  }

  // The pictures of a slide cannot be had: that is said, and it is asked now and then whether they can.
  lost(slide, error) {
    this.watches[slide] ??= new SlideWatch(`${this.base}/slides/${slide}`, {
      gone: (message) => (this.ui.gone = { ...this.ui.gone, [slide]: message }),
      damaged: (message) => this.warn(message),
      back: (about) => {
        this.slides[slide] = about;
        this.pictures.release(slide);
        this.ui.gone = Object.fromEntries(Object.entries(this.ui.gone).filter(([other]) => Number(other) !== slide));
        this.draw();
      },
    });
    this.watches[slide].lost(error);
  }

  stop() {
    this.edits?.stop();
    for (const watch of Object.values(this.watches)) watch.stop();
  }

  take(answer) {
    this.ui.now = answer;
    const signed = this.say("locked_signed");
    if (answer.status === "signed") this.ui.locked ||= signed;
    else if (this.ui.locked === signed) this.ui.locked = ""; // somebody amends it
    this.percent = {};
    for (const row of answer.differential.rows) this.percent[row.type] = row.percent_rounded;
    showStatus(answer.status);
    if (this.layout) this.draw(); // headers show percentages
  }

  // Put the cells in their groups anew. What is under the cursor, else at the top, stays where it is on the screen.
  arrange(anchor = this.selection.cursor) {
    const before = this.layout && anchor !== null ? this.layout.indexOf(anchor) : -1;
    const stood = before < 0 ? null : this.layout.corner(before).y - this.scroller.scrollTop;
    this.layout = new Layout(this.cells, this.ui.view, this.bits, this.proposals);
    this.selection.prune(this.layout);
    Object.assign(this.ui, { counts: this.layout.counts, perType: this.layout.perType, shown: this.layout.ids.length });
    this.measure();
    const after = stood === null ? -1 : this.layout.indexOf(anchor);
    if (after >= 0 && stood > -this.ui.size && stood < this.canvas.height) {
      this.scroller.scrollTop = this.layout.corner(after).y - stood;
    }
    this.tell();
  }

  measure() {
    this.layout.measure(this.canvas.width, this.ui.size);
    this.ground.style.height = `${this.layout.height}px`;
    this.draw();
  }

  draw() {
    this.canvas.ask((drawn) => this.afterDraw(drawn));
  }

  afterDraw({ cells, pictures }) {
    const top = this.scroller.scrollTop;
    const middle = top + this.canvas.height / 2;
    const margin = this.canvas.height / 2;
    const wanted = [];
    for (const [index, group] of this.layout.within(0, top - margin, this.canvas.width, top + this.canvas.height + margin)) {
      wanted.push([Math.abs(this.layout.corner(index, group).y - middle), this.layout.ids[index]]);
    }
    wanted.sort((a, b) => a[0] - b[0]);
    this.pictures.want(wanted.map(([, cell]) => cell));
    if (pictures && !this.first) this.first = performance.mark("gallery:first");
    if (cells.length && pictures === cells.length) performance.mark("gallery:complete");
    this.ui.complete = cells.length > 0 && pictures === cells.length;
  }

  resize() {
    this.canvas.resize();
    if (this.layout) this.measure();
  }

  // Another queue, slide or order.
  look(view) {
    Object.assign(this.ui.view, view);
    this.arrange(null);
    this.scroller.scrollTop = 0;
    const { cursor } = this.selection;
    if (cursor !== null) this.reveal(cursor);
    else if (this.layout.ids.length) this.point(this.layout.ids[0]);
    else this.tell();
  }

  zoom(size, at = this.canvas.height / 2) {
    const wanted = Math.max(SMALLEST, Math.min(LARGEST, Math.round(size)));
    if (wanted === this.ui.size) return;
    const [kept] = this.layout.within(0, this.scroller.scrollTop + at - this.ui.size, this.canvas.width, this.scroller.scrollTop + at);
    const stood = kept && this.layout.corner(kept[0]).y - this.scroller.scrollTop;
    this.ui.size = wanted;
    this.measure();
    if (kept) this.scroller.scrollTop = this.layout.corner(kept[0]).y - stood;
  }

  // Choose one cell and put the cursor on it.
  point(cell) {
    this.selection.only(cell);
    this.reveal(cell);
    this.tell();
  }

  // Go to any cell of the case, if need be in the queue of all.
  goTo(cell) {
    if (this.layout.indexOf(cell) < 0) this.look({ queue: "all", slide: null });
    if (this.layout.indexOf(cell) < 0) this.look({ queue: "deleted", slide: null });
    if (this.layout.indexOf(cell) >= 0) this.point(cell);
  }

  jump(type) {
    const group = this.layout.groups.find((other) => other.type === type);
    if (!group) return this.note(this.say("none_here", { type: this.types[type].title }));
    this.scroller.scrollTop = group.top;
    this.selection.only(this.layout.ids[group.from]);
    this.tell();
  }

  move(index, extend) {
    const cell = this.layout.ids[Math.max(0, Math.min(this.layout.ids.length - 1, index))];
    if (cell === undefined) return;
    if (extend) this.selection.rangeTo(this.layout, cell);
    else this.selection.only(cell);
    this.reveal(cell);
    this.tell();
  }

  reveal(cell) {
    const index = this.layout.indexOf(cell);
    if (index < 0) return;
    const { y } = this.layout.corner(index);
    const top = this.scroller.scrollTop;
    if (y - 34 < top) this.scroller.scrollTop = y - 34;
    else if (y + this.ui.size + 8 > top + this.canvas.height) this.scroller.scrollTop = y + this.ui.size + 8 - this.canvas.height;
  }

  // Say what is chosen and what is under the cursor, to the page and to screen readers.
  tell() {
    const { cursor, chosen } = this.selection;
    this.ui.chosen = chosen.size;
    this.ui.atChosen = chosen.has(cursor);
    if (cursor !== this.told) this.ui.cursor = cursor === null ? null : { slide: slideOf(cursor), row: rowOf(cursor) };
    this.told = cursor;
    this.ui.described = cursor === null ? "" : describe(this, cursor);
    this.draw();
  }

  // What a group's header says besides the type.
  title({ type, from, to }) {
    const all = this.layout.perType[type] ?? 0;
    const part = this.ui.view.queue === "all" ? this.say("cells", { n: to - from }) : this.say("cells_of", { n: to - from, all });
    const percent = this.percent[this.types[type].name];
    if (this.ui.view.slide !== null || this.ui.view.queue === "deleted") return part;
    if (this.cells.outside(type)) return `${part} · ${this.say("of_them_outside", { n: this.cells.outside(type) })}`;
    const counted = this.types[type].counted;
    return `${part} · ${counted ? (percent == null ? this.say("not_assessable") : this.say("percent", { percent: percent.toFixed(1) })) : this.say("not_counted")}`;
  }

  retype(type, cells = this.selection.cells) {
    if (!this.types[type].name) return; // the ones that have no type yet
    return this.edit({ kind: "retype", to: this.types[type].name, type }, cells);
  }

  confirm(cells = this.selection.cells) {
    const unsettled = cells.filter((cell) => this.cells.unsettled(cell));
    const proposed = (cell) => this.cells.get(cell, "state") & this.proposals;
    if (this.allowed() && !unsettled.every(proposed)) {
      const own = unsettled.some((cell) => !proposed(cell) && this.cells.get(cell, "state") & 24);
      return this.warn(this.say(own ? "own_waits" : "give_one"));
    }
    return this.edit({ kind: "confirm" }, cells);
  }

  remove(cells = this.selection.cells) {
    return this.edit({ kind: "delete" }, cells);
  }

  async edit(edit, cells) {
    if (!this.allowed()) return;
    if (!cells.length) return this.note(this.say("choose_first"));
    if (cells.some((cell) => this.pictures.cannot(cell))) return this.warn(this.say("not_seen"));
    if (cells.some((cell) => this.cells.get(cell, "state") & 1)) return this.warn(this.say("is_deleted"));
    const asked = performance.now();
    const next = this.after(cells);
    const kept = this.edits.make(edit, cells);
    this.selection.only(next.cell ?? cells[0]);
    this.arrange(next.cell);
    this.goOn(next);
    this.canvas.ask(() => performance.measure("gallery:shown", { start: asked }));
    this.note(this.say("keeping"));
    const done = await kept;
    if (!done) return;
    performance.measure("gallery:kept", { start: asked });
    const what = { n: cells.length, type: edit.to ? this.types[edit.type].title : "" };
    const waits = done.touched.filter((cell) => this.cells.unsettled(cell)).length;
    this.note(waits ? this.say("done_proposed", { n: waits }) : this.say(`done_${edit.kind}`, what));
  }

  // The cell that a queue goes on with after these, and where it stood.
  after(cells) {
    const given = new Set(cells);
    const last = Math.max(...cells.map((cell) => this.layout.indexOf(cell)));
    let index = last + 1;
    while (index < this.layout.ids.length && given.has(this.layout.ids[index])) index++;
    return { cell: this.layout.ids[index] ?? null };
  }

  goOn({ cell }) {
    if (cell !== null && this.layout.indexOf(cell) >= 0) return this.point(cell);
    const { cursor } = this.selection;
    if (cursor !== null && this.layout.indexOf(cursor) >= 0) return this.point(cursor);
    if (this.layout.ids.length) return this.point(this.layout.ids[0]);
    this.tell();
    this.note(this.say("queue_done"));
  }

  undo() {
    return this.again("undo", this.ui.now?.may_undo);
  }

  redo() {
    return this.again("redo", this.ui.now?.may_redo);
  }

  async again(kind, may) {
    if (!this.allowed()) return;
    if (kind === "redo" && Object.keys(this.ui.gone).length) return this.warn(this.say("not_seen"));
    if (!may && !this.edits.busy) return this.note(this.say(`no_${kind}`));
    const done = await this.edits.make({ kind });
    if (!done) return;
    this.note(this.say(`done_${kind}`, { n: done.touched.length }));
    const shown = done.touched.filter((cell) => this.layout.indexOf(cell) >= 0);
    if (!shown.length) return;
    this.point(shown[0]);
    if (shown.length > 1) this.selection.all(shown);
    this.tell();
  }

  allowed() {
    if (this.ui.locked) this.warn(this.ui.locked);
    return !this.ui.locked;
  }

  // An edit did not come about: it has been taken back on the page already.
  refused(error, lost) {
    const n = lost.reduce((sum, { cells }) => sum + cells.size, 0);
    const why =
      error.status === 0 ? this.say("why_offline") : error.status === 401 ? this.say("why_logged_out") : error.message || this.say("why_unknown");
    if (!lost.length) return this.warn(why);
    this.warn(n ? this.say("taken_back", { n, why }) : this.say("not_done", { why }));
    const [first] = lost[0].cells;
    if (first !== undefined && this.layout.indexOf(first) >= 0) this.point(first);
  }

  others({ actor: who, kind, cells }) {
    const actor = who === this.given.actor ? this.say("other_window") : who;
    const n = cells.reduce((sum, { rows }) => sum + rows.length, 0);
    if (n) this.note(this.say(`other_${kind}`, { actor, n, type: this.types[cells[0].types[0]].title }));
  }

  note(words) {
    this.ui.note = words;
  }

  warn(words) {
    this.ui.warning = words;
  }
}
