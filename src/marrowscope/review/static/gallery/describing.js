// One cell in words: what the picture shows, for those who hear the page.

import { certainty } from "../certainty.js";
import { DIFFERS, LOOKED, OUTSIDE, PROPOSED, REMOVED, rowOf, slideOf } from "./cells.js";

export function describe(gallery, cell) {
  const { cells, bits, layout, say } = gallery;
  const [state, flags] = [cells.get(cell, "state"), cells.get(cell, "flags")];
  const group = layout.groupOf(layout.indexOf(cell));
  const several = gallery.given.slides.length > 1;
  return [
    gallery.types[cells.get(cell, "type")].title,
    cells.added(cell) ? say("mark_added") : say("certainty", { percent: certainty(cells.get(cell, "certainty") / 255) }),
    state & LOOKED ? say("mark_looked") : say("not_looked"),
    !(state & LOOKED) && flags & bits.unsure && say("mark_unsure"),
    flags & bits.anomalous && say("mark_anomalous"),
    state & DIFFERS && say("mark_differs"),
    state & (3 * PROPOSED) && say("mark_proposed"),
    state & OUTSIDE && say("mark_outside"),
    state & REMOVED && say("mark_deleted"),
    group && say("place_in_group", { at: layout.indexOf(cell) - group.from + 1, of: group.to - group.from }),
    several && say("slide_number", { slide: slideOf(cell) + 1 }),
    say("cell_number", { row: String(rowOf(cell)) }),
  ]
    .filter(Boolean)
    .join(", ");
}
