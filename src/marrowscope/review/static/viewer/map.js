// The slide as a map: places are level-0 pixels, zoom `max_zoom` shows one of them as one pixel of the screen.

import { leaflet as L } from "nicegui-leaflet";
import { CellTiles, ground, tiles } from "./layers.js";

const BEYOND = 2; // zooms past level 0
const OBJECTIVE = 10; // um: a pixel of 1 um is what a 10x objective shows, 0.25 um what 40x does

export const at = (x, y) => L.latLng(y, x);

export class SlideMap {
  // `view`: { reading, by, n }. `on`: { moved(), pointed(x, y), clicked(x, y), failed(address) }.
  constructor(element, about, base, view, on) {
    this.about = about;
    const unit = 2 ** -about.max_zoom;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.map = L.map(element, {
      crs: L.extend({}, L.CRS.Simple, { transformation: new L.Transformation(unit, 0, unit, 0) }),
      minZoom: 0,
      maxZoom: about.max_zoom + BEYOND,
      zoomSnap: 0,
      wheelPxPerZoomLevel: 90,
      wheelDebounceTime: 25,
      attributionControl: false,
      zoomControl: false,
      keyboard: false,
      boxZoom: false,
      zoomAnimation: !calm,
      fadeAnimation: !calm,
      maxBounds: [
        [-about.height / 2, -about.width / 2],
        [about.height * 1.5, about.width * 1.5],
      ],
    });
    this.pixels = tiles(about, `${base}/tiles/{z}/{x}/{y}.jpg?v=${about.version}`);
    this.regions = tiles(about, `${base}/regions/{z}/{x}/{y}.png?v=${about.version}`);
    this.fields = tiles(about, `${base}/fields/{z}/{x}/{y}.png?v=${about.version}`);
    this.cells = new CellTiles(about, base, view);
    this.whole(false);
    ground(about, `${base}/tiles/0/0/0.jpg?v=${about.version}`).addTo(this.map);
    this.layers = [this.pixels, this.regions, ...(about.fields ? [this.fields] : []), this.cells];
    for (const layer of this.layers) {
      layer.on("tileerror", ({ coords }) => on.failed(layer.getTileUrl(coords)));
      layer.addTo(this.map);
    }
    this.map.getPane("mapPane").setAttribute("aria-hidden", "true"); // the panel says in words what is chosen
    this.map.on("move zoom resize", on.moved);
    this.map.on("mousemove", ({ latlng }) => on.pointed(latlng.lng, latlng.lat));
    this.map.on("click", ({ latlng }) => on.clicked(latlng.lng, latlng.lat));
    this.watch = new ResizeObserver(() => this.map.invalidateSize({ pan: false }));
    this.watch.observe(element);
  }

  show(name, shown) {
    if (shown) this.map.addLayer(this[name]);
    else this.map.removeLayer(this[name]);
  }

  // While the slide is away nothing is asked for.
  hold() {
    for (const layer of this.layers) layer.hold();
  }

  release() {
    for (const layer of this.layers) layer.release();
  }

  // Level-0 pixels that a pixel of the screen spans.
  get step() {
    return 2 ** (this.about.max_zoom - this.map.getZoom());
  }

  // Of the objective that would show the slide as large.
  get magnification() {
    return OBJECTIVE / (this.step * this.about.spacing[0]);
  }

  zoomFor(magnification) {
    return this.about.max_zoom - Math.log2(OBJECTIVE / magnification / this.about.spacing[0]);
  }

  get largest() {
    return (OBJECTIVE / this.about.spacing[0]) * 2 ** BEYOND;
  }

  magnify(magnification) {
    this.map.setZoom(this.zoomFor(magnification));
  }

  zoom(by) {
    this.map.setZoom(this.map.getZoom() + by);
  }

  pan(across, down) {
    this.map.panBy([across, down], { duration: 0.15 });
  }

  whole(animate = true) {
    const [x0, y0, x1, y1] = this.about.bounds;
    this.map.fitBounds([at(x0, y0), at(x1, y1)], { animate, padding: [12, 12] });
  }

  go(x, y, magnification = null, animate = false) {
    this.map.setView(at(x, y), magnification === null ? this.map.getZoom() : this.zoomFor(magnification), { animate });
  }

  get middle() {
    const { lng, lat } = this.map.getCenter();
    return { x: lng, y: lat };
  }

  // What is seen: [x0, y0, x1, y1].
  get seen() {
    const bounds = this.map.getBounds();
    return [bounds.getWest(), bounds.getSouth(), bounds.getEast(), bounds.getNorth()];
  }

  remove() {
    this.watch.disconnect();
    this.map.remove();
  }
}
