from __future__ import annotations

from math import comb, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import bdtr, bdtrc

from marrowscope.differential.intervals import (
    ANYTIME_EVIDENCE,
    EVIDENCE,
    WINDOW,
    anytime_interval,
    log_evidence,
    odds,
    sequence_interval,
    wilson,
)

PARTS = st.integers(1, 7000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
INTERVALS = st.sampled_from([wilson, sequence_interval, anytime_interval])


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (0, 100, 0, 3.7),
        (5, 100, 2.2, 11.2),
        (25, 500, 3.4, 7.3),
        (50, 500, 7.7, 12.9),
        (100, 500, 16.7, 23.7),
        (20, 100, 13.3, 28.9),
        (200, 1000, 17.6, 22.6),
        (600, 3000, 18.6, 21.5),
    ],
)
def test_wilson_gives_the_reference_values(k, n, low, high):
    assert [round(100 * end, 1) for end in wilson(k, n)] == [low, high]


@given(PARTS, INTERVALS)
def test_an_interval_lies_in_0_to_1_and_holds_what_was_seen(part, interval):
    k, n = part
    low, high = interval(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert low < high
    assert (low == 0) == (k == 0)
    assert (high == 1) == (k == n)


@given(PARTS)
def test_wilson_is_symmetric(part):
    k, n = part
    low, high = wilson(k, n)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(PARTS, INTERVALS)
def test_one_more_cell_of_the_type_moves_both_ends_up(part, interval):
    k, n = part
    if k == n:
        return
    fewer, more = interval(k, n), interval(k + 1, n)
    assert more[0] > fewer[0]
    assert more[1] >= fewer[1]


@given(PARTS, INTERVALS)
def test_more_cells_of_the_same_make_it_narrower(part, interval):
    k, n = part
    low, high = interval(k, n)
    low2, high2 = interval(2 * k, 2 * n)
    assert high2 - low2 < high - low


@pytest.mark.parametrize("interval", [wilson, sequence_interval, anytime_interval])
def test_nothing_counted_says_nothing(interval):
    assert interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(-1, 10), (11, 10)])
def test_a_part_larger_than_the_whole_is_refused(k, n):
    with pytest.raises(ValueError, match=f"{k} of {n}"):
        sequence_interval(k, n)


@given(PARTS)
def test_the_sequence_ends_where_the_evidence_is_reached(part):
    k, n = part
    calibrated = EVIDENCE if WINDOW[0] <= n <= WINDOW[1] else ANYTIME_EVIDENCE
    for interval, evidence in ((sequence_interval, calibrated), (anytime_interval, ANYTIME_EVIDENCE)):
        for end in interval(k, n):
            if 0 < end < 1:
                assert float(log_evidence(k, n, end)) == pytest.approx(log(evidence), abs=1e-6)


@pytest.mark.parametrize("n", [1, WINDOW[0] - 1, WINDOW[1] + 1, 6000])
def test_outside_its_window_the_sequence_asks_for_the_evidence_that_holds_at_any_time(n):
    assert ANYTIME_EVIDENCE >= 1 / 0.05
    assert sequence_interval(n // 5, n) == anytime_interval(n // 5, n)


@pytest.mark.parametrize("n", WINDOW)
def test_inside_its_window_the_sequence_is_narrower(n):
    low, high = sequence_interval(n // 5, n)
    wide_low, wide_high = anytime_interval(n // 5, n)
    assert wide_low < low < high < wide_high


@given(st.integers(1, 60), st.floats(0.01, 0.99))
def test_under_the_truth_the_evidence_is_1_on_average(n, truth):
    k = np.arange(n + 1)
    chance = np.array([comb(n, int(i)) for i in k]) * truth**k * (1 - truth) ** (n - k)
    assert float((chance * np.exp(log_evidence(k, n, truth))).sum()) == pytest.approx(1, rel=1e-9)


@given(PARTS)
def test_the_sequence_is_wider_than_wilson(part):
    k, n = part
    if n < WINDOW[0]:
        return
    low, high = sequence_interval(k, n)
    narrow_low, narrow_high = wilson(k, n)
    assert high - low > narrow_high - narrow_low


def chance_of_ever_excluding(truth: float, first: int, last: int, evidence: float = EVIDENCE) -> float:
    """Exact, looking after every cell: the distribution of k, less what was excluded on the way."""
    alive, lost = np.array([1.0]), 0.0
    for n in range(1, last + 1):
        alive = np.concatenate([alive * (1 - truth), [0.0]]) + np.concatenate([[0.0], alive * truth])
        if n >= first:
            limit = evidence if n <= WINDOW[1] else ANYTIME_EVIDENCE
            excluded = log_evidence(np.arange(n + 1), n, truth) >= log(limit)
            lost += float(alive[excluded].sum())
            alive[excluded] = 0
    return lost


@pytest.mark.parametrize("truth", [0.01, 0.05, 0.1, 0.13, 0.2, 0.6])
def test_the_truth_is_ever_excluded_in_at_most_5_percent(truth):
    assert chance_of_ever_excluding(truth, *WINDOW) <= 0.05


def test_two_smears_added_up_keep_the_promise():
    # The worst truth; both smears counted to the end of the window.
    assert chance_of_ever_excluding(0.148, WINDOW[0], 2 * WINDOW[1]) <= 0.05


@pytest.mark.parametrize("truth", [0.0055, 0.05, 0.2, 0.6])
def test_few_cells_need_more_evidence(truth):
    assert chance_of_ever_excluding(truth, 1, WINDOW[0] - 1, ANYTIME_EVIDENCE) <= 0.05


def test_the_exact_chance_is_that_of_the_binomial_for_a_single_look():
    truth, n = 0.2, 100
    k = np.arange(n + 1)
    inside = k[log_evidence(k, n, truth) < log(EVIDENCE)]
    outside = bdtr(inside[0] - 1, n, truth) + bdtrc(inside[-1], n, truth)
    assert chance_of_ever_excluding(truth, n, n) == pytest.approx(float(outside), rel=1e-9)


@given(st.integers(0, 500), st.integers(1, 500), INTERVALS)
def test_the_odds_hold_the_ratio_and_are_finite(m, e, interval):
    low, high = odds(*interval(m, m + e))
    assert high is not None
    assert low <= m / e <= high


@pytest.mark.parametrize("interval", [wilson, sequence_interval])
def test_without_erythroblasts_the_odds_are_open_above(interval):
    low, high = odds(*interval(40, 40))
    assert low > 0
    assert high is None


def test_odds_of_wilson_by_hand():
    # 300 of 400: Wilson 0.7054 to 0.7900; odds 2.39 to 3.76.
    assert odds(*wilson(300, 400)) == pytest.approx((2.39, 3.76), abs=0.01)
