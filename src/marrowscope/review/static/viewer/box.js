// The box of the one cell that is chosen, with corners to drag; and drawing a new one.

import { leaflet as L } from "nicegui-leaflet";
import { at } from "./map.js";

const LEAST = 4; // level-0 pixels: a smaller box was a slip
const NEAR = 18; // px: in a smaller box corners would cover the cell
const CORNERS = [
  [0, 1],
  [2, 1],
  [2, 3],
  [0, 3],
]; // places of x and y in a box
const LINES = [
  { color: "#ffffff", weight: 6, opacity: 0.9, fill: false, interactive: false },
  { color: "#0b57d0", weight: 2.5, fill: false, interactive: false, className: "viewer-chosen" },
];

export class ChosenBox {
  // `onChange(box)`: a corner was dropped.
  constructor(map, onChange) {
    this.map = map;
    this.onChange = onChange;
    this.parts = L.layerGroup().addTo(map);
    map.on("zoomend", () => this.placeCorners());
  }

  get box() {
    return this.now && [...this.now];
  }

  // `size`: of the slide, so that the box stays on it; null where nothing may be dragged.
  show(box, size = null) {
    this.hide();
    this.now = [...box];
    this.size = size;
    this.lines = LINES.map((style) => L.rectangle(boundsOf(box), style).addTo(this.parts));
    this.placeCorners();
  }

  hide() {
    this.parts.clearLayers();
    this.now = null;
    this.lines = this.corners = [];
  }

  move(box) {
    this.now = box;
    for (const line of this.lines) line.setBounds(boundsOf(box));
    this.corners.forEach((corner, index) => corner.setLatLng(placeOf(box, index)));
  }

  placeCorners() {
    if (!this.now) return;
    for (const corner of this.corners) this.parts.removeLayer(corner);
    this.corners = [];
    const step = 1 / this.map.options.crs.scale(this.map.getZoom()) / this.map.options.crs.transformation._a;
    if (!this.size || (this.now[2] - this.now[0]) / step < NEAR) return;
    this.corners = CORNERS.map((_, index) => this.corner(index));
  }

  corner(index) {
    const icon = L.divIcon({ className: `viewer-corner corner-${index}`, iconSize: [14, 14] });
    const marker = L.marker(placeOf(this.now, index), { icon, draggable: true, keyboard: false, autoPan: false });
    const [across, down] = CORNERS[index];
    let before = null;
    marker.on("dragstart", () => (before = [...this.now]));
    marker.on("drag", () => {
      const { lng, lat } = marker.getLatLng();
      const box = [...before];
      box[across] = lng;
      box[down] = lat;
      this.now = tidy(box, this.size);
      for (const line of this.lines) line.setBounds(boundsOf(this.now));
      this.corners.forEach((other, place) => place !== index && other.setLatLng(placeOf(box, place)));
    });
    marker.on("dragend", () => {
      const box = this.now;
      if (box[2] - box[0] < LEAST || box[3] - box[1] < LEAST) this.move(before);
      else {
        this.move(box);
        this.onChange(box);
      }
    });
    return marker.addTo(this.parts);
  }
}

// While it is on, the pointer draws a box instead of moving the map; a click without a drag gives one of the `usual` size.
export class DrawnBox {
  constructor(map, { usual, size, onDrawn }) {
    Object.assign(this, { map, usual, size, onDrawn, on: false });
    this.element = map.getContainer();
    this.down = (event) => this.begin(event);
    this.element.addEventListener("pointerdown", this.down);
  }

  start() {
    this.on = true;
    this.map.dragging.disable();
    this.map.doubleClickZoom.disable();
    this.element.classList.add("drawing");
  }

  stop() {
    this.on = false;
    this.map.dragging.enable();
    this.map.doubleClickZoom.enable();
    this.element.classList.remove("drawing");
    this.drawing?.remove();
  }

  begin(event) {
    if (!this.on || event.button !== 0) return;
    event.preventDefault();
    const place = (moved) => this.map.mouseEventToLatLng(moved);
    const from = place(event);
    const drawing = (this.drawing = L.rectangle([from, from], { ...LINES[1], dashArray: "5 4" }).addTo(this.map));
    const moved = (now) => drawing.setBounds([from, place(now)]);
    const done = (last) => {
      for (const [name, does] of [["pointermove", moved], ["pointerup", done], ["pointercancel", done]]) {
        window.removeEventListener(name, does);
      }
      drawing.remove();
      if (last.type === "pointercancel" || !this.on) return;
      const far = Math.hypot(last.clientX - event.clientX, last.clientY - event.clientY);
      const to = place(last);
      this.onDrawn(far < 6 ? this.around(from.lng, from.lat) : tidy([from.lng, from.lat, to.lng, to.lat], this.size));
    };
    window.addEventListener("pointermove", moved);
    window.addEventListener("pointerup", done);
    window.addEventListener("pointercancel", done);
  }

  around(x, y) {
    const [width, height] = this.usual;
    return tidy([x - width / 2, y - height / 2, x + width / 2, y + height / 2], this.size);
  }
}

// Left before right, top before bottom, on the slide, to a tenth of a pixel.
export function tidy([x0, y0, x1, y1], { width, height }) {
  const across = [x0, x1].sort((a, b) => a - b).map((x) => round(Math.min(Math.max(x, 0), width)));
  const down = [y0, y1].sort((a, b) => a - b).map((y) => round(Math.min(Math.max(y, 0), height)));
  return [across[0], down[0], across[1], down[1]];
}

const round = (value) => Math.round(value * 10) / 10;
const boundsOf = ([x0, y0, x1, y1]) => [at(x0, y0), at(x1, y1)];
const placeOf = (box, index) => at(box[CORNERS[index][0]], box[CORNERS[index][1]]);
