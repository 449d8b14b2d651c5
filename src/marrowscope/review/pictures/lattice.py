"""A slide shrunk by any factor, in bounded memory, whatever levels its file has.

Shrunk by ``step``, pixel ``(u, v)`` covers level-0 pixels ``[u step, (u + 1) step) x [v step, (v + 1) step)``: the
lattice of :class:`marrowscope.slides.Sampler`, counted in level-0 pixels instead of um, so that a slide without a
spacing can be looked at too. A pixel has the same value whatever is read around it: tiles meet without a seam.
"""

from __future__ import annotations

from threading import Lock

import numpy as np

from marrowscope.geometry import Size, Spacing
from marrowscope.slides.memory import MemorySlide
from marrowscope.slides.overview import overview
from marrowscope.slides.protocol import Closing, Picture, Slide
from marrowscope.slides.sampling import Sampler

OVERVIEW = 4096
"""Longest side of the overview that stands in for levels that a file lacks, pixels (up to 50 MB, and a third more)."""

_WHOLE = 4 << 20
"""A level of so many pixels is read directly, however far it must be shrunk."""

_SHRINK = 4
"""A finer level is too fine: one tile would need more than 16 times its own pixels."""

_PIECE = 2048
"""Side of what is read at once, pixels of the level: 30 MB."""


class LevelLattice:
    """Reads ``slide`` shrunk (or enlarged) by a factor; safe for several threads.

    Where the file has no level near a factor, an overview of the whole slide is made once (which decodes every pixel
    of a slide that has level 0 only) and kept.
    """

    def __init__(self, slide: Slide, longest: int = OVERVIEW) -> None:
        self._slide = slide
        self._longest = longest
        self._overview: tuple[Slide, tuple[float, float]] | None = None
        self._making = Lock()

    def read(self, step: float, u: int, v: int, size: Size) -> Picture:
        """``size`` pixels of ``step`` level-0 pixels each, the first one ``(u, v)``; background outside the slide.

        RGB ``(height, width, 3)``. Raises ``SlideError`` where the file is damaged.
        """
        sampler, shrink = self._sampler(step)
        side = max(1, int(_PIECE / shrink))
        if max(size) <= side:
            return sampler.read(u, v, size)
        picture = np.empty((size.height, size.width, 3), np.uint8)
        for top in range(0, size.height, side):
            for left in range(0, size.width, side):
                part = picture[top : top + side, left : left + side]
                part[:] = sampler.read(u + left, v + top, Size(part.shape[1], part.shape[0]))
        return picture

    def _sampler(self, step: float) -> tuple[Sampler, float]:
        """What reads a factor best, and how many pixels of its level become one, along a side."""
        sampler = _sampler(self._slide, (1.0, 1.0), step)
        level = self._slide.levels[sampler.level]
        shrink = step / max(level.downsample)
        if shrink <= _SHRINK or level.size.area <= _WHOLE or step < self._overview_step():
            return sampler, shrink
        picture, downsample = self._whole()
        sampler = _sampler(picture, downsample, step)
        return sampler, step / (max(downsample) * max(picture.levels[sampler.level].downsample))

    def _overview_step(self) -> float:
        """Level-0 pixels that one pixel of the overview will span: known before it is made."""
        levels = self._slide.levels
        level = [levels[0], *(level for level in levels if max(level.size) >= self._longest / 2)][-1]
        return max(level.downsample) * -(-max(level.size) // self._longest)

    def _whole(self) -> tuple[Slide, tuple[float, float]]:
        with self._making:
            if self._overview is None:
                picture, downsample = overview(self._slide, self._longest)
                self._overview = MemorySlide(picture, background=self._slide.background), downsample
            return self._overview


def _sampler(slide: Slide, downsample: tuple[float, float], step: float) -> Sampler:
    """A sampler whose lattice pixel, called 1 um for the purpose, spans ``step`` level-0 pixels.

    ``downsample`` is how many level-0 pixels one pixel of ``slide`` spans (x, y).
    """
    return Sampler(_Respaced(slide, Spacing(downsample[0] / step, downsample[1] / step)), 1.0)


class _Respaced(Closing):
    """A slide with another spacing."""

    def __init__(self, slide: Slide, spacing: Spacing) -> None:
        self.name = slide.name
        self.path = slide.path
        self.reader = slide.reader
        self.size = slide.size
        self.levels = slide.levels
        self.spacing: Spacing | None = spacing
        self.background = slide.background
        self.bounds = slide.bounds
        self.properties = slide.properties
        self.read = slide.read

    def close(self) -> None:
        """The slide belongs to somebody else."""
