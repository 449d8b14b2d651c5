"""What a file of annotations says, before its words are understood and its boxes are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import polars as pl
from shapely.geometry import Polygon

from marrowscope.annotations.table import CORNERS
from marrowscope.errors import DataError
from marrowscope.geometry import Size, Spacing

DRAWN_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(),
    "name": pl.String(),
    **{corner: pl.Float64() for corner in CORNERS},
}
"""``id`` null where the format has none; ``name`` is the class in the file's own words; level-0 pixels."""

Row = tuple[str | None, str, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Boxes (:data:`DRAWN_SCHEMA`) and areas of complete annotation, in level-0 pixels of the slide's whole frame.

    ``holes`` are ``x0, y0, x1, y1`` of what was left out and may be a cell: there no area is complete.

    ``size`` (pixels) and ``spacing`` (um per pixel) are what the file says of its picture; None where it says nothing.
    """

    boxes: pl.DataFrame
    areas: tuple[Polygon, ...] = ()
    notes: tuple[str, ...] = ()
    size: Size | None = None
    spacing: Spacing | None = None
    holes: tuple[tuple[float, float, float, float], ...] = ()


def boxes_of(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a table of :data:`DRAWN_SCHEMA`."""
    return pl.DataFrame(rows, schema=DRAWN_SCHEMA, orient="row")


def number(value: Any, what: str, path: Path) -> float:
    """A finite number from a file, also spelled as text. Raises ``DataError`` naming ``what`` for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if isinstance(value, bool) or not isfinite(found):
        raise DataError(f"{path}: {what} is {value!r}, expected a number; export the annotations again")
    return found


def slide_facts(name: str, size: Size, spacing: Spacing | None) -> dict[str, Any]:
    """What files of ours say of their slide, so that another spacing or slide is noticed when they come back."""
    return {"name": name, "size": list(size), "spacing": None if spacing is None else [spacing.x, spacing.y]}


def told_facts(facts: Any) -> tuple[Size | None, Spacing | None]:
    """Size and spacing out of :func:`slide_facts`; None for what is missing or damaged."""
    if not isinstance(facts, dict):
        return None, None
    try:
        size = Size(*map(int, facts["size"])) if facts.get("size") else None
        spacing = Spacing(*map(float, facts["spacing"])) if facts.get("spacing") else None
    except (TypeError, ValueError):
        return None, None
    return size, spacing
