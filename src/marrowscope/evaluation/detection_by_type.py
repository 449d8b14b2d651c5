"""Average precision by cell type and of cells of whatever type, with intervals over redrawn pictures.

A detection of a type is matched to true boxes of that type only: one on a cell of another type is a false positive.
Detections without a label are false positives too, so average precision needs complete truth; what is not labelled is
``ignored`` or lies in no picture.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrowscope.evaluation.detection import COCO_IOUS, LabelledPicture, Ranking, average_precision, judge
from marrowscope.evaluation.matching import as_boxes
from marrowscope.evaluation.redrawing import Estimate, Floats, draw_weights, estimate, mean_of_defined, share
from marrowscope.taxonomy import CELL_TYPES


@dataclass(frozen=True, slots=True)
class TypedPicture:
    """Detections and truth of one picture (tile, counting field or slide), all boxes in one frame.

    Shapes: ``boxes (p, 4)``, ``scores (p,)``, ``called (p,)`` names, ``truth (t, 4)``, ``types (t,)`` names,
    ``ignored (m, 4)``: objects of any type that count neither way. ``type_scores (p,)`` rank the detections of a type
    where they are given, ``scores`` those of cells of whatever type.
    """

    boxes: ArrayLike
    scores: ArrayLike
    called: Sequence[str]
    truth: ArrayLike
    types: Sequence[str]
    ignored: ArrayLike = ()
    type_scores: ArrayLike | None = None


@dataclass(frozen=True, slots=True)
class TypePrecision:
    """Average precision at IoU 0.5 and averaged over 0.50 to 0.95; ``type`` None is cells of whatever type.

    ``n`` of the estimates is the number of true boxes; both are nan without any.
    """

    type: str | None
    ap50: Estimate
    ap50_95: Estimate
    detections: int


def average_precisions(
    pictures: Sequence[TypedPicture],
    types: Iterable[str] = (),
    *,
    owners: Sequence[Hashable] | None = None,
    draws: int = 200,
    seed: int = 0,
) -> list[TypePrecision]:
    """AP50 and AP50:95 of cells of whatever type first, then of each type that was true or called or is in ``types``.

    COCO's definition (101 points, no cap of detections a picture). For the intervals pictures are redrawn, or their
    ``owners`` (the slide of each picture).
    """
    named = {name for picture in pictures for name in (*picture.called, *picture.types)} | set(types)
    merged = _merge(pictures)
    numbers: dict[Hashable, int] = {}
    rows = range(len(pictures)) if owners is None else owners
    owner = np.array([numbers.setdefault(row, len(numbers)) for row in rows], dtype=np.intp)
    if len(owner) != len(pictures):
        raise ValueError(f"one owner a picture is needed, found {len(owner)} for {len(pictures)} pictures")
    units = len(numbers)
    weights = draw_weights(units, draws=draws, seed=seed)[:, owner] if units else np.zeros((draws, 0))
    return [merged.precision(name, weights, units) for name in (None, *(name for name in CELL_TYPES if name in named))]


@dataclass(frozen=True, slots=True, eq=False)
class _Merged:
    """All pictures side by side in one frame, far enough apart that no box meets one of another picture."""

    boxes: Floats
    scores: Floats
    type_scores: Floats
    called: NDArray[np.str_]
    picture: NDArray[np.intp]
    truth: Floats
    types: NDArray[np.str_]
    truth_picture: NDArray[np.intp]
    ignored: Floats

    def precision(self, name: str | None, weights: Floats, units: int) -> TypePrecision:
        found = np.ones(len(self.boxes), bool) if name is None else self.called == name
        true = np.ones(len(self.truth), bool) if name is None else self.types == name
        scores = (self.scores if name is None else self.type_scores)[found]
        asked = LabelledPicture(self.boxes[found], scores, self.truth[true], self.ignored)
        n_pictures = weights.shape[1]
        true_by_picture = np.bincount(self.truth_picture[true], minlength=n_pictures).astype(np.float64)
        values, drawn = [], []
        for iou in COCO_IOUS:
            right, counted = judge(asked, iou)
            order = np.flatnonzero(counted)[np.argsort(-scores[counted], kind="stable")]
            values.append(average_precision(Ranking(scores[order], right[order], int(true.sum()))))
            in_draws = weights[:, self.picture[found][order]] if n_pictures else np.zeros((len(weights), 0))
            drawn.append(_redrawn_precision(in_draws, right[order], weights @ true_by_picture))
        n = int(true.sum())
        every = np.array(drawn)
        return TypePrecision(
            type=name,
            ap50=estimate(values[0], every[0], n, units),
            ap50_95=estimate(float(np.mean(values)), mean_of_defined(every.T), n, units),
            detections=int(found.sum()),
        )


def _redrawn_precision(weights: Floats, right: NDArray[np.bool_], truth: Floats) -> Floats:
    """Average precision of each draw ``(d,)``: ``weights (d, p)`` of the ranked detections, ``truth (d,)`` boxes."""
    precisions = np.full(len(weights), np.nan)
    hits = np.cumsum(weights * right, axis=1)
    precision = np.nan_to_num(share(hits, np.cumsum(weights, axis=1)))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    for draw in np.flatnonzero(truth > 0):
        at = np.searchsorted(hits[draw] / truth[draw], np.linspace(0, 1, 101) - 1e-12, side="left")
        precisions[draw] = envelope[draw, at[at < len(right)]].sum() / 101
    return precisions


def _merge(pictures: Sequence[TypedPicture]) -> _Merged:
    kinds = [[as_boxes(boxes) for boxes in (p.boxes, p.truth, p.ignored)] for p in pictures]
    every = [boxes for kind in kinds for boxes in kind if len(boxes)]
    left = min((boxes[:, 0].min() for boxes in every), default=0.0)
    width = max((boxes[:, 2].max() for boxes in every), default=0.0) - left + 1.0
    steps = [number * width * np.array([1.0, 0.0, 1.0, 0.0]) for number in range(len(kinds))]
    moved = [[boxes + step for boxes in kind] for kind, step in zip(kinds, steps, strict=True)]

    def stacked(at: int) -> Floats:
        return np.concatenate([np.zeros((0, 4)), *(kind[at] for kind in moved)])

    def numbers(at: int) -> NDArray[np.intp]:
        return np.repeat(np.arange(len(pictures)), [len(kind[at]) for kind in kinds])

    ranked = [p.scores if p.type_scores is None else p.type_scores for p in pictures]
    return _Merged(
        boxes=stacked(0),
        scores=np.concatenate([np.zeros(0), *(np.asarray(p.scores, np.float64) for p in pictures)]),
        type_scores=np.concatenate([np.zeros(0), *(np.asarray(scores, np.float64) for scores in ranked)]),
        called=np.array([name for p in pictures for name in p.called], dtype=np.str_),
        picture=numbers(0),
        truth=stacked(1),
        types=np.array([name for p in pictures for name in p.types], dtype=np.str_),
        truth_picture=numbers(1),
        ignored=stacked(2),
    )
