"""Average precision by type: the same as that of each type alone, with the truth of other types not forgiven."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from marrowscope.evaluation.detection import LabelledPicture, detection_scores
from marrowscope.evaluation.detection_by_type import TypedPicture, average_precisions

LEFT, RIGHT, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)


def test_a_detection_on_a_cell_of_another_type_is_wrong() -> None:
    picture = TypedPicture([LEFT, RIGHT], [0.9, 0.8], ["blast", "blast"], [LEFT, RIGHT], ["blast", "lymphocyte"])
    any_type, blast, lymphocyte = average_precisions([picture])
    assert (any_type.type, any_type.ap50.n) == (None, 2)
    assert any_type.ap50.value == pytest.approx(1.0)
    assert (blast.type, blast.detections) == ("blast", 2)
    assert blast.ap50.value == pytest.approx(1.0)
    assert (lymphocyte.ap50.value, lymphocyte.ap50.n, lymphocyte.detections) == (0.0, 1, 0)


def test_right_wrong_right_gives_the_worked_value() -> None:
    picture = TypedPicture(
        [LEFT, FAR, RIGHT], [0.9, 0.8, 0.7], ["blast", "blast", "blast"], [LEFT, RIGHT], ["blast", "blast"]
    )
    assert average_precisions([picture])[1].ap50.value == pytest.approx((51 + 50 * 2 / 3) / 101)
    ignored = TypedPicture(picture.boxes, picture.scores, picture.called, picture.truth, picture.types, [FAR])
    assert average_precisions([ignored])[1].ap50.value == pytest.approx(1.0)


def test_pictures_never_meet_and_agree_with_the_scores_of_cells_of_whatever_type() -> None:
    generator = np.random.default_rng(5)
    pictures, plain = [], []
    for _ in range(12):
        corners = generator.uniform(0, 200, (15, 2))
        truth = np.hstack([corners, corners + 20])
        found = truth[:13] + generator.normal(0, 2, (13, 4))
        scores = generator.uniform(0.1, 1, 13)
        types = generator.choice(["blast", "lymphocyte"], 15).tolist()
        pictures.append(TypedPicture(found, scores, types[:13], truth, types))
        plain.append(LabelledPicture(found, scores, truth))
    any_type, *rest = average_precisions(pictures)
    expected = detection_scores(plain, 0.0)
    assert any_type.ap50.value == pytest.approx(expected.ap50)
    assert any_type.ap50_95.value == pytest.approx(expected.ap50_95)
    assert any_type.ap50.units == 12
    for scored in (any_type, *rest):
        assert scored.ap50_95.low < scored.ap50_95.value < scored.ap50_95.high


def test_scores_of_the_type_rank_the_types() -> None:
    boxes, truth, types = [LEFT, FAR], [LEFT], ["blast"]
    by_score = TypedPicture(boxes, [0.5, 0.9], ["blast", "blast"], truth, types)
    by_type = TypedPicture(boxes, [0.5, 0.9], ["blast", "blast"], truth, types, type_scores=[0.9, 0.1])
    assert average_precisions([by_score])[1].ap50.value == pytest.approx(0.5)
    any_type, blast = average_precisions([by_type])
    assert (any_type.ap50.value, blast.ap50.value) == pytest.approx((0.5, 1.0))


def test_nothing_gives_nan_and_one_picture_no_interval() -> None:
    any_type, blast = average_precisions([], ["blast"])
    assert isnan(any_type.ap50.value)
    assert isnan(blast.ap50_95.value)
    one = average_precisions([TypedPicture([LEFT], [1.0], ["blast"], [LEFT], ["blast"])])[0]
    assert one.ap50.value == 1.0
    assert isnan(one.ap50.low)
