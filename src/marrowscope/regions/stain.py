"""Light, glass and stain of a smear: from RGB to the density of nuclear matter, whatever the stain and the lamp.

Legend: pictures ``(h, w, 3)`` uint8 RGB; *absorbance* is ``ln(glass / light)`` per channel, so that glass is 0 and two
cells on top of each other add up; *nuclear excess* is what absorbs red and green beyond what red cells explain.

Nuclei and basophilic cytoplasm (azure, methylene blue) absorb red and green strongly and blue little; red cells
(eosin, haemoglobin) absorb blue nearly as much as green. ``red + green - red_cell * blue`` is therefore zero for red
cells when ``red_cell`` is their own ratio, which is measured on each slide, and large for nuclei. It is the unmixing
of Ruifrok and Johnston (2001) reduced to the one axis that matters here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.regions.rasters import Raster
from marrowscope.slides.protocol import Picture

_BLOCK_UM = 500.0
_RED_CELL_LIMITS = (1.0, 3.2)
_NUCLEUS_LIMITS = (0.35, 3.5)
INK = 1.2
"""Blue and green ink absorbs this much more red than green; nuclei absorb more green, blue cytoplasm about as much."""

_DARK = 35
"""Below this in every channel nothing was scanned, or it is the edge of the glass slide or a pen."""


@dataclass(frozen=True, slots=True)
class Glass:
    """Light through clean glass: ``ln`` of RGB as a quadratic of position, ``coefficients (6, 3)``."""

    coefficients: NDArray[np.float64]
    width_um: float
    height_um: float

    def at(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """``ln`` RGB at positions in um; shape of the positions plus 3."""
        return _quadratic(x_um / self.width_um, y_um / self.height_um) @ self.coefficients

    @classmethod
    def of(cls, overview: Picture, um: float, scanned: NDArray[np.bool_]) -> Glass:
        """Fit the upper envelope of the light, so that uneven illumination is no smear.

        The brightest two percent of each block are glass, a gap or a fat hole in most blocks; blocks that lie well
        below the surface through all (thick smear) are left out in turn.
        """
        height, width = overview.shape[:2]
        size = max(4, round(_BLOCK_UM / um))
        darkest = np.where(scanned, cv2.min(cv2.min(overview[..., 0], overview[..., 1]), overview[..., 2]), 0)
        positions, lights = [], []
        for top in range(0, height, size):
            for left in range(0, width, size):
                place = slice(top, top + size), slice(left, left + size)
                usable = int(scanned[place].sum())
                if usable < 16:
                    continue
                brightest = max(2, usable // 50)
                chosen = np.argpartition(darkest[place].ravel(), -brightest)[-brightest:]
                light = overview[place].reshape(-1, 3)[chosen]
                positions.append(((left + size / 2) / width, (top + size / 2) / height))
                lights.append(np.log(light.astype(np.float64).mean(axis=0) + 1))
        x, y = np.array(positions).T if positions else np.zeros((2, 1))
        light = np.array(lights) if lights else np.full((1, 3), np.log(256.0))
        terms = _quadratic(x, y)
        clean = light.min(axis=1) >= np.quantile(light.min(axis=1), 0.7)
        fit = np.zeros((6, 3))
        for _ in range(8):
            # A whisper of ridge keeps the surface flat where few blocks are clean.
            system = terms[clean].T @ terms[clean] + np.diag([0.0, *[0.02 * clean.sum()] * 5])
            fit = np.linalg.solve(system, terms[clean].T @ light[clean])
            above = (light - terms @ fit).min(axis=1) > -0.04
            if not above.any() or (above == clean).all():
                break
            clean = above
        return cls(fit, width * um, height * um)


def _quadratic(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    u, v = 2 * x - 1, 2 * y - 1
    return np.stack([np.ones_like(u), u, v, u * u, v * v, u * v], axis=-1)


@dataclass(frozen=True, slots=True)
class Stain:
    """The colours of one slide.

    Red cells lie on the line ``red + green = red_cell * blue + plasma``; a solid nucleus lies ``nucleus`` above it.
    """

    glass: Glass
    red_cell: float
    plasma: float
    nucleus: float

    def measure(self, picture: Picture, x_um: float, y_um: float, um: float) -> tuple[Raster, Raster, Raster]:
        """Absorbance of red, of green, and nuclear matter (1: solid nucleus); the picture's corner lies at (x, y).

        What is dark in every channel was not scanned or is no smear: it absorbs nothing here.
        """
        height, width = picture.shape[:2]
        measured = np.empty((height, width, 3), np.float32)
        nuclear = np.array([1, 1, -self.red_cell, -self.plasma]) / self.nucleus
        mix = np.array([[1, 0, 0, 0], [0, 1, 0, 0], nuclear], np.float32)
        step = max(64, round(_BLOCK_UM / um))
        for top in range(0, height, step):
            for left in range(0, width, step):
                part = picture[top : top + step, left : left + step]
                here = (
                    np.array([x_um + (left + part.shape[1] / 2) * um]),
                    np.array([y_um + (top + part.shape[0] / 2) * um]),
                )
                table = self.glass.at(*here).astype(np.float32)[None] - _LN
                place = slice(top, top + step), slice(left, left + step)
                measured[place] = cv2.transform(cv2.LUT(part, table), mix)
        measured[_dark(picture)] = 0
        return measured[..., 0], measured[..., 1], measured[..., 2]

    @classmethod
    def of(cls, overview: Picture, um: float, background: tuple[int, int, int] = (255, 255, 255)) -> Stain:
        """Read the colours off an overview whose unscanned parts show ``background``."""
        scanned = ~_dark(overview) & (cv2.inRange(overview, background, background) == 0)
        glass = Glass.of(overview, um, scanned)
        stride = max(1, round((overview.shape[0] * overview.shape[1] / 80_000) ** 0.5))
        sample = overview[::stride, ::stride]
        rows, columns = np.indices(sample.shape[:2]) * stride * um
        absorbance = glass.at(columns, rows) - np.log(sample.astype(np.float64) + 1)
        ink = absorbance[..., 0] > np.maximum(INK * absorbance[..., 1], 0.3)
        absorbance = absorbance[(absorbance[..., 1] > 0.05) & scanned[::stride, ::stride] & ~ink]
        if len(absorbance) < 100:
            return cls(glass, sum(_RED_CELL_LIMITS) / 2, 0.0, 1.0)
        red, green, blue = absorbance.T
        red_cell, plasma = _red_cell_line(blue, red + green)
        excess = red + green - red_cell * blue - plasma
        return cls(glass, red_cell, plasma, float(np.clip(np.quantile(excess, 0.999), *_NUCLEUS_LIMITS)))


def _red_cell_line(blue: NDArray[np.float64], others: NDArray[np.float64]) -> tuple[float, float]:
    """Slope and intercept of red + green over blue for red cells: the lower edge of the cloud, nuclei lie above it."""
    edges = np.quantile(blue, np.linspace(0.05, 0.95, 13))
    bins = [others[(blue >= low) & (blue < high)] for low, high in pairwise(edges)]
    middles = [(low + high) / 2 for (low, high), values in zip(pairwise(edges), bins, strict=True) if len(values) > 20]
    if len(middles) < 3:
        return sum(_RED_CELL_LIMITS) / 2, 0.0
    lower = np.array([np.quantile(values, 0.35) for values in bins if len(values) > 20])
    slope = float(np.clip(np.polyfit(middles, lower, 1)[0], *_RED_CELL_LIMITS))
    return slope, float(np.clip(np.median(lower - slope * np.array(middles)), 0.0, 0.15))


def _dark(picture: Picture) -> NDArray[np.bool_]:
    return np.asarray(cv2.inRange(picture, (0, 0, 0), (_DARK, _DARK, _DARK)) > 0)


_LN = np.log(np.arange(256, dtype=np.float32) + 1)[None, :, None]
