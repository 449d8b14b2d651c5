// Which cells are chosen, where the cursor is, and from where a range is drawn.

export class Selection {
  constructor() {
    this.chosen = new Set();
    this.cursor = null;
    this.anchor = null;
  }

  only(cell) {
    this.chosen = new Set([cell]);
    this.cursor = this.anchor = cell;
  }

  toggle(cell) {
    if (!this.chosen.delete(cell)) this.chosen.add(cell);
    this.cursor = this.anchor = cell;
  }

  // All from the anchor to a cell, in the order shown.
  rangeTo(layout, cell) {
    const from = this.anchor === null ? -1 : layout.indexOf(this.anchor);
    if (from < 0) return this.only(cell);
    const to = layout.indexOf(cell);
    this.chosen = new Set(layout.ids.slice(Math.min(from, to), Math.max(from, to) + 1));
    this.cursor = cell;
  }

  all(cells) {
    this.chosen = new Set(cells);
  }

  clear() {
    this.chosen = new Set();
    this.anchor = this.cursor;
  }

  // The cells that an edit is of.
  get cells() {
    return [...this.chosen];
  }

  // Let go of cells that are not shown any more.
  prune(layout) {
    for (const cell of this.chosen) if (layout.indexOf(cell) < 0) this.chosen.delete(cell);
    if (this.cursor !== null && layout.indexOf(this.cursor) < 0) this.cursor = null;
    if (this.anchor !== null && layout.indexOf(this.anchor) < 0) this.anchor = this.cursor;
  }
}
