// The whole slide in a corner, with the rectangle that the map shows; a click or a drag moves the map.

const LONGEST = 168; // px

export default {
  props: { about: Object, base: String, seen: Array, label: String },
  emits: ["go"],
  template: `
    <div class="viewer-minimap" role="img" :aria-label="label" :style="{ width: width + 'px', height: height + 'px' }"
      @pointerdown="begin" @pointermove="move" @pointerup="end" @pointercancel="end">
      <img :src="base + '/tiles/0/0/0.jpg?v=' + about.version" alt="" draggable="false" :style="{ width: side + 'px' }">
      <i :style="frame"></i>
    </div>`,
  computed: {
    scale() {
      return LONGEST / Math.max(this.about.width, this.about.height);
    },
    width() {
      return Math.max(24, this.about.width * this.scale);
    },
    height() {
      return Math.max(24, this.about.height * this.scale);
    },
    side() {
      return 256 * 2 ** this.about.max_zoom * this.scale; // of the one tile of zoom 0
    },
    frame() {
      const [x0, y0, x1, y1] = this.seen;
      const left = clamp(x0 * this.scale, 0, this.width - 5);
      const top = clamp(y0 * this.scale, 0, this.height - 5);
      return {
        left: `${left}px`,
        top: `${top}px`,
        width: `${clamp(x1 * this.scale - left, 5, this.width - left)}px`,
        height: `${clamp(y1 * this.scale - top, 5, this.height - top)}px`,
      };
    },
  },
  methods: {
    begin(event) {
      if (event.button !== 0) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      this.dragging = true;
      this.move(event);
    },
    move(event) {
      if (!this.dragging) return;
      const { left, top } = event.currentTarget.getBoundingClientRect();
      this.$emit("go", (event.clientX - left) / this.scale, (event.clientY - top) / this.scale);
    },
    end() {
      this.dragging = false;
    },
  },
};

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), Math.max(low, high));
}
