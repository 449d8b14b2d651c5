"""A closer look at 2 um per pixel: how well each square of a cellular part is spread, and whether it is in focus.

Legend: squares of :data:`SQUARE_UM` anchored to the slide's origin (two to a side of a counting field); rasters
``(rows, columns)`` of squares, NaN where nobody looked.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from marrowscope.geometry import Size
from marrowscope.regions.rasters import Mask, Raster
from marrowscope.regions.stain import Stain
from marrowscope.slides.protocol import Slide
from marrowscope.slides.sampling import Sampler

SQUARE_UM = 96.0
LOOK_UM = 2.0

_NUCLEUS = 0.35
_GAP = 0.15
"""Green absorbance below which a pixel is glass or thin plasma; a red cell has 0.25 to 0.5."""

_PIXELS = round(SQUARE_UM / LOOK_UM)
_CHUNK = 8
"""Squares to a side of what is read at once: 384 pixels."""

_MOST_CHUNKS = 600
"""At most this much is looked at (350 mm2): the richest, so that time is bounded on any slide."""


@dataclass(frozen=True, slots=True)
class Squares:
    """``nuclear``: share of the square that nuclei cover; ``gaps``: share where the glass shows between cells."""

    nuclear: Raster
    gaps: Raster


def look_at_squares(
    slide: Slide, stain: Stain, richness: Raster, progress: Callable[[float], None] | None = None
) -> Squares:
    """Measure the squares with ``richness > 0`` (raster of squares), in chunks and with two threads."""
    sampler = Sampler(slide, LOOK_UM)
    nuclear = np.full(richness.shape, np.nan, np.float32)
    gaps = nuclear.copy()
    chunks = list(_chunks(richness))
    with ThreadPoolExecutor(2) as pool:
        measured = pool.map(lambda corner: _measure(sampler, stain, *corner), chunks)
        for done, ((row, column), found) in enumerate(zip(chunks, measured, strict=True), 1):
            place = slice(row, row + _CHUNK), slice(column, column + _CHUNK)
            wanted = richness[place] > 0
            for raster, values in zip((nuclear, gaps), found, strict=True):
                raster[place][wanted] = values[: wanted.shape[0], : wanted.shape[1]][wanted]
            if progress is not None:
                progress(done / len(chunks))
    return Squares(nuclear, gaps)


def _chunks(richness: Raster) -> list[tuple[int, int]]:
    """Corners (row, column) of the chunks that hold a wanted square; the richest when there are too many."""
    corners = []
    for row in range(0, richness.shape[0], _CHUNK):
        for column in range(0, richness.shape[1], _CHUNK):
            most = float(richness[row : row + _CHUNK, column : column + _CHUNK].max())
            if most > 0:
                corners.append((most, row, column))
    richest = sorted(corners, reverse=True)[:_MOST_CHUNKS]
    return sorted((row, column) for _, row, column in richest)


def _measure(sampler: Sampler, stain: Stain, row: int, column: int) -> tuple[Raster, Raster]:
    side = _CHUNK * _PIXELS
    u, v = column * _PIXELS, row * _PIXELS
    picture = sampler.read(u, v, Size(side, side))
    density, nuclear = stain.measure(picture, u * LOOK_UM, v * LOOK_UM, LOOK_UM)
    return _share(nuclear > _NUCLEUS), _share((density < _GAP) & (nuclear < _NUCLEUS))


def _share(mask: Mask) -> Raster:
    """Share of each square of a chunk that the mask covers."""
    return np.asarray(cv2.resize(mask.astype(np.float32), (_CHUNK, _CHUNK), interpolation=cv2.INTER_AREA))
