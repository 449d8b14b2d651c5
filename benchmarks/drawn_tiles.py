"""Labelled tiles that lie in memory or are made when asked for, for trainings whose tiles are not worth a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.annotations.tiles import TILE_CELL_SCHEMA, TILE_SCHEMA, LabelledTiles

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DrawnTiles(LabelledTiles):
    """As ``LabelledTiles``, but ``draw`` gives the picture ``(side, side, 3)`` uint8 RGB of a tile, not a folder."""

    draw: Callable[[int], Picture]

    def picture(self, tile: int) -> Picture:
        return self.draw(tile)


def drawn_tiles(
    draw: Callable[[int], Picture],
    slides: Sequence[str],
    cells: Sequence[dict[str, Any]],
    *,
    spacing: float,
    side: int,
    classes: tuple[str, ...],
) -> DrawnTiles:
    """Tiles of these slides, one each; ``cells`` are rows of ``TILE_CELL_SCHEMA``."""
    n = len(slides)
    words = {name: [""] * n for name in ("patient", "diagnosis", "cohort")}
    places = {"tile": list(range(n)), "u": [0] * n, "v": [0] * n, "slide": list(slides)}
    tiles = pl.DataFrame(places | words | {"file": [f"{row}" for row in range(n)]}).select(
        pl.col(name).cast(kind) for name, kind in TILE_SCHEMA.items()
    )
    table = pl.DataFrame(cells, schema=TILE_CELL_SCHEMA)
    return DrawnTiles(Path(), spacing, side, classes, tiles, table, draw)
