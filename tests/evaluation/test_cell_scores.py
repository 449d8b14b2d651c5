"""Every score against a value worked out by hand, on few enough cells to follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import softmax

from marrowscope.evaluation.cell_scores import (
    area_under_curve,
    binary_accuracy_explained,
    element_wise,
    holm,
    mcnemar,
    score_cells,
)
from marrowscope.evaluation.redrawing import spread

CLASSES = ("BAS", "EOS", "HAC")
LABELS = [0, 0, 0, 1, 1, 2]
OUTPUTS = np.array(
    [
        [0.7, 0.2, 0.1],
        [0.6, 0.3, 0.1],
        [0.2, 0.7, 0.1],  # basophil called eosinophil
        [0.1, 0.8, 0.1],
        [0.4, 0.3, 0.3],  # eosinophil called basophil, below 0.5
        [0.1, 0.1, 0.8],
    ]
)


def test_top_1_and_every_output_alone() -> None:
    """4 of 6 right. Above 0.5: 5 outputs, 4 of them true; wrong are 1 FP and 2 FN of 18 outputs."""
    scores = score_cells(LABELS, OUTPUTS, CLASSES)
    assert (scores.top1.count, scores.top1.total) == (4, 6)
    alone = scores.element_wise
    assert (alone.accuracy.count, alone.accuracy.total) == (15, 18)
    assert (alone.precision.count, alone.precision.total) == (4, 5)
    assert (alone.recall.count, alone.recall.total) == (4, 6)
    assert alone.silent == pytest.approx(2 / 3)
    low, high = scores.top1.interval
    assert (low, high) == pytest.approx((0.2999, 0.9032), abs=1e-4)  # Wilson, 4 of 6


def test_per_class_by_hand() -> None:
    """Confusion [[2, 1, 0], [1, 1, 0], [0, 0, 1]]."""
    scores = score_cells(LABELS, OUTPUTS, CLASSES)
    assert scores.confusion.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    bas, eos, hac = scores.per_class
    assert [row.support for row in scores.per_class] == [3, 2, 1]
    assert [row.called for row in scores.per_class] == [3, 2, 1]
    assert (bas.precision.value, bas.recall.value, bas.f1.value) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (eos.specificity.count, eos.specificity.total) == (3, 4)
    assert (eos.misclassification.count, eos.misclassification.total) == (2, 6)
    assert hac.f1.value == 1
    assert scores.macro_f1.value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert scores.balanced_accuracy.value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert scores.of("EOS") is eos
    with pytest.raises(KeyError, match="BAS, EOS, HAC"):
        scores.of("BLA")


def test_mean_misclassification_follows_from_top_1() -> None:
    scores = score_cells(LABELS, OUTPUTS, CLASSES)
    mean = np.mean([row.misclassification.value for row in scores.per_class])
    assert mean == pytest.approx(2 * (1 - scores.top1.value) / 3)


def test_area_under_curve_by_hand() -> None:
    """Basophils 0.7, 0.6, 0.2 against 0.1, 0.4, 0.1: 8 of 9 pairs in order."""
    scores = score_cells(LABELS, OUTPUTS, CLASSES)
    assert scores.of("BAS").auc.value == pytest.approx(8 / 9)
    assert scores.of("HAC").auc.value == 1
    assert math.isnan(scores.of("HAC").auc.low)  # one hairy cell tells no spread
    assert area_under_curve([True, False], [0.5, 0.5]).value == 0.5
    assert math.isnan(area_under_curve([True, True], [0.1, 0.2]).value)


def test_interval_of_the_area_by_hand() -> None:
    """Placements of 3, 1 over (2, 0): 1 and 1/2; of 2, 0: 1/2 and 1. Variances 1/8 each, so the error is sqrt(1/8)."""
    found = area_under_curve([True, True, False, False], [3, 1, 2, 0])
    assert found.value == pytest.approx(0.75)
    reach = 1.959964 * math.sqrt(1 / 8) / (0.75 * 0.25)
    assert found.low == pytest.approx(1 / (1 + math.exp(-(math.log(3) - reach))))
    assert found.high == pytest.approx(1 / (1 + math.exp(-(math.log(3) + reach))))


def test_area_of_all_outputs_together() -> None:
    """2 cells, 2 outputs: true outputs 0.9, 0.4 against 0.1, 0.6: 3 of 4 pairs in order."""
    assert element_wise([0, 1], [[0.9, 0.1], [0.6, 0.4]]).auc == pytest.approx(0.75)


def test_calibration_by_hand() -> None:
    """Two bins: certainty 0.9, 3 of 4 right; certainty 0.6, 1 of 2 right: (4 * 0.15 + 2 * 0.1) / 6."""
    outputs = np.array([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    scores = score_cells([0, 0, 0, 1, 0, 1], outputs, ("a", "b"))
    assert scores.before.error.value == pytest.approx((4 * 0.15 + 2 * 0.1) / 6)
    assert [b.right.total for b in scores.before.bins] == [2, 4]
    expected = -(3 * math.log(0.9) + math.log(0.1) + math.log(0.6) + math.log(0.4)) / 6
    assert scores.before.log_loss == pytest.approx(expected)
    assert scores.before.error.low <= scores.before.error.value <= scores.before.error.high
    assert scores.after is None


def test_temperature_comes_from_validation_cells() -> None:
    """A logit gap of 2 that is right in 3 of 4 validation cells: T = 2 / ln 3, so the test's 0.88 becomes 0.75."""
    logits = np.array([[2.0, 0.0]] * 4)
    scores = score_cells(
        [0, 0, 0, 0],
        softmax(logits, axis=1),
        ("a", "b"),
        logits=logits,
        validation=([0, 0, 0, 1], logits),
    )
    assert scores.after is not None
    assert scores.after.temperature == pytest.approx(2 / math.log(3), abs=1e-4)
    assert scores.after.error.value == pytest.approx(0.25, abs=1e-4)  # four of four right, said with 0.75
    with pytest.raises(ValueError, match="needs the logits"):
        score_cells([0], [[1.0, 0.0]], ("a", "b"), validation=([0], [[1.0, 0.0]]))


def test_intervals_cover_as_often_as_they_say() -> None:
    """Of 200 drawn sets of 200 cells, the 95 % interval of macro F1 holds the true one in 88 to 99 %."""
    generator = np.random.default_rng(3)
    truth = np.array([[0.5, 0.05, 0.05], [0.05, 0.15, 0.05], [0.02, 0.03, 0.1]])
    hits = np.diag(truth)
    true_f1 = float(np.mean(2 * hits / (truth.sum(axis=0) + truth.sum(axis=1))))
    inside = 0
    for number in range(200):
        cell = generator.choice(9, 200, p=truth.ravel())
        found = score_cells(cell // 3, np.eye(3)[cell % 3], CLASSES, seed=number, draws=200).macro_f1
        inside += found.low <= true_f1 <= found.high
    assert 0.88 * 200 <= inside <= 0.99 * 200


def test_cells_of_one_patient_are_redrawn_together() -> None:
    """Ten patients whose cells are all right or all wrong: redrawing patients must be wider than redrawing cells."""
    labels = np.repeat([0, 1] * 5, 20)
    called = np.where(np.repeat(np.arange(10) < 7, 20), labels, 1 - labels)
    outputs = np.eye(2)[called]
    cells = score_cells(labels, outputs, ("a", "b"))
    patients = score_cells(labels, outputs, ("a", "b"), patients=[f"p{n}" for n in np.repeat(np.arange(10), 20)])
    assert (cells.units, patients.units) == (200, 10)
    assert patients.top1 == cells.top1
    for name in ("top1_redrawn", "macro_f1", "balanced_accuracy"):
        narrow, wide = getattr(cells, name), getattr(patients, name)
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_a_class_that_never_occurs_is_in_no_mean() -> None:
    scores = score_cells([0, 1], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], CLASSES)
    assert scores.macro_f1.value == scores.balanced_accuracy.value == scores.macro_auc == 1
    assert math.isnan(scores.of("HAC").f1.value)
    assert math.isnan(scores.of("HAC").recall.value)


@pytest.mark.parametrize(
    ("labels", "outputs", "message"),
    [
        ([], np.empty((0, 3)), "n >= 1"),
        ([0], [[0.5, 0.5]], r"\(n, 3\)"),
        ([0], [[float("nan"), 0.5, 0.5]], "not finite"),
        ([0], [[3.0, -1.0, 0.5]], "0..1"),
        ([3], [[0.2, 0.3, 0.5]], r"0\.\.2"),
    ],
)
def test_what_cannot_be_scored(labels: list[int], outputs: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        score_cells(labels, outputs, CLASSES)  # type: ignore[arg-type]


def test_mcnemar_by_hand() -> None:
    """Only the first right 5 times, only the second once: p = 2 (C(6,0) + C(6,1)) / 2^6 = 14/64."""
    truth = np.zeros(10, int)
    first = np.array([0] * 8 + [1, 1])
    second = np.array([0] * 3 + [1] * 5 + [0, 1])
    found = mcnemar(truth, first, second)
    assert (found.both, found.only_first, found.only_second, found.neither) == (3, 5, 1, 1)
    assert found.p == pytest.approx(14 / 64)
    assert mcnemar(truth, first, first).p == 1
    with pytest.raises(ValueError, match="one label and two calls"):
        mcnemar(truth, first, second[:5])


def test_holm_by_hand() -> None:
    """0.01 x 3, then max(0.03, 0.02 x 2), then max(0.04, 0.5 x 1)."""
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.04, 0.03]) == pytest.approx([0.06, 0.06])
    assert holm([0.9, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_binary_accuracy_follows_from_precision_and_recall() -> None:
    """The six cells above: precision 4/5 and recall 4/6 give the 15 of 18 that were counted, and top-1 4/6 to 5/6."""
    explained = binary_accuracy_explained(4 / 5, 4 / 6, 3)
    assert explained.accuracy == pytest.approx(15 / 18)
    assert (explained.false_positives, explained.false_negatives) == pytest.approx((1 / 6, 2 / 6))
    assert explained.silent == pytest.approx(2 / 3)
    assert explained.top1 == pytest.approx((4 / 6, 5 / 6))
    with pytest.raises(ValueError, match="no such network"):
        binary_accuracy_explained(0, 0.5, 21)


def test_spread_over_seeds() -> None:
    found = spread([0.80, 0.84, float("nan")])
    assert (found.mean, found.sd, found.folds) == pytest.approx((0.82, 0.02 * math.sqrt(2), 2))
