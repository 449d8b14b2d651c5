"""A closer look, at 2 um per pixel, at the cellular parts: how much nuclear matter, how many gaps between cells.

Legend: rasters are ``(rows, columns)`` at :data:`RASTER_UM` um per pixel, anchored to the slide's origin; NaN where
nobody looked.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from marrowscope.geometry import Size
from marrowscope.regions.rasters import RASTER_UM, Mask, Raster
from marrowscope.regions.stain import Stain
from marrowscope.slides.protocol import Slide
from marrowscope.slides.sampling import Sampler

LOOK_UM = 2.0
THREADS = 2

_NUCLEUS = 0.35
_GAP = 0.15
"""Green absorbance below which a pixel is glass or thin plasma; a red cell has 0.25 to 0.5."""

_PIXELS = round(RASTER_UM / LOOK_UM)
_CHUNK = 32
"""Raster pixels to a side of what is read at once: 512 um."""

_MOST_CHUNKS = 1300
"""At most this much is looked at (340 mm2): the richest, so that time is bounded on any slide."""


@dataclass(frozen=True, slots=True)
class Look:
    """Shares of the area: ``nuclear`` covered by nuclei, ``gaps`` where the glass shows between cells."""

    nuclear: Raster
    gaps: Raster


def look_closer(slide: Slide, stain: Stain, wanted: Raster, progress: Callable[[float], None] | None = None) -> Look:
    """Measure the chunks that hold a pixel with ``wanted > 0``, with two threads."""
    sampler = Sampler(slide, LOOK_UM)
    rows, columns = (-(-side // _CHUNK) * _CHUNK for side in wanted.shape)
    nuclear = np.full((rows, columns), np.nan, np.float32)
    gaps = nuclear.copy()
    corners = _richest_chunks(wanted)
    with ThreadPoolExecutor(THREADS) as pool:
        measured = pool.map(lambda corner: _measure(sampler, stain, *corner), corners)
        for done, ((row, column), found) in enumerate(zip(corners, measured, strict=True), 1):
            place = slice(row, row + _CHUNK), slice(column, column + _CHUNK)
            nuclear[place], gaps[place] = found
            if progress is not None:
                progress(done / len(corners))
    height, width = wanted.shape
    return Look(nuclear[:height, :width], gaps[:height, :width])


def _richest_chunks(wanted: Raster) -> list[tuple[int, int]]:
    """Corners (row, column) of chunks with something wanted, in reading order."""
    found = []
    for row in range(0, wanted.shape[0], _CHUNK):
        for column in range(0, wanted.shape[1], _CHUNK):
            total = float(wanted[row : row + _CHUNK, column : column + _CHUNK].sum())
            if total > 0:
                found.append((total, row, column))
    found.sort(reverse=True)
    return sorted((row, column) for _, row, column in found[:_MOST_CHUNKS])


def _measure(sampler: Sampler, stain: Stain, row: int, column: int) -> tuple[Raster, Raster]:
    u, v = column * _PIXELS, row * _PIXELS
    picture = sampler.read(u, v, Size(_CHUNK * _PIXELS, _CHUNK * _PIXELS))
    _, density, nuclear = stain.measure(picture, u * LOOK_UM, v * LOOK_UM, LOOK_UM)
    dark = nuclear > _NUCLEUS
    return _share(dark), _share((density < _GAP) & ~dark)


def _share(mask: Mask) -> Raster:
    """Share of each raster pixel that the mask covers."""
    return np.asarray(cv2.resize(mask.astype(np.float32), (_CHUNK, _CHUNK), interpolation=cv2.INTER_AREA))
