// A reading of a case as this page knows it: edits to the server, and what others changed meanwhile.

import { poll } from "../api.js";
import { newEdit, sendEdit } from "../edit_request.js";

const EVERY = 3000; // ms between two questions for changes
const NONE_YET = 2 ** 31 - 1; // "since" this row nothing was changed: only the answer's own number is wanted

export class Review {
  // `on`: { changed(rows, mine, boxes), now(answer), offline(bool), failed(error) }.
  constructor(base, reading, on) {
    Object.assign(this, { base, reading, on, n: 0, waiting: [], sending: false });
  }

  async start() {
    const told = await this.ask(NONE_YET);
    this.n = told.n;
    this.on.now(told);
    this.later();
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  // The change as the server kept it; raises ApiError when it was not kept. `boxes`: where it shows, null for anywhere.
  edit(edit, boxes = null) {
    const asked = newEdit(edit, this.reading, this.n); // what the person sees now, not when its turn comes
    return new Promise((kept, lost) => {
      this.waiting.push({ asked, boxes, kept, lost });
      this.send();
    });
  }

  // One after the other. Those behind one that is not kept were made upon what it showed: they are lost with it, the last
  // one first, so that each finds what it was made upon.
  async send() {
    if (this.sending) return;
    this.sending = true;
    while (this.waiting.length) {
      const { asked, boxes, kept } = this.waiting[0];
      let answer;
      try {
        answer = await sendEdit(this.base, asked);
      } catch (error) {
        for (const { lost } of this.waiting.splice(0).reverse()) lost(error);
        continue;
      }
      this.waiting.shift();
      this.on.offline(false);
      if (answer.change.n === this.n + 1) {
        this.n = answer.change.n;
        this.on.changed([answer.change], true, boxes);
        this.on.now(answer);
      } else await this.poll();
      kept(answer.change);
    }
    this.sending = false;
  }

  async poll() {
    try {
      const told = await this.ask(this.n);
      this.on.offline(false);
      const rows = told.changes.filter((row) => row.n > this.n);
      const newer = told.n > this.n;
      this.n = Math.max(this.n, told.n);
      if (rows.length) this.on.changed(rows, false, null);
      if (newer) this.on.now(told);
    } catch (error) {
      this.on.offline(error.status === 0);
      if (error.status !== 0) this.on.failed(error);
    }
  }

  later() {
    this.timer = setTimeout(async () => {
      if (!this.sending && !document.hidden) await this.poll();
      if (!this.stopped) this.later();
    }, EVERY);
  }

  ask(since) {
    return poll(`${this.base}/changes?reading=${encodeURIComponent(this.reading)}&since=${since}`);
  }
}
