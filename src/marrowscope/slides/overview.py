"""The whole slide as one small picture."""

from __future__ import annotations

from math import ceil

import cv2
import numpy as np

from marrowscope.geometry import Size
from marrowscope.slides.protocol import Picture, Slide

_STRIP_PIXELS = 16_000_000


def overview(slide: Slide, longest: int = 2048) -> tuple[Picture, tuple[float, float]]:
    """The slide with its longest side at most ``longest`` pixels, and how many level-0 pixels one of them spans (x, y).

    Takes the coarsest level that is large enough and averages blocks of whole pixels. A slide that lacks small levels
    is read in strips, so that memory stays bounded. Raises ``SlideError`` where the file is damaged.
    """
    large = [i for i, level in enumerate(slide.levels) if max(level.size) >= longest]
    index = large[-1] if large else 0
    level = slide.levels[index]
    factor = max(1, ceil(max(level.size) / longest))
    width, height = ceil(level.size.width / factor), ceil(level.size.height / factor)
    rows = max(1, _STRIP_PIXELS // (width * factor * factor))
    picture = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        strip = slide.read(index, 0, top * factor, Size(width * factor, count * factor))
        cv2.resize(strip, (width, count), dst=picture[top : top + count], interpolation=cv2.INTER_AREA)
    return picture, (level.downsample[0] * factor, level.downsample[1] * factor)
