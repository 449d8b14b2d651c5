// The types: what the colours mean, and where one is chosen for a cell.

export default {
  props: { types: Array, current: String, counts: Object, choose: Boolean, label: String },
  emits: ["chosen"],
  template: `
    <ul class="viewer-types" :aria-label="label">
      <li v-for="type in types" :key="type.name">
        <component :is="choose ? 'button' : 'span'" :type="choose ? 'button' : null" :class="['type', { current: type.name === current }]"
          :aria-pressed="choose ? type.name === current : null" @click="choose && $emit('chosen', type.name)">
          <i :style="{ background: type.colour }"></i><span class="name">{{ type.title }}</span>
          <span v-if="counts" class="count">{{ (counts[type.name] ?? 0).toLocaleString() }}</span>
          <kbd v-if="choose && type.key">{{ type.key.toUpperCase() }}</kbd>
        </component>
      </li>
    </ul>`,
};
