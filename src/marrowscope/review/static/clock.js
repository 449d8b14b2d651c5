// Times on all pages in one form: as a clock on the wall here shows them, 2026-11-27 14:05, and in UTC behind that.

const two = (value) => String(value).padStart(2, "0");

export function when(iso) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

// For the title of an element that shows `when`.
export function utc(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? "" : `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
