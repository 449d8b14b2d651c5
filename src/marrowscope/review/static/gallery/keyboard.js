// The keys of the gallery. Letters count only while the cells have the focus, so that nobody gives types by typing.

const NEXT = { ArrowRight: 1, ArrowLeft: -1 };
const ROWS = { ArrowDown: 1, ArrowUp: -1 };

export function onKey(event, gallery, { openTypes, openHelp, cancelDrag, dragging }) {
  if (!gallery.layout || event.defaultPrevented || event.target.closest("dialog, input, select, textarea")) return;
  const handled = command(event, gallery) || (atCells(event, gallery) && key(event, gallery));
  if (handled) event.preventDefault();

  function atCells() {
    return event.target === document.body || event.target === gallery.scroller;
  }

  // Undo and redo, wherever the focus is outside a field.
  function command() {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return false;
    const letter = event.key.toLowerCase();
    if (event.repeat && (letter === "z" || letter === "y")) return true; // a key held down takes back one edit
    if (letter === "z" && !event.shiftKey) gallery.undo();
    else if (letter === "y" || (letter === "z" && event.shiftKey)) gallery.redo();
    else if (letter === "a" && atCells()) chooseGroup();
    else return false;
    return true;
  }

  function chooseGroup() {
    const { layout, selection } = gallery;
    const index = selection.cursor === null ? 0 : layout.indexOf(selection.cursor);
    const group = layout.groupOf(index);
    if (group) selection.all(layout.ids.slice(group.from, group.to));
    gallery.tell();
  }

  function key() {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const { layout, selection } = gallery;
    const at = selection.cursor === null ? -1 : layout.indexOf(selection.cursor);
    const pageRows = Math.max(1, Math.floor(gallery.canvas.height / layout.step) - 1);
    const extend = event.shiftKey;
    switch (event.key) {
      case "ArrowRight":
      case "ArrowLeft":
        gallery.move(at < 0 ? 0 : at + NEXT[event.key], extend);
        return true;
      case "ArrowDown":
      case "ArrowUp":
        gallery.move(at < 0 ? 0 : layout.rowsFrom(at, ROWS[event.key]), extend);
        return true;
      case "PageDown":
      case "PageUp":
        gallery.move(at < 0 ? 0 : layout.rowsFrom(at, event.key === "PageDown" ? pageRows : -pageRows), extend);
        return true;
      case "Home":
        gallery.move(0, extend);
        return true;
      case "End":
        gallery.move(layout.ids.length - 1, extend);
        return true;
      case "Enter":
      case " ":
        if (!event.repeat) gallery.confirm(); // a key held down looks at nothing
        return true;
      case "Delete":
        if (!event.repeat) gallery.remove();
        return true;
      case "Escape":
        if (dragging()) cancelDrag();
        else selection.clear();
        gallery.tell();
        return true;
      case "+":
      case "=":
        gallery.zoom(gallery.ui.size * 1.2);
        return true;
      case "-":
        gallery.zoom(gallery.ui.size / 1.2);
        return true;
      case "/":
      case "ContextMenu":
        openTypes();
        return true;
      case "?":
        openHelp();
        return true;
    }
    if (event.shiftKey || event.repeat) return false;
    const type = gallery.types.findIndex((other) => other.key === event.key.toLowerCase());
    if (type < 0) return false;
    gallery.retype(type);
    return true;
  }
}
