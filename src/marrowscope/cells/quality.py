"""Quality flags of single cells: what a reviewer should look at first."""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from marrowscope.packs.contract import PackContract

BLURRED_BELOW = 0.006
"""Sharpness below which a cell is out of focus (how it was chosen: docs/methods/quality.md)."""

SMUDGED_ABOVE = 0.3
"""Probability of a smudged nucleus above which a cell of another type is flagged."""


def sharpness(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How sharp each crop ``(n, side, side, 3)`` is: energy of its Laplacian over its variance, ``(n,)``.

    The ratio does not change with contrast or stain. Source: variance of the Laplacian, Pech-Pacheco et al., ICPR 2000.
    """
    if not len(crops):
        return np.zeros(0, np.float32)
    n, side = crops.shape[:2]
    # One tall picture costs a tenth of one call a crop; the rows at the seams are left out of the sums.
    grey = cv2.GaussianBlur(cv2.cvtColor(crops.reshape(n * side, side, 3), cv2.COLOR_RGB2GRAY), (3, 3), 0)
    inner = slice(2, side - 2)
    edges = cv2.Laplacian(grey, cv2.CV_32F).reshape(n, side, side)[:, inner, inner]
    smooth = grey.reshape(n, side, side)[:, inner, inner].astype(np.float32)
    values: NDArray[np.float32] = edges.var(axis=(1, 2)) / (smooth.var(axis=(1, 2)) + 25.0)
    return values


def looks_flagged(
    crops: NDArray[np.uint8] | None,
    probabilities: NDArray[np.float32],
    anomaly: NDArray[np.float32] | None,
    contract: PackContract,
) -> dict[str, NDArray[np.bool_]]:
    """Truth values ``(n,)`` of the flags that the looks of cells alone tell: blurred, smudged, unsure, anomalous.

    ``crops (n, side, side, 3)`` at the pack's spacing; None where nobody knows their scale, without which nothing is
    called blurred.
    """
    classes, n = contract.classes, len(probabilities)
    smudge = probabilities[:, classes.index("smudge")] if "smudge" in classes else np.zeros(n)
    return {
        "blurred": np.zeros(n, np.bool_) if crops is None else sharpness(crops) < BLURRED_BELOW,
        "smudged": smudge >= SMUDGED_ABOVE,
        "unsure": probabilities.max(axis=1, initial=0.0) < contract.unsure_below,
        "anomalous": np.zeros(n, np.bool_) if anomaly is None else anomaly > 1,
    }


def cut_by_border(
    boxes: NDArray[np.float64], owned_region: Polygon | MultiPolygon, scanned: tuple[float, float, float, float]
) -> NDArray[np.bool_]:
    """Which boxes ``(n, 4)`` cross the border of the region or touch that of the scanned area (level-0 pixels)."""
    if not len(boxes):
        return np.zeros(0, bool)
    shapes = shapely.box(*boxes.T)
    shapely.prepare(owned_region)
    crosses = ~shapely.covers(owned_region, shapes)
    x0, y0, x1, y1 = scanned
    touches = (boxes[:, 0] <= x0 + 1) | (boxes[:, 1] <= y0 + 1) | (boxes[:, 2] >= x1 - 1) | (boxes[:, 3] >= y1 - 1)
    result: NDArray[np.bool_] = crosses | touches
    return result
