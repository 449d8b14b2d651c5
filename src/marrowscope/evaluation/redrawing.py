"""Estimates with intervals from redrawing clusters: slides or tiles, or single cells where nothing else is known.

Legend: ``k`` clusters, ``d`` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DRAWS = 1000
LEVEL = 0.95
LEAST = 5
"""Of fewer cells or slides no interval is bootstrapped: their redraws are too few and too alike to tell a spread."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval, the ``n`` that it was measured on, and the number of ``units`` that were redrawn.

    All three numbers are nan where nothing could be measured; the interval alone is nan where one unit tells no spread
    and where ``n`` is below ``LEAST``.
    """

    value: float
    low: float
    high: float
    n: int
    units: int


def draw_weights(clusters: int, *, draws: int = DRAWS, seed: int = 0) -> Floats:
    """How often each cluster comes up in each draw with replacement, ``(d, k)``; each row adds up to ``k``."""
    if clusters < 1:
        raise ValueError("nothing to redraw: at least one cluster is needed")
    return np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), draws).astype(np.float64)


def estimate(value: float, drawn: Floats, n: int, units: int) -> Estimate:
    """The percentile interval (Efron 1979) of a value over its draws ``(d,)``; draws that are nan are left out."""
    defined = drawn[~np.isnan(drawn)]
    if np.isnan(value) or units < 2 or n < LEAST or not len(defined):
        return Estimate(float(value), nan, nan, n, units)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high), n, units)


def in_digits(value: float, digits: int) -> str:
    """A number with so many decimals, with a true minus sign, and without a sign where it rounds to nothing."""
    words = f"{value:.{digits}f}"
    return words.removeprefix("-") if float(words) == 0 else words.replace("-", "\N{MINUS SIGN}")


def share(part: Floats, whole: Floats) -> Floats:
    """``part / whole``, nan where ``whole`` is 0."""
    out: Floats = np.full(np.broadcast(part, whole).shape, nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def mean_of_defined(values: Floats) -> Floats:
    """Mean over the last axis of the values that are not nan; nan where none is left."""
    defined = ~np.isnan(values)
    return share(np.where(defined, values, 0.0).sum(axis=-1), defined.sum(axis=-1).astype(np.float64))


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation over folds or seeds in which something could be measured; nan when there is none."""

    mean: float
    sd: float
    folds: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of the values that are not nan; the latter is nan for one value."""
    defined = np.array([value for value in values if not np.isnan(value)])
    if not len(defined):
        return Spread(nan, nan, 0)
    return Spread(float(defined.mean()), float(defined.std(ddof=1)) if len(defined) > 1 else nan, len(defined))
