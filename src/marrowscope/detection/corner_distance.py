"""The stitching of Wang et al. 2022, for comparison with ours.

Tiles do not overlap, so a cell on a seam is cut in two boxes, one on each side. For each pair of detections in
neighbouring tiles the distances between their corners are taken; the pair is one cell when the mean of the smallest and
the second smallest distance is below a limit (25 px at 0.25 um per pixel). The paper does not say which corners the
second distance may use, nor the class of a joined cell; our reading: neither corner of the first pair, and the class of
the higher score.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from marrowscope.detection.table import Detections

SCORE_ABOVE = 0.1
DISTANCE_PX = 25.0


def corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The four corners of each box: ``(n, 4, 2)``."""
    return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


def corner_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean of the smallest and second smallest corner distance of two boxes ``(4,)``; the pairs share no corner."""
    distances = np.linalg.norm(corners(a[None])[0][:, None] - corners(b[None])[0][None], axis=2)
    i, j = np.unravel_index(distances.argmin(), distances.shape)
    others = np.delete(np.delete(distances, i, axis=0), j, axis=1)
    return float((distances[i, j] + others.min()) / 2)


def stitch_by_corners(
    tiles: Mapping[tuple[int, int], Detections], *, distance_px: float = DISTANCE_PX, score_above: float = SCORE_ABOVE
) -> Detections:
    """Join detections of a grid of abutting tiles; keys are (column, row), boxes in one common frame.

    A joined cell's box is the union and its score and class are those of its best part. Joining is transitive, as a
    cell on a corner lies in four tiles.
    """
    kept = {key: found[found.scores > score_above] for key, found in tiles.items()}
    keys = [key for key, found in kept.items() for _ in range(len(found))]
    joined = Detections.concatenate(list(kept.values()))
    start = dict(zip(kept, np.cumsum([0, *map(len, kept.values())][:-1]), strict=False)) if kept else {}
    parent = np.arange(len(joined))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = int(parent[index])
        return index

    for index, (column, row) in enumerate(keys):
        for neighbour in ((column + 1, row), (column, row + 1)):
            for offset in range(len(kept.get(neighbour, ()))):
                other = int(start[neighbour]) + offset
                if corner_distance(joined.boxes[index], joined.boxes[other]) < distance_px:
                    parent[root(other)] = root(index)
    roots = np.array([root(index) for index in range(len(joined))], np.int64)
    groups = [np.flatnonzero(roots == value) for value in np.unique(roots)]
    best = np.array([group[joined.scores[group].argmax()] for group in groups], np.int64)
    unions = [
        np.concatenate([joined.boxes[group, :2].min(axis=0), joined.boxes[group, 2:].max(axis=0)]) for group in groups
    ]
    if not groups:
        return joined
    probabilities = None if joined.probabilities is None else joined.probabilities[best]
    return Detections(np.stack(unions), joined.scores[best], probabilities)
