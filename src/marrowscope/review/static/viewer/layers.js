// The layers of a slide: its pixels, the regions, and the cells, whose tiles change with every edit.

import { leaflet as L } from "nicegui-leaflet";

const NOTHING = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"; // one clear pixel

// Tiles that can be held back: while the slide is away its place stays as it is, and nothing is asked of the server.
const Tiles = L.TileLayer.extend({
  createTile(coords, done) {
    if (!this.held) return L.TileLayer.prototype.createTile.call(this, coords, done);
    const tile = document.createElement("img");
    tile.alt = "";
    tile.src = NOTHING;
    setTimeout(() => done(null, tile), 0);
    return tile;
  },

  hold() {
    this.held = true;
  },

  release() {
    this.held = false;
    this.redraw();
  },
});

export function tiles(about, address, options = {}) {
  return new Tiles(address, { ...gridOf(about), keepBuffer: 3, errorTileUrl: NOTHING, ...options });
}

// The whole slide as one coarse picture, under the tiles: what has not come yet is blurred instead of blank.
export function ground(about, address) {
  const side = 256 * 2 ** about.max_zoom;
  const picture = L.imageOverlay(address, [[0, 0], [side, side]], { pane: "tilePane", zIndex: 0 });
  picture.on("add", () => {
    const [right, below] = [about.width, about.height].map((length) => 100 * (1 - length / side));
    picture.getElement().style.clipPath = `inset(0 ${right}% ${below}% 0)`;
  });
  return picture;
}

// Tiles of the cells. `state`: { reading, by, n } as the page has them now.
export const CellTiles = Tiles.extend({
  initialize(about, base, state) {
    L.TileLayer.prototype.initialize.call(this, "", { ...gridOf(about), errorTileUrl: NOTHING });
    this.base = base;
    this.state = { ...state };
  },

  getTileUrl({ x, y, z }) {
    const { reading, by, n } = this.state;
    return `${this.base}/overlay/${z}/${x}/${y}.png?reading=${encodeURIComponent(reading)}&by=${by}&n=${n}`;
  },

  // Take the cells up as they are now. Tiles are exchanged when their new picture is there, so that nothing flickers.
  // `boxes`: where something changed, [x0, y0, x1, y1] in level-0 pixels; null for everywhere.
  refresh(state, boxes = null) {
    Object.assign(this.state, state);
    if (this.held) return;
    for (const [key, tile] of Object.entries(this._tiles)) {
      if (boxes === null || boxes.some((box) => this.shows(tile.coords, box))) this.exchange(key, tile);
    }
  },

  exchange(key, tile) {
    const wanted = this.getTileUrl(tile.coords);
    tile.wanted = wanted;
    const fresh = new Image();
    fresh.alt = "";
    fresh.src = wanted;
    fresh.decode().then(
      () => {
        if (this._tiles[key] !== tile || tile.wanted !== wanted) return; // gone, or newer by now
        fresh.className = tile.el.className;
        fresh.style.cssText = tile.el.style.cssText;
        tile.el.replaceWith(fresh);
        tile.el = fresh;
      },
      () => {}, // the old picture stays; the next change or movement asks again
    );
  },

  shows({ x, y, z }, [x0, y0, x1, y1]) {
    const step = 2 ** (this.options.maxNativeZoom - z);
    const side = 256 * step;
    const margin = 8 * step; // marks reach beyond their cells
    const left = x * side - margin;
    const top = y * side - margin;
    return x1 >= left && y1 >= top && x0 <= left + side + 2 * margin && y0 <= top + side + 2 * margin;
  },
});

function gridOf({ width, height, max_zoom }) {
  return {
    tileSize: 256,
    minZoom: 0,
    maxNativeZoom: max_zoom,
    maxZoom: max_zoom + 2,
    noWrap: true,
    bounds: [
      [0, 0],
      [height, width],
    ],
  };
}
