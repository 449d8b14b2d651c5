"""Targets of the centre detector: heat, boxes and weights of hand-made cells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrowscope.learning.detector.network import OUTPUT_STRIDE
from marrowscope.learning.detector.targets import centre_targets


def test_a_cell_has_heat_one_at_its_centre_and_falls_with_its_size() -> None:
    small = np.array([[50, 50, 70, 70]], np.float32)
    large = np.array([[0, 0, 120, 120]], np.float32)
    heat_small, _, _ = centre_targets(small, 128)
    heat_large, _, _ = centre_targets(large, 128)
    assert heat_small[15, 15] == 1.0
    assert heat_small.sum() < heat_large.sum()
    sigma = 0.09 * 120 / OUTPUT_STRIDE
    assert heat_large[15, 17] == pytest.approx(np.exp(-(2**2) / (2 * sigma**2)))


def test_weights_of_each_cell_sum_to_one_and_point_to_its_box() -> None:
    boxes = np.array([[10, 10, 40, 40], [30, 12, 60, 50], [70, 70, 128, 120]], np.float32)
    _, box, weight = centre_targets(boxes, 128)
    for one in boxes:
        mine = (box == one[:, None, None]).all(axis=0)
        assert weight[mine].sum() == pytest.approx(1.0)


def test_no_cells_no_targets() -> None:
    heat, box, weight = centre_targets(np.zeros((0, 4), np.float32), 64)
    assert not heat.any()
    assert not box.any()
    assert not weight.any()


@settings(deadline=None, max_examples=50)
@given(st.floats(0, 127), st.floats(0, 127), st.floats(2, 120), st.floats(2, 120))
def test_every_cell_with_its_centre_on_the_tile_has_exactly_one_centre(x: float, y: float, w: float, h: float) -> None:
    boxes = np.array([[x - w / 2, y - h / 2, x + w / 2, y + h / 2]], np.float32)
    heat, _, weight = centre_targets(boxes, 128)
    assert (heat == 1).sum() == 1
    assert weight.sum() == pytest.approx(1.0, abs=1e-5)
