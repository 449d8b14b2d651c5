"""Percentages that add up to 100.0."""

from __future__ import annotations

from collections.abc import Sequence


def round_percentages(counts: Sequence[int]) -> list[float]:
    """Percentages of ``counts`` with one decimal that add up to 100.0, by largest remainder (Hamilton's method).

    Counts are apportioned in whole tenths of a percent, in integers, so no rounding of floats can spoil the sum. Of
    equal remainders the larger count, then the earlier one, goes first. Raises ``ValueError`` when nothing was counted
    or a count is negative.
    """
    total = sum(counts)
    if total <= 0 or min(counts) < 0:
        raise ValueError(f"percentages need counts of at least one cell and none below 0, found {list(counts)}")
    tenths = [1000 * count // total for count in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: (1000 * counts[i] % total, counts[i]), reverse=True)
    for i in by_remainder[: 1000 - sum(tenths)]:
        tenths[i] += 1
    return [tenth / 10 for tenth in tenths]
