"""All files of a report at once."""

from __future__ import annotations

from pathlib import Path

from marrowscope.report.content import ReportContent
from marrowscope.report.geojson import write_cells_geojson
from marrowscope.report.html import write_html
from marrowscope.report.pdf import write_pdf
from marrowscope.report.tables import write_cells_parquet, write_differential_csv, write_differential_json

WRITERS = {
    "cells.parquet": write_cells_parquet,
    "cells.geojson.gz": write_cells_geojson,
    "differential.json": write_differential_json,
    "differential.csv": write_differential_csv,
    "report.html": write_html,
    "report.pdf": write_pdf,
}
"""File name and its writer; tables first, so that a failure to draw loses no number."""


def write_report(content: ReportContent, folder: Path) -> None:
    """Write the report of one slide into ``folder``, which is made when it is missing.

    Each file appears whole or not at all. Raises ``OutputError`` when the disk is full or the folder cannot be written.
    """
    for name, write in WRITERS.items():
        write(content, folder / name)
