// Edits on their way to the server, and what others changed meanwhile.
//
// An edit is shown at once and sent after the one before it has been answered. When it is refused, or the server does not
// answer, it and those behind it are taken off the page again, and said so: nothing stays half.

import { ApiError, poll } from "../api.js";
import { newEdit, sendEdit } from "../edit_request.js";
import { LOOKED, REMOVED, bySlide } from "./cells.js";

const EVERY = 3000;

export class Edits {
  // `n`: the last row of the log that the columns hold. `on`: { changed(cells), now(answer), refused(error, edits),
  // others(change), offline(bool) }.
  // `proposes`: this person's word on a difference is a proposal.
  constructor({ base, reading, actor, proposes, cells, n, on }) {
    Object.assign(this, { base, reading, actor, proposes, cells, n, on });
    this.newest = n; // of all answers that were taken up
    this.waiting = [];
    this.sending = false;
    this.polling = null;
    this.offline = false;
  }

  // `edit`: as the interface wants it, without the cells; `cells`: their numbers on the page.
  make(edit, cells = []) {
    const shown = { edit, cells: new Set(cells), type: edit.type, bits: LOOKED | (edit.kind === "delete" ? REMOVED : 0) };
    shown.waits = new Set(this.proposes ? cells.filter((cell) => this.cells.unsettled(cell)) : []);
    const asked = edit.kind === "retype" ? { kind: "retype", to: edit.to } : { kind: edit.kind };
    if (cells.length) asked.cells = bySlide(cells);
    shown.asked = newEdit(asked, this.reading, this.n); // what the person sees now, not when its turn comes
    if (cells.length) this.cells.show(shown);
    shown.kept = new Promise((resolve) => (shown.resolve = resolve));
    this.waiting.push(shown);
    this.send();
    return shown.kept;
  }

  get busy() {
    return this.waiting.length > 0;
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    while (this.waiting.length) {
      const shown = this.waiting[0];
      try {
        const answer = await sendEdit(this.base, shown.asked);
        this.waiting.shift();
        let touched = [];
        const changed = this.cells.changes(() => {
          touched = this.cells.take(answer.change.cells);
          this.cells.settle(shown);
        });
        const missed = answer.change.n !== this.n + 1;
        if (!missed) this.n = answer.change.n;
        this.newest = Math.max(this.newest, answer.n);
        this.tellOffline(false);
        this.on.now(answer);
        if (changed) this.on.changed(); // mostly it is what was shown before
        shown.resolve({ change: answer.change, touched });
        if (missed) this.poll();
      } catch (error) {
        this.giveUp(error);
      }
    }
    this.sending = false;
  }

  // The first edit was refused: take it off, and those behind it, which were made upon what it showed.
  giveUp(error) {
    if (!(error instanceof ApiError)) console.error(error);
    const lost = this.waiting.splice(0);
    for (const shown of [...lost].reverse()) this.cells.settle(shown);
    this.tellOffline(error.status === 0);
    this.on.changed();
    this.on.refused(error, lost);
    for (const shown of lost) shown.resolve(null);
    this.poll();
  }

  // Ask what others changed: now, and then again and again while the page is looked at.
  async poll() {
    clearTimeout(this.timer);
    this.polling?.abort();
    const mine = (this.polling = new AbortController());
    try {
      const path = `${this.base}/changes?since=${this.n}&reading=${encodeURIComponent(this.reading)}`;
      const answer = await poll(path, { signal: mine.signal });
      if (mine.signal.aborted) return;
      this.tellOffline(false);
      this.take(answer);
    } catch (error) {
      if (mine.signal.aborted) return;
      this.tellOffline(error.status === 0);
      if (error.status) this.on.refused(error, []);
    }
    this.timer = setTimeout(() => (document.visibilityState === "visible" ? this.poll() : this.whenVisible()), EVERY);
  }

  whenVisible() {
    document.addEventListener("visibilitychange", () => this.poll(), { once: true });
  }

  take(answer) {
    // An answer from before an edit of this page that was answered meanwhile would bring old values back.
    if (answer.n < this.newest) return;
    const before = this.n;
    this.n = this.newest = answer.n;
    const changed = this.cells.changes(() => answer.changes.forEach((change) => this.cells.take(change.cells)));
    if (answer.n > before) this.on.now(answer);
    if (changed) this.on.changed();
    // One's own, when none is on its way: made in another window.
    const others = (change) => change.n > before && (change.actor !== this.actor || !this.waiting.length);
    for (const change of answer.changes) if (others(change)) this.on.others(change);
  }

  tellOffline(offline) {
    if (offline !== this.offline) this.on.offline((this.offline = offline));
  }

  stop() {
    clearTimeout(this.timer);
    this.polling?.abort();
  }
}
