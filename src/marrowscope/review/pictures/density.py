"""How many cells lie where, and in which colours: what is drawn where single cells cannot be told apart.

*Bins* are ``(rows, columns, 4)`` int32: number of cells in each bin and the sums of their red, green and blue. A bin is
``BIN`` pixels of a tile wide, so a tile of any zoom needs the same few of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrowscope.review.pictures.grid import TileGrid

BIN = 4
"""Side of a bin, tile pixels."""

MOST_BINS = 1 << 21
"""Bins at the finest zoom that is kept: 32 MB, and a third more for all the others."""

BINS_PER_CELL = 32
"""Fewer cells need fewer: at zooms that are not kept a tile holds a hundred or so, which are counted as it is drawn."""

Bins = NDArray[np.int32]


def bins_of_tile(
    grid: TileGrid, z: int, x: int, y: int, centres: NDArray[np.float64], colours: NDArray[np.uint8]
) -> Bins:
    """The bins of one tile from the cells themselves; ``centres (n, 2)`` in level-0 pixels, others are left out."""
    side = grid.side // BIN
    places = _places(grid, z, centres) - np.array([x * side, y * side])
    inside = ((places >= 0) & (places < side)).all(axis=1)
    return _counted(places[inside], colours[inside], side, side)


class DensityPyramid:
    """Bins of all zooms from ``finest`` to 0, for cells with ``centres (n, 2)`` (level-0 pixels), ``colours (n, 3)``.

    A cell whose centre is outside the slide counts in the nearest bin. Not safe for several threads by itself. Raises
    ``ValueError`` when the grid's side is no multiple of ``BIN``.
    """

    def __init__(
        self,
        grid: TileGrid,
        centres: NDArray[np.float64],
        colours: NDArray[np.uint8],
        most_bins: int = MOST_BINS,
    ) -> None:
        if grid.side % BIN:
            raise ValueError(f"the side of a tile must be a multiple of {BIN} pixels, found {grid.side}")
        self._grid = grid
        most_bins = min(most_bins, BINS_PER_CELL * len(centres))
        self.finest = grid.max_zoom
        while self.finest and np.prod(_shape(grid, self.finest), dtype=np.int64) > most_bins:
            self.finest -= 1
        bins = _counted(_places(grid, self.finest, centres), colours, *_shape(grid, self.finest))
        levels = [bins]
        for z in range(self.finest - 1, -1, -1):
            rows, columns = _shape(grid, z)
            even = np.zeros((2 * rows, 2 * columns, 4), np.int32)
            even[: bins.shape[0], : bins.shape[1]] = bins
            bins = even.reshape(rows, 2, columns, 2, 4).sum(axis=(1, 3), dtype=np.int32)
            levels.append(bins)
        self._levels = levels[::-1]

    def change(self, centres: NDArray[np.float64], colours: NDArray[np.uint8], sign: int) -> None:
        """Count cells in (``sign`` 1) or out (-1)."""
        places = _places(self._grid, self.finest, centres)
        weights = np.concatenate([np.ones((len(centres), 1), np.int32), colours], axis=1, dtype=np.int32) * sign
        for z in range(self.finest, -1, -1):
            np.add.at(self._levels[z], (places[:, 1], places[:, 0]), weights)
            places = places >> 1

    def bins(self, z: int, x: int, y: int) -> Bins:
        """A copy of the bins of one tile, ``(side / BIN, side / BIN, 4)``; ``z`` at most ``finest``."""
        side = self._grid.side // BIN
        found = self._levels[z][y * side : (y + 1) * side, x * side : (x + 1) * side]
        bins = np.zeros((side, side, 4), np.int32)
        bins[: found.shape[0], : found.shape[1]] = found
        return bins


def _shape(grid: TileGrid, z: int) -> tuple[int, int]:
    """Rows and columns of bins that cover the slide."""
    span = BIN * grid.step(z)
    return -(-grid.size.height // span), -(-grid.size.width // span)


def _places(grid: TileGrid, z: int, centres: NDArray[np.float64]) -> NDArray[np.int64]:
    """Column and row of the bin of each cell, ``(n, 2)``."""
    rows, columns = _shape(grid, z)
    places: NDArray[np.int64] = np.floor(centres / (BIN * grid.step(z))).astype(np.int64)
    return places.clip(0, np.array([columns - 1, rows - 1]))


def _counted(places: NDArray[np.int64], colours: NDArray[np.uint8], rows: int, columns: int) -> Bins:
    flat = places[:, 1] * columns + places[:, 0]
    bins = np.empty((rows * columns, 4), np.int32)
    bins[:, 0] = np.bincount(flat, minlength=rows * columns)
    for channel in range(3):
        bins[:, 1 + channel] = np.bincount(flat, colours[:, channel], minlength=rows * columns)
    return bins.reshape(rows, columns, 4)
