// The scale bar: a round length in um or mm, from the slide's own spacing.

import { length } from "./words.js";

const LONGEST = 130; // px

export default {
  props: { perPixel: Number, label: String }, // um
  template: `<div class="viewer-scale" :aria-label="label + ': ' + words"><i :style="{ width: px + 'px' }"></i>{{ words }}</div>`,
  computed: {
    um() {
      const most = LONGEST * this.perPixel;
      const ten = 10 ** Math.floor(Math.log10(most));
      return ten * (most >= 5 * ten ? 5 : most >= 2 * ten ? 2 : 1);
    },
    px() {
      return this.um / this.perPixel;
    },
    words() {
      return this.um < 1 ? length(this.um, 1) : this.um < 1000 ? length(this.um) : `${this.um / 1000} mm`;
    },
  },
};
