"""Time for so many cells: a straight line through seconds against cells, by least squares."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t as student

from marrowscope.evaluation.redrawing import LEVEL, Estimate


@dataclass(frozen=True, slots=True)
class CountingTime:
    """``seconds = intercept + per_cell * cells`` and its value at ``cells``, with the 95 % interval of the line there.

    ``extrapolated``: no slide had as few or none as many cells, so that the line reaches beyond what was measured.
    """

    cells: int
    seconds: Estimate
    intercept: float
    per_cell: float
    extrapolated: bool


def time_for_cells(cells: ArrayLike, seconds: ArrayLike, at: int = 500) -> CountingTime:
    """Seconds for ``at`` cells from ``cells (s,)`` and ``seconds (s,)`` of slides, as Wang et al. (2022) give them.

    All nan with fewer than two slides or equal numbers of cells; the interval needs three. Raises ``ValueError`` for
    unequal lengths.
    """
    x, y = np.asarray(cells, dtype=np.float64), np.asarray(seconds, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"cells and seconds need one value a slide each, found shapes {x.shape} and {y.shape}")
    n = len(x)
    spread = float(((x - x.mean()) ** 2).sum()) if n else 0.0
    if n < 2 or spread == 0:
        return CountingTime(at, Estimate(nan, nan, nan, n, n), nan, nan, False)
    per_cell = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    intercept = float(y.mean()) - per_cell * float(x.mean())
    value, half = intercept + per_cell * at, nan
    if n > 2:
        rest = float(((y - intercept - per_cell * x) ** 2).sum()) / (n - 2)
        half = float(student.ppf((1 + LEVEL) / 2, n - 2)) * sqrt(rest * (1 / n + (at - float(x.mean())) ** 2 / spread))
    beyond = not x.min() <= at <= x.max()
    return CountingTime(at, Estimate(value, value - half, value + half, n, n), intercept, per_cell, beyond)
