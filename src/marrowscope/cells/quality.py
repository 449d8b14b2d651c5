"""Quality flags of single cells: what a reviewer should look at first."""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

SMUDGED_ABOVE = 0.3
"""Probability of a smudged nucleus above which a cell of another type is flagged."""


def sharpness(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How sharp each crop ``(n, side, side, 3)`` is: energy of its Laplacian over its variance, ``(n,)``.

    The ratio does not change with contrast or stain. Source: variance of the Laplacian, Pech-Pacheco et al., ICPR 2000.
    """
    values = np.zeros(len(crops), np.float32)
    for index, crop in enumerate(crops):
        grey = cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (3, 3), 0).astype(np.float32)
        values[index] = cv2.Laplacian(grey, cv2.CV_32F).var() / (grey.var() + 25.0)
    return values


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
