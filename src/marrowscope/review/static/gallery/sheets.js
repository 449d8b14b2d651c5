// The pictures of the cells: sheets of 8 x 8 and single pictures, fetched a few at a time, those nearest to the middle of
// the screen first; what has been scrolled away is not waited for.

import { answer } from "../api.js";
import { NO_SPRITE, rowOf, slideOf } from "./cells.js";

const ACROSS = 8;
const SHEET = ACROSS * ACROSS;
const AT_ONCE = 4;
const KEPT_BYTES = 256 * 2 ** 20;
const RETRY = 5000;
// Of a sheet with fewer wanted cells these are fetched one by one: sorted by place, each cell is on a sheet of its own.
const WORTH_A_SHEET = 5;

export class Pictures {
  // `slides`: what the interface tells about each slide, null while its file is away. `onPicture`: a picture has come;
  // `onError(error)`: one could not; `onGone(slide, error)`: none can, until `slides` has it again and `release` says so.
  constructor({ base, reading, cells, slides, onPicture, onError, onGone }) {
    Object.assign(this, { base, reading, cells, slides, onPicture, onError, onGone, held: new Set() });
    this.found = new Map(); // key to image; the one that was not drawn for longest is first
    this.loading = new Map(); // key to AbortController
    this.failed = new Map(); // key to when
    this.wanted = [];
    this.bytes = 0;
  }

  // What to draw of a cell: { image, x, y, side } in pixels of the image; null while there is none.
  of(cell) {
    const side = this.slides[slideOf(cell)]?.sprite;
    const single = this.found.get(this.singleKey(cell));
    if (single) return { image: single, x: 0, y: 0, side: single.width };
    const sprite = this.cells.get(cell, "sprite");
    if (sprite === NO_SPRITE) return null;
    const key = `${slideOf(cell)}/${Math.floor(sprite / SHEET)}`;
    const image = this.found.get(key);
    if (!image) return null;
    this.found.delete(key);
    this.found.set(key, image);
    const place = sprite % SHEET;
    return { image, x: (place % ACROSS) * side, y: Math.floor(place / ACROSS) * side, side };
  }

  // Whether a cell has no picture and gets none: its slide is away, or it was asked for in vain.
  cannot(cell) {
    const slide = slideOf(cell);
    if (this.of(cell)) return false;
    const sheet = `${slide}/${Math.floor(this.cells.get(cell, "sprite") / SHEET)}`;
    return !this.slides[slide] || this.held.has(slide) || this.failed.has(sheet) || this.failed.has(this.singleKey(cell));
  }

  singleKey(cell) {
    const at = `${Math.round(this.cells.get(cell, "x"))},${Math.round(this.cells.get(cell, "y"))}`;
    return `${slideOf(cell)}:${rowOf(cell)}@${at}`;
  }

  // Say which cells are to be drawn, the nearest first.
  want(cells) {
    const bySheet = new Map();
    const asked = [];
    for (const cell of cells) {
      if (!this.slides[slideOf(cell)] || this.held.has(slideOf(cell))) continue; // its pixels are not to be had
      const sprite = this.cells.get(cell, "sprite");
      const sheet = sprite === NO_SPRITE ? null : `${slideOf(cell)}/${Math.floor(sprite / SHEET)}`;
      if (sheet === null || !bySheet.has(sheet)) {
        const entry = { key: sheet ?? this.singleKey(cell), cells: [cell], sheet };
        asked.push(entry);
        if (sheet !== null) bySheet.set(sheet, entry);
      } else bySheet.get(sheet).cells.push(cell);
    }
    this.wanted = asked.flatMap(({ key, cells: of, sheet }) =>
      sheet !== null && of.length < WORTH_A_SHEET && asked.length > 2 * AT_ONCE && !this.found.has(key) && !this.loading.has(key)
        ? of.map((cell) => ({ key: this.singleKey(cell), path: this.singlePath(cell) }))
        : [{ key, path: sheet === null ? this.singlePath(of[0]) : this.sheetPath(sheet) }],
    );
    const keys = new Set(this.wanted.map(({ key }) => key));
    for (const [key, controller] of this.loading) if (!keys.has(key)) controller.abort();
    this.next();
  }

  sheetPath(sheet) {
    const [slide, number] = sheet.split("/");
    // With the version of slide and count, so that the browser may keep it.
    return `${this.base}/slides/${slide}/sheets/${number}.jpg?v=${this.slides[slide].version ?? ""}`;
  }

  singlePath(cell) {
    const { sprite, sprite_spacing } = this.slides[slideOf(cell)];
    const of = `um=${sprite * sprite_spacing}&pixels=${sprite}&reading=${encodeURIComponent(this.reading)}`;
    return `${this.base}/slides/${slideOf(cell)}/cells/${rowOf(cell)}/picture.jpg?${of}`;
  }

  next() {
    for (const { key, path } of this.wanted) {
      if (this.loading.size >= AT_ONCE) return;
      if (this.found.has(key) || this.loading.has(key)) continue;
      if (performance.now() - (this.failed.get(key) ?? -RETRY) < RETRY) continue;
      this.load(key, path);
    }
  }

  async load(key, path) {
    const controller = new AbortController();
    this.loading.set(key, controller);
    try {
      const response = await answer(path, { signal: controller.signal });
      this.keep(key, await createImageBitmap(await response.blob()));
      this.failed.delete(key);
      this.onPicture();
    } catch (error) {
      if (!controller.signal.aborted) {
        this.failed.set(key, performance.now());
        const slide = parseInt(key, 10);
        if (error.kind === "gone") {
          if (!this.held.has(slide)) this.onGone(slide, error);
          this.held.add(slide);
          this.wanted = this.wanted.filter((entry) => parseInt(entry.key, 10) !== slide);
        } else {
          setTimeout(() => this.next(), RETRY + 100);
          this.onError(error);
        }
      }
    } finally {
      this.loading.delete(key);
      this.next();
    }
  }

  // The file of a slide is there again.
  release(slide) {
    this.held.delete(slide);
    this.failed.clear();
  }

  keep(key, image) {
    this.found.set(key, image);
    this.bytes += 4 * image.width * image.height;
    const needed = new Set(this.wanted.map((entry) => entry.key));
    for (const [old, picture] of this.found) {
      if (this.bytes <= KEPT_BYTES) break;
      if (needed.has(old)) continue;
      this.found.delete(old);
      this.bytes -= 4 * picture.width * picture.height;
      picture.close();
    }
  }
}
