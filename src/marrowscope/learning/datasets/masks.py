"""Which pixels of a picture are the white cell in its middle.

The nucleus is found by its colour (Otsu's threshold on how purple a pixel is), then GrabCut (Rother et al. 2004,
doi:10.1145/1015706.1015720) grows it to the whole cell by the colours of the cell and of its surroundings.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MASK_SPACING = 0.33
"""um per pixel at which cells are told from their surroundings."""

_SMALLEST_NUCLEUS_UM2 = 3.0
_NUCLEUS_FROM_CENTRE_UM = 3.5
_SURELY_CELL_UM, _SURELY_OUTSIDE_UM, _LARGEST_RADIUS_UM = 2.0, 7.0, 14.0
_SMOOTHING_UM = 1.0
_LEAST_CONTRAST = 20
"""Grey values between the purplest and the least purple pixel, below which nothing is a nucleus."""

Mask = NDArray[np.uint8]


def cell_mask(picture: NDArray[np.uint8], spacing: float) -> Mask:
    """Mask ``(h, w)``, 0 or 1, of the cell in the middle of an RGB picture at ``spacing`` um/px; all 0 if none is."""
    height, width = picture.shape[:2]
    factor = spacing / MASK_SPACING
    sides = (max(1, round(width * factor)), max(1, round(height * factor)))
    mask = coarse_mask(np.asarray(cv2.resize(picture, sides, interpolation=cv2.INTER_AREA), np.uint8))
    smooth = cv2.resize(mask * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smooth > 127, np.uint8)


def coarse_mask(rgb: NDArray[np.uint8]) -> Mask:
    """The same of a picture at :data:`MASK_SPACING`."""
    nucleus = _central_parts(nuclei(rgb))
    if not nucleus.any():
        return nucleus
    labels = np.full(rgb.shape[:2], cv2.GC_PR_BGD, np.uint8)
    labels[cv2.dilate(nucleus, _disc(_SURELY_CELL_UM)) > 0] = cv2.GC_PR_FGD
    labels[nucleus > 0] = cv2.GC_FGD
    outside = (cv2.dilate(nucleus, _disc(_SURELY_OUTSIDE_UM)) == 0) | (_radius_um(labels.shape) > _LARGEST_RADIUS_UM)
    labels[outside] = cv2.GC_BGD
    cv2.setRNGSeed(0)  # GrabCut starts its colour clusters at random
    cv2.grabCut(rgb, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    mask = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    return _filled_part_with(
        np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(_SMOOTHING_UM)), np.uint8), nucleus
    )


def nuclei(rgb: NDArray[np.uint8]) -> Mask:
    """Mask of what is purple enough for a nucleus, anywhere in the picture; all 0 in one without contrast."""
    red, green, blue = (rgb[..., i].astype(np.float32) for i in range(3))
    purple = np.clip(np.minimum(red, blue) - green + (255 - green) / 2, 0, 255).astype(np.uint8)
    if np.ptp(purple) < _LEAST_CONTRAST:
        return np.zeros_like(purple)
    return np.asarray(cv2.threshold(purple, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1], np.uint8)


def _central_parts(purple: Mask) -> Mask:
    radius = _radius_um(purple.shape)
    count, parts = cv2.connectedComponents(purple)
    kept = np.zeros_like(purple)
    for part in range(1, count):
        inside = parts == part
        if inside.sum() * MASK_SPACING**2 > _SMALLEST_NUCLEUS_UM2 and radius[inside].min() < _NUCLEUS_FROM_CENTRE_UM:
            kept[inside] = 1
    return kept


def _filled_part_with(mask: Mask, nucleus: Mask) -> Mask:
    """The connected part of ``mask`` that holds most of the nucleus, its holes filled."""
    _, parts = cv2.connectedComponents(mask)
    votes = np.bincount(parts[nucleus > 0], minlength=2)
    votes[0] = 0
    part = (parts == votes.argmax()).astype(np.uint8) * (votes.max() > 0)
    outlines, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), outlines, -1, 1, cv2.FILLED), np.uint8)


def _radius_um(shape: tuple[int, ...]) -> NDArray[np.float64]:
    y, x = np.ogrid[: shape[0], : shape[1]]
    distance: NDArray[np.float64] = np.hypot(y - shape[0] / 2, x - shape[1] / 2) * MASK_SPACING
    return distance


def _disc(radius_um: float) -> Mask:
    side = 2 * round(radius_um / MASK_SPACING) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)
