// Drawing: one canvas as large as the window on the cells, with what is scrolled into view.

import { DIFFERS, LOOKED, OUTSIDE, PROPOSED, REMOVED } from "./cells.js";
import { HEADER } from "./layout.js";
import { MARKS, cross, edge } from "./marks.js";

const COLOURS = ["ground", "panel", "ink", "quiet", "line", "chosen", "hover", "accent"];

export class Canvas {
  // `scene()` gives what is to be drawn: { layout, cells, pictures, selection, types, title(group), bits, band, drop }.
  constructor(canvas, scroller, scene) {
    Object.assign(this, { canvas, scroller, scene });
    this.context = canvas.getContext("2d", { alpha: false });
    this.asked = false;
    this.afterDraw = []; // told once, after the next frame
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(document.body);
    this.colours = Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.font = style.fontFamily;
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.scroller;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this, { width, height, ratio });
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
  }

  // Draw in the next frame. `told` is called when that frame has been drawn.
  ask(told) {
    if (told) this.afterDraw.push(told);
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const drawn = this.draw();
      for (const tell of this.afterDraw.splice(0)) tell(drawn);
    });
  }

  // The cells that are in view, and how many of them have their picture.
  draw() {
    const scene = this.scene();
    const { context: ctx, colours, width, height } = this;
    const top = this.scroller.scrollTop;
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.imageSmoothingQuality = "high";
    ctx.fillStyle = colours.ground;
    ctx.fillRect(0, 0, width, height);
    if (!scene) return { cells: [], pictures: 0 };
    const { layout, selection } = scene;
    const drawn = { cells: [], pictures: 0 };
    for (const group of layout.groups) {
      if (group.bottom > top && group.top < top + height) this.header(scene, group, group.top - top);
    }
    for (const [index, group] of layout.within(0, top, width, top + height)) {
      const { x, y } = layout.corner(index, group);
      const cell = layout.ids[index];
      drawn.cells.push(cell);
      if (this.cell(scene, cell, x, y - top)) drawn.pictures++;
    }
    if (selection.cursor !== null && scene.focused) this.cursor(layout, selection.cursor, top);
    const above = layout.groupAt(top);
    if (above && above.top < top) this.header(scene, above, Math.min(0, above.bottom - HEADER - top));
    if (scene.band) this.band(scene.band, top);
    return drawn;
  }

  header(scene, group, y) {
    const { context: ctx, colours, width } = this;
    const type = scene.types[group.type];
    const target = scene.drop === group.type;
    ctx.fillStyle = target ? colours.chosen : colours.panel;
    ctx.fillRect(0, y, width, HEADER - 8);
    ctx.fillStyle = colours.line;
    ctx.fillRect(0, y + HEADER - 9, width, 1);
    ctx.fillStyle = type.colour;
    ctx.fillRect(12, y + 7, 12, 12);
    ctx.textBaseline = "middle";
    ctx.fillStyle = target ? colours.panel : colours.ink;
    ctx.font = `600 13.5px ${this.font}`;
    ctx.fillText(type.title, 32, y + 13.5);
    const begin = 32 + ctx.measureText(type.title).width + 12;
    ctx.fillStyle = target ? colours.panel : colours.quiet;
    ctx.font = `12.5px ${this.font}`;
    ctx.fillText(scene.title(group), begin, y + 13.5, width - begin - 12);
  }

  cell(scene, cell, x, y) {
    const { context: ctx, colours } = this;
    const { cells, layout, selection, types, bits } = scene;
    const size = layout.size;
    const state = cells.get(cell, "state");
    const flags = cells.get(cell, "flags");
    if (selection.chosen.has(cell)) {
      ctx.fillStyle = colours.chosen;
      ctx.fillRect(x - 4, y - 4, size + 8, size + 8);
    }
    const picture = scene.pictures.of(cell);
    if (picture) {
      ctx.drawImage(picture.image, picture.x, picture.y, picture.side, picture.side, x, y, size, size);
    } else {
      ctx.fillStyle = colours.hover;
      ctx.fillRect(x, y, size, size);
    }
    const looked = state & LOOKED;
    edge(ctx, x, y, size, types[cells.get(cell, "type")].colour, !looked && flags & bits.unsure);
    const r = Math.max(5, Math.min(8, size / 10));
    const [near, far] = [r + 4, size - r - 4];
    if (state & REMOVED) cross(ctx, x, y, size);
    if (flags & bits.anomalous) MARKS.anomalous(ctx, x + near, y + near, r);
    if (state & DIFFERS) MARKS.differs(ctx, x + far, y + near, r);
    if (state & (3 * PROPOSED)) MARKS.proposed(ctx, x + far, y + far, r);
    if (cells.added(cell)) MARKS[state & OUTSIDE ? "outside" : "added"](ctx, x + near, y + far, r);
    if (looked) MARKS.looked(ctx, x + far, y + far, r);
    return picture !== null;
  }

  cursor(layout, cell, top) {
    const index = layout.indexOf(cell);
    if (index < 0) return;
    const { context: ctx, colours } = this;
    const { x, y } = layout.corner(index);
    ctx.lineJoin = "miter";
    ctx.lineWidth = 2;
    ctx.strokeStyle = colours.ink;
    ctx.strokeRect(x - 3, y - top - 3, layout.size + 6, layout.size + 6);
  }

  band({ x0, y0, x1, y1 }, top) {
    const { context: ctx, colours } = this;
    const [x, y, wide, high] = [Math.min(x0, x1), Math.min(y0, y1) - top, Math.abs(x1 - x0), Math.abs(y1 - y0)];
    ctx.globalAlpha = 0.15;
    ctx.fillStyle = colours.chosen;
    ctx.fillRect(x, y, wide, high);
    ctx.globalAlpha = 1;
    ctx.lineWidth = 1;
    ctx.strokeStyle = colours.chosen;
    ctx.strokeRect(x + 0.5, y + 0.5, wide, high);
  }
}
