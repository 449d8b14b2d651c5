"""The slide as one square picture: what a model sees that is to say where the particles and their trails are."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.slides.overview import overview
from marrowscope.slides.protocol import Picture, Slide

SIDE = 512
"""Pixels a side, as in Wang et al. 2022."""


@dataclass(frozen=True, slots=True)
class SquareOverview:
    """``picture (side, side, 3)`` RGB with the slide in its upper left corner, the rest in the slide's background.

    ``scale (2,)``: level-0 pixels that one of its pixels spans, x and y (equal but for rounding: the shape is kept).
    """

    picture: Picture
    scale: NDArray[np.float64]

    def to_level0(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """Boxes ``(n, 4)`` of the picture in level-0 pixels."""
        return np.asarray(boxes, np.float64).reshape(-1, 4) * np.tile(self.scale, 2)

    def from_level0(self, boxes: NDArray[np.floating]) -> NDArray[np.float64]:
        """The inverse of :meth:`to_level0`."""
        return np.asarray(boxes, np.float64).reshape(-1, 4) / np.tile(self.scale, 2)


def square_overview(slide: Slide, side: int = SIDE) -> SquareOverview:
    """The whole slide, its longer side shrunk to ``side`` pixels by averaging, the shorter one filled up.

    A slide smaller than that is enlarged. Raises ``SlideError`` where the file is damaged.
    """
    seen, downsample = overview(slide, 2 * side)
    height, width = seen.shape[:2]
    factor = side / max(height, width)
    shape = max(1, round(width * factor)), max(1, round(height * factor))
    shrunk = cv2.resize(seen, shape, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = slide.background
    picture[: shape[1], : shape[0]] = shrunk
    return SquareOverview(picture, np.array([downsample[0] * width / shape[0], downsample[1] * height / shape[1]]))
