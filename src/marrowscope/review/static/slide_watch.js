// Why pictures of a slide do not come, asked once however many are missing; and, calmly, when they will come again.

import { ApiError, poll } from "./api.js";

const EVERY = 3000; // ms between two questions for a slide that is away

export class SlideWatch {
  // `path`: of the slide. `on`: { gone(message), back(about), damaged(message) }; `gone` with an empty message: the server
  // does not answer, which the page says anyway.
  constructor(path, on) {
    Object.assign(this, { path, on, away: false, asking: false });
  }

  // A picture did not come. `address`: of that picture, to learn what is wrong with it alone.
  async check(address = null) {
    if (this.asking || this.away) return;
    this.asking = true;
    try {
      await poll(this.path);
      if (address) await this.why(address);
    } catch (error) {
      this.lost(error);
    } finally {
      this.asking = false;
    }
  }

  async why(address) {
    const asked = fetch(address, { credentials: "same-origin", headers: { "X-Background": "1" } });
    const response = await asked.catch(() => {
      throw new ApiError(0, "offline", "");
    });
    if (response.ok) {
      if (performance.now() - (this.came ?? -EVERY) < EVERY) return; // one picture that never comes redraws no others
      this.came = performance.now();
      return this.on.back(await poll(this.path)); // it was a moment's fault
    }
    this.on.damaged((await response.json()).message ?? response.statusText);
  }

  // The slide is known to be away.
  lost(error) {
    if (this.away || this.stopped) return;
    if (error.kind !== "gone" && error.status !== 0) return this.on.damaged(error.message);
    this.away = true;
    this.on.gone(error.message);
    this.later();
  }

  later() {
    this.timer = setTimeout(async () => {
      let about = null;
      try {
        about = document.hidden ? null : await poll(this.path);
      } catch (error) {
        if (error.kind === "gone" && !this.stopped) this.on.gone(error.message); // at first the server may have been away
      }
      if (this.stopped) return;
      if (!about) return this.later();
      this.away = false;
      this.on.back(about);
    }, EVERY);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
  }
}
