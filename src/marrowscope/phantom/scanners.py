"""Scanners: how optics, camera and software of one machine change the picture of a smear.

``plain`` leaves the picture as the painter made it. The others change sharpness, colour, tone and noise, in this
order: pointwise, or from a margin that is painted for it and cut off again, so that blocks join without a seam.
Values are set by eye, not measured on a machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.phantom.scene import BLOCK
from marrowscope.slides.protocol import Picture

Row = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Scanner:
    """One machine. ``sharpen``: how much of the difference to a blurred copy is added (below 0: the optics blur),
    ``radius`` its sigma in pixels; ``colour``: rows of the matrix from RGB to RGB, 0..1; ``gamma`` of the tone curve
    (above 1: darker) and ``contrast`` round middle grey; ``noise``: deviation, grey levels; ``quality`` of its JPEG."""

    name: str
    sharpen: float = 0.0
    radius: float = 1.0
    colour: tuple[Row, Row, Row] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    gamma: float = 1.0
    contrast: float = 0.0
    noise: float = 0.0
    quality: int = 90

    @property
    def is_plain(self) -> bool:
        """Whether the picture stays as it is."""
        return self == Scanner(self.name, quality=self.quality)

    @property
    def margin(self) -> int:
        """Pixels that :meth:`see` takes on every side beyond what it gives back."""
        return ceil(4 * self.radius) + 1 if self.sharpen else 0

    def see(self, picture: Picture, x0: int, y0: int) -> Picture:
        """What this scanner stores of ``picture``, which has a margin; the inner corner is level-0 ``x0, y0``."""
        if self.is_plain:
            return picture
        seen = picture.astype(np.float32)
        if self.sharpen:
            seen += np.float32(self.sharpen) * (seen - cv2.GaussianBlur(seen, (0, 0), self.radius))
            seen = np.ascontiguousarray(seen[self.margin : -self.margin, self.margin : -self.margin])
        seen = np.clip(cv2.transform(seen, np.array(self.colour, np.float32)), 0, 255) / np.float32(255)
        seen = seen ** np.float32(self.gamma)
        seen += np.float32(self.contrast) * (seen - np.float32(0.5)) * (1 - seen) * seen * 4
        seen *= 255
        if self.noise:
            rows, columns = (np.arange(n, n + m) % BLOCK for n, m in ((y0, seen.shape[0]), (x0, seen.shape[1])))
            seen += np.float32(self.noise) * _noise_tile()[np.ix_(rows, columns)]
        return np.asarray(np.rint(np.clip(seen, 0, 255)), np.uint8)


@lru_cache(maxsize=1)
def _noise_tile() -> NDArray[np.float32]:
    tile = np.random.default_rng(9).standard_normal((BLOCK, BLOCK, 3), dtype=np.float32)
    tile.setflags(write=False)
    return tile


SCANNERS: dict[str, Scanner] = {
    scanner.name: scanner
    for scanner in (
        Scanner("plain"),
        Scanner(
            "vivid", sharpen=0.9, radius=1.4, gamma=1.12, contrast=0.35, noise=3.0, quality=78,
            colour=((1.22, -0.16, -0.06), (-0.14, 1.20, -0.08), (-0.10, -0.16, 1.14)),
        ),
    )
}  # fmt: skip
"""``vivid``: saturated, warm, steep and sharpened: the second machine of the cohort ``wang-2022``."""
