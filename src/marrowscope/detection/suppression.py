"""Overlap of boxes and greedy suppression.

Boxes are ``(n, 4)`` x0, y0, x1, y1 in any one frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pairwise_iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of every box of ``a`` with every box of ``b``: ``(len(a), len(b))``."""
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.clip(bottom_right - top_left, 0.0, None).prod(axis=2)
    area_a = (a[:, 2:] - a[:, :2]).prod(axis=1)
    area_b = (b[:, 2:] - b[:, :2]).prod(axis=1)
    union = area_a[:, None] + area_b[None, :] - intersection
    overlap: NDArray[np.float64] = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return overlap


def best_first(boxes: NDArray[np.float64], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """Indices by falling score; equal scores in the order of their coordinates, whatever the order of the input."""
    order: NDArray[np.int64] = np.lexsort((*boxes.T, -scores.astype(np.float64)))
    return order


def suppress(boxes: NDArray[np.float64], scores: NDArray[np.float32], iou_threshold: float) -> NDArray[np.int64]:
    """Indices of the boxes that stay, best first: each drops every worse box that overlaps it more than the threshold.

    Its outcome does not depend on the order of the input.
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    order = best_first(boxes, scores)
    overlaps = pairwise_iou(boxes[order], boxes[order]) > iou_threshold
    alive = np.ones(len(order), bool)
    for position in range(len(order)):
        if alive[position]:
            alive[position + 1 :] &= ~overlaps[position, position + 1 :]
    return order[alive]
