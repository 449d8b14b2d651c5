"""Intervals of a percentage and of the M:E ratio.

* :func:`wilson`: for a count whose end was fixed beforehand (Wilson 1927; it inverts the score test).
* :func:`sequence_interval`: for a count that ends because of what was counted. It may be looked at after every cell.
* :func:`anytime_interval`: the same for a part of what was counted, whose number of cells no rule watches.
* :func:`odds`: turns an interval of M / (M + E) into one of M : E.

All of them know sampling error only, and take the cells to be drawn independently of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log, log1p

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln, xlog1py, xlogy

from marrowscope.evaluation.intervals import wilson

__all__ = [
    "ANYTIME_EVIDENCE",
    "EVIDENCE",
    "PRIOR",
    "WINDOW",
    "Interval",
    "anytime_interval",
    "log_evidence",
    "odds",
    "sequence_interval",
    "wilson",
]

Interval = Callable[[int, int], tuple[float, float]]
"""``interval(k, n)``: lowest and highest proportion that ``k`` of ``n`` cells allow."""

PRIOR = (1.0, 4.0)
"""Beta prior of the mixture. Its mean, 20 %, lies among the thresholds: chosen for few cells, not as a belief."""

ANYTIME_EVIDENCE = 20.0
"""A proportion is excluded when the evidence against it reaches this: 1 / 0.05, by Ville's inequality.

It needs nothing but a proportion that stays the same: any number of cells, any moment, any denominator.
"""

EVIDENCE = 9.0
"""Enough inside ``WINDOW``, where ``ANYTIME_EVIDENCE`` would leave most of its 5 % unused.

Counting is first looked at after 100 cells and ends at 3,000. With 9 the chance that the truth is *ever* excluded,
looking after every single cell of ``WINDOW``, is at most 4.5 % (worst of 82 truths): computed exactly, not simulated,
by ``benchmarks/adaptive_counting.py``. Looked at further with ``ANYTIME_EVIDENCE``, to the 7,000 cells of two smears,
it is at most 4.6 %.
"""

WINDOW = (100, 3500)
"""The numbers of cells between which ``EVIDENCE`` keeps that promise; the last field may overshoot 3,000 cells."""


def log_evidence(
    k: ArrayLike, n: ArrayLike, proportion: ArrayLike, prior: tuple[float, float] = PRIOR
) -> NDArray[np.float64]:
    """Logarithm of the evidence that ``k`` of ``n`` cells bear against a ``proportion`` in (0, 1); arrays broadcast.

    It is the likelihood averaged over the beta distribution ``prior``, divided by the likelihood at ``proportion``;
    were that the truth, the ratio would be a martingale of mean 1 (Robbins, Ann Math Statist 1970; 41: 1397-1409;
    Howard et al., Ann Statist 2021; 49: 1055-1080).
    """
    k, n, proportion = np.asarray(k), np.asarray(n), np.asarray(proportion)
    a, b = prior
    averaged = betaln(k + a, n - k + b) - betaln(a, b)
    return np.asarray(averaged - xlogy(k, proportion) - xlog1py(n - k, -proportion), np.float64)


def sequence_interval(k: int, n: int) -> tuple[float, float]:
    """95 % confidence sequence of a proportion of all cells of the differential.

    Every proportion against which the evidence is below ``EVIDENCE``, or below ``ANYTIME_EVIDENCE`` where ``n`` is
    outside ``WINDOW``. It holds however often it is looked at and whatever ended the count. ``(0, 1)`` when nothing was
    counted. Raises ``ValueError`` unless ``0 <= k <= n``.
    """
    return _below(EVIDENCE if WINDOW[0] <= n <= WINDOW[1] else ANYTIME_EVIDENCE, k, n)


def anytime_interval(k: int, n: int) -> tuple[float, float]:
    """The same for a proportion of some of the cells (M of M + E), always with ``ANYTIME_EVIDENCE``.

    A count that is inside ``WINDOW`` says nothing about how many cells such a part has had at each look.
    """
    return _below(ANYTIME_EVIDENCE, k, n)


def _below(evidence: float, k: int, n: int) -> tuple[float, float]:
    """Every proportion against which the evidence of ``k`` of ``n`` cells is below so much."""
    if not 0 <= k <= n:
        raise ValueError(f"a part must lie in 0..total, found {k} of {n}")
    if n == 0:
        return 0.0, 1.0
    a, b = PRIOR
    averaged = float(betaln(k + a, n - k + b) - betaln(a, b)) - log(evidence)

    def edge(outside: float) -> float:
        # The evidence is convex in the proportion and at most 1 at k / n, so there is one edge on each side of it.
        inside = k / n
        for _ in range(60):
            middle = (inside + outside) / 2
            against = averaged - (k * log(middle) if k else 0.0) - ((n - k) * log1p(-middle) if k < n else 0.0)
            inside, outside = (inside, middle) if against >= 0 else (middle, outside)
        return inside

    return (edge(0.0) if k else 0.0), (edge(1.0) if k < n else 1.0)


def odds(low: float, high: float) -> tuple[float, float | None]:
    """An interval of a proportion as one of odds; the upper end None means open above (the proportion reaches 1)."""
    return low / (1 - low), high / (1 - high) if high < 1 else None
