"""From detections of tiles to cells of the slide: each cell once, whatever the tiles.

A cell belongs to the tile whose core holds its centre. Where two tiles still report the same cell (its centre lies on
the seam and moved by a hair), the two are fused. The corner-distance joining of Wang et al. 2022 is kept beside it in
:mod:`marrowscope.detection.corner_distance` for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from marrowscope.detection.suppression import best_first, pairwise_iou
from marrowscope.detection.table import Detections
from marrowscope.geometry import Box
from marrowscope.tiles.grid import TileWindow

SEAM = 1.0
"""A centre may lie this many lattice pixels outside the core and still be reported; fusion removes the second copy."""


def owned_by_core(found: Detections, core: Box, seam: float = SEAM) -> Detections:
    """The detections whose centre the core owns, with a hair's breadth around it for the fusion to decide."""
    x, y = found.centres.T
    return found[(x >= core.x0 - seam) & (x < core.x1 + seam) & (y >= core.y0 - seam) & (y < core.y1 + seam)]


def fuse(found: Detections, iou_threshold: float) -> tuple[Detections, NDArray[np.int64]]:
    """Fuse what overlaps more than the threshold; the second value is the index of each group's best member.

    The box is the mean weighted by score, the score the best one, class probabilities the mean: a conflict between
    classes is settled by both views and not by the order of the tiles. A chain of overlaps is one cell only as far as
    each member overlaps the best one.
    """
    order = best_first(found.boxes, found.scores)
    overlaps = pairwise_iou(found.boxes, found.boxes) > iou_threshold
    free = np.ones(len(found), bool)
    best: list[int] = []
    boxes, scores, probabilities = [], [], []
    for index in order:
        if not free[index]:
            continue
        group = np.flatnonzero(overlaps[index] & free)
        free[group] = False
        best.append(int(index))
        boxes.append(
            np.average(found.boxes[group], axis=0, weights=found.scores[group])
            if len(group) > 1
            else found.boxes[index]
        )
        scores.append(found.scores[index])
        if found.probabilities is not None:
            probabilities.append(found.probabilities[group].mean(axis=0))
    if not best:
        return found, np.zeros(0, np.int64)
    fused = Detections(
        np.stack(boxes),
        np.array(scores, np.float32),
        np.stack(probabilities) if found.probabilities is not None else None,
    )
    return fused, np.array(best, np.int64)


def stitch_field(
    parts: Sequence[tuple[TileWindow, Detections]], iou_threshold: float
) -> tuple[Detections, NDArray[np.int64]]:
    """Join the tiles of one counting field: detections in lattice pixels, and for each the tile that it came from."""
    owned = [owned_by_core(found, window.core) for window, found in parts]
    sources = np.repeat(np.arange(len(parts)), [len(part) for part in owned])
    joined = Detections.concatenate(owned)
    if len(parts) == 1 or not len(joined):
        return joined, sources
    fused, best = fuse(joined, iou_threshold)
    return fused, sources[best]


class Stitcher:
    """Remembers the cells near the borders of counted fields, so that no cell is counted in two fields.

    Ownership by centre already decides; this is the guard for a centre that moved across a border by a hair between two
    tiles. Boxes are in one frame throughout (the pipeline's is level-0 pixels).
    """

    def __init__(self, iou_threshold: float) -> None:
        self._iou_threshold = iou_threshold
        self._boxes: dict[tuple[int, int], list[NDArray[np.float64]]] = {}

    def admit(self, column: int, row: int, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which boxes of this field are new; they are remembered."""
        neighbours = [
            known
            for i in (column - 1, column, column + 1)
            for j in (row - 1, row, row + 1)
            for known in self._boxes.get((i, j), [])
        ]
        new = np.ones(len(boxes), bool)
        if neighbours and len(boxes):
            new = pairwise_iou(boxes, np.concatenate(neighbours)).max(axis=1, initial=0.0) <= self._iou_threshold
        self._boxes.setdefault((column, row), []).append(boxes[new])
        return new
