// A reading of a case as this page knows it: edits to the server, and what others changed meanwhile.

import { get, post } from "../api.js";

const EVERY = 3000; // ms between two questions for changes
const NONE_YET = 2 ** 31 - 1; // "since" this row nothing was changed: only the answer's own number is wanted

export class Review {
  // `on`: { changed(rows, mine, boxes), now(answer), offline(bool), failed(error) }.
  constructor(base, reading, on) {
    Object.assign(this, { base, reading, on, n: 0, busy: 0 });
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
  async edit(edit, boxes = null) {
    this.busy++;
    try {
      const answer = await post(`${this.base}/edits`, { edit, reading: this.reading, known_n: this.n });
      const { change } = answer;
      this.on.offline(false);
      if (change.n === this.n + 1) {
        this.n = change.n;
        this.on.changed([change], true, boxes);
        this.on.now(answer);
      } else await this.poll();
      return change;
    } finally {
      this.busy--;
    }
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
      if (!this.busy && !document.hidden) await this.poll();
      if (!this.stopped) this.later();
    }, EVERY);
  }

  ask(since) {
    return get(`${this.base}/changes?reading=${encodeURIComponent(this.reading)}&since=${since}`);
  }
}
