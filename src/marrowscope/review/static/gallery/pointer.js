// The mouse on the canvas: choose, draw a band around cells, drag them onto a type, ask for the list of types.

import { HEADER } from "./layout.js";

const FAR = 5; // pixels that a press moves before it is a drag
const EDGE = 36; // from here to the border a drag scrolls

export class Pointer {
  constructor(gallery, { scroller, ghost, onMenu }) {
    Object.assign(this, { gallery, scroller, ghost, onMenu });
    this.press = null;
    scroller.addEventListener("pointerdown", (event) => this.down(event));
    scroller.addEventListener("pointermove", (event) => this.move(event));
    scroller.addEventListener("pointerup", (event) => this.up(event));
    scroller.addEventListener("pointercancel", () => this.cancel());
    scroller.addEventListener("contextmenu", (event) => this.menu(event));
    scroller.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  at({ clientX, clientY }) {
    const box = this.scroller.getBoundingClientRect();
    return { x: clientX - box.left, y: clientY - box.top + this.scroller.scrollTop, inside: clientY - box.top };
  }

  cellAt(event) {
    const { layout } = this.gallery;
    const { x, y, inside } = this.at(event);
    if (this.headerAt(event)) return null;
    const index = inside < 0 ? -1 : layout.indexAt(x, y);
    return index < 0 ? null : layout.ids[index];
  }

  // The group whose header is at a point: in its place, or held at the top.
  headerAt(event) {
    const { layout } = this.gallery;
    const { x, y, inside } = this.at(event);
    if (x < 0 || x > this.scroller.clientWidth || inside < 0 || inside > this.scroller.clientHeight) return null;
    const group = layout.groupAt(y);
    if (group && y - group.top < HEADER - 8) return group;
    return inside < HEADER - 8 ? (layout.groupAt(this.scroller.scrollTop) ?? null) : null;
  }

  down(event) {
    const { gallery } = this;
    if (event.button !== 0 || !gallery.layout || this.at(event).x > this.scroller.clientWidth) return;
    this.scroller.focus({ preventScroll: true });
    const cell = this.cellAt(event);
    const { selection, layout } = gallery;
    this.press = { cell, x: event.clientX, y: event.clientY, from: this.at(event), kind: null, event };
    const more = event.ctrlKey || event.metaKey;
    if (cell !== null) {
      this.press.wasChosen = selection.chosen.has(cell);
      if (event.shiftKey) selection.rangeTo(layout, cell);
      else if (more) selection.toggle(cell);
      else if (!this.press.wasChosen) selection.only(cell);
      this.press.plain = !event.shiftKey && !more;
    } else {
      this.press.before = more ? new Set(selection.chosen) : new Set();
    }
    gallery.tell();
  }

  move(event) {
    const { press } = this;
    if (!press) return;
    const { gallery } = this;
    press.event = event;
    if (!press.kind) {
      if (Math.hypot(event.clientX - press.x, event.clientY - press.y) < FAR) return;
      if (event.pointerType === "touch") return this.cancel(); // a finger scrolls
      press.kind = press.cell === null ? "band" : "drag";
      press.cells = gallery.selection.cells; // what is dragged stays so, whatever is chosen meanwhile
      this.scroller.setPointerCapture(event.pointerId);
      this.scroll();
    }
    if (press.kind === "band") this.stretch();
    else this.drag();
  }

  stretch() {
    const { gallery, press } = this;
    const { x, y } = this.at(press.event);
    gallery.band = { x0: press.from.x, y0: press.from.y, x1: x, y1: y };
    const [x0, x1] = [press.from.x, x].sort((a, b) => a - b);
    const [y0, y1] = [press.from.y, y].sort((a, b) => a - b);
    const caught = new Set(press.before);
    let last = null;
    for (const [index] of gallery.layout.within(x0, y0, x1, y1)) caught.add((last = gallery.layout.ids[index]));
    gallery.selection.all(caught);
    if (last !== null) gallery.selection.cursor = gallery.selection.anchor = last;
    gallery.tell();
  }

  drag() {
    const { gallery, press, ghost } = this;
    const { clientX, clientY } = press.event;
    if (gallery.ui.locked) return;
    const row = document.elementFromPoint(clientX, clientY)?.closest("[data-type]");
    const header = row ? null : this.headerAt(press.event);
    const type = row ? Number(row.dataset.type) : (header?.type ?? null);
    if (type !== gallery.drop) {
      gallery.drop = gallery.ui.drop = type;
      gallery.draw();
    }
    const n = press.cells.length;
    ghost.textContent =
      type === null ? gallery.say("dragged", { n }) : gallery.say("dragged_to", { n, type: gallery.types[type].title });
    ghost.hidden = false;
    ghost.style.transform = `translate(${clientX + 14}px, ${clientY + 10}px)`;
  }

  up() {
    const { gallery, press } = this;
    if (!press) return;
    const type = gallery.drop;
    this.cancel();
    if (press.kind === "drag") {
      if (type !== null) gallery.retype(type, press.cells);
    } else if (press.kind === null) {
      if (press.cell === null) gallery.selection.all(press.before);
      else if (press.plain && press.wasChosen) gallery.selection.only(press.cell);
      gallery.tell();
    }
  }

  cancel() {
    this.press = this.gallery.band = this.gallery.drop = this.gallery.ui.drop = null;
    this.ghost.hidden = true;
    if (this.gallery.layout) this.gallery.draw();
  }

  // While something is dragged near the upper or lower border, the cells move along.
  scroll() {
    const { press, scroller } = this;
    if (!press?.kind) return;
    const { x, inside } = this.at(press.event);
    const over = inside - scroller.clientHeight + EDGE;
    const within = x >= 0 && x <= scroller.clientWidth;
    const by = !within ? 0 : over > 0 ? Math.min(over, EDGE) / 3 : inside < EDGE && press.kind === "band" ? (inside - EDGE) / 3 : 0;
    if (by) {
      scroller.scrollTop += by;
      if (press.kind === "band") this.stretch();
    }
    requestAnimationFrame(() => this.scroll());
  }

  menu(event) {
    const { gallery } = this;
    event.preventDefault();
    if (!gallery.layout) return;
    const cell = this.cellAt(event);
    if (cell !== null && !gallery.selection.chosen.has(cell)) gallery.selection.only(cell);
    gallery.tell();
    if (gallery.selection.chosen.size) this.onMenu({ x: event.clientX, y: event.clientY });
  }

  wheel(event) {
    if (!(event.ctrlKey || event.metaKey) || !this.gallery.layout) return;
    event.preventDefault();
    this.gallery.zoom(this.gallery.ui.size * Math.exp(-event.deltaY / 400), this.at(event).inside);
  }
}
