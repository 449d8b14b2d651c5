"""Sharpness of a smear, independent of what is on it.

Natural pictures lose power with frequency at a steady rate, whatever they show; a lens out of focus takes the fine
detail first. The measure is therefore a quotient: variance of the detail between 0.4 and 0.8 um over that between 0.8
and 1.6 um (differences of Gaussians). Real marrow fields at 0.5 um per pixel give 0.47 to 0.68, and, blurred by a
Gaussian of 0.7, 1.0 and 1.5 um: 0.22 to 0.27, 0.16 to 0.18 and 0.11 to 0.12 (docs/methods/regions.md).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from marrowscope.geometry import Size
from marrowscope.regions.look import THREADS
from marrowscope.regions.rasters import RASTER_UM, Mask, Raster, ramp
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.sampling import Sampler

FOCUS_UM = 0.5
SHARP, BLURRED = 0.25, 0.12
"""Quotients of a good and of a useless picture."""

_NOTHING = 0.5
"""Variance, grey values squared; real fields have 30 to 60, and 2 to 4 when blurred by 2.5 um."""

_SIDE = 128
_MOST = 48
_STEP = 8


def sharpness(picture: Picture) -> float:
    """The quotient for a picture at :data:`FOCUS_UM`; NaN where there is nothing to be sharp (glass, a fat hole)."""
    green = picture[..., 1].astype(np.float32)
    fine, middle, coarse = (cv2.GaussianBlur(green, (0, 0), sigma) for sigma in (0.8, 1.6, 3.2))
    contrast = float(np.square(middle - coarse).mean())
    return float(np.square(fine - middle).mean()) / contrast if contrast > _NOTHING else float("nan")


def look_at_focus(slide: Slide, wanted: Mask) -> Raster | None:
    """Focus 0..1 of each raster pixel, from windows read at some of the wanted ones, spread evenly over them.

    Focus changes over millimetres, so pixels between the windows take the mean of the four nearest, weighted by
    distance. None when the slide is too coarse to tell, or nothing is wanted.
    """
    sampler = Sampler(slide, FOCUS_UM)
    places = _spread(np.argwhere(wanted))
    if sampler.upsampled or not len(places):
        return None
    corners = np.round((places + 0.5) * RASTER_UM / FOCUS_UM - _SIDE / 2).astype(int)
    # Wholly on the slide: its edge would be the sharpest thing in the window.
    corners = np.clip(corners, 0, np.maximum(np.array([sampler.size.height, sampler.size.width]) - _SIDE, 0))
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda at: sharpness(sampler.read(at[1], at[0], Size(_SIDE, _SIDE))), corners.tolist()))
    told = np.isfinite(found)
    if 2 * told.sum() >= len(told):
        places, found = places[told], np.array(found)[told].tolist()
    # Where cells are, and yet hardly a window shows anything, the picture is beyond blurred.
    focus = ramp(np.nan_to_num(np.array(found, np.float32)), BLURRED, SHARP)
    rows, columns = (np.arange(0, side + _STEP, _STEP) for side in wanted.shape)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(places).query(grid, k=range(1, min(4, len(places)) + 1))
    weight = 1 / np.square(_STEP + np.asarray(distance))
    blended = ((focus[nearest] * weight).sum(axis=1) / weight.sum(axis=1)).reshape(len(rows), len(columns))
    matrix = np.array([[1 / _STEP, 0, 0], [0, 1 / _STEP, 0]])
    smooth = cv2.warpAffine(
        blended.astype(np.float32),
        matrix,
        wanted.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(smooth, np.float32)


def _spread(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most :data:`_MOST` of the places: the first in each cell of a grid that is made coarser until they fit."""
    cell = max(6, int((len(places) / _MOST) ** 0.5))
    while True:
        _, first = np.unique((places[:, 0] // cell << 32) + places[:, 1] // cell, return_index=True)
        if len(first) <= _MOST:
            return np.asarray(places[np.sort(first)])
        cell += max(1, cell // 8)
