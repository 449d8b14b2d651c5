// What must be settled, the signature, the signed versions with their frozen files, and opening a case again.

import { poll, post, url } from "marrowscope-review/api.js";
import { fill, repeatedly, told, utc, when } from "marrowscope-review/desk/words.js";
import { newEdit, sendEdit } from "marrowscope-review/edit_request.js";

// What is left to do is a queue of the gallery.
const QUEUES = { unsure: "unsure", differing: "differing", anomalous: "anomalous", looked: "open" };

const EACH = 6000;

// Other reports may have to be made first.
const PATIENCE = 150000;

// `flush` keeps the words of the page; `known` tells which row they lead to from the one that is shown.
export default {
  props: { texts: Object, found: Object, person: Object, flush: Function, known: Function },
  emits: ["changed"],
  data: () => ({ checks: [], accepted: [], name: "", role: "", reason: "", busy: false, fault: "", said: "" }),
  computed: {
    frozen() {
      return this.found.status === "signed";
    },
    barred() {
      return this.checks.filter((check) => !check.met && (check.needed || !this.accepted.includes(check.code)));
    },
  },
  watch: {
    found: { immediate: true, handler: "load" },
  },
  beforeUnmount() {
    this.stop();
  },
  mounted() {
    this.stop = repeatedly(() => this.load(), EACH); // a slide goes and comes without a row of the log
    this.name = this.found.signed.findLast((one) => one.actor === this.person.name)?.name ?? (this.person.login ? this.person.name : "");
    this.role = this.found.signed.findLast((one) => one.actor === this.person.name)?.role ?? "";
  },
  methods: {
    fill,
    utc,
    when,
    others: (files) => Object.keys(files).filter((name) => name !== "report.pdf"),
    href(version, name) {
      return url(`/cases/${this.found.case}/versions/${version}/${encodeURIComponent(name)}`);
    },
    passed(codes) {
      return fill(this.texts.passed_over, { checks: codes.map((code) => this.texts[`passed_${code}`] ?? code).join(", ") });
    },
    mark: (check) => (!check.assessable ? "○" : check.met ? "✔" : check.needed ? "✘" : "!"),
    tone: (check) => (!check.assessable ? "quiet" : check.met ? "good" : check.needed ? "bad" : "warn"),
    queue(check) {
      return !check.met && check.code in QUEUES ? `/cases/${this.found.case}?queue=${QUEUES[check.code]}` : "";
    },
    async load() {
      if (this.frozen) return;
      try {
        this.checks = await poll(`/cases/${this.found.case}/checks`);
        const open = this.checks.filter((check) => !check.met).map((check) => check.code);
        this.accepted = this.accepted.filter((code) => open.includes(code));
      } catch (error) {
        this.fault = told(error, this.texts);
      }
    },
    async sign() {
      await this.does(async () => {
        const shown = this.found.n;
        if (!(await this.flush())) throw { message: this.texts.words_not_kept };
        const body = { name: this.name, role: this.role, accept: this.accepted, n: this.known(shown), earlier: this.found.earlier_version };
        await post(`/cases/${this.found.case}/sign`, body, PATIENCE);
        this.said = fill(this.texts.signed_now, { version: this.found.version });
        this.accepted = [];
      });
    },
    async amend() {
      await this.does(async () => {
        await sendEdit(`/cases/${this.found.case}`, newEdit({ kind: "amend", reason: this.reason }, "main"));
        this.said = this.texts.amended_now;
        this.reason = "";
      });
    },
    async does(work) {
      Object.assign(this, { busy: true, fault: "", said: "" });
      try {
        await work();
      } catch (error) {
        this.fault = told(error, this.texts);
      } finally {
        this.busy = false;
        this.$emit("changed");
      }
    },
  },
  template: `
    <section id="signature" class="card" :aria-label="texts.signature">
      <h2>{{ frozen ? fill(texts.is_signed, { version: found.version }) : fill(texts.to_sign, { version: found.version }) }}</h2>
      <p v-if="found.amending" class="warn">{{ fill(texts.amending, { reason: found.amending }) }}</p>
      <template v-if="!frozen">
        <ul class="checks">
          <li v-for="check in checks" :key="check.code + check.words">
            <span :class="tone(check)" aria-hidden="true">{{ mark(check) }}</span>
            <span>{{ check.words }} <a v-if="queue(check)" :href="queue(check)" :aria-label="texts.show_cells + ': ' + check.words">{{ texts.show_cells }}</a> <span v-if="!check.met && check.needed" class="bad">{{ texts.needed }}</span></span>
            <label v-if="!check.met && !check.needed && person.maySign" class="row"><input v-model="accepted" type="checkbox" :value="check.code" :aria-label="texts.pass_over + ': ' + check.words"> {{ texts.pass_over }}</label>
          </li>
        </ul>
        <form v-if="person.maySign" class="pair" @submit.prevent="sign">
          <label class="field">{{ texts.your_name }}<input v-model="name" name="signer" maxlength="200" required autocomplete="name"></label>
          <label class="field">{{ texts.your_role }}<input v-model="role" name="role" maxlength="200" required :placeholder="texts.role_example"></label>
          <div class="row"><button type="submit" class="plain strong" :disabled="busy || barred.length > 0 || !name.trim() || !role.trim()">{{ busy ? texts.signing : fill(texts.sign, { version: found.version }) }}</button></div>
          <p class="quiet">{{ barred.length ? texts.barred : texts.sign_words }}</p>
        </form>
        <p v-else class="quiet">{{ texts.no_signer }}</p>
      </template>
      <form v-else-if="person.maySign" class="stack" @submit.prevent="amend">
        <p class="quiet">{{ texts.frozen_words }}</p>
        <label class="field">{{ texts.reason }}<textarea v-model="reason" name="reason" rows="2" minlength="3" maxlength="2000" required></textarea></label>
        <div class="row"><button type="submit" class="plain" :disabled="busy || reason.trim().length < 3">{{ texts.amend }}</button></div>
      </form>
      <p v-else class="quiet">{{ texts.frozen_words }} {{ texts.no_amender }}</p>
      <p class="bad notice" role="alert" v-if="fault">✘ {{ fault }}</p>
      <p class="good notice" role="status" aria-live="polite">{{ said }}</p>
      <template v-for="one in [...found.signed].reverse()" :key="one.version">
        <h3 :title="utc(one.at)">{{ fill(texts.version_by, { version: one.version, name: one.name, role: one.role, at: when(one.at) }) }}</h3>
        <p v-if="one.reason" class="quiet">{{ fill(texts.amended_because, { reason: one.reason }) }}</p>
        <p v-if="one.passed_over?.length" class="quiet">{{ passed(one.passed_over) }}</p>
        <p v-if="one.files['report.pdf']"><a class="plain strong button" :href="href(one.version, 'report.pdf')" download>{{ fill(texts.get_pdf, { version: one.version }) }}</a></p>
        <p v-for="(why, file) in one.left_out" :key="file" class="quiet">{{ fill(texts.left_out, { file, why }) }}</p>
        <div class="downloads"><a v-for="file in others(one.files)" :key="file" :href="href(one.version, file)" download>{{ file }}</a></div>
      </template>
    </section>`,
};
