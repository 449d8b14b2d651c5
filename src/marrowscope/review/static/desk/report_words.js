// Words about the case: identifiers, comments, conclusion. Each field keeps itself; what is not kept says so and stays.

import { get } from "marrowscope-review/api.js";
import { fill, told } from "marrowscope-review/desk/words.js";
import { newEdit, sendEdit } from "marrowscope-review/edit_request.js";

const PAUSE = 1200;
const AGAIN = 5000;

// state: kept, changed, saving, failed (tried again), refused (not tried again), conflict (`theirs` stands against it).
const fresh = (text, n) => ({ text, kept: text, n, state: "kept", saved: false, words: "", theirs: "", timer: 0, asked: null });

// Words that are not kept yet outlive a page that is loaded anew, in this tab alone and until they are kept.
const place = (number, name) => `marrowscope words ${number} ${name}`;
const drafted = (number, name) => JSON.parse(sessionStorage.getItem(place(number, name)) ?? "null");

export default {
  props: { texts: Object, found: Object, comments: Array, identifiers: Array, days: Array, others: Array, locked: Boolean },
  emits: ["kept"],
  data: () => ({ fields: {} }),
  computed: {
    names() {
      return [...this.comments, "conclusion", "earlier_case", ...this.identifiers];
    },
    open() {
      return Object.values(this.fields).some((field) => field.state !== "kept");
    },
  },
  watch: {
    // What others wrote is shown at once where nobody types; a field in work is kept as it is and conflicts when saved.
    found: {
      immediate: true,
      handler() {
        for (const name of this.names) {
          const text = this.found.words[name] ?? "";
          const field = this.fields[name];
          if (!field) this.fields[name] = this.begun(name, text);
          else if (field.state === "kept") Object.assign(field, { text, kept: text, n: this.found.n });
        }
      },
    },
  },
  created() {
    this.own = new Set();
  },
  mounted() {
    this.leave = (event) => this.open && event.preventDefault();
    this.hide = () => document.visibilityState === "hidden" && this.flush();
    window.addEventListener("beforeunload", this.leave);
    document.addEventListener("visibilitychange", this.hide);
  },
  beforeUnmount() {
    window.removeEventListener("beforeunload", this.leave);
    document.removeEventListener("visibilitychange", this.hide);
    for (const field of Object.values(this.fields)) clearTimeout(field.timer);
  },
  methods: {
    fill,
    begun(name, text) {
      const field = fresh(text, this.found.n);
      const draft = this.locked ? null : drafted(this.found.case, name);
      if (draft && draft.text !== text) {
        Object.assign(field, { text: draft.text, n: draft.n, state: "changed" });
        field.timer = setTimeout(() => this.save(name), PAUSE);
      }
      return field;
    },
    draft(name) {
      const { text, kept, n } = this.fields[name];
      if (text === kept) sessionStorage.removeItem(place(this.found.case, name));
      else sessionStorage.setItem(place(this.found.case, name), JSON.stringify({ text, n }));
    },
    typed(name) {
      const field = this.fields[name];
      this.draft(name);
      if (field.state !== "conflict" && field.state !== "saving") field.state = field.text === field.kept ? "kept" : "changed";
      clearTimeout(field.timer);
      if (field.state === "changed") field.timer = setTimeout(() => this.save(name), PAUSE);
    },
    left(name) {
      if (this.fields[name].state === "changed") this.save(name);
    },
    // Everything that can be kept now; whether nothing is open after that.
    async flush() {
      await Promise.all(this.names.filter((name) => ["changed", "failed", "saving"].includes(this.fields[name].state)).map(this.save));
      return !this.open;
    },
    // The row that the case is at when nobody but this page wrote after row `n`: what others wrote was not seen here.
    known(n) {
      while (this.own.has(n + 1)) n += 1;
      return n;
    },
    // One question at a time a field: who asks while it is being kept waits for that.
    save(name) {
      const field = this.fields[name];
      clearTimeout(field.timer);
      if (field.state !== "saving") field.work = this.send(name);
      return field.work;
    },
    async send(name) {
      const field = this.fields[name];
      const text = field.text;
      Object.assign(field, { state: "saving", words: "" });
      try {
        // The same words are asked again as the same edit: the server may have kept them without our having heard.
        if (field.asked?.edit.text !== text || field.asked.known_n !== field.n) {
          field.asked = newEdit({ kind: "describe", field: name, text }, "main", field.n);
        }
        const { change } = await sendEdit(`/cases/${this.found.case}`, field.asked);
        this.own.add(change.n);
        Object.assign(field, { asked: null, kept: text, n: change.n, saved: true, state: field.text === text ? "kept" : "changed" });
        this.draft(name);
        if (field.state === "changed") this.save(name);
        this.$emit("kept");
      } catch (error) {
        await this.failed(name, error);
      }
    },
    async failed(name, error) {
      const field = this.fields[name];
      field.words = told(error, this.texts);
      if (error.kind === "conflict") {
        try {
          const now = await get(`/cases/${this.found.case}`);
          Object.assign(field, { state: "conflict", theirs: now.words[name] ?? "", kept: now.words[name] ?? "", n: now.n });
          return;
        } catch {
          /* as any other failure */
        }
      }
      const waits = error.kind === "offline" || error.kind === "storage" || error.status >= 500;
      field.state = waits ? "failed" : "refused";
      if (waits) field.timer = setTimeout(() => this.save(name), AGAIN);
    },
    keepMine(name) {
      this.fields[name].state = "changed";
      this.save(name);
    },
    useTheirs(name) {
      const field = this.fields[name];
      Object.assign(field, { text: field.theirs, kept: field.theirs, state: "kept", words: "" });
      this.draft(name);
    },
    said(name) {
      const field = this.fields[name];
      const words = { changed: "…", saving: this.texts.saving, kept: field.saved ? this.texts.kept : "" };
      return words[field.state] ?? "";
    },
    title(name) {
      return this.texts[`field_${name}`] ?? name;
    },
  },
  components: {
    // The state of one field, below it.
    FieldState: {
      props: { field: Object, words: String, texts: Object },
      emits: ["mine", "theirs"],
      template: `
        <div class="kept" aria-live="polite">
          <span v-if="field.state === 'conflict'" role="alert" class="bad">{{ field.words }}
            <br><span class="quiet">{{ texts.theirs }}</span> “{{ field.theirs }}”<br>
            <button type="button" class="plain small" @click="$emit('mine')">{{ texts.keep_mine }}</button>
            <button type="button" class="plain small" @click="$emit('theirs')">{{ texts.use_theirs }}</button>
          </span>
          <span v-else-if="field.state === 'failed' || field.state === 'refused'" role="alert" class="bad">✘ {{ texts.not_kept }} {{ field.words }}</span>
          <span v-else class="quiet still">{{ words }}</span>
        </div>`,
    },
  },
  template: `
    <section id="comments" class="card" :aria-label="texts.comments">
      <h2>{{ texts.comments }}</h2>
      <div class="worded">
        <label class="field">{{ title("conclusion") }}
          <textarea v-model="fields.conclusion.text" name="conclusion" rows="3" maxlength="20000" :disabled="locked" @input="typed('conclusion')" @blur="left('conclusion')"></textarea>
        </label>
        <field-state :field="fields.conclusion" :words="said('conclusion')" :texts="texts" @mine="keepMine('conclusion')" @theirs="useTheirs('conclusion')"></field-state>
      </div>
      <div class="pair">
        <div v-for="name in comments" :key="name" class="worded">
          <label class="field">{{ title(name) }}
            <textarea v-model="fields[name].text" :name="name" rows="2" maxlength="20000" :disabled="locked" @input="typed(name)" @blur="left(name)"></textarea>
          </label>
          <field-state :field="fields[name]" :words="said(name)" :texts="texts" @mine="keepMine(name)" @theirs="useTheirs(name)"></field-state>
        </div>
      </div>
    </section>
    <section id="specimen" class="card" :aria-label="texts.specimen">
      <h2>{{ texts.specimen }}</h2>
      <p class="quiet">{{ texts.specimen_words }}</p>
      <div class="pair">
        <div v-for="name in identifiers" :key="name" class="worded">
          <label class="field">{{ title(name) }}
            <input v-model="fields[name].text" :name="name" :type="days.includes(name) ? 'date' : 'text'" maxlength="400" autocomplete="off" :disabled="locked" @input="typed(name)" @blur="left(name)">
          </label>
          <field-state :field="fields[name]" :words="said(name)" :texts="texts" @mine="keepMine(name)" @theirs="useTheirs(name)"></field-state>
        </div>
        <div class="worded">
          <label class="field">{{ title("earlier_case") }}
            <select v-model="fields.earlier_case.text" name="earlier_case" :disabled="locked" @change="typed('earlier_case'); left('earlier_case')">
              <option value="">{{ texts.no_earlier }}</option>
              <option v-for="one in others" :key="one.case" :value="String(one.case)">{{ one.title }} ({{ one.case }})</option>
            </select>
          </label>
          <field-state :field="fields.earlier_case" :words="said('earlier_case')" :texts="texts" @mine="keepMine('earlier_case')" @theirs="useTheirs('earlier_case')"></field-state>
        </div>
      </div>
    </section>`,
};
