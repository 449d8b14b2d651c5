// The cells of a reading on the page: the columns of all slides, as the server has them and as they are shown.
//
// A cell has one number on the page, made of its slide and its row. What is shown is what the server has with the edits
// on top that it has not answered yet: an edit that is refused is taken off again, and nothing else has to be undone.

export const REMOVED = 1;
export const LOOKED = 2;
export const DIFFERS = 4;
export const PROPOSED = 8; // by the first observer, twice as much by the second
export const OUTSIDE = 32; // added outside of the counted fields: not in the differential
export const NO_SPRITE = 2 ** 32 - 1;

const MOST_ROWS = 2 ** 24;
const BAND = 512; // height of the bands, level-0 pixels, in which "by place" reads a slide like a page

export const cellOf = (slide, row) => slide * MOST_ROWS + row;
export const slideOf = (cell) => Math.floor(cell / MOST_ROWS);
export const rowOf = (cell) => cell % MOST_ROWS;

// { slide: [rows] }, as the interface wants the cells of an edit.
export function bySlide(cells) {
  const found = {};
  for (const cell of cells) (found[slideOf(cell)] ??= []).push(rowOf(cell));
  return found;
}

export class Cells {
  constructor(blocks) {
    this.slides = blocks.map((block) => ({ ...block, kept: { type: block.type.slice(), state: block.state.slice() } }));
    this.pending = []; // edits that the server has not answered: { cells: Set, waits: Set of those that stay, type?, bits }
    this.orders = {};
    this.edition = 0; // grows whenever what is shown changes
  }

  get(cell, column) {
    return this.slides[slideOf(cell)][column][rowOf(cell)];
  }

  has(cell) {
    return slideOf(cell) < this.slides.length && rowOf(cell) < this.slides[slideOf(cell)].cells;
  }

  // Two observers differ about it, and nobody has settled that.
  unsettled(cell) {
    const state = this.get(cell, "state");
    return (state & DIFFERS) > 0 && !(state & (LOOKED | REMOVED));
  }

  added(cell) {
    return rowOf(cell) >= this.slides[slideOf(cell)].counted;
  }

  // How many cells of a type people added outside of the counted fields; added ones are few.
  outside(type) {
    let n = 0;
    for (const { counted, cells, type: types, state } of this.slides) {
      for (let row = counted; row < cells; row++) n += types[row] === type && (state[row] & (OUTSIDE | REMOVED)) === OUTSIDE;
    }
    return n;
  }

  // All cells, deleted ones included, the least certain first or by their place on the slide.
  order(sort) {
    return (this.orders[sort] ??= sort === "place" ? this.byPlace() : this.byCertainty());
  }

  byCertainty() {
    const buckets = new Uint32Array(257);
    for (const { certainty, cells } of this.slides) for (let row = 0; row < cells; row++) buckets[certainty[row] + 1]++;
    for (let value = 0; value < 256; value++) buckets[value + 1] += buckets[value];
    const order = new Float64Array(this.total);
    this.slides.forEach(({ certainty, cells }, slide) => {
      for (let row = 0; row < cells; row++) order[buckets[certainty[row]]++] = cellOf(slide, row);
    });
    return order;
  }

  byPlace() {
    const order = new Float64Array(this.total);
    let at = 0;
    this.slides.forEach(({ x, y, cells }, slide) => {
      const rows = Uint32Array.from({ length: cells }, (_, row) => row);
      rows.sort((a, b) => Math.floor(y[a] / BAND) - Math.floor(y[b] / BAND) || x[a] - x[b]);
      for (const row of rows) order[at++] = cellOf(slide, row);
    });
    return order;
  }

  get total() {
    return this.slides.reduce((sum, { cells }) => sum + cells, 0);
  }

  // Put an edit on top of what the server has, until `settle`.
  show(edit) {
    this.pending.push(edit);
    for (const cell of edit.cells) this.refresh(cell);
  }

  settle(edit) {
    this.pending = this.pending.filter((other) => other !== edit);
    for (const cell of edit.cells) this.refresh(cell);
  }

  // Do something, and tell whether anything that is shown has changed by it.
  changes(something) {
    const before = this.edition;
    something();
    return this.edition !== before;
  }

  // Take up what an answer of the server says of some cells; their numbers.
  take(changes) {
    const touched = [];
    for (const { slide, rows, types, states, boxes } of changes) {
      rows.forEach((row, at) => {
        if (row >= this.slides[slide].cells) this.grow(slide, row + 1);
        const block = this.slides[slide];
        block.kept.type[row] = types[at];
        block.kept.state[row] = states[at];
        if (boxes) this.place(block, row, boxes[at]);
        touched.push(cellOf(slide, row));
        this.refresh(cellOf(slide, row));
      });
    }
    return touched;
  }

  place(block, row, [x0, y0, x1, y1]) {
    const x = (x0 + x1) / 2;
    const y = (y0 + y1) / 2;
    // Its sheet shows where it was: ask for its own picture.
    if (Math.abs(x - block.x[row]) + Math.abs(y - block.y[row]) > 0.5) block.sprite[row] = NO_SPRITE;
    this.edition++;
    [block.x[row], block.y[row], block.w[row], block.h[row]] = [x, y, x1 - x0, y1 - y0];
  }

  refresh(cell) {
    const block = this.slides[slideOf(cell)];
    const row = rowOf(cell);
    let type = block.kept.type[row];
    let state = block.kept.state[row];
    for (const edit of this.pending) {
      if (!edit.cells.has(cell) || edit.waits.has(cell)) continue;
      type = edit.type ?? type;
      state |= edit.bits;
    }
    if (block.type[row] === type && block.state[row] === state) return;
    block.type[row] = type;
    block.state[row] = state;
    this.edition++;
  }

  grow(slide, cells) {
    const block = this.slides[slide];
    const fresh = { certainty: 255, sprite: NO_SPRITE, model: 255 };
    const longer = (values, fill = 0) => {
      const grown = new values.constructor(cells).fill(fill, block.cells);
      grown.set(values);
      return grown;
    };
    for (const name of ["type", "state", "flags", "certainty", "anomaly", "sprite", "model", "x", "y", "w", "h"]) {
      block[name] = longer(block[name], fresh[name]);
    }
    block.kept = { type: longer(block.kept.type), state: longer(block.kept.state) };
    block.cells = cells;
    this.orders = {};
    this.edition++;
  }
}
