from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from marrowscope.evaluation.intervals import Proportion, bootstrap_confusion, bootstrap_interval, wilson


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [
        (0, 100, 0, 3.7),
        (5, 100, 2.2, 11.2),
        (25, 500, 3.4, 7.3),
        (100, 500, 16.7, 23.7),
        (600, 3000, 18.6, 21.5),
    ],
)
def test_wilson_reference_values(count: int, total: int, low: float, high: float) -> None:
    assert [round(100 * bound, 1) for bound in wilson(count, total)] == [low, high]


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_agrees_with_scipy(case: tuple[int, int]) -> None:
    reference = binomtest(*case).proportion_ci(0.95, "wilson")
    assert wilson(*case) == pytest.approx((reference.low, reference.high), abs=1e-12)


def test_nothing_counted_says_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert np.isnan(Proportion(0, 0).value)


def test_impossible_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


def test_bootstrap_of_a_mean_has_the_width_of_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap_interval(lambda rows: float(values[rows].mean()), 400, seed=7, draws=4000)
    standard_error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * standard_error, abs=0.02)
    assert high == pytest.approx(values.mean() + 1.96 * standard_error, abs=0.02)
    assert (low, high) == bootstrap_interval(lambda rows: float(values[rows].mean()), 400, seed=7, draws=4000)


def test_bootstrap_of_accuracy_from_the_matrix_is_close_to_wilson() -> None:
    confusion = np.array([[450, 50], [30, 470]])
    low, high = bootstrap_confusion(lambda c: float(np.trace(c) / c.sum()), confusion, seed=3, draws=4000)
    assert (low, high) == pytest.approx(wilson(920, 1000), abs=0.005)


def test_undefined_statistics_are_refused() -> None:
    with pytest.raises(ValueError, match="undefined"):
        bootstrap_interval(lambda _: float("nan"), 3, seed=0, draws=5)
    with pytest.raises(ValueError, match="at least one unit"):
        bootstrap_interval(lambda _: 0.0, 0, seed=0)
    with pytest.raises(ValueError, match="at least one cell"):
        bootstrap_confusion(lambda _: 0.0, np.zeros((2, 2), np.int64), seed=0)
