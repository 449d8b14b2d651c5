"""Percentages on which something depends: what belongs to them, their thresholds, and the verdict.

Stopping rule and flags share this module, so that a count which stopped because blasts were decided cannot carry a
flag that calls them undecided.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.special import bdtr

from marrowscope.differential.intervals import Interval
from marrowscope.packs.contract import PackContract
from marrowscope.taxonomy import CELL_TYPES

MOST_CELLS = 3000
"""Nobody is asked to count more cells than this in all."""

LEAST_RECALL = 0.5
"""A pack that called fewer of its held-out cells of a type right cannot say that a specimen has few of them."""

CHANCE = 0.8
"""The chance of a verdict that "count about N more" stands for."""

Answer = Literal["above", "below", "not decided", "not assessable"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A percentage of all nucleated cells with thresholds, percent.

    ``certain`` are the types that belong to it; ``possible`` also those that may hide some of it, because the pack
    cannot tell them apart (monocytes, where promonocytes are counted with them).
    """

    name: str
    certain: frozenset[str]
    possible: frozenset[str]
    thresholds: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """``k`` of ``n`` cells and the interval of the proportion that they estimate."""

    k: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, types: frozenset[str], counts: Mapping[str, int], n: int, interval: Interval) -> Share:
        """The share that ``types`` have of ``n`` cells."""
        k = sum(counts.get(name, 0) for name in types)
        return cls(k, n, *interval(k, n))

    def reaches(self, threshold: int) -> bool:
        """Whether the raw count is at or above so many percent."""
        return 100 * self.k >= threshold * self.n


def not_recognised(contract: PackContract, *types: str) -> str | None:
    """Why the pack cannot speak of these types, by its own confusions on held-out cells; None when it can.

    A type counts as recognised when at least ``LEAST_RECALL`` of its held-out cells were called right. A pack without
    confusions is taken at its word, and so is a type that is no class of its own.
    """
    if contract.confusion is None:
        return None
    for name, row in zip(contract.classes, contract.confusion.counts, strict=True):
        n, right = sum(row), row[contract.classes.index(name)]
        if name in types and right < LEAST_RECALL * n:
            return f"the pack {contract.name} called {right:,} of {n:,} held-out {_plural(name)} right"
        if name in types and n == 0:
            return f"the pack {contract.name} was not measured on {_plural(name)}"
    return None


def _plural(name: str) -> str:
    return f"{CELL_TYPES[name].title.lower()}s"


def blasts(contract: PackContract) -> Quantity | None:
    """Blasts and equivalents as far as the pack tells them apart; None when it cannot see or recognise blasts."""
    if "blast" not in contract.classes or not_recognised(contract, "blast"):
        return None
    certain = frozenset({"blast", "promonocyte"} & set(contract.classes))
    hiding = hides_promonocytes(contract)
    return Quantity("blasts", certain, certain | {hiding} if hiding else certain, (5, 10, 20))


def hides_promonocytes(contract: PackContract) -> str | None:
    """The class in which promonocytes are counted when they are none of their own."""
    if "promonocyte" in contract.classes and "promonocyte" not in contract.pooled:
        return None
    outer = contract.pooled.get("promonocyte", "monocyte")
    return outer if outer in contract.classes else None


def plasma_cells(contract: PackContract) -> Quantity | None:
    """Plasma cells; None when the pack cannot see or recognise them."""
    seen = frozenset({"plasma_cell"} & set(contract.classes))
    return Quantity("plasma cells", seen, seen, (10, 60)) if seen and not not_recognised(contract, *seen) else None


def deciding(contract: PackContract) -> tuple[Quantity, ...]:
    """The quantities that can be decided with this pack; none with a pack that gives a partial differential."""
    if contract.partial:
        return ()
    return tuple(quantity for quantity in (blasts(contract), plasma_cells(contract)) if quantity is not None)


def judge(least: Share, most: Share, threshold: int) -> Answer:
    """Where a quantity stands that is at least ``least`` and at most ``most``, against so many percent.

    "not assessable": surely below without the cells that the pack cannot tell apart, and not below with them, so more
    counting would not help.
    """
    line = threshold / 100
    if least.low >= line:
        return "above"
    if most.high < line:
        return "below"
    return "not assessable" if least.high < line and most.reaches(threshold) else "not decided"


def count_more(least: Share, most: Share, threshold: int, interval: Interval) -> int | None:
    """About how many more cells give a verdict; None when counting up to ``MOST_CELLS`` in all will not.

    The answer to: if the truth is what has been counted so far, after how many more cells is the chance at least
    ``CHANCE`` that the interval clears the threshold?
    """
    if least.reaches(threshold):
        share = least
    elif not most.reaches(threshold):
        share = most
    else:
        return None

    def enough(more: int) -> bool:
        return _chance_to_clear(share, more, threshold / 100, interval) >= CHANCE

    few, many = 0, MOST_CELLS - share.n
    if share.n == 0 or many <= 0 or not enough(many):
        return None
    while many - few > 5:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    step = 10 if many <= 200 else 50
    return -(-many // step) * step


def _chance_to_clear(share: Share, more: int, line: float, interval: Interval) -> float:
    """Chance that ``more`` cells, drawn with the proportion seen so far, take the interval to one side of ``line``."""
    n, p = share.n + more, share.k / share.n
    above = p >= line
    # The interval moves up with k, so the counts that clear the line are all beyond one critical count.
    few, many = share.k, share.k + more
    if above:
        if interval(many, n)[0] < line:
            return 0.0
        while few < many:
            middle = (few + many) // 2
            few, many = (few, middle) if interval(middle, n)[0] >= line else (middle + 1, many)
        return 1.0 - float(bdtr(few - share.k - 1, more, p)) if few > share.k else 1.0
    if interval(few, n)[1] >= line:
        return 0.0
    while few < many:
        middle = (few + many + 1) // 2
        few, many = (middle, many) if interval(middle, n)[1] < line else (few, middle - 1)
    return float(bdtr(few - share.k, more, p))
