"""Cutting single cells out of a tile that is already in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrowscope.slides.protocol import Picture


def cut_crops(
    picture: Picture, centres: NDArray[np.float64], crop: int, background: tuple[int, int, int] = (255, 255, 255)
) -> NDArray[np.uint8]:
    """Squares of ``crop`` pixels around ``centres`` ``(n, 2)``, in pixels of ``picture``: ``(n, crop, crop, 3)``.

    The centre is rounded to a whole pixel, so that crops are copies and no resampling; what lies outside the picture is
    filled with ``background``.
    """
    crops = np.empty((len(centres), crop, crop, 3), np.uint8)
    crops[:] = background
    height, width = picture.shape[:2]
    corners = np.floor(centres + 0.5).astype(np.int64) - crop // 2
    for target, (left, top) in zip(crops, corners, strict=True):
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + crop, width), min(top + crop, height)
        if x0 < x1 and y0 < y1:
            target[y0 - top : y1 - top, x0 - left : x1 - left] = picture[y0:y1, x0:x1]
    return crops
