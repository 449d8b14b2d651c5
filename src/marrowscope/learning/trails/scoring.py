"""Found boxes against true ones, by object and by slide, as in Table 4 of Wang et al. 2022.

By object a true box is found when a box of its own has IoU > 0.5 with it. By slide the area of all found boxes is
compared with that of all true ones, and a slide is found when their IoU is > 0.5; with several slides tested, one that
is not found is missed and, when anything was found on it, found wrongly as well. Accuracy is TP / (TP + FP + FN).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from marrowscope.detection.suppression import pairwise_iou

FOUND_FROM = 0.5
"""IoU above which something is found."""


@dataclass(frozen=True, slots=True)
class Counts:
    """True positives, false positives, false negatives, and the IoU of each true object or slide.

    An object that was missed counts with the IoU of the nearest box, 0 where there is none. Shares of nothing are 0.
    """

    hits: int
    false: int
    missed: int
    overlaps: tuple[float, ...]

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits,
            self.false + other.false,
            self.missed + other.missed,
            self.overlaps + other.overlaps,
        )

    @property
    def recall(self) -> float:
        return _share(self.hits, self.hits + self.missed)

    @property
    def precision(self) -> float:
        return _share(self.hits, self.hits + self.false)

    @property
    def accuracy(self) -> float:
        return _share(self.hits, self.hits + self.false + self.missed)

    @property
    def iou(self) -> float:
        return float(np.mean(self.overlaps)) if self.overlaps else float("nan")


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def by_object(found: NDArray[np.float64], true: NDArray[np.float64]) -> Counts:
    """Of one slide: each of ``found (k, 4)``, best first, takes the free one of ``true (g, 4)`` nearest to it."""
    overlap = pairwise_iou(found, true)
    own = overlap.max(axis=0, initial=0.0)
    free = np.ones(len(true), bool)
    for row in overlap:
        open_ = np.where(free, row, -1.0)
        best = int(open_.argmax()) if len(open_) else -1
        if best >= 0 and open_[best] > FOUND_FROM:
            free[best], own[best] = False, open_[best]
    hits = int((~free).sum())
    return Counts(hits, len(found) - hits, int(free.sum()), tuple(own.tolist()))


def by_slide(found: NDArray[np.float64], true: NDArray[np.float64]) -> Counts:
    """Of one slide: the areas together. Nothing is counted where there is neither a true box nor a found one."""
    if not len(true):
        return Counts(0, int(len(found) > 0), 0, ())
    a, b = (shapely.union_all(shapely.box(*boxes.T)) for boxes in (found, true))
    iou = float(a.intersection(b).area / a.union(b).area)
    hit = iou > FOUND_FROM
    return Counts(int(hit), int(not hit and len(found) > 0), int(not hit), (iou,))


def area(boxes: NDArray[np.float64]) -> float:
    """Area that boxes ``(k, 4)`` cover together, square pixels."""
    return float(shapely.area(shapely.union_all(shapely.box(*boxes.T)))) if len(boxes) else 0.0
