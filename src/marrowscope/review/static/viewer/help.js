// The list of keys.

import { KEYS } from "./keyboard.js";
import { speaker } from "./words.js";

export default {
  props: { given: Object },
  template: `
    <dialog ref="dialog" class="viewer-help" :aria-label="say('help_title')" @click="$event.target === $refs.dialog && $refs.dialog.close()">
      <h2>{{ say('help_title') }}</h2>
      <div class="columns">
        <table><tbody><tr v-for="[key, name] in keys" :key="name"><th scope="row"><kbd>{{ key }}</kbd></th><td>{{ say(name) }}</td></tr></tbody></table>
        <table><tbody><tr v-for="type in typed" :key="type.name"><th scope="row"><kbd>{{ type.key.toUpperCase() }}</kbd></th><td>{{ type.title }}</td></tr></tbody></table>
      </div>
      <form method="dialog"><button class="plain">{{ say('close') }}</button></form>
    </dialog>`,
  data: () => ({ keys: KEYS }),
  computed: {
    say() {
      return speaker(this.given.words);
    },
    typed() {
      return this.given.types.filter((type) => type.key);
    },
  },
  methods: {
    open() {
      this.$refs.dialog.showModal();
    },
  },
};
