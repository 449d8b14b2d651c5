// A cell that two observers read: who calls it what, and whose word settles it. For the gallery and for the slide.

// The colour of a cell that has no type yet.
export const UNSETTLED = "#7a8290";

// `type(name)`: a type of the list; `say`: words of the catalogue; `other`: the other observer, where this person is one
// whose word is a proposal, else ""; `enter`: whether that key is of this cell.
export const Calls = {
  props: { told: Object, type: Function, say: Function, actor: String, other: String, locked: Boolean, enter: { type: Boolean, default: true } },
  emits: ["give", "remove", "agree"],
  template: `
    <div class="calls" v-if="told.calls?.length">
      <h3>{{ say('calls') }}</h3>
      <dl class="facts"><template v-for="call in told.calls" :key="call.observer">
        <dt>{{ call.observer }}</dt><dd>{{ words(call) }}</dd></template></dl>
      <template v-if="told.type === null">
        <p v-if="told.proposal" class="proposal" role="note">{{ own ? say('own_proposal', { other }) : say('proposes', { actor: told.proposal.actor, type: proposed }) }}</p>
        <div v-if="!locked" class="deeds">
          <button v-if="told.proposal && !own" type="button" class="plain strong" @click="$emit('agree')">{{ say('agree') }} <kbd v-if="enter">Enter</kbd></button>
          <button v-for="name in named" :key="name" type="button" class="plain" @click="$emit('give', name)">{{ say(other ? 'propose_as' : 'settle_as', { type: type(name).title }) }}</button>
          <button v-if="told.calls.some((call) => call.type === null)" type="button" class="plain" @click="$emit('remove')">{{ say(other ? 'propose_as' : 'settle_as', { type: say('call_none') }) }}</button>
        </div>
      </template>
    </div>`,
  computed: {
    own() {
      return this.told.proposal?.actor === this.actor;
    },
    named() {
      return [...new Set(this.told.calls.map((call) => call.type).filter(Boolean))];
    },
    proposed() {
      const { kind, payload } = this.told.proposal;
      return kind === "delete" ? this.say("call_none") : this.type(payload.to).title;
    },
  },
  methods: {
    words({ type, looked }) {
      if (type === null) return this.say("call_none");
      const { title } = this.type(type);
      return looked ? title : this.say("call_unlooked", { type: title });
    },
  },
};
