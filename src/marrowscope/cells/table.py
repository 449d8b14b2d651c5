"""The table of cells: schema of ``cells.parquet`` (one row a cell, level-0 pixels).

``flags`` is a list of the words in :data:`FLAGS`; ``certainty`` is the calibrated probability of ``type``; one
column ``p_<type>`` per class of the pack.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

SCHEMA_VERSION = 1

FLAGS: dict[str, str] = {
    "cut": "its box crosses the border of the region or of the scanned area",
    "blurred": "out of focus",
    "smudged": "smudged or bare nucleus by its looks",
    "unsure": "no type is probable enough",
}
"""Quality flags of a cell and their meaning."""


def cell_schema(classes: Sequence[str]) -> dict[str, pl.DataType]:
    """Column names and types of ``cells.parquet`` for a pack with these classes."""
    return {
        "cell_id": pl.Int64(),
        "x0": pl.Float64(),
        "y0": pl.Float64(),
        "x1": pl.Float64(),
        "y1": pl.Float64(),
        "score": pl.Float32(),
        "type": pl.String(),
        "certainty": pl.Float32(),
        "region": pl.String(),
        "field": pl.Int64(),
        "flags": pl.List(pl.String()),
        **{f"p_{name}": pl.Float32() for name in classes},
    }
