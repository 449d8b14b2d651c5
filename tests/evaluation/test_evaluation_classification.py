"""Check values marked "scikit-learn" stand in the documentation of scikit-learn's function of that name."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import softmax

from marrowscope.evaluation.classification import (
    LEAST_ERRORS,
    accuracy,
    balanced_accuracy,
    class_scores,
    cohen_kappa,
    confusion_matrix,
    coverage_accuracy,
    expected_calibration_error,
    fit_temperature,
    macro_f1,
    reliability,
    temperature_doubt,
    unsure_threshold,
)


def test_confusion_matrix_scikit_learn() -> None:
    matrix = confusion_matrix([2, 0, 2, 2, 0, 1], [0, 0, 2, 2, 0, 2], 3)
    assert matrix.tolist() == [[2, 0, 0], [0, 0, 1], [1, 0, 2]]


def test_macro_scores_scikit_learn() -> None:
    matrix = confusion_matrix([0, 1, 2, 0, 1, 2], [0, 2, 1, 0, 0, 1], 3)
    assert macro_f1(matrix) == pytest.approx(0.26666666, abs=1e-7)
    scores = class_scores(matrix)
    assert np.mean([s.precision.value for s in scores]) == pytest.approx(0.22222222, abs=1e-7)
    assert np.mean([s.recall.value for s in scores]) == pytest.approx(0.33333333, abs=1e-7)
    assert [s.f1 for s in scores] == pytest.approx([0.8, 0.0, 0.0])
    assert accuracy(matrix).value == pytest.approx(1 / 3)


def test_balanced_accuracy_scikit_learn() -> None:
    assert balanced_accuracy(confusion_matrix([0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1], 2)) == 0.625


def test_cohen_kappa_scikit_learn() -> None:
    # negative 0, neutral 1, positive 2
    assert cohen_kappa(confusion_matrix([0, 2, 0, 1, 2], [0, 2, 0, 1, 0], 3)) == pytest.approx(0.6875)


def test_kappa_without_any_choice_is_undefined() -> None:
    assert math.isnan(cohen_kappa(np.array([[5, 0], [0, 0]])))
    assert math.isnan(cohen_kappa(np.zeros((2, 2), np.int64)))
    assert cohen_kappa(np.array([[25, 25], [25, 25]])) == 0


def test_specificity_by_hand() -> None:
    scores = class_scores(np.array([[8, 2], [1, 9]]))
    assert (scores[0].specificity.count, scores[0].specificity.total) == (9, 10)
    assert (scores[0].precision.count, scores[0].precision.total) == (8, 9)


def test_class_that_never_occurs_is_left_out_of_the_mean() -> None:
    matrix = np.array([[4, 0, 0], [0, 4, 0], [0, 0, 0]])
    assert macro_f1(matrix) == balanced_accuracy(matrix) == 1.0
    assert math.isnan(class_scores(matrix)[2].f1)


@pytest.mark.parametrize(("truth", "called"), [([0, 3], [0, 0]), ([0, -1], [0, 0]), ([0], [0, 0])])
def test_bad_labels_are_refused(truth: list[int], called: list[int]) -> None:
    with pytest.raises(ValueError, match=r"classes must lie|one length"):
        confusion_matrix(truth, called, 3)


def test_calibration_by_hand() -> None:
    # Two cells at 0.95, one right: gap 0.45. Two at 0.65, both right: gap 0.35. Equal weights.
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    truth = [0, 1, 0, 1]
    assert expected_calibration_error(probabilities, truth, bins=10) == pytest.approx(0.40)
    low, high = reliability(probabilities, truth, bins=10)
    assert (low.low, low.high, low.right.count, low.right.total) == (0.6, 0.7, 2, 2)
    assert (high.low, high.high, high.right.count, high.right.total) == (0.9, 1.0, 1, 2)
    assert low.certainty == pytest.approx(0.65)


def test_temperature_is_found_again() -> None:
    generator = np.random.default_rng(5)
    logits = generator.normal(0, 2, (20_000, 4))
    truth = np.array([generator.choice(4, p=row) for row in softmax(logits, axis=1)])
    assert fit_temperature(2.5 * logits, truth) == pytest.approx(2.5, rel=0.03)
    calibrated = softmax(logits, axis=1)
    assert expected_calibration_error(calibrated, truth) < 0.015
    assert expected_calibration_error(softmax(2.5 * logits, axis=1), truth) > 0.1


def test_temperature_of_two_cells_by_hand() -> None:
    # Logit gap 2, right in 3 of 4 cells: softmax gives 3/4 when gap / T = ln 3.
    assert fit_temperature([[2.0, 0.0]] * 4, [0, 0, 0, 1]) == pytest.approx(2 / math.log(3), rel=1e-4)


def test_where_every_cell_is_right_nothing_tells_how_sure_a_network_may_be() -> None:
    assert fit_temperature([[2.0, 0.0], [0.1, 0.3]], [0, 1]) == 1.0


def test_a_temperature_that_is_no_measurement_says_so() -> None:
    faultless = np.array([[2.0, 0.0], [0.1, 0.3]])
    assert "All 2 validation cells were named rightly" in str(temperature_doubt(1.0, faultless, [0, 1]))
    opposite = np.array([[9.0, 0.0]] * 4)  # mostly wrong: the less sure the better
    found = fit_temperature(opposite, [1, 1, 1, 0])
    assert "ended at the bound of the search, 20: on the 4 validation cells they should be less sure" in str(
        temperature_doubt(found, opposite, [1, 1, 1, 0])
    )
    even = np.array([[0.001, 0.0]] * 990 + [[0.0, 0.001]] * 10)  # nearly always right and never sure
    sharp = fit_temperature(even, [0] * 1000)
    assert "bound of the search, 0.05" in str(temperature_doubt(sharp, even, [0] * 1000))


def test_few_errors_make_a_network_less_sure_and_never_surer() -> None:
    timid = np.array([[1.0, 0.0]] * 36)  # right in 35 of 36, and 73 % sure
    truth = [0] * 35 + [1]
    assert fit_temperature(timid, truth) == 1.0
    assert "Of 36 validation cells 1 was named wrongly; fewer than 10 tell little" in str(
        temperature_doubt(1.0, timid, truth)
    )
    bold = np.array([[2.0, 0.0]] * 4)  # right in 3 of 4, and 88 % sure
    found = fit_temperature(bold, [0, 0, 0, 1])
    assert found == pytest.approx(2 / math.log(3), rel=1e-4)
    assert "below those that the network gives (temperature 1.82), by a rough guess" in str(
        temperature_doubt(found, bold, [0, 0, 0, 1])
    )
    many, truths = np.tile(timid, (LEAST_ERRORS, 1)), truth * LEAST_ERRORS
    measured = fit_temperature(many, truths)
    assert measured == pytest.approx(1 / math.log(35), rel=1e-4)
    assert temperature_doubt(measured, many, truths) is None


def test_temperature_needs_cells() -> None:
    with pytest.raises(ValueError, match="n >= 1"):
        fit_temperature(np.zeros((0, 3)), [])


def test_coverage_and_accuracy() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.55, 0.45]])
    curve = coverage_accuracy(probabilities, [0, 0, 1, 0], [0.0, 0.7, 0.99])
    assert [(c.called.count, c.right.count) for c in curve] == [(4, 3), (2, 2), (0, 0)]
    assert curve[1].called.value == 0.5
    assert unsure_threshold(probabilities, [0, 0, 1, 0], coverage=0.75) == pytest.approx(0.6)
    assert unsure_threshold(probabilities, [0, 0, 1, 0], coverage=1.0) == pytest.approx(0.55)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"\(n, c\)"):
        reliability([0.5, 0.5], [0, 1])
