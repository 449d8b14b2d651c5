"""Everything that a table about a network naming single cells should say, from its outputs on cells that it never saw.

Legend: ``n`` cells, ``k`` classes, ``d`` bootstrap draws; ``labels (n,)`` integer classes; ``probabilities (n, k)`` the
network's outputs (softmax, or one sigmoid a class); ``logits (n, k)`` what they were made of. Called is the class with
the largest output. Formulas: docs/methods/evaluation.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit, softmax
from scipy.stats import binomtest, norm, rankdata

from marrowscope.evaluation.classification import (
    Counts,
    Floats,
    ReliabilityBin,
    class_scores,
    confusion_matrix,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.redrawing import DRAWS, LEVEL, Estimate, draw_weights, estimate, mean_of_defined, share

BINS = 15
HALF = 0.5
"""An output above this says yes where each output is judged alone, as Keras counts."""


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class against the rest. ``support`` cells are of it, ``called`` were called it.

    ``misclassification`` is (FP + FN) / n, the complement of the one-against-rest accuracy; its mean over the classes
    is 2 (1 - top-1) / k. ``auc`` is that of the class's own output.
    """

    name: str
    support: int
    called: int
    precision: Proportion
    recall: Proportion
    specificity: Proportion
    misclassification: Proportion
    f1: Estimate
    auc: Estimate


@dataclass(frozen=True, slots=True)
class ElementWise:
    """The n x k outputs as so many yes-or-no questions (yes above 0.5), as Keras's ``binary_accuracy`` counts them.

    ``silent`` is the accuracy of a network that never says yes: (k - 1) / k.
    """

    accuracy: Proportion
    precision: Proportion
    recall: Proportion
    auc: float
    silent: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far the largest output can be believed as a probability; ``temperature`` is 1 for the outputs as they are."""

    temperature: float
    error: Estimate
    log_loss: float
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class CellScores:
    """What one network did on one set of cells.

    Proportions have Wilson intervals over cells; estimates are redrawn over ``units`` (patients where they are known,
    else cells), the AUC by DeLong over cells. Means are over the classes that occur; ``after`` is absent without
    validation cells.
    """

    n: int
    units: int
    classes: tuple[str, ...]
    confusion: Counts
    top1: Proportion
    top1_redrawn: Estimate
    element_wise: ElementWise
    macro_f1: Estimate
    balanced_accuracy: Estimate
    macro_auc: float
    per_class: tuple[ClassResult, ...]
    before: Calibration
    after: Calibration | None

    def of(self, name: str) -> ClassResult:
        """The class of this name; raises ``KeyError`` with those there are."""
        for row in self.per_class:
            if row.name == name:
                return row
        raise KeyError(f"no class {name!r}; there are {', '.join(self.classes)}")


def score_cells(
    labels: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    *,
    logits: ArrayLike | None = None,
    validation: tuple[ArrayLike, ArrayLike] | None = None,
    patients: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = DRAWS,
) -> CellScores:
    """All scores of one network on one set of cells.

    ``validation`` are the labels and logits of other cells, on which the temperature is fitted; with it ``logits`` of
    these cells are needed. ``patients (n,)`` are redrawn whole. Raises ``ValueError`` without cells, for shapes that do
    not fit, for outputs outside 0..1 or not finite, and for labels out of range.
    """
    names, k = tuple(classes), len(classes)
    p, t = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    if p.shape != (len(t), k) or t.ndim != 1 or not len(t):
        raise ValueError(
            f"labels (n,) and probabilities (n, {k}) with n >= 1 are needed, found {t.shape} and {p.shape}"
        )
    if not np.isfinite(p).all() or p.min() < 0 or p.max() > 1 + 1e-6:
        raise ValueError("probabilities must lie in 0..1; found others, or numbers that are not finite")
    if validation is not None and (logits is None or np.shape(logits) != p.shape):
        raise ValueError(f"a temperature needs the logits of these cells too, of the shape {p.shape}")
    if patients is not None and len(patients) != len(t):
        raise ValueError(f"a patient a cell is needed, found {len(patients)} for {len(t)} cells")
    units = None if patients is None else np.unique(np.asarray(patients), return_inverse=True)[1]
    called = p.argmax(axis=1)
    confusion = confusion_matrix(t, called, k)
    tables = _redrawn(t * k + called, k * k, units, seed, draws).reshape(-1, k, k)
    number = len(t) if units is None else int(units.max()) + 1

    def redrawn(value: float, drawn: Floats) -> Estimate:
        return estimate(value, drawn, len(t), number)

    f1, f1_drawn = _f1(confusion[None].astype(np.float64))[0], _f1(tables)
    recall, recall_drawn = _recall(confusion[None].astype(np.float64))[0], _recall(tables)
    right_drawn = np.trace(tables, axis1=1, axis2=2) / tables.sum(axis=(1, 2))
    rows = []
    for c, (name, found) in enumerate(zip(names, class_scores(confusion), strict=True)):
        wrong = int(confusion[c].sum() + confusion[:, c].sum() - 2 * confusion[c, c])
        rows.append(
            ClassResult(
                name=name,
                support=found.recall.total,
                called=found.precision.total,
                precision=found.precision,
                recall=found.recall,
                specificity=found.specificity,
                misclassification=Proportion(wrong, len(t)),
                f1=redrawn(float(f1[c]), f1_drawn[:, c]),
                auc=area_under_curve(t == c, p[:, c]),
            )
        )
    top1 = Proportion(int(np.trace(confusion)), len(t))
    after = None
    if validation is not None and logits is not None:
        temperature = fit_temperature(validation[1], validation[0])
        cooled = softmax(np.asarray(logits, np.float64) / temperature, axis=1)
        after = _calibration(cooled, t, temperature, units, seed, draws)
    return CellScores(
        n=len(t),
        units=number,
        classes=names,
        confusion=confusion,
        top1=top1,
        top1_redrawn=redrawn(top1.value, right_drawn),
        element_wise=element_wise(t, p),
        macro_f1=redrawn(float(mean_of_defined(f1)), mean_of_defined(f1_drawn)),
        balanced_accuracy=redrawn(float(mean_of_defined(recall)), mean_of_defined(recall_drawn)),
        macro_auc=float(mean_of_defined(np.array([row.auc.value for row in rows]))),
        per_class=tuple(rows),
        before=_calibration(p, t, 1.0, units, seed, draws),
        after=after,
    )


def element_wise(labels: ArrayLike, probabilities: ArrayLike) -> ElementWise:
    """Every output judged alone: accuracy, precision, recall and the area under the curve of all outputs together."""
    t, p = np.asarray(labels, np.int64), np.asarray(probabilities, np.float64)
    truth, yes = np.eye(p.shape[1], dtype=bool)[t], p > HALF
    hits = int((truth & yes).sum())
    return ElementWise(
        accuracy=Proportion(int((truth == yes).sum()), yes.size),
        precision=Proportion(hits, int(yes.sum())),
        recall=Proportion(hits, len(t)),
        auc=area_under_curve(truth.ravel(), p.ravel()).value,
        silent=1 - 1 / p.shape[1],
    )


def area_under_curve(positive: ArrayLike, scores: ArrayLike) -> Estimate:
    """Area under the ROC curve by ranks, ties counting half, with DeLong's interval (1988) on the logit scale.

    nan where one side has no cell; the interval alone is nan where the spread cannot be told (one cell on a side, or no
    overlap at all). Placement values by mid-ranks as in Sun & Xu (2014).
    """
    sides, s = np.asarray(positive, bool), np.asarray(scores, np.float64)
    ahead, behind = s[sides], s[~sides]
    m, n = len(ahead), len(behind)
    if not m or not n:
        return Estimate(nan, nan, nan, m + n, m + n)
    ranks = rankdata(np.concatenate([ahead, behind]))
    of_ahead = (ranks[:m] - rankdata(ahead)) / n
    of_behind = 1 - (ranks[m:] - rankdata(behind)) / m
    area = float(of_ahead.mean())
    if min(m, n) < 2:
        return Estimate(area, nan, nan, m + n, m + n)
    error = np.sqrt(of_ahead.var(ddof=1) / m + of_behind.var(ddof=1) / n)
    if not 0 < area < 1 or error == 0:
        return Estimate(area, nan, nan, m + n, m + n)
    reach = norm.ppf((1 + LEVEL) / 2) * error / (area * (1 - area))
    low, high = expit(logit(area) - reach), expit(logit(area) + reach)
    return Estimate(area, float(low), float(high), m + n, m + n)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two networks on the same cells: how many only the first, or only the second, called right; exact two-sided p."""

    both: int
    only_first: int
    only_second: int
    neither: int
    p: float


def mcnemar(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> McNemar:
    """Exact McNemar test (1947): the cells on which just one is right, against a fair coin; p is 1 when there is none.

    ``first`` and ``second`` are called classes ``(n,)``. Raises ``ValueError`` for unequal lengths.
    """
    t, a, b = (np.asarray(values, np.int64) for values in (labels, first, second))
    if not t.shape == a.shape == b.shape or t.ndim != 1:
        raise ValueError(f"one label and two calls a cell are needed, found {t.shape}, {a.shape} and {b.shape}")
    right_a, right_b = a == t, b == t
    one, two = int((right_a & ~right_b).sum()), int((~right_a & right_b).sum())
    p = float(binomtest(one, one + two).pvalue) if one + two else 1.0
    return McNemar(int((right_a & right_b).sum()), one, two, int((~right_a & ~right_b).sum()), p)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for how many were looked at together (Holm 1979), in the order given."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(steps, 1.0)
    return [float(value) for value in adjusted]


@dataclass(frozen=True, slots=True)
class BinaryAccuracy:
    """What element-wise accuracy follows from precision and recall over all outputs, and what top-1 lies behind it.

    ``false_positives`` and ``false_negatives`` are per cell; ``silent`` is the accuracy of a network that never says
    yes. ``top1`` are the lowest and highest possible shares of cells called right, provided that the outputs of a cell
    add up to 1, so that at most one of them passes 0.5.
    """

    false_positives: float
    false_negatives: float
    accuracy: float
    silent: float
    top1: tuple[float, float]


def binary_accuracy_explained(precision: float, recall: float, outputs: int) -> BinaryAccuracy:
    """Element-wise accuracy from precision and recall over all of a cell's ``outputs``, one of which is true.

    With one true output a cell, FN = 1 - recall and FP = recall (1 / precision - 1) per cell, and the accuracy is
    1 - (FP + FN) / outputs: the many outputs that are rightly silent carry it. Raises ``ValueError`` for figures that
    no network can have.
    """
    if not (0 < precision <= 1 and 0 < recall <= 1 and outputs >= 2):
        raise ValueError(f"no such network: precision {precision}, recall {recall}, {outputs} outputs")
    positives, negatives = recall * (1 / precision - 1), 1 - recall
    unsaid = max(1 - recall - positives, 0.0)
    return BinaryAccuracy(
        false_positives=positives,
        false_negatives=negatives,
        accuracy=1 - (positives + negatives) / outputs,
        silent=1 - 1 / outputs,
        top1=(recall, recall + unsaid),
    )


def _f1(tables: Floats) -> Floats:
    """``(d, k, k)`` to ``(d, k)``; nan for a class that is neither true nor called."""
    hits = np.diagonal(tables, axis1=1, axis2=2)
    return share(2 * hits, tables.sum(axis=1) + tables.sum(axis=2))


def _recall(tables: Floats) -> Floats:
    return share(np.diagonal(tables, axis1=1, axis2=2), tables.sum(axis=2))


def _redrawn(category: NDArray[np.int64], size: int, units: NDArray[np.intp] | None, seed: int, draws: int) -> Floats:
    """Counts ``(d, size)`` of the categories of the cells when the units are drawn anew with replacement.

    Drawing single cells anew is a multinomial draw of the counts, so the cells themselves are not needed.
    """
    if units is None:
        counts = np.bincount(category, minlength=size)
        drawn = np.random.default_rng(seed).multinomial(len(category), counts / len(category), draws)
        return drawn.astype(np.float64)
    of_unit = np.bincount(units * size + category, minlength=(int(units.max()) + 1) * size).reshape(-1, size)
    return draw_weights(len(of_unit), draws=draws, seed=seed) @ of_unit


def _calibration(
    p: Floats, t: NDArray[np.int64], temperature: float, units: NDArray[np.intp] | None, seed: int, draws: int
) -> Calibration:
    """The interval redraws how many cells of a bin are right and wrong; their mean certainty stays as it is."""
    certainty, right = p.max(axis=1), (p.argmax(axis=1) == t).astype(np.int64)
    number = np.clip(np.ceil(certainty * BINS).astype(np.int64) - 1, 0, BINS - 1)
    category = number * 2 + right
    size = np.bincount(category, minlength=2 * BINS).astype(np.float64)
    mean = np.nan_to_num(share(np.bincount(category, certainty, 2 * BINS).astype(np.float64), size))
    drawn = _redrawn(category, 2 * BINS, units, seed, draws)
    gap = np.abs((drawn * (np.arange(2 * BINS) % 2 - mean)).reshape(-1, BINS, 2).sum(axis=2)).sum(axis=1)
    whole = np.maximum(p[np.arange(len(t)), t] / p.sum(axis=1), 1e-12)
    return Calibration(
        temperature=temperature,
        error=estimate(
            expected_calibration_error(p, t, BINS),
            gap / drawn.sum(axis=1),
            len(t),
            len(t) if units is None else int(units.max()) + 1,
        ),
        log_loss=float(-np.log(whole).mean()),
        bins=tuple(reliability(p, t, BINS)),
    )
