"""Error of the differential and time for 500 cells, against published and hand-made values."""

from __future__ import annotations

from math import isnan, sqrt

import numpy as np
import pytest

from marrowscope.evaluation.differential_error import bland_altman, differential_error
from marrowscope.evaluation.timing import time_for_cells

WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""Peak flow by two meters, l/min (Bland & Altman, Lancet 1986; i: 307, table 1)."""


def test_bland_altman_of_peak_flow() -> None:
    agreement = bland_altman(MINI, WRIGHT)
    assert agreement.bias.value == pytest.approx(-2.1, abs=0.05)
    assert agreement.sd == pytest.approx(38.8, abs=0.05)
    assert (agreement.bias.low, agreement.bias.high) == pytest.approx((-22.0, 17.8), abs=0.1)
    assert agreement.lower.value == pytest.approx(-2.12 - 1.96 * 38.77, abs=0.1)
    assert agreement.upper.value == pytest.approx(-2.12 + 1.96 * 38.77, abs=0.1)
    # The paper of 1986 has -114.3 to -45.1 with the rounder variance 3 sd^2 / n and 2 standard deviations.
    assert agreement.lower.low == pytest.approx(-114.3, abs=2.5)
    assert agreement.lower.high == pytest.approx(-45.1, abs=2.5)
    assert len(agreement.means) == 17


def test_limits_need_two_slides() -> None:
    one = bland_altman([10.0], [12.0])
    assert one.bias.value == 2
    assert isnan(one.bias.low)
    assert isnan(one.upper.value)
    assert isnan(bland_altman([], []).bias.value)


def test_error_of_a_type() -> None:
    slides = [5, 10, 20, np.nan], [6, 8, 25, 1], [4, 8.5, 20, 0], [7, 9, 30, 2]
    assert isnan(differential_error("blast", *slides).rmse.low)  # three slides tell no spread of slides
    error = differential_error("blast", *(2 * column for column in slides))
    assert error.n == 6
    assert error.mean_difference.value == pytest.approx(4 / 3)
    assert error.mean_absolute.value == pytest.approx(8 / 3)
    assert error.rmse.value == pytest.approx(sqrt(30 / 3))
    assert 1 <= error.rmse.low < error.rmse.value < error.rmse.high <= 5
    assert (error.inside.count, error.inside.total) == (4, 6)  # 20 lies on its limit
    assert differential_error("blast", [1, 2], [1, 2]).inside.total == 0
    with pytest.raises(ValueError, match="one value a slide"):
        differential_error("blast", [1, 2], [1])


def test_time_is_read_off_the_line() -> None:
    exact = time_for_cells([100, 400, 900], [3.0, 9.0, 19.0])
    assert exact.seconds.value == pytest.approx(11.0)
    assert (exact.per_cell, exact.intercept) == pytest.approx((0.02, 1.0))
    assert exact.seconds.high - exact.seconds.low == pytest.approx(0.0, abs=1e-9)
    assert not exact.extrapolated
    # Anscombe's first set: y = 3 + 0.5 x, residual error 1.237 on 9 degrees, at the mean 9 +- t * s / sqrt(11).
    x = [10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5]
    y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]
    line = time_for_cells(x, y, at=9)
    assert line.seconds.value == pytest.approx(7.50, abs=0.01)
    assert line.seconds.high - line.seconds.value == pytest.approx(2.262 * 1.2366 / sqrt(11), abs=0.001)
    assert time_for_cells(x, y, at=500).extrapolated


def test_time_without_spread_is_not_told() -> None:
    assert isnan(time_for_cells([500, 500], [3, 4]).seconds.value)
    assert isnan(time_for_cells([500], [3]).seconds.value)
    two = time_for_cells([400, 600], [3, 4])
    assert two.seconds.value == pytest.approx(3.5)
    assert isnan(two.seconds.low)
