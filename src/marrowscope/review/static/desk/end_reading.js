// Ends the reading by two observers, with a reason: for signers.

export default {
  props: { texts: Object },
  emits: ["end"],
  data: () => ({ reason: "" }),
  methods: {
    ask() {
      this.reason = "";
      this.$refs.dialog.showModal();
    },
    end() {
      this.$refs.dialog.close();
      this.$emit("end", this.reason.trim());
    },
  },
  template: `
    <div class="row"><button type="button" class="plain" @click="ask">{{ texts.end }}</button></div>
    <dialog ref="dialog" class="question" aria-labelledby="end-title">
      <form class="stack" @submit.prevent="end">
        <h2 id="end-title">{{ texts.end_title }}</h2>
        <p>{{ texts.end_words }}</p>
        <label class="field">{{ texts.end_reason }}<textarea v-model="reason" name="reason" rows="2" minlength="3" maxlength="2000" required></textarea></label>
        <div class="row"><span class="space"></span>
          <button type="button" class="plain" @click="$refs.dialog.close()">{{ texts.end_no }}</button>
          <button type="submit" class="plain strong" :disabled="reason.trim().length < 3">{{ texts.end_yes }}</button></div>
      </form>
    </dialog>`,
};
