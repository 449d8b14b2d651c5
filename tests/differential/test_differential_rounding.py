from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.differential.rounding import round_percentages

COUNTS = st.lists(st.integers(0, 5000), min_size=1, max_size=25).filter(any)


@given(COUNTS)
def test_they_add_up_to_100(counts):
    assert sum(round(10 * value) for value in round_percentages(counts)) == 1000


@given(COUNTS)
def test_each_is_within_a_tenth_of_the_raw_percentage(counts):
    total = sum(counts)
    for count, value in zip(counts, round_percentages(counts), strict=True):
        assert abs(Fraction(round(10 * value), 10) - Fraction(100 * count, total)) < Fraction(1, 10)


@given(COUNTS)
def test_order_is_kept_and_nothing_stays_nothing(counts):
    values = round_percentages(counts)
    ranked = sorted(zip(counts, values, strict=True))
    assert [value for _, value in ranked] == sorted(values)
    assert all(value == 0 for count, value in zip(counts, values, strict=True) if count == 0)


def test_three_thirds():
    assert round_percentages([1, 1, 1]) == [33.4, 33.3, 33.3]


def test_the_largest_remainder_goes_up_not_the_nearest():
    # 14.2857 six times and 14.2857: remainders are equal, so the sum decides, and six of seven are rounded up.
    assert round_percentages([1] * 7) == [14.3, 14.3, 14.3, 14.3, 14.3, 14.3, 14.2]


@pytest.mark.parametrize("counts", [[], [0, 0], [3, -1]])
def test_no_cells_or_negative_counts_are_refused(counts):
    with pytest.raises(ValueError, match="at least one cell"):
        round_percentages(counts)
