"""How well a detector finds cells: average precision as COCO defines it, precision, recall and F1 at a threshold.

All boxes of one picture are in one frame (which one does not matter); pictures are matched one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.matching import as_boxes, match_by_score, overlapping_pairs

COCO_IOUS: tuple[float, ...] = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.50, 0.55 ... 0.95: the thresholds over which "AP50:95" is averaged."""


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """Predictions and truth of one picture (or tile, or slide).

    Shapes: ``boxes (p, 4)``, ``scores (p,)``, ``truth (t, 4)``, ``ignored (m, 4)``. ``ignored`` are objects that count
    neither way (cut by the border, too blurred to label): a prediction that matches none of ``truth`` but one of them
    is left out.
    """

    boxes: ArrayLike
    scores: ArrayLike
    truth: ArrayLike
    ignored: ArrayLike = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Predictions of all pictures, best first: ``scores`` and ``right`` have shape ``(p,)``; ``n_truth`` true boxes."""

    scores: NDArray[np.float64]
    right: NDArray[np.bool_]
    n_truth: int


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """Scores of a detector; precision and recall carry Wilson intervals.

    The intervals treat cells as independent, which cells of one slide are not: bootstrap over slides for a claim about
    new slides.
    """

    ap50: float
    ap50_95: float
    iou: float
    score_threshold: float
    precision: Proportion
    recall: Proportion
    pictures: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; nan without any true or predicted box."""
        pairs, sides = self.recall.count, self.precision.total + self.recall.total
        return 2 * pairs / sides if sides else float("nan")


def judge(picture: LabelledPicture, iou: float = 0.5) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which predictions ``(p,)`` are right when matched by score at ``iou``, and which count at all."""
    matching = match_by_score(picture.boxes, picture.scores, picture.truth, iou)
    matched = np.zeros(matching.n_predicted, bool)
    matched[matching.predicted] = True
    counted = np.ones(matching.n_predicted, bool)
    on_ignored = overlapping_pairs(picture.boxes, picture.ignored, iou)[0]
    counted[on_ignored] = matched[on_ignored]
    return matched, counted


def rank_predictions(pictures: Sequence[LabelledPicture], iou: float = 0.5) -> Ranking:
    """Match every picture by score at ``iou`` and pool the predictions, best first (ties in given order)."""
    scores: list[NDArray[np.float64]] = []
    right: list[NDArray[np.bool_]] = []
    n_truth = 0
    for picture in pictures:
        matched, counted = judge(picture, iou)
        scores.append(np.asarray(picture.scores, dtype=np.float64)[counted])
        right.append(matched[counted])
        n_truth += len(as_boxes(picture.truth))
    all_scores = np.concatenate(scores) if scores else np.zeros(0)
    all_right = np.concatenate(right) if right else np.zeros(0, bool)
    order = np.argsort(-all_scores, kind="stable")
    return Ranking(all_scores[order], all_right[order], n_truth)


def average_precision(ranking: Ranking) -> float:
    """COCO's average precision: the best precision at or beyond each recall 0, 0.01 ... 1, averaged (101 points).

    No cap on the number of detections a picture (COCO's 100 is too few for dense marrow). nan without true boxes.
    """
    if ranking.n_truth == 0:
        return float("nan")
    hits = np.cumsum(ranking.right)
    recall = hits / ranking.n_truth
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    # Without the small tolerance 0.29 * 100 / 100 and the like fall on either side by rounding.
    at = np.searchsorted(recall, np.linspace(0, 1, 101) - 1e-12, side="left")
    reached = at < len(envelope)
    return float(envelope[at[reached]].sum() / 101)


def detection_scores(pictures: Sequence[LabelledPicture], score_threshold: float, iou: float = 0.5) -> DetectionScores:
    """AP50 and AP50:95 over all predictions; precision, recall and F1 at ``iou`` of those that reach the threshold."""
    rankings = {threshold: rank_predictions(pictures, threshold) for threshold in {*COCO_IOUS, iou}}
    kept = rankings[iou].right[rankings[iou].scores >= score_threshold]
    hits = int(kept.sum())
    return DetectionScores(
        ap50=average_precision(rankings[0.5]),
        ap50_95=float(np.mean([average_precision(rankings[threshold]) for threshold in COCO_IOUS])),
        iou=iou,
        score_threshold=score_threshold,
        precision=Proportion(hits, len(kept)),
        recall=Proportion(hits, rankings[iou].n_truth),
        pictures=len(pictures),
    )


def best_threshold(ranking: Ranking) -> float:
    """The score threshold with the largest F1, midway to the next lower score so that it is not on a knife's edge.

    Choose it on validation data, never on the test. Raises ``ValueError`` without true or predicted boxes.
    """
    if not len(ranking.scores) or ranking.n_truth == 0:
        raise ValueError("a threshold can only be chosen with predicted and true boxes")
    last = np.append(np.flatnonzero(np.diff(ranking.scores)), len(ranking.scores) - 1)  # equal scores go together
    f1 = 2 * np.cumsum(ranking.right)[last] / (last + 1 + ranking.n_truth)
    best = int(last[np.argmax(f1)])
    following = ranking.scores[best + 1] if best + 1 < len(ranking.scores) else 0.0
    return float((ranking.scores[best] + following) / 2)
