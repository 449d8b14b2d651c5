// The differential as the report prints it: counts, percentages with intervals, ratios, flags, notes.

import { fill, number } from "marrowscope-review/desk/words.js";

const SIGNS = { above: "▲", "not decided": "◆", "not assessable": "○", note: "●", below: "▼" };
const TONES = { above: "bad", "not decided": "warn" };

export default {
  props: { texts: Object, now: Object, types: Object },
  computed: {
    found() {
      return this.now.differential;
    },
    flags() {
      const order = Object.keys(SIGNS);
      return [...this.found.flags].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
    },
  },
  methods: {
    fill,
    number,
    sign: (verdict) => SIGNS[verdict],
    tone: (verdict) => TONES[verdict] ?? "quiet",
    interval: (row) => (row.low === null ? "" : `${row.low.toFixed(1)}–${row.high.toFixed(1)}`),
    range: (row) => (row.reference_low === null ? "" : `${row.reference_low}–${row.reference_high}`),
    mark: (row) =>
      row.reference_low === null || row.low === null ? "" : row.low > row.reference_high ? "▲" : row.high < row.reference_low ? "▼" : "",
    ratio(ratio) {
      if (ratio.withheld) return ratio.withheld;
      if (ratio.value === null) return this.texts.not_assessable;
      const high = ratio.high === null ? "∞" : ratio.high.toFixed(2);
      return `${ratio.value.toFixed(2)} (${ratio.low.toFixed(2)}–${high})`;
    },
  },
  template: `
    <section class="card" :aria-label="found.title">
      <h2>{{ found.title }}</h2>
      <p class="quiet">{{ fill(texts.total, { total: number(found.total), looked: number(now.looked.looked), cells: number(now.looked.cells) }) }}</p>
      <table class="plain" :aria-label="found.title">
        <thead><tr>
          <th scope="col">{{ texts.type }}</th><th scope="col" class="number">{{ texts.count }}</th><th scope="col" class="number">%</th>
          <th scope="col" class="number">{{ texts.interval }}</th><th scope="col" class="number">{{ texts.reference }}</th><th scope="col"><span class="unseen">{{ texts.outside }}</span></th>
        </tr></thead>
        <tbody>
          <tr v-for="row in found.rows" :key="row.type">
            <th scope="row"><span class="swatch" :style="{ background: types[row.type]?.colour }" aria-hidden="true"></span>{{ row.title }}</th>
            <template v-if="row.assessable">
              <td class="number">{{ number(row.count) }}</td><td class="number">{{ row.percent_rounded?.toFixed(1) }}</td>
              <td class="number quiet">{{ interval(row) }}</td><td class="number quiet">{{ range(row) }}</td><td class="warn">{{ mark(row) }}</td>
            </template>
            <td v-else colspan="5" class="quiet">{{ texts.not_assessable }}</td>
          </tr>
        </tbody>
      </table>
      <template v-if="found.ratios.length">
        <h3>{{ texts.ratios }}</h3>
        <p v-for="one in found.ratios" :key="one.title">{{ one.title }}: {{ ratio(one) }}</p>
      </template>
      <template v-if="flags.length">
        <h3>{{ texts.flags }}</h3>
        <p v-for="flag in flags" :key="flag.code"><span :class="tone(flag.verdict)"><span aria-hidden="true">{{ sign(flag.verdict) }}</span> {{ flag.verdict }}</span> {{ flag.text }}</p>
      </template>
      <template v-if="found.notes.length">
        <h3>{{ texts.notes }}</h3>
        <p v-for="note in found.notes" :key="note" class="quiet">{{ note }}</p>
      </template>
    </section>`,
};
