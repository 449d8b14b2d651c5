"""The clean splits of the public sets: lists of file names that come with the package.

The published splits of TXL-PBC, BCCD and PBC leak into each other. Here every picture is in one split of one set, and
nothing that shows the same cells as a test or val picture is left in train. ``marrowscope data splits`` makes the lists
(:mod:`marrowscope.learning.datasets.cleaning` holds the rule).
"""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

import polars as pl

SetName = Literal["pbc", "txl_pbc", "bccd"]

SPLITS = ("train", "val", "test", "dropped")


def clean_split(name: SetName) -> dict[str, str]:
    """File, as the set's own table names it, to ``train``, ``val``, ``test`` or ``dropped``.

    A file that the list does not name was not there when it was made: treat it as dropped.
    """
    table = clean_table(name)
    return dict(zip(table["file"], table["split"], strict=True))


def clean_table(name: SetName) -> pl.DataFrame:
    """Columns ``file``, ``split`` and ``reason``, which is empty for pictures that stay in their published split."""
    with (files("marrowscope.learning.datasets") / "splits" / f"{name}.csv").open("rb") as handle:
        table = pl.read_csv(handle, schema=dict.fromkeys(("file", "split", "reason"), pl.String))
    return table.with_columns(pl.col("reason").fill_null(""))
