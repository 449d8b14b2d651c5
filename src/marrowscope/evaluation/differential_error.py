"""How far the differential of a slide is from the true one: by type, over slides, in percentage points.

Differences are predicted minus true, so that a positive one is too many. Legend: ``s`` slides.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.redrawing import DRAWS, LEVEL, Estimate, Floats, draw_weights, estimate

LIMIT = 1.96
"""Limits of agreement lie this many standard deviations about the bias (Bland & Altman 1986)."""


@dataclass(frozen=True, slots=True, eq=False)
class BlandAltman:
    """Agreement of two measurements of the same slides (Bland & Altman, Stat Methods Med Res 1999; 8: 135).

    ``means`` and ``differences (s,)`` are the points of the plot. ``bias`` is the mean difference, ``lower`` and
    ``upper`` the 95 % limits of agreement; each carries its 95 % interval by Student's t with n - 1 degrees, the
    variance of a limit being ``sd^2 (1/n + 1.96^2 / (2 (n - 1)))``. Limits need two slides, else they are nan.
    """

    means: Floats
    differences: Floats
    sd: float
    bias: Estimate
    lower: Estimate
    upper: Estimate


def bland_altman(true: ArrayLike, predicted: ArrayLike) -> BlandAltman:
    """Bias and limits of ``predicted - true``, both ``(s,)``. Raises ``ValueError`` for unequal lengths."""
    first, second = _pair(true, predicted)
    differences, n = second - first, len(first)
    bias = float(differences.mean()) if n else nan
    sd = float(differences.std(ddof=1)) if n > 1 else nan
    quantile = float(student.ppf((1 + LEVEL) / 2, n - 1)) if n > 1 else nan

    def around(value: float, error: float) -> Estimate:
        return Estimate(value, value - quantile * error, value + quantile * error, n, n)

    error = sd * sqrt(1 / n + LIMIT**2 / (2 * (n - 1))) if n > 1 else nan
    return BlandAltman(
        means=(first + second) / 2,
        differences=differences,
        sd=sd,
        bias=around(bias, sd / sqrt(n) if n else nan),
        lower=around(bias - LIMIT * sd, error),
        upper=around(bias + LIMIT * sd, error),
    )


@dataclass(frozen=True, slots=True)
class DifferentialError:
    """Error of one type's percentage over slides: all in percentage points of the differential, but ``inside``.

    ``mean_absolute`` and ``rmse`` have bootstrapped intervals over slides; ``inside`` counts the slides whose printed
    interval holds the true percentage.
    """

    type: str
    agreement: BlandAltman
    mean_absolute: Estimate
    rmse: Estimate
    inside: Proportion

    @property
    def n(self) -> int:
        return len(self.agreement.differences)

    @property
    def mean_difference(self) -> Estimate:
        return self.agreement.bias


def differential_error(
    name: str,
    true: ArrayLike,
    predicted: ArrayLike,
    low: ArrayLike | None = None,
    high: ArrayLike | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> DifferentialError:
    """The error of one type: percentages ``(s,)`` of the same slides, ``low`` and ``high`` the printed interval.

    Slides where one of the two is nan (not assessable) are left out. Raises ``ValueError`` for unequal lengths.
    """
    first, second = _pair(true, predicted)
    kept = ~np.isnan(first) & ~np.isnan(second)
    first, second = first[kept], second[kept]
    n, off = len(first), np.abs(second - first)
    weights = draw_weights(n, draws=draws, seed=seed) / n if n else np.zeros((draws, 0))
    inside = Proportion(0, 0)
    if low is not None and high is not None:
        below, above = (_pair(true, limits)[1][kept] for limits in (low, high))
        told = ~np.isnan(below) & ~np.isnan(above)
        # Limits and truth come out of different divisions: a truth on the limit lies inside.
        holds = (below[told] <= first[told] + 1e-9) & (first[told] <= above[told] + 1e-9)
        inside = Proportion(int(holds.sum()), int(told.sum()))
    return DifferentialError(
        type=name,
        agreement=bland_altman(first, second),
        mean_absolute=estimate(float(off.mean()) if n else nan, weights @ off, n, n),
        rmse=estimate(sqrt(float((off**2).mean())) if n else nan, np.sqrt(weights @ off**2), n, n),
        inside=inside,
    )


def _pair(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    one, other = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"one value a slide is needed on both sides, found shapes {one.shape} and {other.shape}")
    return one, other
