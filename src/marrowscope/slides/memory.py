"""A slide in memory: fields of view, tests and library users who bring their own pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import MappingProxyType

import cv2
import numpy as np

from marrowscope.errors import SlideError
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.slides.levels import WHITE, pyramid, read_window
from marrowscope.slides.protocol import Closing, Level, Picture
from marrowscope.slides.spacing import as_spacing

SMALLEST_LEVEL = 1024
"""The pyramid ends with the first level whose longest side is at most this."""


class MemorySlide(Closing):
    """A picture as a slide; its pyramid by factors of two is built when it is first read.

    ``picture`` is ``(height, width, 3)`` uint8 RGB and is not copied: do not write to it afterwards. Raises
    ``SlideError`` for another shape or type, ``SpacingError`` for a spacing that cannot be true.
    """

    def __init__(
        self,
        picture: Picture,
        spacing: float | Spacing | None = None,
        *,
        name: str = "picture",
        path: Path | None = None,
        reader: str = "memory",
        background: tuple[int, int, int] = WHITE,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise SlideError(
                f"{name}: a picture must be uint8 RGB (height, width, 3), found {picture.dtype} {picture.shape}"
            )
        self.name = name
        self.path = path
        self.reader = reader
        self.size = Size(picture.shape[1], picture.shape[0])
        self.spacing = as_spacing(spacing, name)
        self.background = background
        self.bounds = Box(0, 0, *self.size)
        self.properties: Mapping[str, str] = MappingProxyType(dict(properties or {}))
        self.levels: tuple[Level, ...] = pyramid(_halved_sizes(self.size), name)
        self._pictures: list[Picture] = [np.ascontiguousarray(picture)]
        self._building = Lock()

    def read(self, level: int, x: int, y: int, size: Size) -> Picture:
        """See :meth:`marrowscope.slides.protocol.Slide.read`."""
        picture = self._picture(level)
        return read_window(
            lambda x0, y0, width, height: picture[y0 : y0 + height, x0 : x0 + width].copy(),
            self.levels[level].size,
            x,
            y,
            size,
            self.background,
        )

    def close(self) -> None:
        """Nothing is open; the pixels go with the object."""

    def _picture(self, level: int) -> Picture:
        if level >= len(self._pictures):
            with self._building:
                while level >= len(self._pictures):
                    self._pictures.append(_halve(self._pictures[-1]))
        return self._pictures[level]


def _halved_sizes(size: Size) -> list[Size]:
    sizes = [size]
    while max(sizes[-1]) > SMALLEST_LEVEL and min(sizes[-1]) > 1:
        sizes.append(Size((sizes[-1].width + 1) // 2, (sizes[-1].height + 1) // 2))
    return sizes


def _halve(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.asarray(cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE))
    return np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
