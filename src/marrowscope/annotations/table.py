"""Annotations of one slide: who is where, in level-0 pixels, under the names of the taxonomy.

Frame: boxes are ``[x0, x1) x [y0, y1)`` in level-0 pixels of the slide's whole frame (for MRXS too; only files for
QuPath count from the corner of the scanned part).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import shapely
from shapely.geometry import Polygon

from marrowscope.errors import DataError
from marrowscope.files import whole_file
from marrowscope.geometry import Size
from marrowscope.taxonomy import CELL_TYPES

ANNOTATION_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(),
    "type": pl.String(),
    "x0": pl.Float64(),
    "y0": pl.Float64(),
    "x1": pl.Float64(),
    "y1": pl.Float64(),
}
"""One row a cell: its id, its type (a name of the taxonomy), its box in level-0 pixels."""

CORNERS = ("x0", "y0", "x1", "y1")
_OWN = "marrowscope.annotations"


@dataclass(frozen=True, slots=True)
class Annotations:
    """The annotated cells of one slide.

    ``cells`` follow :data:`ANNOTATION_SCHEMA`; in each of ``areas`` (level-0 pixels) every cell is labelled, and where
    none is given nobody knows (partial annotation); ``notes`` say what was skipped or changed on the way here. Raises
    ``DataError`` for other columns, an unknown type, a box without area or with a corner that is no number, and an id
    that is missing or given twice.
    """

    cells: pl.DataFrame
    areas: tuple[Polygon, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.cells.schema != pl.Schema(ANNOTATION_SCHEMA):
            raise DataError(
                f"annotations need the columns {', '.join(ANNOTATION_SCHEMA)} (String, String, four times Float64), "
                f"found {dict(self.cells.schema)}; use `marrowscope annotations import`"
            )
        wrong = sorted(set(self.cells["type"].to_list()) - set(CELL_TYPES), key=str)
        if wrong:
            raise DataError(f"annotations have types that the taxonomy lacks: {', '.join(map(str, wrong))}")
        finite = pl.all_horizontal(pl.col(name).is_finite().fill_null(False) for name in CORNERS)
        solid = (pl.col("x1") > pl.col("x0")) & (pl.col("y1") > pl.col("y0"))
        bad = self.cells.filter(~(finite & solid))
        if bad.height:
            raise DataError(f"{bad.height} annotated boxes have no area or a corner that is no number: {bad.row(0)}")
        if self.cells["id"].null_count() or self.cells["id"].n_unique() != self.cells.height:
            raise DataError("annotations need an id for every cell, and each only once")

    def __len__(self) -> int:
        return self.cells.height

    def said(self, *notes: str) -> Annotations:
        """The same with further notes."""
        return Annotations(self.cells, self.areas, (*self.notes, *notes))


ROUNDING = 0.01
"""Level-0 pixels: what a format with few digits (YOLO) may move a corner by."""


def within(annotations: Annotations, size: Size) -> Annotations:
    """What lies on a slide of this size (level-0 pixels); what was left out or clipped stands in the notes.

    Boxes wholly outside are left out, boxes partly outside are clipped, and so are the areas. What sticks out by less
    than :data:`ROUNDING` is clipped without a word.
    """
    cells, notes = annotations.cells, list(annotations.notes)
    touching = (pl.col("x0") < size.width) & (pl.col("y0") < size.height) & (pl.col("x1") > 0) & (pl.col("y1") > 0)
    kept = cells.filter(touching)
    if lost := cells.height - kept.height:
        notes.append(boxes_said(lost, "wholly outside the slide", "left out"))
    over = pl.max_horizontal(-pl.col("x0"), -pl.col("y0"), pl.col("x1") - size.width, pl.col("y1") - size.height)
    if clipped := kept.filter(over > ROUNDING).height:
        notes.append(boxes_said(clipped, "partly outside the slide", "clipped to it"))
    kept = kept.with_columns(
        pl.col("x0", "y0").clip(lower_bound=0.0),
        pl.col("x1").clip(upper_bound=float(size.width)),
        pl.col("y1").clip(upper_bound=float(size.height)),
    )
    frame = shapely.box(0, 0, *size)
    areas = tuple(part for area in annotations.areas for part in polygons_of(area.intersection(frame)))
    if len(annotations.areas) and shapely.union_all(annotations.areas).difference(frame).area > 1:
        notes.append("areas of complete annotation were clipped to the slide")
    return Annotations(kept, areas, tuple(notes))


def boxes_said(number: int, which: str, fate: str) -> str:
    """A note such as ``3 boxes of zero area were left out``."""
    return f"1 box {which} was {fate}" if number == 1 else f"{number:,} boxes {which} were {fate}"


def polygons_of(geometry: shapely.Geometry) -> tuple[Polygon, ...]:
    """The polygons with area in a geometry of any kind."""
    parts = shapely.get_parts(shapely.get_parts(geometry))  # twice: a collection may hold multi-polygons
    return tuple(part for part in parts if isinstance(part, Polygon) and part.area > 0)


@dataclass(frozen=True, slots=True)
class StoredAnnotations:
    """Annotations read from a table and what the table says of its slide (name, size, spacing; may be empty)."""

    annotations: Annotations
    slide: Mapping[str, Any] = field(default_factory=dict)


def write_annotations(annotations: Annotations, path: Path, *, slide: Mapping[str, Any] | None = None) -> None:
    """Write ``NAME.parquet``: cells as rows; areas, notes and ``slide`` as metadata of the file. Whole or not at all.

    Raises ``OutputError`` when it cannot be written.
    """
    own = {
        "schema_version": 1,
        "areas": [area.wkt for area in annotations.areas],
        "notes": list(annotations.notes),
        "slide": dict(slide or {}),
    }
    with whole_file(path) as beside:
        annotations.cells.write_parquet(beside, metadata={_OWN: json.dumps(own)})


def read_annotations(path: Path) -> StoredAnnotations:
    """Read a table of annotations: one of :func:`write_annotations`, labels of a cohort, or ``cells.parquet``.

    Of a count's ``cells.parquet`` the ids are ``cell-NUMBER``. Further columns are left aside. Raises ``DataError``
    when the file is no such table.
    """
    try:
        table = pl.read_parquet(path)
        own = json.loads(pl.read_parquet_metadata(path).get(_OWN) or "{}")
    except (OSError, ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} cannot be read as a Parquet table ({error}); write it again") from error
    if "id" not in table.columns and "cell_id" in table.columns:
        table = table.with_columns(pl.format("cell-{}", "cell_id").alias("id"))
    if missing := [name for name in ANNOTATION_SCHEMA if name not in table.columns]:
        raise DataError(
            f"{path} is no table of annotations: the columns {', '.join(missing)} are missing; expected "
            f"{', '.join(ANNOTATION_SCHEMA)} (as `marrowscope annotations import` writes) or a count's cells.parquet"
        )
    try:
        cells = table.select(pl.col(name).cast(dtype) for name, dtype in ANNOTATION_SCHEMA.items())
        areas = tuple(part for words in own.get("areas", ()) for part in polygons_of(shapely.from_wkt(words)))
        stored = Annotations(cells, areas, tuple(map(str, own.get("notes", ()))))
    except (AttributeError, TypeError, shapely.errors.GEOSException, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path} is damaged ({error}); import the annotations again") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return StoredAnnotations(stored, own.get("slide", {}))
