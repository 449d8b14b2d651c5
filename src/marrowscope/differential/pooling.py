"""The smears of one case: pooled, after a test whether they agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from marrowscope.differential.result import Agreement
from marrowscope.differential.tally import NDC
from marrowscope.taxonomy import CELL_TYPES

LEAST_EXPECTED = 5.0
"""Expected count that the chi-squared approximation needs in every cell of the table (Cochran 1954)."""

DIFFERENT_BELOW = 0.05
"""Smears whose p-value is smaller are said to differ."""

PERMUTATIONS = 9999
"""Tables drawn when the smears are too sparse for the approximation."""


def agreement(smears: Mapping[str, Mapping[str, int]], counted: frozenset[str] = NDC, *, seed: int = 0) -> Agreement:
    """Test whether the smears of a case show the same composition.

    ``smears`` maps the name of each smear to its counts by type. Pearson's chi-squared on the table of smears by types;
    the rarest types are merged until every expected count is at least ``LEAST_EXPECTED``. Where that leaves a single
    column, the unmerged statistic is compared with tables drawn at random with the same margins (permutation test).
    Raises ``ValueError`` for fewer than two smears or a smear without a cell.
    """
    names = [name for name in CELL_TYPES if name in counted and any(smear.get(name) for smear in smears.values())]
    table = np.array([[smear.get(name, 0) for name in names] for smear in smears.values()], np.int64)
    if len(smears) < 2 or not names or not table.sum(1).all():
        raise ValueError(f"agreement needs two smears or more, each with cells, found {dict(smears)}")
    merged, titles = _merge_rare(table, [CELL_TYPES[name].title for name in names])
    by_permutation = merged.shape[1] < 2
    if by_permutation:
        merged, titles = table, [CELL_TYPES[name].title for name in names]
    statistic = _chi_squared(merged)
    degrees = (merged.shape[0] - 1) * (merged.shape[1] - 1)
    if degrees == 0:
        p_value = 1.0
    elif by_permutation:
        p_value = _permutation_p_value(merged, statistic, seed)
    else:
        p_value = float(chdtrc(degrees, statistic))
    method = "permutation test" if by_permutation else "chi-squared test"
    numbers = f"{method}, chi-squared {statistic:.1f}, {degrees} degrees of freedom, p = {p_value:.2g}"
    if p_value >= DIFFERENT_BELOW:
        text = f"No difference between the smears beyond chance ({numbers})."
    else:
        text = (
            f"The smears differ by more than chance, most in {_most_different(merged, titles).lower()} ({numbers}): "
            "look at each smear before using the pooled count."
        )
    return Agreement(smears=tuple(smears), statistic=statistic, degrees=degrees, p_value=p_value, text=text)


def _expected(table: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(np.outer(table.sum(1), table.sum(0)) / table.sum(), np.float64)


def _chi_squared(table: NDArray[np.int64]) -> float:
    expected = _expected(table)
    return float(((table - expected) ** 2 / expected).sum())


def _merge_rare(table: NDArray[np.int64], titles: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """Merge the rarest types into the first column until every expected count is large enough, or one is left."""
    order = np.argsort(table.sum(0), kind="stable")
    table, names = table[:, order], [titles[i] for i in order]
    while table.shape[1] > 1 and _expected(table).min() < LEAST_EXPECTED:
        table = np.concatenate([table[:, :2].sum(1, keepdims=True), table[:, 2:]], 1)
        names = ["rare types", *names[2:]]
    return table, names


def _permutation_p_value(table: NDArray[np.int64], statistic: float, seed: int) -> float:
    """Share of random tables with the same margins that differ at least as much (Monte Carlo, never 0)."""
    generator = np.random.default_rng(seed)
    types = np.repeat(np.arange(table.shape[1]), table.sum(0))
    places = np.repeat(np.arange(table.shape[0]), table.sum(1)) * table.shape[1]
    as_extreme = 0
    for _ in range(PERMUTATIONS):
        drawn = np.bincount(places + generator.permutation(types), minlength=table.size).reshape(table.shape)
        as_extreme += _chi_squared(drawn) >= statistic * (1 - 1e-12)
    return float((as_extreme + 1) / (PERMUTATIONS + 1))


def _most_different(table: NDArray[np.int64], titles: Sequence[str]) -> str:
    expected = _expected(table)
    return titles[int(((table - expected) ** 2 / expected).sum(0).argmax())]
