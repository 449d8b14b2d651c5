"""Pictures of the cells that a report shows: of each type the least certain, in bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.geometry import Size
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.sampling import Sampler

PER_TYPE = 12

DOUBTFUL = 12
"""Cells that are shown with an explanation: no more than a page, and than a moment to compute."""


class Gallery:
    """Keeps ``per_type`` pictures of each type, those of lowest certainty."""

    def __init__(self, per_type: int = PER_TYPE) -> None:
        self._per_type = per_type
        self._kept: dict[str, list[tuple[float, int, Picture]]] = {}

    def offer(self, cells: pl.DataFrame, crops: NDArray[np.uint8]) -> None:
        """Consider the cells of one field; ``crops`` are in the order of the rows."""
        rows = cells.select("cell_id", "type", "certainty").iter_rows()
        for (cell_id, cell_type, certainty), crop in zip(rows, crops, strict=True):
            heap = self._kept.setdefault(cell_type, [])
            if len(heap) < self._per_type:
                heapq.heappush(heap, (-certainty, -cell_id, crop.copy()))
            elif (-certainty, -cell_id) > heap[0][:2]:
                heapq.heapreplace(heap, (-certainty, -cell_id, crop.copy()))

    @property
    def pictures(self) -> dict[int, Picture]:
        """``cell_id`` to picture."""
        return {-cell_id: crop for heap in self._kept.values() for _, cell_id, crop in heap}


def most_doubtful(cells: pl.DataFrame, number: int = DOUBTFUL) -> pl.DataFrame:
    """The ``number`` cells to look at first: the least certain, then up to a third that are the most anomalous."""
    anomalous = cells.filter(pl.col("flags").list.contains("anomalous"))
    odd = anomalous.sort("anomaly", "cell_id", descending=[True, False]).head(number // 3)
    others = cells.filter(~pl.col("cell_id").is_in(odd["cell_id"].to_list()))
    return pl.concat([others.sort("certainty", "cell_id").head(number - odd.height), odd])


def read_missing(
    slide: Slide, cells: pl.DataFrame, held: Mapping[int, Picture], spacing: float, side: int, per_type: int = PER_TYPE
) -> dict[int, Picture]:
    """``held`` and what it lacks of the ``per_type`` least certain cells of each type, read from the slide.

    Pictures are ``side`` pixels at ``spacing`` um per pixel. Raises ``SlideError`` where the slide is damaged.
    """
    shown = cells.sort("certainty", "cell_id").group_by("type").head(per_type)
    missing = shown.filter(~pl.col("cell_id").is_in(list(held)))
    sampler = Sampler(slide, spacing)
    centres = missing.select((pl.col("x0") + pl.col("x1")) / 2, (pl.col("y0") + pl.col("y1")) / 2).to_numpy()
    corners = np.floor(sampler.from_level0(centres) + 0.5).astype(int) - side // 2
    return dict(held) | {
        cell_id: sampler.read(int(u), int(v), Size(side, side))
        for cell_id, (u, v) in zip(missing["cell_id"], corners, strict=True)
    }
