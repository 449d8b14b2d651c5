"""Finding the same picture twice: across data sets, sizes, squashed aspect ratios and JPEG generations.

Two pictures are *twins* when their thumbnails, squashed to one small square, agree: a difference hash proposes pairs
would miss squashed copies, so thumbnails are compared directly, which for some 14,000 pictures is one matrix product.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 16
"""Side of a thumbnail, pixels."""

TWIN_CORRELATION = 0.985
"""Thumbnails that correlate more are one picture."""

TWIN_DIFFERENCE = 6.0
"""Largest mean absolute difference of twins' thumbnails, grey values of 0..255."""


def thumbnail(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The picture ``(h, w, 3)`` squashed to ``THUMBNAIL x THUMBNAIL`` and flattened, ``(THUMBNAIL ** 2 * 3,)``."""
    small = cv2.resize(picture, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).ravel()


def find_twins(thumbnails: Sequence[NDArray[np.float32]], others: Sequence[NDArray[np.float32]]) -> NDArray[np.intp]:
    """Pairs ``(m, 2)`` of an index into ``thumbnails`` and one into ``others`` that are the same picture."""
    if not len(thumbnails) or not len(others):
        return np.zeros((0, 2), np.intp)
    ours, theirs = np.stack(thumbnails), np.stack(others)
    pairs = np.argwhere(_standardised(ours) @ _standardised(theirs).T > TWIN_CORRELATION)
    difference = np.abs(ours[pairs[:, 0]] - theirs[pairs[:, 1]]).mean(axis=1)
    same: NDArray[np.intp] = pairs[difference < TWIN_DIFFERENCE]
    return same


def _standardised(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = rows - rows.mean(axis=1, keepdims=True)
    norms: NDArray[np.float32] = np.linalg.norm(centred, axis=1, keepdims=True)
    standardised: NDArray[np.float32] = centred / np.maximum(norms, 1e-6)
    return standardised
