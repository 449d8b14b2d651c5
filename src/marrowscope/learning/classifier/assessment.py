"""What a trained classifier is worth: calibration, and scores with intervals as they stand in ``metrics.json``.

Legend: ``n`` cells, ``k`` classes, ``logits (n, k)``, ``labels (n,)``. Temperature and the threshold of "unsure" come
from the validation cells; the test cells choose nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from marrowscope.evaluation.classification import (
    accuracy,
    balanced_accuracy,
    class_scores,
    confusion_matrix,
    coverage_accuracy,
    expected_calibration_error,
    fit_temperature,
    macro_f1,
    unsure_threshold,
)
from marrowscope.evaluation.intervals import Proportion, bootstrap_confusion
from marrowscope.packs.contract import CERTAINTY_BANDS

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]

SURE = 0.7
"""A certainty from which no cell is called unsure, however few cells have less."""

THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def calibrate(logits: Logits, labels: Labels, coverage: float) -> tuple[float, float]:
    """Temperature and ``unsure_below`` from validation cells, of which at least ``coverage`` shall keep a name."""
    temperature = fit_temperature(logits, labels)
    threshold = unsure_threshold(softmax(logits / temperature, axis=1), labels, coverage)
    return temperature, min(threshold, SURE)


def assess(
    logits: Logits, labels: Labels, classes: Sequence[str], temperature: float, unsure_below: float
) -> dict[str, Any]:
    """Scores on one set, with 95 % intervals: Wilson for proportions, bootstrap over cells for means of F1 or recall.

    Cells are drawn as if independent; where several come from one smear the true intervals are wider. ``unsure`` lists
    how many cells keep a name, and how many of those names are right, at several thresholds; ``confusion`` has true
    classes in rows; ``confusion_by_certainty`` divides it by the calibrated certainty of the cells.
    """
    confusion = confusion_matrix(labels, logits.argmax(1), len(classes))
    plain, calibrated = softmax(logits, axis=1), softmax(logits / temperature, axis=1)
    thresholds = sorted({*THRESHOLDS, unsure_below})
    return {
        "n": len(labels),
        "accuracy": proportion(accuracy(confusion)),
        "macro_f1": _mean(macro_f1(confusion), bootstrap_confusion(macro_f1, confusion, seed=0)),
        "balanced_accuracy": _mean(
            balanced_accuracy(confusion), bootstrap_confusion(balanced_accuracy, confusion, seed=0)
        ),
        "calibration_error": {
            "before": _rounded(expected_calibration_error(plain, labels)),
            "after": _rounded(expected_calibration_error(calibrated, labels)),
        },
        "per_class": {
            name: {
                "recall": proportion(scores.recall),
                "precision": proportion(scores.precision),
                "f1": _rounded(scores.f1),
            }
            for name, scores in zip(classes, class_scores(confusion), strict=True)
            if scores.recall.total
        },
        "unsure": [
            {"below": entry.unsure_below, "named": proportion(entry.called), "right": proportion(entry.right)}
            for entry in coverage_accuracy(calibrated, labels, thresholds)
        ],
        "confusion": confusion.tolist(),
        "confusion_by_certainty": confusion_by_certainty(calibrated, labels),
    }


def confusion_by_certainty(probabilities: Logits, labels: Labels) -> list[list[list[int]]]:
    """The confusion counts ``(k, k)``, true classes in rows, of each band of certainty, the least certain first."""
    band, called = np.digitize(probabilities.max(1), CERTAINTY_BANDS), probabilities.argmax(1)
    return [
        confusion_matrix(labels[band == number], called[band == number], probabilities.shape[1]).tolist()
        for number in range(len(CERTAINTY_BANDS) + 1)
    ]


def proportion(share: Proportion) -> dict[str, Any]:
    """A proportion as it stands in ``metrics.json``."""
    if not share.total:
        return {"value": None, "of": 0}
    low, high = share.interval
    return {"value": _rounded(share.value), "of": share.total, "interval": [_rounded(low), _rounded(high)]}


def _mean(value: float, interval: tuple[float, float]) -> dict[str, Any]:
    """A mean as it stands in ``metrics.json``; without an interval where every redraw of the cells gives the same."""
    low, high = interval
    return {"value": _rounded(value), "interval": [_rounded(low), _rounded(high)] if low < high else None}


def _rounded(value: float) -> float:
    return round(float(value), 6)  # more than any page shows, so that rounding it again there changes nothing
