"""Other surroundings for a cell: the glass alone, red cells of another picture, a crowd of other cells.

In PBC each class comes from few smears, so that the colour of the glass and of the red cells tells the class (a network
learns that first, and fails in the next laboratory); and its cells lie alone, while marrow cells touch. Cells are moved
by their masks into what other pictures show. Pictures are uint8 RGB ``(side, side, 3)``, the cell in the middle; masks
``(side, side)`` are 0 or 1; what is added is brought to the glass colour of the picture it is added to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.uint8]

_SEAM = 1.5
"""Sigma of the soft border of a moved cell, pixels."""


def glass_colour(picture: Picture) -> NDArray[np.float32]:
    """Colour ``(3,)`` of the empty slide in a picture, 1..256: its 95th percentile in each channel."""
    return np.asarray(np.percentile(picture[::4, ::4].reshape(-1, 3), 95, axis=0) + 1, np.float32)


def on_glass(picture: Picture, mask: Mask) -> Picture:
    """The cell alone on glass of its own colour."""
    glass = np.broadcast_to(glass_colour(picture), picture.shape)
    return _blended(glass, picture, _soft(_grown(mask, 2), _SEAM))


def among_others(
    picture: Picture, mask: Mask, other: Picture, other_mask: Mask, random: np.random.Generator
) -> Picture:
    """The cell in the surroundings of another one, whose own place is filled with glass.

    Density of the surroundings is varied apart from that of the cell.
    """
    light = _light(other, random, 0.35)
    light[_grown(other_mask, 4) > 0] = 1.0
    return _blended(light * glass_colour(picture), picture, _soft(_grown(mask, 2), _SEAM))


def crowded(
    picture: Picture, mask: Mask, draw: Callable[[], tuple[Picture, Mask]], random: np.random.Generator
) -> Picture:
    """The cell with one to five others around and behind it, touching or a little overlapped, as in dense marrow.

    ``draw`` gives a picture of a cell and its mask, of the same side as ``picture``.
    """
    glass, radius = glass_colour(picture), _radius(mask)
    scene = picture.astype(np.float32)
    number, angle = int(random.integers(1, 6)), random.uniform(0, 2 * np.pi)
    for _ in range(number):
        other, other_mask = draw()
        angle += 2 * np.pi / number * random.uniform(0.7, 1.3)
        distance = (radius + _radius(other_mask)) * random.uniform(0.85, 1.25)
        move = np.array([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]], np.float32)
        sides = scene.shape[1::-1]
        alpha = cv2.warpAffine(_soft(other_mask, 1.0), move, sides)[..., None]
        scene += alpha * (cv2.warpAffine(_light(other, random, 0.2) * glass, move, sides) - scene)
    return _blended(scene, picture, _soft(_grown(mask, 1), 1.0))


def beside(view: Picture, neighbour: Picture, distance: float, angle: float) -> Picture:
    """The view with another picture's cell ``distance`` pixels away, as darkest of both."""
    level = np.clip(neighbour * (glass_colour(view) / glass_colour(neighbour)), 0, 255).astype(np.uint8)
    move = np.array([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]], np.float32)
    moved = cv2.warpAffine(level, move, view.shape[1::-1], borderMode=cv2.BORDER_CONSTANT, borderValue=(255,) * 3)
    return np.minimum(view, moved)


def bare(view: Picture, half_side: float) -> Picture:
    """The view with everything farther than ``half_side`` pixels from its middle painted in its glass colour."""
    crop = len(view)
    low, high = max(0, round(crop / 2 - half_side)), min(crop, round(crop / 2 + half_side))
    out = np.empty_like(view)
    out[:] = glass_colour(view) - 1
    out[low:high, low:high] = view[low:high, low:high]
    return out


def _light(picture: Picture, random: np.random.Generator, density: float) -> NDArray[np.float32]:
    """Transmitted light, 1 on glass, with its optical density multiplied by a random factor about 1."""
    light = np.minimum((picture.astype(np.float32) + 1) / glass_colour(picture), 1.0)
    return cast(NDArray[np.float32], light ** np.float32(np.exp(random.normal(0.0, density))))


def _blended(scene: NDArray[np.float32], picture: Picture, alpha: NDArray[np.float32]) -> Picture:
    out = scene + alpha[..., None] * (picture - scene)
    return np.clip(out, 0, 255).astype(np.uint8)


def _soft(mask: Mask, sigma: float) -> NDArray[np.float32]:
    return cast(NDArray[np.float32], cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma))


def _grown(mask: Mask, pixels: int) -> Mask:
    return cast(Mask, cv2.dilate(mask, np.ones((2 * pixels + 1,) * 2, np.uint8)))


def _radius(mask: Mask) -> float:
    """Of a disc of the same area."""
    return float(np.sqrt(mask.sum() / np.pi))
