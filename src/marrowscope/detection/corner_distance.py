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
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from marrowscope.detection.table import Detections

SCORE_ABOVE = 0.1
DISTANCE_PX = 25.0


def corners(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The four corners of each box: ``(n, 4, 2)``."""
    return boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]


def corner_distances(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, m)`` of boxes ``(n, 4)`` and ``(m, 4)``: mean of the smallest and the second smallest distance of two
    corners; the two pairs share no corner."""
    apart = np.linalg.norm(corners(a)[:, None, :, None] - corners(b)[None, :, None, :], axis=4)  # (n, m, 4, 4)
    flat = apart.reshape(len(a), len(b), 16)
    nearest = flat.argmin(axis=2)
    row, column = np.unravel_index(nearest, (4, 4))
    four = np.arange(4)
    shared = (four[:, None] == row[..., None, None]) | (four[None] == column[..., None, None])
    second = np.where(shared, np.inf, apart).reshape(flat.shape).min(axis=2)
    return np.asarray((flat.min(axis=2) + second) / 2)


def stitch_by_corners(
    tiles: Mapping[tuple[int, int], Detections], *, distance_px: float = DISTANCE_PX, score_above: float = SCORE_ABOVE
) -> Detections:
    """Join detections of a grid of abutting tiles; keys are (column, row), boxes in one common frame.

    A joined cell's box is the union and its score and class are those of its best part. Joining is transitive, as a
    cell on a corner lies in four tiles.
    """
    kept = {key: found[found.scores > score_above] for key, found in tiles.items()}
    joined = Detections.concatenate(list(kept.values()))
    if not len(joined):
        return joined
    start = dict(zip(kept, np.cumsum([0, *map(len, kept.values())][:-1]), strict=True))
    pairs: list[NDArray[np.intp]] = []
    for (column, row), found in kept.items():
        for neighbour in ((column + 1, row), (column, row + 1)):
            if neighbour in kept:
                near = np.argwhere(corner_distances(found.boxes, kept[neighbour].boxes) < distance_px)
                pairs.append(near + np.array([start[column, row], start[neighbour]]))
    one, other = np.concatenate(pairs).T if pairs else np.zeros((2, 0), np.intp)
    n = len(joined)
    count, group = connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(n, n)), directed=False)
    best = np.lexsort((-joined.scores, group))[np.searchsorted(np.sort(group), np.arange(count))]
    low, high = np.full((count, 2), np.inf), np.full((count, 2), -np.inf)
    np.minimum.at(low, group, joined.boxes[:, :2])
    np.maximum.at(high, group, joined.boxes[:, 2:])
    probabilities = None if joined.probabilities is None else joined.probabilities[best]
    return Detections(np.concatenate([low, high], axis=1), joined.scores[best], probabilities)
