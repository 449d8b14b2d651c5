"""The tables of a report: cells as Parquet, the differential as CSV and JSON."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import polars as pl
import polars.selectors as cs

from marrowscope.cells.table import NULLABLE, SCHEMA_VERSION, cell_schema
from marrowscope.files import whole_file
from marrowscope.report.content import ReportContent
from marrowscope.report.view import printable

CSV_COLUMNS = (
    "type",
    "title",
    "lineage",
    "in_differential",
    "assessable",
    "count",
    "percent",
    "percent_rounded",
    "low",
    "high",
    "corrected_percent",
    "corrected_low",
    "corrected_high",
    "reference_low",
    "reference_high",
    "per_mm2",
    "note",
    "recognised",
)
"""Columns of ``differential.csv``; documented in docs/methods/report.md."""


def write_cells_parquet(content: ReportContent, path: Path) -> None:
    """Write ``cells.parquet`` (columns: docs/schemas/cells.md).

    The file's metadata name the schema version, the pack and the slide's label. Raises ``OutputError`` when it cannot
    be written and ``ValueError`` when the cells do not follow :func:`marrowscope.cells.table.cell_schema`.
    """
    check_cells(content.cells, content.pack.classes)
    metadata = {
        "marrowscope.schema_version": str(SCHEMA_VERSION),
        "marrowscope.pack": f"{content.pack.name} {content.pack.version}",
        "marrowscope.pack_sha256": content.pack_sha256,
        "marrowscope.slide": printable(content.slide.label),
    }
    packed = io.BytesIO()  # Polars reports a full disk as an error of its own; written from here it is an OSError
    content.cells.write_parquet(packed, compression="zstd", metadata=metadata)
    with whole_file(path) as beside:
        beside.write_bytes(packed.getbuffer())


def check_cells(cells: pl.DataFrame, classes: tuple[str, ...]) -> None:
    """Raise ``ValueError`` unless the columns are those of the schema, in its order, without gaps, each cell once.

    A column of :data:`marrowscope.cells.table.NULLABLE` may be empty in all rows, not in some.
    """
    expected = pl.Schema(cell_schema(classes))
    if cells.schema != expected:
        wrong = [f"{name}: {cells.schema.get(name)}" for name in expected if cells.schema.get(name) != expected[name]]
        wrong += [f"{name}: unexpected" for name in cells.columns if name not in expected]
        raise ValueError(f"cells do not follow the schema of the pack: {', '.join(wrong) or 'order of the columns'}")
    empty = [name for name in NULLABLE if cells.get_column(name).null_count() == cells.height]
    filled = cells.drop(empty)
    gaps = filled.select(pl.all().null_count(), cs.float().is_finite().not_().sum().name.suffix(" finite")).row(0)
    if any(gaps):
        raise ValueError("cells have values that are missing or not finite")
    if cells.get_column("cell_id").is_duplicated().any():
        raise ValueError("cells have a cell_id that occurs twice")


def write_differential_json(content: ReportContent, path: Path) -> None:
    """Write ``differential.json`` (schema: docs/schemas/differential.schema.json). Raises ``OutputError``."""
    with whole_file(path) as beside:
        beside.write_bytes(content.differential.model_dump_json(indent=2).encode() + b"\n")


def write_differential_csv(content: ReportContent, path: Path) -> None:
    """Write ``differential.csv``: one row a type, those that cannot be assessed and those outside the NDC included.

    Percentages, ``low`` and ``high`` are of the NDC; those named ``corrected`` are corrected for the pack's own
    confusions. An empty cell means "not known"; it never means zero. Raises ``OutputError``.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    correction = content.differential.corrected
    corrected = {row.type: row for row in correction.rows} if correction else {}
    for row in content.differential.rows:
        values = {"in_differential": "true"} | _plain(row.model_dump())
        if found := corrected.get(row.type):
            values |= {"corrected_percent": found.percent, "corrected_low": found.low, "corrected_high": found.high}
        writer.writerow(values)
    for other in content.differential.others:
        writer.writerow({"in_differential": "false", "assessable": "true"} | _plain(other.model_dump()))
    with whole_file(path) as beside:
        beside.write_bytes(text.getvalue().encode())


def _plain(values: dict[str, object]) -> dict[str, object]:
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
