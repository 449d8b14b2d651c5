"""One-to-one matching of boxes to boxes by intersection over union (IoU).

Boxes are ``(n, 4)`` arrays ``x0, y0, x1, y1``, both sets in the same frame. Only pairs that touch are looked at
(an R-tree finds them), so 100,000 cells a slide are no trouble.

Legend: ``p`` predicted boxes, ``t`` true boxes, ``k`` matched pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

Indices = NDArray[np.intp]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs of predicted and true boxes, no box in two pairs; ``predicted``, ``truth`` and ``iou`` have shape ``(k,)``.

    ``predicted`` and ``truth`` are row numbers into the boxes that were matched.
    """

    predicted: Indices
    truth: Indices
    iou: Floats
    n_predicted: int
    n_truth: int

    def __len__(self) -> int:
        return len(self.iou)

    @property
    def spurious(self) -> Indices:
        """Predicted boxes without a partner (false positives)."""
        return np.setdiff1d(np.arange(self.n_predicted), self.predicted)

    @property
    def missed(self) -> Indices:
        """True boxes without a partner (false negatives)."""
        return np.setdiff1d(np.arange(self.n_truth), self.truth)


def as_boxes(boxes: ArrayLike) -> Floats:
    """An ``(n, 4)`` float array; an empty list is no boxes. Raises ``ValueError`` for another shape or x1 < x0."""
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"boxes must have shape (n, 4), found {array.shape}")
    if not (array[:, 2:] >= array[:, :2]).all():
        raise ValueError("every box needs x0 <= x1 and y0 <= y1, in finite numbers")
    return array


def overlapping_pairs(first: ArrayLike, second: ArrayLike, iou: float) -> tuple[Indices, Indices, Floats]:
    """All pairs ``(i, j)`` with IoU at least ``iou`` (> 0), as three arrays: rows of first, rows of second, IoU."""
    if not 0 < iou <= 1:
        raise ValueError(f"the IoU threshold must lie in (0, 1], found {iou}")
    a, b = as_boxes(first), as_boxes(second)
    if not len(a) or not len(b):
        return np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0)
    i, j = shapely.STRtree(_rectangles(b)).query(_rectangles(a))
    order = np.lexsort((j, i))
    i, j = i[order], j[order]
    sides = np.minimum(a[i, 2:], b[j, 2:]) - np.maximum(a[i, :2], b[j, :2])
    overlap = np.clip(sides, 0, None).prod(axis=1)
    union = _areas(a)[i] + _areas(b)[j] - overlap
    value = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    keep = value >= iou
    return i[keep], j[keep], value[keep]


def match_boxes(predicted: ArrayLike, truth: ArrayLike, iou: float = 0.5) -> Matching:
    """The best matching that needs no scores: most pairs first, then the largest sum of IoU.

    It is symmetric, which makes it right for comparing two runs or two people. Each cluster of touching boxes is
    solved by itself with the Hungarian method (Kuhn 1955).
    """
    p, t = as_boxes(predicted), as_boxes(truth)
    i, j, value = overlapping_pairs(p, t, iou)
    graph = coo_matrix((np.ones(len(i)), (i, j + len(p))), shape=(len(p) + len(t),) * 2)
    cluster = connected_components(graph, directed=False)[1][i] if len(i) else np.zeros(0, np.intp)
    chosen: list[int] = []
    order = np.argsort(cluster, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(cluster[order])) + 1) if len(order) else []:
        rows, row = np.unique(i[members], return_inverse=True)
        columns, column = np.unique(j[members], return_inverse=True)
        # One more pair always outweighs any sum of IoUs: each pair is worth more than all IoUs of the cluster.
        worth = np.zeros((len(rows), len(columns)))
        worth[row, column] = value[members] + min(worth.shape)
        number = np.full(worth.shape, -1)
        number[row, column] = members
        chosen += [int(n) for n in number[linear_sum_assignment(worth, maximize=True)] if n >= 0]
    pairs = np.sort(np.array(chosen, dtype=np.intp))
    return Matching(i[pairs], j[pairs], value[pairs], len(p), len(t))


def match_by_score(predicted: ArrayLike, scores: ArrayLike, truth: ArrayLike, iou: float = 0.5) -> Matching:
    """The matching of COCO: best score first, each takes the free true box it overlaps most, at IoU >= ``iou``.

    Equal scores keep their order. Pairs come out in that order.
    """
    p, t = as_boxes(predicted), as_boxes(truth)
    score = np.asarray(scores, dtype=np.float64)
    if score.shape != (len(p),):
        raise ValueError(f"scores must have shape ({len(p)},), found {score.shape}")
    i, j, value = overlapping_pairs(p, t, iou)
    rank = np.empty(len(p), np.intp)
    rank[np.argsort(-score, kind="stable")] = np.arange(len(p))
    taken_p, taken_t = np.zeros(len(p), bool), np.zeros(len(t), bool)
    chosen = []
    for n in np.lexsort((j, -value, rank[i])):
        if not taken_p[i[n]] and not taken_t[j[n]]:
            taken_p[i[n]] = taken_t[j[n]] = True
            chosen.append(n)
    pairs = np.array(chosen, dtype=np.intp)
    return Matching(i[pairs], j[pairs], value[pairs], len(p), len(t))


def _areas(boxes: Floats) -> Floats:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _rectangles(boxes: Floats) -> NDArray[np.object_]:
    return np.asarray(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]), dtype=object)
