"""Cells over the slide as clear deep-zoom tiles: a million cost what a thousand do.

A tile with at most ``MOST_DRAWN`` cells shows each of them, one with more shows their density. Cells are found through
buckets (``cell_index``), densities through a pyramid (``density``); an edit corrects both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Lock

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrowscope.geometry import Box, Size
from marrowscope.review.pictures.cell_index import CellIndex, Indices
from marrowscope.review.pictures.density import MOST_BINS, DensityPyramid, bins_of_tile
from marrowscope.review.pictures.drawing import MARGIN, Marks, Tile, draw_bins, draw_cells
from marrowscope.review.pictures.encoding import encode_png, encode_png_labels
from marrowscope.review.pictures.grid import SIDE, TileGrid
from marrowscope.review.pictures.growing import Growing
from marrowscope.slides.cache import PictureCache

MOST_DRAWN = 512
"""Cells of a tile that are drawn one by one."""

CACHE = 8 << 20
"""Bytes of tiles that are kept until the next edit: a thousand crowded ones."""


class CellOverlay:
    """Tiles of cells with ``boxes (n, 4)`` float64 (level-0 pixels) and ``colours (n, 3)`` uint8 RGB.

    ``size`` is that of the slide in level-0 pixels, ``max_zoom`` and ``side`` those of its tiles. Safe for several
    threads: a tile shows the cells before an edit or after it, never a part of it. Raises ``ValueError`` for arrays of
    other shapes.
    """

    def __init__(
        self,
        boxes: ArrayLike,
        colours: ArrayLike,
        size: Size,
        max_zoom: int,
        side: int = SIDE,
        most_bins: int = MOST_BINS,
    ) -> None:
        self.grid = TileGrid(size, max_zoom, side)
        checked_boxes, checked_colours = _checked(boxes, colours)
        self._boxes = Growing(checked_boxes)
        self._colours = Growing(checked_colours)
        self._hidden = Growing(np.zeros(len(checked_boxes), bool))
        self._index = CellIndex(checked_boxes, size)
        self._density = DensityPyramid(self.grid, _centres(checked_boxes), checked_colours, most_bins)
        self._clear = encode_png(np.zeros((side, side, 4), np.uint8))
        self._cache: PictureCache[bytes] = PictureCache(CACHE)
        self._edits = 0
        self._lock = Lock()

    def __len__(self) -> int:
        """Number of cells, hidden ones too."""
        return len(self._boxes.values)

    def tile(self, z: int, x: int, y: int) -> bytes:
        """PNG with transparency, ``side x side`` pixels; raises ``NoTile`` where there is none."""
        self.grid.check(z, x, y)
        # A tile that is drawn while an edit is made may be newer than its number, never older.
        return self._cache.get((self._edits, z, x, y), lambda: self._encoded(z, x, y))

    def _encoded(self, z: int, x: int, y: int) -> bytes:
        match self._seen(z, x, y)():
            case None:
                return self._clear
            case Marks(labels, palette):
                return encode_png_labels(labels, palette)
            case picture:
                return encode_png(picture)

    def picture(self, z: int, x: int, y: int) -> Tile:
        """The pixels of a tile, RGBA ``(side, side, 4)``; raises as :meth:`tile` does."""
        drawn = self._seen(z, x, y)()
        if drawn is None:
            return np.zeros((self.grid.side, self.grid.side, 4), np.uint8)
        return drawn.tile if isinstance(drawn, Marks) else drawn

    def update(
        self,
        indices: ArrayLike,
        colours: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        hidden: ArrayLike | None = None,
    ) -> None:
        """Change cells ``indices (k,)``: ``colours (k, 3)``, ``boxes (k, 4)``, and whether they are ``hidden (k,)``.

        What is None stays. A hidden cell is not drawn, counted or found. Raises ``IndexError`` for an unknown cell,
        ``ValueError`` for one given twice or other shapes.
        """
        places = np.asarray(indices, np.int64).reshape(-1)
        if len(np.unique(places)) != len(places):
            raise ValueError("each cell can be changed once in an update; found an index twice")
        with self._lock:
            if places.size and not 0 <= places.min() <= places.max() < len(self):
                raise IndexError(f"there are {len(self)} cells, numbered from 0; found {places.tolist()[:5]}")
            new_boxes, new_colours = _checked(
                self._boxes.values[places] if boxes is None else boxes,
                self._colours.values[places] if colours is None else colours,
            )
            new_hidden = self._hidden.values[places] if hidden is None else np.asarray(hidden, bool)
            if len(new_boxes) != len(places) or new_hidden.shape != places.shape:
                raise ValueError(
                    f"{len(places)} cells are changed; found {len(new_boxes)} boxes, {new_hidden.shape} hidden"
                )
            self._count(places, -1)
            self._boxes.values[places] = new_boxes
            self._colours.values[places] = new_colours
            self._hidden.values[places] = new_hidden
            self._count(places, 1)
            if boxes is not None:
                self._index.place(places, new_boxes)
            self._edits += 1

    def add(self, boxes: ArrayLike, colours: ArrayLike) -> Indices:
        """New cells ``boxes (k, 4)``, ``colours (k, 3)``; gives their indices ``(k,)``, counted on from the last."""
        new_boxes, new_colours = _checked(boxes, colours)
        with self._lock:
            places = np.arange(len(self), len(self) + len(new_boxes))
            self._boxes.extend(new_boxes)
            self._colours.extend(new_colours)
            self._hidden.extend(np.zeros(len(new_boxes), bool))
            self._count(places, 1)
            self._index.place(places, new_boxes)
            self._edits += 1
            return places

    def nearest(self, x: float, y: float, within: float) -> int | None:
        """The cell whose centre is nearest to a point and at most ``within`` away (level-0 pixels); None without one.

        The lowest index of equals.
        """
        with self._lock:
            found = self._shown(np.sort(self._index.near(x - within, y - within, x + within, y + within)))
            centres = _centres(self._boxes.values[found])
        distance = np.hypot(centres[:, 0] - x, centres[:, 1] - y)
        if not len(found) or distance.min() > within:
            return None
        return int(found[distance.argmin()])

    def inside(self, box: Box) -> Indices:
        """Cells whose centre lies in ``box`` (level-0 pixels, half-open), in rising order."""
        with self._lock:
            found = self._shown(np.sort(self._index.near(box.x0, box.y0, box.x1, box.y1)))
            x, y = _centres(self._boxes.values[found]).T
        owned: Indices = found[(x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)]
        return owned

    def _seen(self, z: int, x: int, y: int) -> Callable[[], Marks | Tile | None]:
        """What draws a tile, from copies that no edit reaches; it gives None where there is nothing to draw."""
        self.grid.check(z, x, y)
        side, step = self.grid.side, self.grid.step(z)
        area, margin = self.grid.box(z, x, y), MARGIN * step
        with self._lock:
            bins = self._density.bins(z, x, y) if z <= self._density.finest else None
            if bins is not None and bins[..., 0].sum() > MOST_DRAWN:
                return partial(draw_bins, bins)
            found = self._shown(
                self._index.near(area.x0 - margin, area.y0 - margin, area.x1 + margin, area.y1 + margin)
            )
            boxes, colours = self._boxes.values[found], self._colours.values[found]
        if bins is None and len(found) > MOST_DRAWN:
            bins = bins_of_tile(self.grid, z, x, y, _centres(boxes), colours)
            if bins[..., 0].sum() > MOST_DRAWN:
                return partial(draw_bins, bins)
        reach = np.array([area.x1, area.y1, -area.x0, -area.y0]) + margin
        touching = (boxes * np.array([1, 1, -1, -1]) < reach).all(axis=1)
        if not touching.any():
            return lambda: None
        return partial(draw_cells, boxes[touching], colours[touching], x * side, y * side, step, side)

    def _shown(self, indices: Indices) -> Indices:
        shown: Indices = indices[~self._hidden.values[indices]]
        return shown

    def _count(self, indices: Indices, sign: int) -> None:
        shown = self._shown(indices)
        self._density.change(_centres(self._boxes.values[shown]), self._colours.values[shown], sign)


def _centres(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _checked(boxes: ArrayLike, colours: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Copies of both arrays."""
    checked = np.array(boxes, np.float64).reshape(-1, 4), np.array(colours, np.uint8).reshape(-1, 3)
    if len(checked[0]) != len(checked[1]) or not (checked[0][:, :2] <= checked[0][:, 2:]).all():
        raise ValueError(
            f"expected boxes (n, 4) with x0 <= x1 and y0 <= y1, and colours (n, 3); "
            f"found {np.shape(boxes)} and {np.shape(colours)}"
        )
    return checked
