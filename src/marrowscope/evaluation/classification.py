"""How well a classifier names cells, how far its probabilities can be believed, and what saying "unsure" buys.

Legend: ``n`` cells, ``c`` classes; ``truth (n,)`` integer classes in ``0..c-1``; ``probabilities`` and ``logits``
``(n, c)``; ``confusion (c, c)`` counts with true classes in rows and called classes in columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from marrowscope.errors import how_many
from marrowscope.evaluation.intervals import Proportion

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def confusion_matrix(truth: ArrayLike, called: ArrayLike, classes: int) -> Counts:
    """Counts ``[true class, called class]``. Raises ``ValueError`` for unequal lengths or a class out of range."""
    t, p = np.asarray(truth, dtype=np.int64), np.asarray(called, dtype=np.int64)
    if t.shape != p.shape or t.ndim != 1:
        raise ValueError(f"truth and called must be of one length, found {t.shape} and {p.shape}")
    if len(t) and not (min(t.min(), p.min()) >= 0 and max(t.max(), p.max()) < classes):
        raise ValueError(f"classes must lie in 0..{classes - 1}")
    return np.bincount(t * classes + p, minlength=classes * classes).reshape(classes, classes)


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One class against the rest, with Wilson intervals in each proportion. ``f1`` is nan when nothing was there."""

    precision: Proportion
    recall: Proportion
    specificity: Proportion
    f1: float


def class_scores(confusion: Counts) -> list[ClassScores]:
    """One entry a class, in the order of the matrix."""
    total = int(confusion.sum())
    scores = []
    for k in range(len(confusion)):
        hits, true, called = int(confusion[k, k]), int(confusion[k].sum()), int(confusion[:, k].sum())
        scores.append(
            ClassScores(
                precision=Proportion(hits, called),
                recall=Proportion(hits, true),
                specificity=Proportion(total - true - called + hits, total - true),
                f1=2 * hits / (true + called) if true + called else float("nan"),
            )
        )
    return scores


def accuracy(confusion: Counts) -> Proportion:
    """Share of cells that were called right."""
    return Proportion(int(np.trace(confusion)), int(confusion.sum()))


def macro_f1(confusion: Counts) -> float:
    """Unweighted mean F1 over the classes that were true or called at least once (as scikit-learn does)."""
    sides = confusion.sum(axis=0) + confusion.sum(axis=1)
    seen = sides > 0
    return float(np.mean(2 * np.diag(confusion)[seen] / sides[seen])) if seen.any() else float("nan")


def balanced_accuracy(confusion: Counts) -> float:
    """Mean recall over the classes that occur."""
    true = confusion.sum(axis=1)
    seen = true > 0
    return float(np.mean(np.diag(confusion)[seen] / true[seen])) if seen.any() else float("nan")


def cohen_kappa(confusion: Counts) -> float:
    """Agreement beyond chance of two raters (Cohen 1960), unweighted; nan when both always say the same one thing."""
    total = confusion.sum()
    if total == 0:
        return float("nan")
    observed = np.trace(confusion) / total
    chance = float((confusion.sum(axis=0) / total) @ (confusion.sum(axis=1) / total))
    return float((observed - chance) / (1 - chance)) if chance < 1 else float("nan")


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Cells whose largest probability lies in ``(low, high]``: how sure they were on average, and how often right."""

    low: float
    high: float
    certainty: float
    right: Proportion


def reliability(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> list[ReliabilityBin]:
    """Reliability diagram of the largest probability over equal-width bins; empty bins are left out."""
    certainty, right = _certainty_and_right(probabilities, truth)
    number = np.clip(np.ceil(certainty * bins).astype(int) - 1, 0, bins - 1)
    return [
        ReliabilityBin(
            low=k / bins,
            high=(k + 1) / bins,
            certainty=float(certainty[number == k].mean()),
            right=Proportion(int(right[number == k].sum()), int((number == k).sum())),
        )
        for k in np.unique(number)
    ]


def expected_calibration_error(probabilities: ArrayLike, truth: ArrayLike, bins: int = 15) -> float:
    """Mean distance between certainty and accuracy over the bins, weighted by their cells (Guo et al. 2017)."""
    diagram = reliability(probabilities, truth, bins)
    total = sum(b.right.total for b in diagram)
    return sum(b.right.total * abs(b.right.value - b.certainty) for b in diagram) / total if total else float("nan")


TEMPERATURES = (0.05, 20.0)
"""Where a temperature is sought."""

AT_BOUND = 1.01
"""A temperature within this factor of a bound has ended there."""

LEAST_ERRORS = 10
"""With fewer wrong cells nothing tells that a network may be surer than it is.

How sure it may be is the rate of its errors among cells that look alike; the 95 % interval of a rate of ten errors
reaches from half of it to nearly twice (Garwood 1936: 4.8 to 18.4), that of three from a fifth to three times.
"""


def _wrong(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> int:
    return int((logits.argmax(axis=1) != truth).sum())


def fit_temperature(logits: ArrayLike, truth: ArrayLike) -> float:
    """The temperature that minimises the log loss of ``softmax(logits / temperature)`` (Guo et al. 2017).

    Sought in :data:`TEMPERATURES`. Where every cell is right the loss falls without end the surer the network is made,
    and tells nothing of how sure it may be: the temperature is 1 then. With fewer than :data:`LEAST_ERRORS` wrong cells
    it is 1 at least: so few may make a network less sure, never surer. :func:`temperature_doubt` says what of that
    happened. Fit it on validation data, never on the test. Raises ``ValueError`` without cells.
    """
    z = np.asarray(logits, dtype=np.float64)
    t = np.asarray(truth, dtype=np.int64)
    if z.ndim != 2 or t.shape != (len(z),) or not len(z):
        raise ValueError(f"logits (n, c) and truth (n,) with n >= 1 are needed, found {z.shape} and {t.shape}")
    rows = np.arange(len(t))
    wrong = _wrong(z, t)
    if not wrong:
        return 1.0

    def log_loss(log_temperature: float) -> float:
        return -float(log_softmax(z * np.exp(-log_temperature), axis=1)[rows, t].mean())

    bounds = tuple(np.log(TEMPERATURES))
    found = minimize_scalar(log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    temperature = float(np.exp(found.x))
    return temperature if wrong >= LEAST_ERRORS else max(1.0, temperature)


def at_bound(temperature: float) -> bool:
    """Whether the search for a temperature ended at one of its bounds; False for nan."""
    low, high = TEMPERATURES
    return temperature <= low * AT_BOUND or temperature >= high / AT_BOUND


def temperature_doubt(temperature: float, logits: ArrayLike, truth: ArrayLike) -> str | None:
    """What must be said of a temperature of :func:`fit_temperature` that is no measurement: a sentence, or None."""
    z, t = np.asarray(logits, np.float64), np.asarray(truth, np.int64)
    wrong, cells = _wrong(z, t), how_many(len(t), "validation cell")
    plain = "certainties are as the network gives them (temperature 1), and not calibrated."
    if not wrong:
        return f"All {cells} were named rightly, which tells nothing of how sure the classifier may be: {plain}"
    if at_bound(temperature):
        end, more = (TEMPERATURES[0], "surer") if temperature < 1 else (TEMPERATURES[1], "less sure")
        return (
            f"The temperature that certainties are calibrated with ended at the bound of the search, {end:g}: on the "
            f"{cells} they should be {more} still, so that they say little."
        )
    if wrong >= LEAST_ERRORS:
        return None
    few = (
        f"Of {cells} {wrong} {'was' if wrong == 1 else 'were'} named wrongly; fewer than {LEAST_ERRORS} tell little of "
    )
    few += "how sure the classifier may be: "
    if temperature == 1:
        return few + plain
    return f"{few}certainties are below those that the network gives (temperature {temperature:.2f}), by a rough guess."


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where cells below ``unsure_below`` are called unsure: the share still called, and how many of those are right."""

    unsure_below: float
    called: Proportion
    right: Proportion


def coverage_accuracy(probabilities: ArrayLike, truth: ArrayLike, thresholds: ArrayLike) -> list[Coverage]:
    """Coverage and accuracy of the called cells at each threshold on the largest probability."""
    certainty, right = _certainty_and_right(probabilities, truth)
    curve = []
    for threshold in np.asarray(thresholds, dtype=np.float64):
        kept = certainty >= threshold
        curve.append(
            Coverage(
                unsure_below=float(threshold),
                called=Proportion(int(kept.sum()), len(kept)),
                right=Proportion(int(right[kept].sum()), int(kept.sum())),
            )
        )
    return curve


def unsure_threshold(probabilities: ArrayLike, truth: ArrayLike, coverage: float = 0.95) -> float:
    """The largest threshold, in steps of 0.01, at which at least ``coverage`` of the cells are still called."""
    certainty, _ = _certainty_and_right(probabilities, truth)
    steps = np.arange(0, 101) / 100
    kept = np.array([(certainty >= step).mean() for step in steps]) if len(certainty) else np.ones_like(steps)
    return float(steps[np.flatnonzero(kept >= coverage)[-1]])


def _certainty_and_right(probabilities: ArrayLike, truth: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    p, t = np.asarray(probabilities, dtype=np.float64), np.asarray(truth, dtype=np.int64)
    if p.ndim != 2 or t.shape != (len(p),):
        raise ValueError(f"probabilities (n, c) and truth (n,) are needed, found {p.shape} and {t.shape}")
    return p.max(axis=1), p.argmax(axis=1) == t
