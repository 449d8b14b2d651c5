from __future__ import annotations

import math

import numpy as np
import pytest

from marrowscope.evaluation.detection import (
    LabelledPicture,
    Ranking,
    average_precision,
    best_threshold,
    detection_scores,
    rank_predictions,
)

SQUARES = [(20.0 * k, 0.0, 20.0 * k + 10, 10.0) for k in range(4)]


def ranking(right: list[int], n_truth: int) -> Ranking:
    return Ranking(np.linspace(1, 0.1, len(right)), np.array(right, bool), n_truth)


def test_perfect_detector() -> None:
    scores = detection_scores([LabelledPicture(SQUARES, [0.9, 0.8, 0.7, 0.6], SQUARES)], score_threshold=0.5)
    assert (scores.ap50, scores.ap50_95, scores.f1) == (1.0, 1.0, 1.0)
    assert (scores.precision.count, scores.precision.total, scores.recall.total) == (4, 4, 4)


def test_average_precision_by_hand() -> None:
    # Right, wrong, right of two cells: precision 1 up to recall 0.5 (51 points), 2/3 beyond (50 points).
    assert average_precision(ranking([1, 0, 1], 2)) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    # Half of the cells never found: 51 of 101 points.
    assert average_precision(ranking([1], 2)) == pytest.approx(51 / 101)
    # A miss at the head: precision 1/2 everywhere.
    assert average_precision(ranking([0, 1], 1)) == pytest.approx(0.5)
    assert average_precision(ranking([], 3)) == 0
    assert math.isnan(average_precision(ranking([0], 0)))


def test_average_precision_reaches_every_hundredth_of_recall() -> None:
    # 29 of 100 found: recalls 0.00 ... 0.29 are reached, 30 points, although 29 / 100 is no exact binary number.
    assert average_precision(ranking([1] * 29, 100)) == pytest.approx(30 / 101)


def test_ap_over_iou_thresholds() -> None:
    # Shifted by 2 of 10: IoU 8 / 12 = 0.667, right at 0.50, 0.55, 0.60 and 0.65 of the ten thresholds.
    shifted = [(x0 + 2, y0, x1 + 2, y1) for x0, y0, x1, y1 in SQUARES]
    scores = detection_scores([LabelledPicture(shifted, [0.9] * 4, SQUARES)], score_threshold=0.5)
    assert scores.ap50 == 1.0
    assert scores.ap50_95 == pytest.approx(0.4)


def test_threshold_cuts_precision_and_recall_but_not_ap() -> None:
    predicted = [*SQUARES[:3], (200, 200, 210, 210)]
    picture = LabelledPicture(predicted, [0.9, 0.8, 0.3, 0.7], SQUARES)
    scores = detection_scores([picture], score_threshold=0.5)
    assert (scores.precision.count, scores.precision.total) == (2, 3)
    assert (scores.recall.count, scores.recall.total) == (2, 4)
    assert scores.f1 == pytest.approx(2 * 2 / 7)
    # right, right, wrong, right of four: recall 0.5 at precision 1 (51 points), 0.75 at 3/4 (25 points).
    assert scores.ap50 == pytest.approx((51 + 25 * 0.75) / 101)
    assert scores.recall.interval == pytest.approx((0.150, 0.850), abs=1e-3)


def test_second_box_on_one_cell_is_wrong() -> None:
    scores = detection_scores([LabelledPicture(SQUARES[:1] * 2, [0.9, 0.8], SQUARES[:1])], score_threshold=0)
    assert (scores.precision.count, scores.precision.total) == (1, 2)


def test_ignored_objects_count_neither_way() -> None:
    picture = LabelledPicture(SQUARES[:3], [0.9, 0.8, 0.7], SQUARES[:1], ignored=SQUARES[1:2])
    found = rank_predictions([picture])
    assert found.right.tolist() == [True, False]
    assert found.scores.tolist() == [0.9, 0.7]
    assert found.n_truth == 1


def test_pictures_are_matched_one_by_one_and_pooled_by_score() -> None:
    pictures = [
        LabelledPicture(SQUARES[:1], [0.4], []),
        LabelledPicture(SQUARES[:1], [0.8], SQUARES[:1]),
        LabelledPicture([], [], SQUARES),
    ]
    found = rank_predictions(pictures)
    assert found.right.tolist() == [True, False]
    assert found.n_truth == 5


def test_no_picture_at_all() -> None:
    scores = detection_scores([], score_threshold=0.5)
    assert math.isnan(scores.ap50)
    assert math.isnan(scores.f1)


def test_best_threshold_lies_between_right_and_wrong() -> None:
    found = Ranking(np.array([0.9, 0.8, 0.4, 0.3]), np.array([True, True, False, False]), 2)
    assert best_threshold(found) == pytest.approx(0.6)
    # Equal scores cannot be told apart by a threshold: taking the right one takes the wrong one too.
    tied = Ranking(np.array([0.9, 0.5, 0.5]), np.array([True, True, False]), 2)
    assert best_threshold(tied) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="predicted and true"):
        best_threshold(Ranking(np.zeros(0), np.zeros(0, bool), 3))
