// What a person does to the cells of a slide: methods of the page (viewer_element.js), which says and shows it.

import { get } from "../api.js";
import { tidy } from "./box.js";

export const edits = {
  // `shown`: what the chosen cell is at once, until the server has answered.
  async edit(edit, done, boxes = null, shown = {}) {
    this.trouble = "";
    if (this.locked) return null;
    const before = this.cell;
    if (this.gone && edit.kind !== "undo") {
      this.trouble = this.say("not_seen");
      if (before) this.chosen.show(before.box, this.about);
      return null;
    }
    try {
      if (before) this.cell = { ...before, ...shown };
      const change = await this.review.edit(edit, boxes);
      this.note = done;
      return change;
    } catch (error) {
      this.trouble = this.say("not_kept", { why: this.why(error) });
      if (before && this.cell?.cell === before.cell) {
        this.cell = before;
        this.chosen.show(before.box, this.about);
        if (error.status !== 0) await this.choose(before.cell); // others may have changed it
      }
      await this.review.poll();
      return null;
    }
  },
  changed(rows, mine, boxes) {
    this.n = this.review.n;
    const here = rows.flatMap((row) => row.cells.filter((part) => part.slide === this.given.slide));
    this.slide?.cells.refresh({ n: this.n }, here.length ? boxes : []);
    const cell = this.cell?.cell;
    if (!mine && here.length) this.note = this.say("others", { actor: rows[rows.length - 1].actor });
    if (cell !== undefined && here.some((part) => part.rows.includes(cell))) this.choose(cell);
  },
  only(cell) {
    return { [this.given.slide]: [cell] };
  },
  retype(to) {
    if (!this.cell) return;
    const { cell, box, type } = this.cell;
    const shown = type === null && this.given.proposes ? {} : { type: to, looked: true, last: null };
    this.edit({ kind: "retype", cells: this.only(cell), to }, this.say("done_type", { cell, type: this.titleOf(to) }), [box], shown);
  },
  confirm() {
    if (!this.cell) return;
    if (this.cell.type === null && !this.cell.proposal) return (this.trouble = this.say("give_one"));
    const { cell, box } = this.cell;
    this.edit({ kind: "confirm", cells: this.only(cell) }, this.say("done_confirm", { cell }), [box], { looked: true, last: null });
  },
  remove() {
    if (!this.cell) return;
    const { cell, box } = this.cell;
    this.edit({ kind: "delete", cells: this.only(cell) }, this.say("done_delete", { cell }), [box]);
  },
  move(box) {
    const { cell, box: before } = this.cell;
    this.edit({ kind: "move", slide: this.given.slide, cell, box }, this.say("done_move", { cell }), [before, box]);
  },
  undo() {
    this.edit({ kind: "undo" }, this.say("done_undo"));
  },
  redo() {
    this.edit({ kind: "redo" }, this.say("done_redo"));
  },
  titleOf(name) {
    return this.given.types.find((type) => type.name === name)?.title ?? this.say("differs");
  },

  // A cell that the count missed.
  add() {
    if (this.adding || this.locked) return this.leave();
    this.choose(null);
    this.adding = true;
    this.note = this.say("add_help");
    this.drawn.start();
    this.$refs.map.focus();
  },
  drew(box) {
    if (box[2] - box[0] < 1 || box[3] - box[1] < 1) return;
    this.draft = box;
    this.chosen.show(box);
    this.note = this.say("new_cell_help");
    this.askWhere(box);
  },
  // Whether the new cell will be in the differential; the server decides that again when it is added.
  async askWhere(box) {
    this.outside = false;
    const turn = (this.where = {});
    const [x, y] = [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];
    try {
      const { counted } = await get(`${this.path}/counted?x=${x}&y=${y}`);
      if (turn === this.where) this.outside = !counted;
    } catch {
      /* it is told when the cell is added */
    }
  },
  async addAs(to) {
    const box = this.draft;
    if (!box) return;
    Object.assign(this, { draft: null, adding: false }); // before it is sent: a key pressed twice adds one cell
    this.drawn.stop();
    const turn = (this.turn = {});
    const change = await this.edit({ kind: "add", slide: this.given.slide, box, to }, this.say("done_add", { type: this.titleOf(to) }), [box]);
    if (turn !== this.turn) return; // something else was begun meanwhile
    if (!change) return this.add(), this.drew(box); // the box is there again
    this.chosen.hide();
    const own = change.cells.find((part) => part.slide === this.given.slide);
    if (!own) return;
    await this.choose(own.rows[0]);
    if (this.cell?.outside) this.note = this.say("done_outside", { type: this.titleOf(to) });
  },
  leave() {
    if (this.draft) this.chosen.hide();
    else if (!this.adding) this.choose(null);
    this.draft = null;
    this.adding = false;
    this.note = "";
    this.drawn.stop();
  },

  nudge(across, down, resize) {
    const box = this.chosen.box;
    if (!box || this.locked || !(this.cell || this.draft)) return;
    const far = Math.max(1, Math.round(this.slide.step));
    const moved = box.map((value, place) => value + (resize && place < 2 ? 0 : far * (place % 2 ? down : across)));
    if (moved[2] - moved[0] < 4 || moved[3] - moved[1] < 4) return;
    const kept = tidy(moved, this.about);
    this.chosen.move(kept);
    if (this.draft) this.askWhere((this.draft = kept));
    else this.nudging = kept;
  },
  nudged() {
    if (this.nudging) this.move(this.nudging);
    this.nudging = null;
  },
};
