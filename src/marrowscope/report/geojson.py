"""``cells.geojson.gz``: every cell as a detection for QuPath.

QuPath asks for a FeatureCollection whose features have a UUID ``id``, a polygon with closed rings and, under
``properties``, ``objectType`` (else it imports annotations), ``classification`` with a name and a colour, and
``measurements`` that are numbers. Coordinates are full-resolution pixels; where a slide states bounds (MRXS), QuPath
shows only these and counts from their corner.

Numbers are turned into text column by column and rows are written in blocks, so that time is short and memory bounded
whatever the number of cells.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID

import polars as pl

from marrowscope.cells.table import FLAGS, OUTSIDE, REVIEWED
from marrowscope.files import whole_file
from marrowscope.geometry import Box
from marrowscope.report.content import ReportContent
from marrowscope.report.tables import check_cells
from marrowscope.taxonomy import CELL_TYPES

NAMESPACE = UUID("6f1c3d0a-5d0b-5b39-9f0e-5a1b6a0c7d21")
"""UUID namespace of the cells of marrowscope."""

BLOCK = 20_000
"""Cells turned into text at a time."""

_COMPRESSION = 3
"""Of gzip: a quarter larger than its default level, in half of the time."""


def write_cells_geojson(content: ReportContent, path: Path) -> None:
    """Write ``cells.geojson.gz``; equal contents give equal bytes.

    Raises ``OutputError`` when it cannot be written and ``ValueError`` when the cells do not follow their schema.
    """
    check_cells(content.cells, content.pack.classes)
    slide = content.slide
    with (
        whole_file(path) as beside,
        beside.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=file, mtime=0) as packed,
    ):
        packed.write(b'{"type":"FeatureCollection","features":[\n')
        first = True
        for start in range(0, content.cells.height, BLOCK):
            block = content.cells.slice(start, BLOCK)
            lines = feature_lines(block, content.pack.classes, slide.label, slide.bounds)
            packed.write((b"" if first else b",\n") + ",\n".join(lines).encode())
            first = False
        packed.write(b"\n]}\n")


def feature_lines(cells: pl.DataFrame, classes: Sequence[str], label: str, bounds: Box) -> pl.Series:
    """One GeoJSON feature a cell, as text.

    ``cells`` follow the schema of ``marrowscope.cells.table`` (level-0 pixels); coordinates in the text count from the
    corner of ``bounds``, to a tenth of a pixel. Measurements: ``score``, ``certainty``, ``anomaly`` (where the pack has
    a score of it), ``p_<type>`` to three decimals, and a 0 or 1 for each quality flag, as QuPath gives cells no list of
    words.
    """
    anomaly = ["anomaly"] if cells.get_column("anomaly").null_count() == 0 else []
    numbers = ["score", "certainty", *anomaly, *(f"p_{name}" for name in classes)]
    measurements = [
        part
        for name in numbers
        for part in (pl.lit(f'{"," if name != "score" else ""}"{name}":'), _number(pl.col(name), 3))
    ]
    by_people = (flag for flag in (REVIEWED, OUTSIDE) if cells.get_column("flags").list.contains(flag).any())
    for flag in (*FLAGS, *by_people):
        measurements += [pl.lit(f',"{flag}":'), pl.col("flags").list.contains(flag).cast(pl.Int8).cast(pl.String)]
    x0, x1 = (_number(pl.col(name) - bounds.x0, 1) for name in ("x0", "x1"))
    y0, y1 = (_number(pl.col(name) - bounds.y0, 1) for name in ("y0", "y1"))
    corner = [("x0", "y0"), ("x1", "y0"), ("x1", "y1"), ("x0", "y1"), ("x0", "y0")]
    axes = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
    ring = [
        part
        for place, (x, y) in enumerate(corner)
        for part in (pl.lit("[" if place == 0 else ",["), axes[x], pl.lit(","), axes[y], pl.lit("]"))
    ]
    line = pl.concat_str(
        pl.lit('{"type":"Feature","id":"'),
        pl.Series("id", list(cell_uuids(label, cells.get_column("cell_id").to_list())), dtype=pl.String),
        pl.lit('","geometry":{"type":"Polygon","coordinates":[['),
        *ring,
        pl.lit(']]},"properties":{"objectType":"detection","classification":'),
        pl.when(pl.col("flags").list.contains(OUTSIDE))
        .then(_classified(" outside of the counted fields"))
        .otherwise(_classified("")),
        pl.lit(',"measurements":{'),
        *measurements,
        pl.lit("}}}"),
    )
    return cells.select(line.alias("feature")).get_column("feature")


def cell_uuids(label: str, cell_ids: Sequence[int]) -> Iterator[str]:
    """The UUID of each cell: version 5 of the slide label's hash and the cell's number, equal in every run.

    Spelled out rather than by ``uuid.uuid5``, which takes four times as long.
    """
    slide = hashlib.sha256(label.encode(errors="surrogatepass")).hexdigest()
    start = hashlib.sha1(NAMESPACE.bytes + f"{slide}/".encode(), usedforsecurity=False)
    for cell_id in cell_ids:
        digest = start.copy()
        digest.update(b"%d" % cell_id)
        text = digest.hexdigest()
        variant = "89ab"[int(text[16], 16) & 3]
        yield f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def _number(column: pl.Expr, decimals: int) -> pl.Expr:
    """A number as JSON: rounded, without a trailing ``.0`` and never ``-0``."""
    text = (column.cast(pl.Float64).round(decimals) + 0.0).cast(pl.String)
    return text.str.strip_suffix(".0")


def _classified(more: str) -> pl.Expr:
    return pl.col("type").replace_strict(
        {name: _classification(name, more) for name in CELL_TYPES}, return_dtype=pl.String
    )


def _classification(name: str, more: str) -> str:
    """As QuPath has it; with ``more`` behind its name a cell is in a class of its own, which is not counted."""
    cell_type = CELL_TYPES[name]
    colour = [int(cell_type.colour[start : start + 2], 16) for start in (1, 3, 5)]
    return json.dumps({"name": cell_type.title + more, "color": colour}, separators=(",", ":"))
