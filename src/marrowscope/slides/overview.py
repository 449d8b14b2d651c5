"""The whole slide as one small picture."""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np

from marrowscope.geometry import Size
from marrowscope.slides.protocol import Picture, Slide

_CHUNK = 4096
"""Side of what is read at once, pixels: 50 MB however large the slide."""


def overview(slide: Slide, longest: int = 2048) -> tuple[Picture, tuple[float, float]]:
    """The slide with its longest side between half of ``longest`` and ``longest``, or whole where it is smaller.

    Gives the picture and how many level-0 pixels one of its pixels spans (x, y). Blocks of whole pixels of the
    coarsest level that is large enough are averaged; a slide that lacks small levels is read piece by piece, so memory
    stays bounded (time does not: without a pyramid every pixel must be decoded). Raises ``SlideError`` where the file
    is damaged, ``ValueError`` when ``longest`` is not positive.
    """
    if longest < 1:
        raise ValueError(f"an overview needs at least one pixel, found longest={longest}")
    large = [i for i, level in enumerate(slide.levels) if max(level.size) >= longest / 2]
    index = large[-1] if large else 0
    level = slide.levels[index]
    factor = ceil(max(level.size) / longest)
    picture = np.empty((ceil(level.size.height / factor), ceil(level.size.width / factor), 3), np.uint8)
    side = max(1, _CHUNK // factor)
    for top in range(0, picture.shape[0], side):
        for left in range(0, picture.shape[1], side):
            part = picture[top : top + side, left : left + side]
            size = Size(part.shape[1] * factor, part.shape[0] * factor)
            read = slide.read(index, left * factor, top * factor, size)
            cv2.resize(read, (part.shape[1], part.shape[0]), dst=part, interpolation=cv2.INTER_AREA)
    return picture, (level.downsample[0] * factor, level.downsample[1] * factor)
