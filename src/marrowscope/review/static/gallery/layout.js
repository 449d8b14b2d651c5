// Which cells are shown and where: a queue of cells in groups by type, in rows of a grid that is taller than the screen.

import { DIFFERS, LOOKED, PROPOSED, REMOVED, rowOf, slideOf } from "./cells.js";

export const HEADER = 34;
const MARGIN = 12;
const GAP = 8;
const BETWEEN = 14; // below a group

export const QUEUES = ["all", "unsure", "anomalous", "open", "differing", "changed", "deleted", "proposed"];

// Bits of the observers whose proposals a person may agree to: `own` is that observer, 1 or 2, 0 for a third person.
export const proposalsFor = (own) => (3 * PROPOSED) & ~(own * PROPOSED);

// The queues that a cell of a slide is in, as bits in the order of QUEUES.
function queuesOf(block, row, bits, proposals) {
  const state = block.state[row];
  if (state & REMOVED) return 64;
  const open = !(state & LOOKED);
  const flags = block.flags[row];
  const differing = open && state & DIFFERS;
  return (
    1 |
    (open && flags & bits.unsure ? 2 : 0) |
    (open && flags & bits.anomalous ? 4 : 0) |
    (open ? 8 : 0) |
    (differing ? 16 : 0) |
    (!differing && block.type[row] !== block.model[row] ? 32 : 0) | // an added cell has no type of the pack
    (differing && state & proposals ? 128 : 0)
  );
}

export class Layout {
  // `slide` null: those of all slides. `bits`: flag to bit; `proposals`: bits of those that this person may agree to.
  constructor(cells, { queue, slide, sort }, bits, proposals) {
    const wanted = 1 << QUEUES.indexOf(queue);
    const byType = [];
    const inQueues = new Uint32Array(1 << QUEUES.length);
    this.perType = [];
    for (const cell of cells.order(sort)) {
      const at = slideOf(cell);
      if (slide !== null && at !== slide) continue;
      const block = cells.slides[at];
      const row = rowOf(cell);
      const queues = queuesOf(block, row, bits, proposals);
      const type = block.type[row];
      inQueues[queues]++;
      if (queues & 1) this.perType[type] = (this.perType[type] ?? 0) + 1;
      if (queues & wanted) (byType[type] ??= []).push(cell);
    }
    const sum = (bit) => inQueues.reduce((total, n, queues) => total + (queues & (1 << bit) ? n : 0), 0);
    this.counts = Object.fromEntries(QUEUES.map((name, bit) => [name, sum(bit)]));
    this.ids = [];
    this.groups = [];
    byType.forEach((ids, type) => {
      this.groups.push({ type, from: this.ids.length, to: this.ids.length + ids.length });
      for (const cell of ids) this.ids.push(cell);
    });
    this.places = cells.slides.map((block) => new Int32Array(block.cells).fill(-1));
    this.ids.forEach((cell, at) => (this.places[slideOf(cell)][rowOf(cell)] = at));
  }

  // Place the groups on a ground `width` wide, cells `size` wide.
  measure(width, size) {
    this.size = size;
    this.step = size + GAP;
    this.columns = Math.max(1, Math.floor((width - 2 * MARGIN + GAP) / this.step));
    let top = 0;
    for (const group of this.groups) {
      group.top = top;
      group.rows = Math.ceil((group.to - group.from) / this.columns);
      group.bottom = top + HEADER + group.rows * this.step + BETWEEN;
      top = group.bottom;
    }
    this.height = top;
  }

  // The place of a cell among those shown, -1 when it is not.
  indexOf(cell) {
    return this.places[slideOf(cell)]?.[rowOf(cell)] ?? -1;
  }

  groupOf(index) {
    return this.groups.find(({ from, to }) => index >= from && index < to);
  }

  groupAt(y) {
    return this.groups.find(({ top, bottom }) => y >= top && y < bottom);
  }

  // { x, y }: the corner of a cell on the ground.
  corner(index, group = this.groupOf(index)) {
    const at = index - group.from;
    return {
      x: MARGIN + (at % this.columns) * this.step,
      y: group.top + HEADER + Math.floor(at / this.columns) * this.step,
    };
  }

  // The place among the cells at a point of the ground, -1 for none.
  indexAt(x, y) {
    const group = this.groupAt(y);
    if (!group || y < group.top + HEADER) return -1;
    const column = Math.floor((x - MARGIN) / this.step);
    const row = Math.floor((y - group.top - HEADER) / this.step);
    if (column < 0 || column >= this.columns || row >= group.rows) return -1;
    if (x - MARGIN - column * this.step > this.size || y - group.top - HEADER - row * this.step > this.size) return -1;
    const index = group.from + row * this.columns + column;
    return index < group.to ? index : -1;
  }

  // Places of the cells that touch a rectangle of the ground, group by group.
  *within(x0, y0, x1, y1) {
    const first = Math.max(0, Math.floor((x0 - MARGIN + GAP) / this.step));
    const last = Math.min(this.columns - 1, Math.floor((x1 - MARGIN) / this.step));
    for (const group of this.groups) {
      if (group.bottom < y0 || group.top > y1) continue;
      const begin = group.top + HEADER;
      const rows = Math.min(group.rows - 1, Math.floor((y1 - begin) / this.step));
      for (let row = Math.max(0, Math.floor((y0 - begin + GAP) / this.step)); row <= rows; row++) {
        for (let column = first; column <= last; column++) {
          const index = group.from + row * this.columns + column;
          if (index < group.to) yield [index, group];
        }
      }
    }
  }

  // Where an arrow leads from a cell: rows up or down stay in the column, over the borders of groups.
  rowsFrom(index, rows) {
    let at = index;
    for (let left = Math.abs(rows); left > 0; left--) {
      const here = this.groups.indexOf(this.groupOf(at));
      const { from, to } = this.groups[here];
      const column = (at - from) % this.columns;
      if (rows > 0) {
        if (Math.floor((at - from) / this.columns) < this.groups[here].rows - 1) at = Math.min(at + this.columns, to - 1);
        else if (here + 1 < this.groups.length) {
          const below = this.groups[here + 1];
          at = Math.min(below.from + column, below.to - 1);
        } else break;
      } else if (at - this.columns >= from) at -= this.columns;
      else if (here > 0) {
        const above = this.groups[here - 1];
        at = Math.min(above.from + (above.rows - 1) * this.columns + column, above.to - 1);
      } else break;
    }
    return at;
  }
}
