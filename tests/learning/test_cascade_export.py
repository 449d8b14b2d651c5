"""When a graph passes for the model, and what the export keeps off the terminal."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx_ir.convenience import convert_attribute

from marrowscope.errors import DataError
from marrowscope.learning.cascade.export import differences, empty_lists_unsaid

Cell = tuple[float, float]


def found(*cells: Cell, sure_of: float = 0.75) -> list[NDArray[np.float32]]:
    """Boxes, scores and probabilities of cells ``(x, score)`` in one tile."""
    boxes = np.array([[[x, 10, x + 30, 40] for x, _ in cells]], np.float32).reshape(1, -1, 4)
    scores = np.array([[score for _, score in cells]], np.float32)
    return [boxes, scores, np.tile(np.array([sure_of, 1 - sure_of], np.float32), (1, len(cells), 1))]


def test_the_order_and_a_tiny_difference_do_not_matter() -> None:
    of_boxes, of_scores = differences(found((10, 0.9), (80, 0.8)), found((80.25, 0.8), (10, 0.9005)))
    assert (of_boxes, of_scores) == pytest.approx((0.25, 0.0005), rel=1e-3)
    assert differences(found(), found()) == (0, 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (found((10, 0.9), (10, 0.9)), found((10, 0.9), (80, 0.9)), "differ by 70 px"),  # the first cell twice
        (found((10, 0.9), (80, 0.9)), found((10, 0.9), (10, 0.9)), "differ by 70 px"),
        (found((10, 0.9)), found((10, 0.9), (80, 0.052)), "finds 1 object in tile 0, torch 2"),
        (found((10, 0.9), (80, 0.3)), found((10, 0.9)), "finds 2 objects in tile 0, torch 1"),
        (found((10, 0.9)), found(), "finds 1 object in tile 0, torch 0"),
        (found((10, 0.9)), found((10, 0.903)), "0.003 in scores"),
        (found((10, 0.9)), found((10, 0.9), sure_of=0.7), "0.05 in scores"),
        (found((10, 0.9)), found((11, 0.9)), "differ by 1 px"),
        (found((10, 0.0515)), found((80, 0.0505)), "differ by 70 px"),
    ],
)
def test_another_finding_is_refused(
    ours: list[NDArray[np.float32]], theirs: list[NDArray[np.float32]], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        differences(ours, theirs)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (found((10, 0.9), (80, 0.0502)), found((10, 0.9))),
        (found((10, 0.9), (80, 0.0502)), found((10, 0.9), (80, 0.0497))),
        (found((80, 0.0498)), found()),
        (found((80, 0.0502)), found((10, 0.0502))),
    ],
)
def test_a_score_beside_the_least_one_may_fall_on_either_side(
    ours: list[NDArray[np.float32]], theirs: list[NDArray[np.float32]]
) -> None:
    for one, other in ((ours, theirs), (theirs, ours)):
        differences(one, other)


FIELD = [(100.0 + 40 * place, 0.8) for place in range(40)]


def test_which_of_two_overlapping_cells_with_one_score_is_kept_does_not_matter() -> None:
    """Suppression keeps one, whichever comes first; the third box of such a chain may then be kept or dropped."""
    ours, theirs = found(*FIELD, (10, 0.9)), found(*FIELD, (18, 0.9001))
    differences(ours, theirs)
    differences(theirs, ours)
    differences(found(*FIELD, (10, 0.9), (26, 0.9)), found(*FIELD, (18, 0.9)))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (found(*FIELD, (10, 0.9)), found(*FIELD, (18, 0.85))),  # the better one would have been kept
        (found(*FIELD, (10, 0.9)), found(*FIELD, (40, 0.9))),  # no overlap: another cell
        (found(*FIELD), found(*((x + 8, score) for x, score in FIELD))),  # all moved: another model
        (found(*FIELD[:10], (10, 0.9)), found(*FIELD[:10], (18, 0.9))),  # one of eleven is not few
    ],
)
def test_ties_excuse_nothing_else(ours: list[NDArray[np.float32]], theirs: list[NDArray[np.float32]]) -> None:
    with pytest.raises(DataError):
        differences(ours, theirs)


def test_only_empty_lists_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with empty_lists_unsaid():
        convert_attribute("axes", [])
        assert caplog.messages == []
        logging.getLogger("onnx_ir._convenience").warning("another trouble")
        logging.getLogger("onnx_ir").error("an error")
    assert caplog.messages == ["another trouble", "an error"]
    convert_attribute("axes", [])
    assert "Attribute type is ambiguous" in caplog.messages[-1]  # or onnx_ir says it otherwise now
