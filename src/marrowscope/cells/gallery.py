"""Pictures of the cells that a report shows: of each type the least certain, in bounded memory."""

from __future__ import annotations

import heapq

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.slides.protocol import Picture

PER_TYPE = 12


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
