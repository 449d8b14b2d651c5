"""What is done to a picture once, before training: its middle, size, noise, sharpness and stain.

Pictures are uint8 RGB ``(h, w, 3)``; the network sees ``(side, side, 3)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import cv2
import numpy as np

from marrowscope.slides.cell_picture import fitted
from marrowscope.slides.protocol import Picture

SHARPEN = np.array([[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]], np.float32)
"""The kernel of ``shah-2025``."""

STAIN_MEAN = np.array([158.0, 149.0, 111.0], np.float32)
STAIN_SPREAD = np.array([45.0, 13.0, 18.0], np.float32)
"""Mean and deviation of L, a, b (8 bits each) of stained pixels to which Reinhard's method brings a picture: between
the medians of two Pappenheim-stained sets, PBC and MLL. Fixed, not learnt, so that two data sets meet at one place."""

CUT_OUT, STAINED = 16, 0.15
"""A pixel whose channels all reach no more than this was cut out (C-NMC's surroundings); one of a higher mean optical
density than this is stained, and no glass (as in Macenko et al. 2009)."""

_DENSITIES = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)


@dataclass(frozen=True, slots=True)
class Prepare:
    """``denoise``: strength ``h`` of non-local means on lightness and colour, 0 for none (Buades et al. 2011; windows
    of 7 and 21 px). ``stain`` "reinhard" matches mean and deviation of L, a, b (Reinhard et al. 2001). ``field``: um a
    side of the middle of the picture, all that the network sees of a larger one; 0 for the whole, which it is, too,
    where nobody knows the spacing.
    """

    interpolation: Literal["bilinear", "area"] = "area"
    denoise: float = 0.0
    sharpen: bool = False
    stain: Literal["none", "reinhard"] = "none"
    field: float = 0.0

    def __call__(self, picture: Picture, side: int, spacing: float | None) -> Picture:
        """The picture as the network will see it, ``(side, side, 3)``; one that is not square is squeezed.

        ``spacing``: um per pixel of the picture, None where unknown.
        """
        if self.field and spacing is not None:
            picture = middle(picture, round(self.field / spacing))
        prepared = resized(picture, side, self.interpolation)
        if self.stain == "reinhard":
            prepared = reinhard(prepared)
        if self.denoise:
            strength = float(self.denoise)
            prepared = cast(Picture, cv2.fastNlMeansDenoisingColored(prepared, None, strength, strength, 7, 21))
        return sharpened(prepared) if self.sharpen else prepared


def middle(picture: Picture, side: int) -> Picture:
    """The middle ``(side, side, 3)`` of a picture, and of a side that is shorter all of it."""
    height, width = picture.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return np.ascontiguousarray(picture[top : top + side, left : left + side])


def resized(picture: Picture, side: int, interpolation: str = "area") -> Picture:
    """``(side, side, 3)``. "area" as :func:`~marrowscope.slides.cell_picture.fitted`; "bilinear" looks at 4 pixels."""
    if interpolation == "area" or picture.shape[:2] == (side, side):
        return fitted(picture, side)
    return cast(Picture, cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR))


def sharpened(picture: Picture) -> Picture:
    """Filtered with :data:`SHARPEN`; edges are mirrored, values clipped to 0..255."""
    return cast(Picture, cv2.filter2D(picture, -1, SHARPEN))


def reinhard(picture: Picture) -> Picture:
    """The picture with mean and deviation of L, a, b brought to :data:`STAIN_MEAN` and :data:`STAIN_SPREAD`.

    They are measured on what is stained, so that neither the width of a black rim nor the share of glass counts; what
    was cut out stays black. A picture without anything stained stays as it is.
    """
    seen = picture.max(2) > CUT_OUT
    stained = seen & (_DENSITIES[picture].mean(2) > STAINED)
    if not stained.any():
        return picture
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    mean, spread = lab[stained].mean(0), lab[stained].std(0)
    matched = (lab - mean) * (STAIN_SPREAD / np.maximum(spread, 1.0)) + STAIN_MEAN
    coloured = cv2.cvtColor(np.clip(matched, 0, 255).round().astype(np.uint8), cv2.COLOR_LAB2RGB)
    return np.where(seen[..., None], coloured, picture).astype(np.uint8)
