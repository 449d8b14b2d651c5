"""Intervals of what is measured: Wilson for proportions, percentile bootstrap for everything else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray


def wilson(successes: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Two-sided Wilson score interval of a proportion (Wilson 1927); ``(0, 1)`` when nothing was counted."""
    if not 0 <= successes <= total:
        raise ValueError(f"successes must lie in 0..total, found {successes} of {total}")
    if total == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    p = successes / total
    shrink = 1 + z * z / total
    centre = (p + z * z / (2 * total)) / shrink
    half = z / shrink * sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == total else min(1.0, centre + half)
    return low, high


@dataclass(frozen=True, slots=True)
class Proportion:
    """``count`` of ``total``, with its 95 % Wilson interval; ``value`` is nan when ``total`` is 0."""

    count: int
    total: int

    @property
    def value(self) -> float:
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.count, self.total)


def bootstrap_interval(
    statistic: Callable[[NDArray[np.intp]], float],
    n: int,
    *,
    seed: int,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap (Efron 1979) of ``statistic(indices)``, where ``indices`` redraws ``n`` units.

    The units must be what was drawn independently: images or slides, not the cells within them. Draws in which the
    statistic is nan are left out; raises ``ValueError`` when none is left.
    """
    if n < 1:
        raise ValueError("a bootstrap needs at least one unit")
    generator = np.random.default_rng(seed)
    values = np.array([statistic(generator.integers(0, n, n)) for _ in range(draws)])
    return _percentiles(values, level)


def bootstrap_confusion(
    statistic: Callable[[NDArray[np.int64]], float],
    confusion: NDArray[np.int64],
    *,
    seed: int,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """The same for a statistic of a confusion matrix.

    Redrawing single cells and counting them again is a multinomial draw of the matrix, so the cells themselves are not
    needed. The number of cells of each true class varies from draw to draw, as it would in a new sample.
    """
    total = int(confusion.sum())
    if total < 1:
        raise ValueError("a bootstrap needs at least one cell in the confusion matrix")
    tables = np.random.default_rng(seed).multinomial(total, confusion.ravel() / total, draws)
    values = np.array([statistic(table.reshape(confusion.shape)) for table in tables])
    return _percentiles(values, level)


def _percentiles(values: NDArray[np.float64], level: float) -> tuple[float, float]:
    defined = values[~np.isnan(values)]
    if not len(defined):
        raise ValueError("the statistic is undefined in every bootstrap draw")
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
