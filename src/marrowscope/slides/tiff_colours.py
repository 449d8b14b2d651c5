"""From the samples that a TIFF page stores to RGB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from marrowscope.slides.protocol import Picture

PHOTOMETRIC = tifffile.PHOTOMETRIC
_JPEG = (6, 7)


@dataclass(frozen=True, slots=True)
class Colours:
    """What the samples of a page mean.

    ``alpha``: 0 none, 1 colours multiplied by it, 2 not multiplied (the numbers of the tag ExtraSamples).
    ``bits`` are those that carry the picture: a 12-bit camera stores 12 of 16.
    """

    photometric: int
    alpha: int
    bits: int
    palette: Picture | None

    @classmethod
    def of(cls, page: Any, bits: int | None = None) -> Colours:
        """``bits`` where the file says more than its storage type."""
        photometric = int(page.photometric)
        if photometric == PHOTOMETRIC.YCBCR and page.compression in _JPEG:
            photometric = int(PHOTOMETRIC.RGB)  # the JPEG decoder gives RGB
        palette = None
        if photometric == PHOTOMETRIC.PALETTE:
            palette = np.ascontiguousarray((np.asarray(page.colormap) >> 8).astype(np.uint8).T)
        alpha = int(page.extrasamples[0]) if page.extrasamples else 0
        return cls(photometric, alpha if alpha in (1, 2) else 0, bits or int(page.bitspersample), palette)

    @property
    def known(self) -> bool:
        return self.photometric in (
            PHOTOMETRIC.MINISBLACK,
            PHOTOMETRIC.MINISWHITE,
            PHOTOMETRIC.RGB,
            PHOTOMETRIC.PALETTE,
        )

    @property
    def colours(self) -> int:
        """Samples of a pixel that are colours."""
        return 3 if self.photometric == PHOTOMETRIC.RGB else 1

    def to_rgb(self, values: NDArray[Any]) -> Picture:
        """Samples ``(height, width, n)``, 8 or 16 bits, as RGB over white; always a new array."""
        if self.palette is not None:
            shown: Picture = self.palette[values[..., 0]]
            return shown
        if values.dtype != np.uint8:
            values = np.minimum(values >> max(0, self.bits - 8), 255).astype(np.uint8)
        if self.photometric == PHOTOMETRIC.MINISWHITE:
            values = 255 - values
        rgb = values[..., :3].copy() if self.colours == 3 else np.repeat(values[..., :1], 3, axis=2)
        if not self.alpha or values.shape[2] == self.colours:
            return rgb
        alpha = values[..., self.colours, None].astype(np.uint16)
        premultiplied = rgb if self.alpha == 1 else (rgb * alpha + 127) // 255
        over_white: Picture = np.minimum(premultiplied + (255 - alpha), 255).astype(np.uint8)
        return over_white
