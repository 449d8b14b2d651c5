"""The table of cells: schema of ``cells.parquet`` (one row a cell, level-0 pixels).

``flags`` is a list of the words in :data:`FLAGS`; ``certainty`` is the probability of ``type``, calibrated unless the
pack's contract doubts it (``certainty_doubt``); ``anomaly`` is the anomaly score, 1 at the pack's threshold, null when
the pack has none; one column ``p_<type>`` per class of the pack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from marrowscope.cells.finding import FieldCells

SCHEMA_VERSION = 2

FLAGS: dict[str, str] = {
    "cut": "its box crosses the border of the region or of the scanned area",
    "blurred": "out of focus",
    "smudged": "smudged or bare nucleus by its looks",
    "unsure": "no type is probable enough",
    "anomalous": "unlike nearly all cells that the pack was trained on",
}
"""Quality flags of a cell and their meaning."""

REVIEWED = "reviewed"
"""One more flag, in the tables of a review only: a person looked at the cell, and the type is that person's word."""

OUTSIDE = "outside"
"""Another, of cells that a person added outside of the counted fields: they are not in the differential."""

NULLABLE = ("anomaly",)
"""Columns that may be empty: a pack need not have an anomaly score."""


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
        "anomaly": pl.Float32(),
        "region": pl.String(),
        "field": pl.Int64(),
        "flags": pl.List(pl.String()),
        **{f"p_{name}": pl.Float32() for name in classes},
    }


def empty_cells(classes: Sequence[str]) -> pl.DataFrame:
    """A table of no cells with the right columns."""
    return pl.DataFrame(schema=cell_schema(classes))


def cells_frame(found: FieldCells, field_number: int, first_id: int, classes: Sequence[str]) -> pl.DataFrame:
    """The cells of one field as rows, numbered from ``first_id`` on."""
    n = len(found.boxes)
    names = list(classes)
    best = found.probabilities.argmax(axis=1) if n else np.zeros(0, np.int64)
    certainty = found.probabilities.max(axis=1, initial=0.0)
    words = [[word for word, values in found.flags.items() if values[index]] for index in range(n)]
    return pl.DataFrame(
        {
            "cell_id": np.arange(first_id, first_id + n, dtype=np.int64),
            **{name: found.boxes[:, column] for column, name in enumerate(("x0", "y0", "x1", "y1"))},
            "score": found.scores,
            "type": [names[index] for index in best],
            "certainty": certainty,
            "anomaly": [None] * n if found.anomaly is None else found.anomaly,
            "region": [found.field.region] * n,
            "field": [field_number] * n,
            "flags": words,
            **{f"p_{name}": found.probabilities[:, column] for column, name in enumerate(names)},
        },
        schema=cell_schema(classes),
    )
