"""What is kept of a picture to find it again: a thumbnail, its fine detail and the surroundings of its dark spots.

A :class:`Sketch` is some 20 kB, whatever the picture, so that tens of thousands fit in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL = 16
"""Side of the thumbnail, pixels. The picture is squashed to it, so that a squashed copy has the same."""

DETAIL = 96
"""Side of the picture of fine detail, pixels."""

SPOT = 24
"""Side of the picture of a spot and its surroundings, pixels."""

_DETAIL_SIGMAS = 0.8, 3.0
_SPOT_SIGMAS = 0.6, 3.0
_CELL_SIDE, _FIELD_SIDE, _LARGEST_CELL_SIDE = 180, 320, 420
"""Spots are looked for at 180 px a long side in pictures of single cells (up to 420 px), at 320 px in fields."""

_SPOT_RADIUS = 26.0
_SMALLEST_SPOT, _MOST_SPOTS = 60, 6
_INSIDE = 0.75


@dataclass(frozen=True, slots=True)
class Sketch:
    """``thumbnail (16, 16, 3)`` and ``spots (k, 24, 24, 3)`` uint8; ``detail (96, 96)`` int8.

    ``places (k, 2)`` float32 are the x and y of the spots as fractions of width and height; ``size`` is width, height.
    """

    size: tuple[int, int]
    thumbnail: NDArray[np.uint8]
    detail: NDArray[np.int8]
    spots: NDArray[np.uint8]
    places: NDArray[np.float32]


def sketch(picture: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Sketch:
    """Sketch of an RGB picture ``(h, w, 3)``; ``size`` states its true width and height when it was read reduced."""
    width, height = size or (picture.shape[1], picture.shape[0])
    small = np.asarray(cv2.resize(picture, (DETAIL, DETAIL), interpolation=cv2.INTER_AREA), np.uint8)
    spots, places = _dark_spots(picture, max(width, height))
    return Sketch(
        size=(width, height),
        thumbnail=np.asarray(cv2.resize(small, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA), np.uint8),
        detail=np.clip(np.rint(_band(small, *_DETAIL_SIGMAS) * 2), -127, 127).astype(np.int8),
        spots=spots,
        places=places,
    )


def spot_detail(spots: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Fine detail ``(k, 24, 24)`` of pictures of spots."""
    bands = [_band(spot, *_SPOT_SIGMAS) for spot in spots]
    return np.stack(bands) if bands else np.zeros((0, SPOT, SPOT), np.float32)


def _band(picture: NDArray[np.uint8], fine: float, coarse: float) -> NDArray[np.float32]:
    grey = cv2.transform(picture.astype(np.float32), np.ones((1, 3), np.float32)) / np.float32(3)
    band: NDArray[np.float32] = cv2.GaussianBlur(grey, (0, 0), fine) - cv2.GaussianBlur(grey, (0, 0), coarse)
    return band


def _dark_spots(picture: NDArray[np.uint8], long_side: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The largest spots dark in red light, as nuclei are, where most of their surroundings lie inside the picture."""
    wanted = _CELL_SIDE if long_side < _LARGEST_CELL_SIDE else _FIELD_SIDE
    factor = min(1.0, wanted / max(picture.shape[:2]))
    if factor < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    height, width = picture.shape[:2]
    red = cv2.GaussianBlur(np.ascontiguousarray(picture[..., 0]), (0, 0), 1.5)
    threshold, _ = cv2.threshold(red, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    dark = cv2.morphologyEx((red < threshold).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    _, _, boxes, centres = cv2.connectedComponentsWithStats(dark)
    areas = boxes[1:, cv2.CC_STAT_AREA]
    spots, places = [], []
    margin, scale = _INSIDE * _SPOT_RADIUS, SPOT / (2 * _SPOT_RADIUS)
    for index in np.argsort(-areas, kind="stable")[:_MOST_SPOTS]:
        x, y = centres[index + 1]
        if areas[index] < _SMALLEST_SPOT or not (margin <= x <= width - margin and margin <= y <= height - margin):
            continue
        move = np.array([[scale, 0, SPOT / 2 - x * scale], [0, scale, SPOT / 2 - y * scale]])
        spots.append(cv2.warpAffine(picture, move, (SPOT, SPOT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT))
        places.append((x / width, y / height))
    return (
        np.array(spots, np.uint8).reshape(-1, SPOT, SPOT, 3),
        np.array(places, np.float32).reshape(-1, 2),
    )
