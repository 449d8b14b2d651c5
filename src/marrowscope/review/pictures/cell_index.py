"""Which cells lie where: a grid of buckets over the slide, sorted once and corrected as cells are edited."""

from __future__ import annotations

from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from marrowscope.geometry import Size
from marrowscope.review.pictures.growing import Growing

_USUAL = 64
"""Side of a cell where there are none to measure, level-0 pixels."""

_MANY = 1000
"""So many cells at once, and an eighth of all: sort anew instead of correcting."""

Indices = NDArray[np.int64]


class CellIndex:
    """Cells by the bucket that holds their centre (the nearest one for centres outside the slide).

    A bucket is four to eight times as wide as most cells; those that are larger than one lie in a bucket of their own.
    ``boxes (n, 4)`` float64 ``x0, y0, x1, y1`` in level-0 pixels are not kept. A cell that moves leaves its place in
    the sorted list, where it is then passed over, for a set of its new bucket. Not safe for several threads by itself.
    """

    def __init__(self, boxes: NDArray[np.float64], size: Size) -> None:
        side = float(np.median((boxes[:, 2:] - boxes[:, :2]).max(axis=1))) if len(boxes) else _USUAL
        self._side = 1 << max(6, ceil(log2(max(side, 1))) + 2)  # of a bucket, level-0 pixels
        self._columns = max(1, -(-size.width // self._side))
        self._rows = max(1, -(-size.height // self._side))
        self._large = self._columns * self._rows
        self._now = Growing(self._buckets(boxes))
        self._sort()

    def place(self, indices: Indices, boxes: NDArray[np.float64]) -> None:
        """Cells ``indices`` (no two the same) now have these boxes; numbers from n on, without a gap, are new cells."""
        buckets = self._buckets(boxes)
        known = len(self._now.values)
        new = np.full(max(0, int(indices.max(initial=-1)) + 1 - known), -1, np.int32)
        self._now.extend(new)
        self._home.extend(new)
        now, home = self._now.values, self._home.values
        if len(indices) > max(_MANY, known // 8):
            now[indices] = buckets
            self._sort()
            return
        for index, bucket in zip(indices.tolist(), buckets.tolist(), strict=True):
            before, sorted_in = int(now[index]), int(home[index])
            if before == bucket:
                continue
            if before not in (sorted_in, -1):
                self._moved[before].remove(index)
            if bucket != sorted_in:
                self._moved.setdefault(bucket, set()).add(index)
            now[index] = bucket

    def near(self, x0: float, y0: float, x1: float, y1: float) -> Indices:
        """All cells that may touch the rectangle (level-0 pixels), and some others; in no order, each once."""
        reach = self._side / 2
        left, right = (self._clip(x, self._columns) for x in (x0 - reach, x1 + reach))
        top, bottom = (self._clip(y, self._rows) for y in (y0 - reach, y1 + reach))
        starts, columns = self._starts, self._columns
        parts = [self._order[starts[self._large] :]]
        for row in range(top, bottom + 1):
            parts.append(self._order[starts[row * columns + left] : starts[row * columns + right + 1]])
        found: Indices = np.concatenate(parts)
        if not self._moved:
            return found
        found = found[self._now.values[found] == self._home.values[found]]
        window = [row * columns + column for row in range(top, bottom + 1) for column in range(left, right + 1)]
        moved = [index for bucket in (*window, self._large) for index in self._moved.get(bucket, ())]
        return np.concatenate([found, np.array(moved, np.int64)])

    def _sort(self) -> None:
        now = self._now.values
        self._home = Growing(now)
        self._order: Indices = np.argsort(now, kind="stable").astype(np.int64, copy=False)
        counts = np.bincount(now, minlength=self._large + 1)
        self._starts: Indices = np.concatenate([[0], np.cumsum(counts)])
        self._moved: dict[int, set[int]] = {}

    def _buckets(self, boxes: NDArray[np.float64]) -> NDArray[np.int32]:
        column = np.clip((boxes[:, 0] + boxes[:, 2]) / (2 * self._side), 0, self._columns - 1).astype(np.int32)
        row = np.clip((boxes[:, 1] + boxes[:, 3]) / (2 * self._side), 0, self._rows - 1).astype(np.int32)
        large = (boxes[:, 2] - boxes[:, 0] > self._side) | (boxes[:, 3] - boxes[:, 1] > self._side)
        return np.where(large, np.int32(self._large), row * np.int32(self._columns) + column)

    def _clip(self, value: float, count: int) -> int:
        return int(min(max(value / self._side, 0), count - 1))
