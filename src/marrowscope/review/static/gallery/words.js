// Words of the catalogue with their {values} filled in, and numbers as the page's language writes them.

const LANGUAGE = document.documentElement.lang || "en";

export function number(value, digits = 0) {
  return value.toLocaleString(LANGUAGE, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export { utc, when } from "../clock.js";

// A speaker for one part of the catalogue. With a value `n`, numbers of one take the words of `KEY_one`.
export function speaker(words) {
  return (key, values = {}) => {
    const found = (values.n === 1 && words[`${key}_one`]) || words[key] || key;
    return found.replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name] ?? "";
      return typeof value === "number" ? number(value) : value;
    });
  };
}
