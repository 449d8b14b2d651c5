"""Small operations on rasters of 16 um per pixel, lengths in um and areas in mm2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Raster = NDArray[np.float32]
Mask = NDArray[np.bool_]

RASTER_UM = 16.0


def blur(raster: Raster, um: float) -> Raster:
    """Gaussian mean with this standard deviation."""
    return np.asarray(cv2.GaussianBlur(raster, (0, 0), um / RASTER_UM, borderType=cv2.BORDER_REPLICATE))


def blur_within(raster: Raster, mask: Mask, um: float) -> Raster:
    """Gaussian mean over the mask alone: what lies outside has no say. 0 far from the mask."""
    weight = mask.astype(np.float32)
    return np.asarray(blur(raster * weight, um) / np.maximum(blur(weight, um), 1e-3), np.float32)


def grow(mask: Mask, um: float) -> Mask:
    """Everything within ``um`` of the mask; negative: what is further than ``um`` inside it."""
    if um < 0:
        return ~grow(~mask, -um)
    return np.asarray(_distance(mask) * RASTER_UM <= um)


def _distance(mask: Mask) -> Raster:
    """Distance to the mask in pixels; without a mask everything is far away."""
    if not mask.any():
        return np.full(mask.shape, 1e6, np.float32)
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def close(mask: Mask, um: float) -> Mask:
    """Bridge gaps up to about ``2 um``; the border of the raster counts as empty."""
    pad = round(um / RASTER_UM) + 1
    closed = grow(grow(np.pad(mask, pad), um), -um)
    return np.asarray(closed[pad:-pad, pad:-pad], bool)


def opened(mask: Mask, um: float) -> Mask:
    """The mask without bridges and spikes narrower than about ``2 um``."""
    return grow(grow(mask, -um), um)


def drop_small(mask: Mask, mm2: float) -> Mask:
    """The mask without connected parts of less than ``mm2``."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    large = statistics[:, cv2.CC_STAT_AREA] >= mm2 * 1e6 / RASTER_UM**2
    large[0] = False
    return np.asarray(large[labels])


def fill_small(mask: Mask, mm2: float) -> Mask:
    """The mask with its holes of less than ``mm2`` filled; the world outside the raster is no hole."""
    padded = np.pad(~mask, 1, constant_values=True)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(padded.astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] < mm2 * 1e6 / RASTER_UM**2
    small[[0, labels[0, 0]]] = False
    return np.asarray(mask | small[labels][1:-1, 1:-1], bool)


@dataclass(frozen=True, slots=True)
class Part:
    """One connected part: the mask of its bounding box, and where that begins. No larger than it needs to be."""

    mask: Mask
    row: int
    column: int

    @property
    def place(self) -> tuple[slice, slice]:
        """The bounding box in the whole raster."""
        height, width = self.mask.shape
        return slice(self.row, self.row + height), slice(self.column, self.column + width)

    def of(self, raster: NDArray[Any]) -> NDArray[Any]:
        """The values of a raster on this part."""
        return raster[self.place][self.mask]


def parts(mask: Mask) -> list[Part]:
    """Connected parts, largest first."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    found = []
    for label in sorted(range(1, count), key=lambda label: -int(statistics[label, cv2.CC_STAT_AREA])):
        column, row, width, height, _ = statistics[label].tolist()
        found.append(Part(labels[row : row + height, column : column + width] == label, row, column))
    return found


def ramp(values: Raster, low: float, high: float) -> Raster:
    """0 up to ``low``, 1 from ``high`` on, straight between; falls when ``low > high``."""
    return np.asarray(np.clip((values - low) / (high - low), 0, 1), np.float32)
