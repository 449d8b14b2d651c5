// Words of the catalogue with their {values} filled in, and numbers as the page's language writes them.

const LANGUAGE = document.documentElement.lang || "en";

export function number(value, digits = 0) {
  return value.toLocaleString(LANGUAGE, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

// A length for people: um below a millimetre.
export function length(um, digits = 0) {
  return um < 1000 ? `${number(um, digits)} µm` : `${number(um / 1000, um < 10000 ? Math.max(digits, 1) : digits)} mm`;
}

// What the server says, as a sentence of its own.
export function sentence(words) {
  return words.replace(/^./, (first) => first.toUpperCase()).replace(/([^.!?])$/, "$1.");
}

export function speaker(words) {
  return (key, values = {}) =>
    (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => {
      const value = values[name] ?? "";
      return typeof value === "number" ? number(value) : value;
    });
}
