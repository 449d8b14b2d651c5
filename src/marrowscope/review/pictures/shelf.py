"""The pictures of the slides under review: made when they are first asked for, kept while the server runs."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.review.counted import TYPE_NAMES, CellArrays, CountedSlide
from marrowscope.review.pictures.outlines import RegionOverlay
from marrowscope.review.pictures.overlay import CellOverlay
from marrowscope.review.pictures.pyramid import SlideTiles
from marrowscope.review.pictures.sprites import SpriteSheets, gallery_order
from marrowscope.review.reading import Reading, SlideState
from marrowscope.review.workstation import Done
from marrowscope.taxonomy import CELL_TYPES

MOST_OVERLAYS = 8
"""Readings of slides whose overlay is kept; the one that was not looked at for longest goes."""

By = Literal["type", "certainty"]
"""What the colour of a cell tells."""

_LOOKED = (90, 90, 90)
_OUTLINE = (91, 58, 142)


class SlidePictures:
    """Everything that is drawn of one slide. Raises ``ReviewError`` when the slide is not found."""

    def __init__(self, counted: CountedSlide) -> None:
        slide = counted.slide
        spacing, side = counted.pack.contract.cell_pictures
        self.spacing, self.side = spacing, side
        self.tiles = SlideTiles(slide)
        self.sprites = SpriteSheets(slide, counted.frame, spacing, side)
        self.size = slide.size
        polygons = [region.polygon for region in counted.finding.regions]
        colours = [_OUTLINE] * len(polygons)
        self.outlines = RegionOverlay(polygons, colours, slide.size, self.tiles.max_zoom)


class _Overlay:
    """The cells of a slide in one reading as tiles, up to row ``n`` of the log."""

    def __init__(self, pictures: SlidePictures, state: SlideState, cells: CellArrays, by: By, n: int) -> None:
        self.n = n
        self._by = by
        self._cells = cells
        self.drawn = CellOverlay(state.boxes, self._colours(state), pictures.size, pictures.tiles.max_zoom)
        hidden = np.flatnonzero(state.removed)
        if len(hidden):
            self.drawn.update(hidden, hidden=np.ones(len(hidden), bool))

    def take(self, rows: NDArray[np.int64], state: SlideState) -> None:
        if (more := len(state) - len(self.drawn)) > 0:
            new = np.arange(len(state) - more, len(state))
            self.drawn.add(state.boxes[new], self._colours(state, new))
        self.drawn.update(rows, self._colours(state, rows), state.boxes[rows], state.removed[rows])

    def _colours(self, state: SlideState, rows: NDArray[np.int64] | slice = slice(None)) -> NDArray[np.uint8]:
        if self._by == "type":
            return _TYPE_COLOURS[state.types[rows]]
        certainty = np.full(len(state), 1.0, np.float32)
        certainty[: state.counted] = self._cells.certainty
        ramp = np.clip(certainty[rows] * 255, 0, 255).astype(np.uint8)
        colours = cv2.applyColorMap(ramp.reshape(-1, 1), cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].copy()
        colours[state.looked[rows]] = _LOOKED
        return np.asarray(colours, np.uint8)


class Shelf:
    """Pictures by slide, overlays by reading. Safe for several threads."""

    def __init__(self) -> None:
        self._slides: dict[str, SlidePictures] = {}
        self._orders: dict[str, NDArray[np.int64]] = {}
        self._overlays: OrderedDict[tuple[int, str, int, By], _Overlay] = OrderedDict()
        self._lock = Lock()

    def of(self, counted: CountedSlide) -> SlidePictures:
        """The pictures of a slide. Raises ``ReviewError`` when the slide or its pack is not found."""
        key = str(counted.folder)
        with self._lock:
            if key not in self._slides:
                self._slides[key] = SlidePictures(counted)
            return self._slides[key]

    def order(self, counted: CountedSlide) -> NDArray[np.int64]:
        """Rank of each cell in the sprite sheets ``(n,)``; needs no slide."""
        key = str(counted.folder)
        with self._lock:
            if key not in self._orders:
                self._orders[key] = gallery_order(counted.frame)
            return self._orders[key]

    def overlay(
        self,
        case: int,
        name: str,
        reading: Reading,
        slide: int,
        counted: CountedSlide,
        by: By,
        n: int,
        history: list[Done],
    ) -> CellOverlay:
        """The cells of a slide in a reading at row ``n``; ``history``: all rows of the log so far."""
        pictures, state = self.of(counted), reading.slides[slide]
        key = (case, name, slide, by)
        with self._lock:
            found = self._overlays.get(key)
            if found is None:
                found = _Overlay(pictures, state, counted.cells, by, n)
                self._overlays[key] = found
                while len(self._overlays) > MOST_OVERLAYS:
                    self._overlays.popitem(last=False)
            self._overlays.move_to_end(key)
            if found.n < n:
                touched = [
                    done.touched[slide]
                    for done in history[found.n : n]
                    if done.entry.reading == name and slide in done.touched
                ]
                if touched:
                    found.take(np.unique(np.concatenate(touched)), state)
                found.n = n
            return found.drawn


_TYPE_COLOURS = np.array(
    [[int(CELL_TYPES[name].colour[at : at + 2], 16) for at in (1, 3, 5)] for name in TYPE_NAMES], np.uint8
)
