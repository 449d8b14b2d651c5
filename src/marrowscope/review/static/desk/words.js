// Words for people: places filled in, numbers, times (clock.js), and errors of the interface as sentences.

export { utc, when } from "../clock.js";

export function fill(words, values = {}) {
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

export const number = (value) => Number(value).toLocaleString("en-US");

// Cut, not rounded: 550 of 551 cells are not all.
export const percent = (share) => `${Math.floor(100 * share + 1e-6)}\u202f%`;

// `texts.errors` holds the words for what the server could not say itself.
export function told(error, texts) {
  if (error?.kind === "offline") return texts.errors.offline;
  if (error?.status === 401) return texts.errors.logged_out;
  return error?.message || texts.errors.unforeseen;
}

// Calls `work` now and every so many milliseconds while the page is looked at; gives the way to stop it.
export function repeatedly(work, milliseconds) {
  const tick = () => document.visibilityState === "visible" && work();
  const timer = setInterval(tick, milliseconds);
  document.addEventListener("visibilitychange", tick);
  work();
  return () => {
    clearInterval(timer);
    document.removeEventListener("visibilitychange", tick);
  };
}
