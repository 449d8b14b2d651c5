"""The pictures of the slides under review: made when they are first asked for, kept while the server runs."""

from __future__ import annotations

from collections.abc import Collection
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.review.counted import TYPE_NAMES, CellArrays, CountedSlide
from marrowscope.review.pictures.once import Once
from marrowscope.review.pictures.outlines import RegionOverlay
from marrowscope.review.pictures.overlay import CellOverlay
from marrowscope.review.pictures.pyramid import SlideTiles
from marrowscope.review.pictures.sprites import SpriteSheets, gallery_order
from marrowscope.review.slide_state import SlideState
from marrowscope.review.workstation import Workstation
from marrowscope.slides import Slide
from marrowscope.slides.cache import PictureCache
from marrowscope.taxonomy import CELL_TYPES

CACHE_BYTES = 256 << 20
"""Of encoded tiles and sheets of all slides together."""

MOST_OVERLAYS = 8
"""Readings of slides whose overlay is kept; the one that was not looked at for longest goes."""

By = Literal["type", "certainty"]
"""What the colour of a cell tells."""

_LOOKED = (90, 90, 90)
_UNSETTLED = (122, 130, 144)
_OUTLINE = (91, 58, 142)
_FIELD = (0, 114, 178)
_NO_CELL = 48.0
"""Side of a box where there are no cells to go by."""


class SlidePictures:
    """Everything that is drawn of one open ``slide``; encoded pictures are kept in ``cache``.

    Raises ``ReviewError`` when its pack is not found.
    """

    def __init__(self, counted: CountedSlide, slide: Slide, cache: PictureCache[bytes]) -> None:
        self.slide = slide
        self.spacing, self.side = counted.pack.contract.cell_pictures
        self.tiles = SlideTiles(slide, cache=cache)
        self.size = slide.size
        self._counted = counted
        self._cache = cache
        self._sprites: Once[SpriteSheets] = Once()
        polygons = [region.polygon for region in counted.finding.regions]
        colours = [_OUTLINE] * len(polygons)
        self.outlines = RegionOverlay(polygons, colours, slide.size, self.tiles.max_zoom)
        fields = counted.fields.outlines
        self.fields = RegionOverlay(fields, [_FIELD] * len(fields), slide.size, self.tiles.max_zoom)

    @property
    def sprites(self) -> SpriteSheets:
        """The cells as pictures; made when they are asked for, as sorting a million cells would hold up the tiles."""
        counted = self._counted
        return self._sprites.get(
            None, lambda: SpriteSheets(self.slide, counted.frame, self.spacing, self.side, self._cache)
        )

    @cached_property
    def usual_box(self) -> tuple[float, float]:
        """Width and height of the middle one of the counted cells, level-0 pixels."""
        boxes = self._counted.cells.boxes
        if not len(boxes):
            return _NO_CELL, _NO_CELL
        width, height = np.median(boxes[:, 2:] - boxes[:, :2], axis=0).tolist()
        return width, height


class _Overlay:
    """The cells of a slide in one reading as tiles, up to row ``n`` of the log."""

    def __init__(self, pictures: SlidePictures, state: SlideState, cells: CellArrays, by: By, n: int) -> None:
        self.n = n
        self.lock = Lock()
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
            by_type: NDArray[np.uint8] = _TYPE_COLOURS[state.types[rows]]
            by_type[state.unsettled[rows]] = _UNSETTLED
            return by_type
        certainty = np.full(len(state), 1.0, np.float32)
        certainty[: state.counted] = self._cells.certainty
        ramp = np.clip(certainty[rows] * 255, 0, 255).astype(np.uint8)
        colours = cv2.applyColorMap(ramp.reshape(-1, 1), cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].copy()
        colours[state.looked[rows]] = _LOOKED
        return np.asarray(colours, np.uint8)


class Shelf:
    """Pictures by slide, overlays by reading. Safe for several threads."""

    def __init__(self) -> None:
        self._encoded: PictureCache[bytes] = PictureCache(CACHE_BYTES)
        self._slides: Once[SlidePictures] = Once()
        self._orders: Once[NDArray[np.int64]] = Once()
        self._overlays: Once[_Overlay] = Once(MOST_OVERLAYS)

    def of(self, counted: CountedSlide) -> SlidePictures:
        """The pictures of a slide. Raises ``ReviewError`` when the slide or its pack is not found."""
        key, slide = str(counted.folder), counted.slide
        found = self._slides.get(key, lambda: SlidePictures(counted, slide, self._encoded))
        if found.slide is not slide:  # its file was away, and is opened anew
            self._slides.drop(key, found)
            found = self._slides.get(key, lambda: SlidePictures(counted, slide, self._encoded))
        return found

    def let_go(self, case: int, folders: Collection[Path]) -> None:
        """Forget what was drawn of a case and of these folders of results, which have left the memory."""
        gone = set(map(str, folders))
        self._slides.forget(lambda key: key in gone)
        self._orders.forget(lambda key: key in gone)
        self._overlays.forget(lambda key: isinstance(key, tuple) and key[0] == case)

    def order(self, counted: CountedSlide) -> NDArray[np.int64]:
        """Rank of each cell in the sprite sheets ``(n,)``; needs no slide."""
        return self._orders.get(str(counted.folder), lambda: gallery_order(counted.frame))

    def overlay(
        self, workstation: Workstation, case: int, reading: str, slide: int, by: By, seen: int | None = None
    ) -> CellOverlay:
        """The cells of a slide in a reading as they are now, or at least at row ``seen`` of the log.

        Not to be called while the case is held (``Workstation.case``): the first call for a reading copies the cells,
        lets go of the case and then takes its time.
        """
        counted = workstation.slide(case, slide)
        pictures = self.of(counted)

        def draw() -> _Overlay:
            with workstation.case(case, seen) as state:
                n, copied = state.n, deepcopy(state.readings[reading].slides[slide])
            return _Overlay(pictures, copied, counted.cells, by, n)

        found = self._overlays.get((case, reading, slide, by), draw)
        with workstation.case(case, seen) as state, found.lock:
            if found.n < state.n:
                touched = [
                    done.touched[slide]
                    for done in workstation.changes(case, found.n, seen=state.n)
                    if done.entry.reading == reading and slide in done.touched
                ]
                if touched:
                    found.take(np.unique(np.concatenate(touched)), state.readings[reading].slides[slide])
                found.n = state.n
        return found.drawn


_TYPE_COLOURS = np.array(
    [[int(CELL_TYPES[name].colour[at : at + 2], 16) for at in (1, 3, 5)] for name in TYPE_NAMES], np.uint8
)
