from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.evaluation.matching import as_boxes, match_boxes, match_by_score, overlapping_pairs


@st.composite
def boxes(draw: st.DrawFn) -> np.ndarray:
    """Up to eight boxes on a small grid, so that overlaps and ties are common."""
    corners = draw(st.lists(st.tuples(*[st.integers(0, 8)] * 2, *[st.integers(1, 6)] * 2), max_size=8))
    return as_boxes([(x, y, x + w, y + h) for x, y, w, h in corners])


def test_iou_of_known_boxes() -> None:
    # 10 x 10 boxes moved by 5: overlap 50, union 150.
    i, j, iou = overlapping_pairs([(0, 0, 10, 10)], [(5, 0, 15, 10), (0, 0, 10, 10), (20, 20, 30, 30)], 0.1)
    assert i.tolist() == [0, 0]
    assert j.tolist() == [0, 1]
    np.testing.assert_allclose(iou, [1 / 3, 1.0])


def test_touching_and_empty_boxes_are_no_pairs() -> None:
    assert len(overlapping_pairs([(0, 0, 1, 1)], [(1, 0, 2, 1)], 1e-9)[0]) == 0
    assert len(overlapping_pairs([(1, 1, 1, 1)], [(1, 1, 1, 1)], 0.5)[0]) == 0
    assert len(overlapping_pairs([], [(1, 0, 2, 1)], 0.5)[0]) == 0


def test_score_decides_before_overlap() -> None:
    truth = [(0, 0, 10, 10)]
    predicted = [(0, 0, 10, 10), (0, 0, 10, 8)]
    matching = match_by_score(predicted, [0.6, 0.9], truth)
    assert matching.predicted.tolist() == [1]
    assert matching.spurious.tolist() == [0]
    assert match_boxes(predicted, truth).predicted.tolist() == [0]


def test_greedy_takes_what_optimal_would_leave() -> None:
    # The first prediction overlaps both true boxes, the left one more; the second only the left one.
    truth = [(0, 0, 10, 10), (4, 0, 14, 10)]
    predicted = [(1, 0, 11, 10), (-2, 0, 8, 10)]
    assert len(match_by_score(predicted, [0.9, 0.8], truth)) == 1
    optimal = match_boxes(predicted, truth)
    assert list(zip(optimal.predicted.tolist(), optimal.truth.tolist(), strict=True)) == [(0, 1), (1, 0)]
    assert len(optimal.missed) == 0


def test_equal_scores_keep_their_order() -> None:
    same = [(0, 0, 10, 10), (0, 0, 10, 10)]
    assert match_by_score(same, [0.5, 0.5], same[:1]).predicted.tolist() == [0]


@pytest.mark.parametrize(
    ("bad", "message"),
    [([(0, 0, 1)], r"shape \(n, 4\)"), ([(1, 0, 0, 1)], "x0 <= x1"), ([(0, 0, float("nan"), 1)], "x0 <= x1")],
)
def test_bad_boxes_are_refused(bad: list[tuple[float, ...]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_boxes(bad)


def test_bad_threshold_and_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="IoU threshold"):
        match_boxes([], [], iou=0)
    with pytest.raises(ValueError, match=r"shape \(1,\)"):
        match_by_score([(0, 0, 1, 1)], [0.5, 0.5], [])


@given(boxes(), boxes(), st.sampled_from([0.1, 0.5, 0.9]))
def test_matchings_are_one_to_one_and_optimal_is_symmetric_and_largest(
    a: np.ndarray, b: np.ndarray, iou: float
) -> None:
    forward, backward = match_boxes(a, b, iou), match_boxes(b, a, iou)
    greedy = match_by_score(a, np.arange(len(a)), b, iou)
    for matching in (forward, greedy):
        assert len(set(matching.predicted.tolist())) == len(set(matching.truth.tolist())) == len(matching)
        assert len(matching) + len(matching.spurious) == len(a)
        assert len(matching) + len(matching.missed) == len(b)
        assert (matching.iou >= iou).all()
    assert len(forward) == len(backward) >= len(greedy)
    assert forward.iou.sum() == pytest.approx(backward.iou.sum())


@given(boxes())
def test_boxes_match_themselves_perfectly(a: np.ndarray) -> None:
    matching = match_boxes(a, a)
    assert len(matching) == len(a)
    np.testing.assert_allclose(matching.iou, 1)
