"""What is changed on a training tile: how it lies, its colours, its focus.

Turns and mirrors move the boxes with the tile. The colours change in two ways: contrast, saturation and brightness of
the picture, as wang-2022 does, and the stain itself: amounts of dye are optical densities (Beer-Lambert), so another
stain or camera is a matrix near the identity on the logarithm of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.learning.detector.canvas import turned

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
WHITE = 250.0
"""What passes where there is no dye, 0..255."""


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far each thing may change; 0: not at all.

    ``turns``: quarter turns and mirrors. ``contrast``, ``saturation``, ``brightness``: factors of 1 +- that much.
    ``stain``: spread of the entries of the matrix on optical densities, and of the colour of the light (a third of it).
    ``focus``: chance of a blurred or sharpened tile.
    """

    turns: bool = True
    contrast: float = 0.0
    saturation: float = 0.0
    brightness: float = 0.0
    stain: float = 0.0
    focus: float = 0.0

    def __call__(
        self, picture: NDArray[np.uint8], boxes: NDArray[np.float32], rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """A changed picture ``(s, s, 3)`` uint8 RGB and its boxes ``(b, 4)``; all chance is ``rng``'s."""
        if self.turns:
            picture, boxes = turned(picture, boxes, int(rng.integers(8)))
        if self.stain:
            picture = restained(picture, self.stain, rng)
        if self.contrast or self.saturation or self.brightness:
            picture = self._coloured(picture, rng)
        if self.focus and rng.random() < self.focus:
            picture = refocused(picture, rng)
        return np.ascontiguousarray(picture), boxes

    def _coloured(self, picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        contrast, saturation, brightness = (
            1 + rng.uniform(-reach, reach) for reach in (self.contrast, self.saturation, self.brightness)
        )
        # One affine map of colour: grey value kept, distance from it scaled, then contrast round the middle.
        matrix = saturation * np.eye(3, dtype=np.float32) + (1 - saturation) * np.tile(LUMA, (3, 1))
        matrix = np.float32(contrast * brightness) * matrix
        offset = np.full((3, 1), 128.0 * (1 - contrast) * brightness, np.float32)
        return np.asarray(
            np.clip(cv2.transform(picture.astype(np.float32), np.hstack([matrix, offset])), 0, 255), np.uint8
        )


def restained(picture: NDArray[np.uint8], spread: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Another stain: densities mixed by a matrix near the identity, amounts scaled, the light tinted."""
    matrix = np.eye(3) * rng.normal(1.0, 1.5 * spread) + rng.normal(0.0, spread, (3, 3))
    matrix += np.diag(rng.normal(0.0, spread, 3))
    tint = np.clip(1 + rng.normal(0.0, spread / 3, 3), 0.75, 1.15)
    density = cv2.transform(_densities()[picture], matrix.astype(np.float32))
    np.clip(density, -0.1, 6.0, out=density)
    light = np.exp(-density) * np.asarray(WHITE * tint, np.float32)
    return np.asarray(np.clip(light, 0, 255), np.uint8)


@lru_cache(maxsize=1)
def _densities() -> NDArray[np.float32]:
    """Optical density of each grey value."""
    return np.asarray(-np.log(np.maximum(np.arange(256), 1.0) / WHITE), np.float32)


def refocused(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blurred by up to 1.6 px, or sharpened against such a blur."""
    soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 1.6)))
    if rng.random() < 0.5:
        return np.asarray(soft, np.uint8)
    amount = float(rng.uniform(0.3, 1.2))
    return np.asarray(cv2.addWeighted(picture, 1 + amount, soft, -amount, 0), np.uint8)
