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
from marrowscope.regions.rasters import Raster, ramp
from marrowscope.regions.squares import SQUARE_UM
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.sampling import Sampler

FOCUS_UM = 0.5
SHARP, BLURRED = 0.25, 0.12
"""Quotients of a good and of a useless picture."""

_SIDE = 160
_MOST = 64


def sharpness(picture: Picture) -> float:
    """The quotient for a picture at :data:`FOCUS_UM`."""
    green = picture[..., 1].astype(np.float32)
    fine, middle, coarse = (cv2.GaussianBlur(green, (0, 0), sigma) for sigma in (0.8, 1.6, 3.2))
    return float(np.square(fine - middle).mean() / max(float(np.square(middle - coarse).mean()), 1e-6))


def focus_of_squares(slide: Slide, score: Raster) -> Raster | None:
    """Focus 0..1 of each square, from windows read at some squares with a score, spread evenly over them.

    Focus changes over millimetres, so squares between the windows take the mean of the four nearest. None when the
    slide is too coarse to tell.
    """
    sampler = Sampler(slide, FOCUS_UM)
    places = _spread(np.argwhere(score > 0))
    if sampler.upsampled or not len(places):
        return None
    corners = np.round((places + 0.5) * SQUARE_UM / FOCUS_UM - _SIDE / 2).astype(int)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda at: sharpness(sampler.read(at[1], at[0], Size(_SIDE, _SIDE))), corners.tolist()))
    focus = ramp(np.array(found, np.float32), BLURRED, SHARP)
    squares = np.indices(score.shape).reshape(2, -1).T
    distance, nearest = cKDTree(places).query(squares, k=range(1, min(4, len(places)) + 1))
    weight = 1 / np.square(1 + np.asarray(distance))
    blended = (focus[nearest] * weight).sum(axis=1) / weight.sum(axis=1)
    return np.asarray(blended.reshape(score.shape), np.float32)


def _spread(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most 64 of the places: the first in each cell of a grid that is made coarser until they fit."""
    cell = 1
    kept = places
    while len(kept) > _MOST:
        cell += 1
        _, first = np.unique(places // cell, axis=0, return_index=True)
        kept = places[np.sort(first)]
    return kept
