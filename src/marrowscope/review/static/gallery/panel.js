// The differential beside the cells: types with counts, percentages and intervals, ratios, flags, what is left to do.
// Its rows are places to drop cells on, and lead to their group.

import { number, speaker } from "./words.js";

export const Panel = {
  props: { now: Object, types: Array, words: Object, counts: Object, perType: Array, drop: Number, offline: Boolean },
  emits: ["jump", "queue"],
  template: `
    <section class="gallery-panel" :aria-label="say('panel')">
      <template v-if="now">
        <div class="looked">
          <div class="looked-words">
            <strong>{{ say('looked_at', { looked: now.looked.looked, cells: now.looked.cells }) }}</strong>
          </div>
          <div class="bar" aria-hidden="true"><i :style="{ width: share + '%' }"></i></div>
          <div class="left">
            <button v-for="queue in left" :key="queue" type="button" class="link" @click="$emit('queue', queue)">
              {{ say('left_' + queue, { n: counts[queue] }) }}
            </button>
            <span v-if="!left.length" class="quiet">{{ say('nothing_left') }}</span>
          </div>
        </div>
        <h2>{{ differential.title }}</h2>
        <p class="quiet">{{ say('of_cells', { total: differential.total, detected: differential.detected }) }}</p>
        <table :aria-label="differential.title">
          <colgroup><col><col class="n"><col class="percent"><col class="interval"></colgroup>
          <thead><tr>
            <th scope="col">{{ say('column_type') }}</th><th scope="col" class="figure">{{ say('column_count') }}</th>
            <th scope="col" class="figure">%</th><th scope="col" class="figure">{{ say('column_interval') }}</th>
          </tr></thead>
          <tbody>
            <tr v-for="row in rows" :key="row.code" :data-type="row.code" :class="{ dropping: drop === row.code, none: !row.here }">
              <th scope="row"><button type="button" class="type" @click="$emit('jump', row.code)" :title="row.note ?? row.title">
                <i class="swatch" :style="{ background: row.colour }"></i><span>{{ row.title }}</span><kbd v-if="row.key">{{ row.key }}</kbd>
              </button></th>
              <template v-if="row.more"><td class="figure">{{ cells(row) }}</td><td colspan="2"></td></template>
              <template v-else-if="row.assessable">
                <td class="figure">{{ whole(row.count) }}</td><td class="figure">{{ one(row.percent) }}</td>
                <td class="figure quiet">{{ row.low === null ? "–" : one(row.low) + "–" + one(row.high) }}</td>
              </template>
              <td v-else colspan="3" class="figure quiet">{{ say('not_assessable') }}</td>
            </tr>
          </tbody>
          <thead><tr><th scope="col" colspan="4">{{ say('outside') }}</th></tr></thead>
          <tbody>
            <tr v-for="row in outside" :key="row.code" :data-type="row.code" :class="{ dropping: drop === row.code, none: !row.here }">
              <th scope="row"><button type="button" class="type" @click="$emit('jump', row.code)">
                <i class="swatch" :style="{ background: row.colour }"></i><span>{{ row.title }}</span><kbd v-if="row.key">{{ row.key }}</kbd>
              </button></th>
              <td class="figure">{{ cells(row) }}</td><td colspan="2"></td>
            </tr>
          </tbody>
        </table>
        <p class="quiet small">{{ say('interval_means') }}</p>
        <h2>{{ say('ratios') }}</h2>
        <dl><template v-for="ratio in differential.ratios" :key="ratio.title">
          <dt>{{ ratio.title }}</dt>
          <dd v-if="ratio.withheld" class="quiet">{{ ratio.withheld }}</dd>
          <dd v-else><strong>{{ ratio.value === null ? '–' : two(ratio.value) }}</strong>
            <span class="quiet">({{ two(ratio.low) }}–{{ ratio.high === null ? say('open_above') : two(ratio.high) }})</span></dd>
        </template></dl>
        <h2>{{ say('flags') }}</h2>
        <ul class="flags"><li v-for="flag in differential.flags" :key="flag.code">
          <div class="flag"><strong>{{ flag.title }}</strong>
            <span class="verdict" :class="flag.verdict.replace(' ', '-')">{{ say('verdict_' + flag.verdict.replace(' ', '_')) }}</span></div>
          <div class="quiet">{{ flag.text }}</div>
        </li></ul>
      </template>
      <p v-else class="quiet">{{ say('loading') }}</p>
    </section>`,
  computed: {
    say() {
      return speaker(this.words);
    },
    differential() {
      return this.now.differential;
    },
    share() {
      return this.now.looked.cells ? (100 * this.now.looked.looked) / this.now.looked.cells : 0;
    },
    left() {
      return ["unsure", "anomalous", "differing"].filter((queue) => this.counts[queue]);
    },
    rows() {
      const told = this.differential.rows.map((row) => ({ ...row, ...this.known(row.type), percent: row.percent_rounded }));
      return [...told, ...this.more(true).map((row) => ({ ...row, more: true }))];
    },
    outside() {
      return this.more(false);
    },
  },
  methods: {
    known(name) {
      const code = this.types.findIndex((type) => type.name === name);
      const { title, colour, key } = this.types[code];
      return { code, name, title, colour, key, here: this.perType[code] ?? 0 };
    },
    // Types that the differential has no row of.
    more(counted) {
      const told = new Set(this.differential.rows.map((row) => row.type));
      return this.types.filter((type) => type.counted === counted && !told.has(type.name)).map((type) => this.known(type.name));
    },
    // Of a type that the pack cannot see none is no finding.
    cells(row) {
      return row.here || this.differential.others.some((other) => other.type === row.name) ? number(row.here) : "–";
    },
    whole: (value) => number(value ?? 0),
    // A case of which no cell counts has no percentages.
    one: (value) => (value == null ? "–" : number(value, 1)),
    two: (value) => (value == null ? "–" : number(value, 2)),
  },
};
