// Keys of the slide. Plain letters and digits are types, as in the gallery; what belongs to the view is typed with Shift,
// so that no slip of a finger gives a cell another type.

const STEP = 120; // px that an arrow moves the map

export const KEYS = [
  ["← ↑ → ↓", "key_pan"],
  ["+ −", "key_zoom"],
  ["Home", "key_whole"],
  ["Shift C", "key_colour"],
  ["Shift R", "key_regions"],
  ["Shift F", "key_fields"],
  ["Shift O", "key_cells"],
  ["Shift N", "key_add"],
  ["Space", "key_choose"],
  ["A–Z 0–9", "key_types"],
  ["Enter", "key_confirm"],
  ["Delete", "key_delete"],
  ["Alt + ← ↑ → ↓", "key_move"],
  ["Alt Shift + ← ↑ → ↓", "key_resize"],
  ["Ctrl Z", "key_undo"],
  ["Ctrl Y", "key_redo"],
  ["Esc", "key_leave"],
  ["?", "key_help"],
];

const TYPING = "input:not([type=checkbox]), select, textarea, dialog, [contenteditable]";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// `view`: what the keys do, see viewer_element.js. True when the key was one of ours.
export function onKey(event, view) {
  const { key, target } = event;
  if (event.defaultPrevented || target.closest?.(TYPING)) return false;
  const control = event.ctrlKey || event.metaKey;
  if (control && !event.altKey) {
    if (event.repeat && /^[zy]$/i.test(key)) return true; // a key held down changes one thing once
    if (/^z$/i.test(key)) event.shiftKey ? view.redo() : view.undo();
    else if (/^y$/i.test(key)) view.redo();
    else return false;
    return true;
  }
  if (ARROWS[key]) {
    const [across, down] = ARROWS[key];
    if (event.altKey) view.nudge(across, down, event.shiftKey);
    else view.slide.pan(across * STEP, down * STEP);
    return true;
  }
  if (control || event.altKey) return false;
  const pressing = target.closest?.("button, a, input"); // Enter and Space are theirs
  switch (key) {
    case "+":
    case "=":
      view.slide.zoom(1);
      return true;
    case "-":
      view.slide.zoom(-1);
      return true;
    case "Home":
      view.slide.whole();
      return true;
  }
  if (event.repeat) return !pressing && !event.shiftKey;
  switch (key) {
    case "Delete":
    case "Backspace":
      view.remove();
      return true;
    case "Escape":
      view.leave();
      return true;
    case "?":
      view.help();
      return true;
    case "Enter":
      if (pressing) return false;
      view.enter();
      return true;
    case " ":
      if (pressing) return false;
      view.chooseMiddle();
      return true;
  }
  if (event.shiftKey) {
    const does = { C: "colour", R: "toggleRegions", F: "toggleFields", O: "toggleCells", N: "add" }[key.toUpperCase()];
    if (does) view[does]();
    return !!does;
  }
  return view.typed(key.toLowerCase());
}
