"""When to stop counting, and the interval that may be printed then.

A rule is asked at the end of each counting field, with the cells counted so far by type. It is a plain value without a
memory: the same counts give the same answer, so a count that is resumed stops where it would have stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from marrowscope.differential.deciding import MOST_CELLS, Quantity, Share, deciding, judge, not_recognised
from marrowscope.differential.intervals import WINDOW, anytime_interval, sequence_interval, wilson
from marrowscope.differential.tally import NDC, ndc_total
from marrowscope.errors import MarrowscopeError
from marrowscope.packs.contract import PackContract

LOOK_FROM = WINDOW[0]
"""Adaptive counting decides nothing on fewer cells."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to stop, and why, in words for the report (why not, when counting goes on)."""

    stop: bool
    reason: str


class StoppingRule(Protocol):
    """What the pipeline asks of a rule. ``counted`` are the types of the differential, its denominator."""

    @property
    def kind(self) -> Literal["wilson", "sequence"]:
        """Which interval the rule prints."""

    @property
    def counted(self) -> frozenset[str]:
        """Types that count."""

    @property
    def sentence(self) -> str:
        """What was asked for, in one sentence."""

    def decide(self, counts: Mapping[str, int]) -> Decision:
        """Asked at the end of each counting field."""

    def exhausted(self, counts: Mapping[str, int]) -> str:
        """Why counting ended when the regions have no more fields."""

    def interval(self, k: int, n: int) -> tuple[float, float]:
        """95 % interval of the proportion that ``k`` of the ``n`` cells of the differential estimate, for this rule."""

    def interval_of_part(self, k: int, n: int) -> tuple[float, float]:
        """The same where ``n`` are some of the cells: myeloid cells and erythroblasts, non-erythroid cells."""


@dataclass(frozen=True, slots=True)
class FixedCount:
    """Count until so many cells are in the differential, then to the end of the field."""

    cells: int = 500
    counted: frozenset[str] = NDC
    kind: ClassVar[Literal["wilson"]] = "wilson"

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise ValueError(f"a count needs at least one cell, found {self.cells}")

    @property
    def sentence(self) -> str:
        return f"Asked for: at least {self.cells:,} cells, counted to the end of the last field."

    def decide(self, counts: Mapping[str, int]) -> Decision:
        n = ndc_total(counts, self.counted)
        return Decision(n >= self.cells, f"{self.cells:,} cells reached" if n >= self.cells else f"{n:,} cells")

    def exhausted(self, counts: Mapping[str, int]) -> str:
        return f"all regions counted: {ndc_total(counts, self.counted):,} of {self.cells:,} cells"

    def interval(self, k: int, n: int) -> tuple[float, float]:
        # The last field makes n random, but n depends on how many cells a field holds, not on their types.
        return wilson(k, n)

    def interval_of_part(self, k: int, n: int) -> tuple[float, float]:
        return wilson(k, n)


@dataclass(frozen=True, slots=True)
class CountAll:
    """Count every field of the regions."""

    counted: frozenset[str] = NDC
    kind: ClassVar[Literal["wilson"]] = "wilson"

    @property
    def sentence(self) -> str:
        return "Asked for: every cell of the regions."

    def decide(self, counts: Mapping[str, int]) -> Decision:
        return Decision(False, f"{ndc_total(counts, self.counted):,} cells")

    def exhausted(self, counts: Mapping[str, int]) -> str:
        return "all regions counted"

    def interval(self, k: int, n: int) -> tuple[float, float]:
        return wilson(k, n)

    def interval_of_part(self, k: int, n: int) -> tuple[float, float]:
        return wilson(k, n)


@dataclass(frozen=True, slots=True)
class UntilPrecise:
    """Count until every deciding quantity is on one side of each of its thresholds, or the cap is reached.

    Looks are allowed at any time between ``minimum`` and ``maximum`` cells: the interval is a confidence sequence. The
    defaults are its window; a laboratory may narrow them (``minimum=500``), not widen them.
    """

    quantities: tuple[Quantity, ...]
    minimum: int = LOOK_FROM
    maximum: int = MOST_CELLS
    counted: frozenset[str] = NDC
    kind: ClassVar[Literal["sequence"]] = "sequence"

    def __post_init__(self) -> None:
        if not self.quantities:
            raise ValueError("adaptive counting needs at least one quantity to decide")
        if not LOOK_FROM <= self.minimum <= self.maximum <= MOST_CELLS:
            raise ValueError(
                f"adaptive counting is calibrated for {LOOK_FROM} to {MOST_CELLS} cells, "
                f"found {self.minimum} to {self.maximum}"
            )

    @property
    def sentence(self) -> str:
        asked = " and ".join(f"{quantity.name} ({_percents(quantity.thresholds)})" for quantity in self.quantities)
        return (
            f"Asked for: as many cells as decide {asked}, at least {self.minimum:,} and about {self.maximum:,} at "
            "most, looked at after each field; the intervals are a confidence sequence that allows for this."
        )

    def decide(self, counts: Mapping[str, int]) -> Decision:
        n = ndc_total(counts, self.counted)
        if n < self.minimum:
            return Decision(False, f"{n:,} cells")
        if undecided := self._undecided(counts, n):
            if n < self.maximum:
                return Decision(False, f"{n:,} cells, {undecided} not decided")
            return Decision(True, f"{n:,} cells counted: {undecided} cannot be decided by counting")
        return Decision(True, f"decided after {n:,} cells: {self._standing(counts, n)}")

    def exhausted(self, counts: Mapping[str, int]) -> str:
        n = ndc_total(counts, self.counted)
        undecided = self._undecided(counts, n)
        return f"all regions counted: {n:,} cells, {undecided} not decided" if undecided else "all regions counted"

    def interval(self, k: int, n: int) -> tuple[float, float]:
        return sequence_interval(k, n)

    def interval_of_part(self, k: int, n: int) -> tuple[float, float]:
        return anytime_interval(k, n)

    def _answers(self, quantity: Quantity, counts: Mapping[str, int], n: int) -> dict[int, str]:
        least = Share.of(quantity.certain, counts, n, self.interval)
        most = Share.of(quantity.possible, counts, n, self.interval)
        return {threshold: judge(least, most, threshold) for threshold in quantity.thresholds}

    def _undecided(self, counts: Mapping[str, int], n: int) -> str:
        """For instance "blasts 5 %, plasma cells 10 %"; empty when all is decided."""
        parts = []
        for quantity in self.quantities:
            answers = self._answers(quantity, counts, n)
            if lines := [threshold for threshold, answer in answers.items() if answer == "not decided"]:
                parts.append(f"{quantity.name} {_percents(lines)}")
        return ", ".join(parts)

    def _standing(self, counts: Mapping[str, int], n: int) -> str:
        """For instance "blasts 10 to 20 %, plasma cells below 10 %"."""
        parts = []
        for quantity in self.quantities:
            answers = self._answers(quantity, counts, n)
            floor = max((t for t, answer in answers.items() if answer == "above"), default=None)
            ceiling = min((t for t, answer in answers.items() if answer == "below"), default=None)
            hidden = [t for t, answer in answers.items() if answer == "not assessable"]
            words = []
            if floor is not None or ceiling is not None:
                words.append(_between(floor, ceiling))
            if hidden:
                words.append(f"{_percents(hidden)} not assessable")
            parts.append(f"{quantity.name} {', '.join(words)}")
        return "; ".join(parts)


def until_precise(contract: PackContract, counted: frozenset[str] = NDC) -> UntilPrecise:
    """Adaptive counting for a pack. Raises ``MarrowscopeError`` when the pack can decide nothing."""
    quantities = deciding(contract)
    if not quantities:
        why = not_recognised(contract, "blast") or "it has neither blasts nor plasma cells"
        if contract.partial:
            why = f"its differential is partial (it cannot see {', '.join(contract.cannot_see)})"
        raise MarrowscopeError(
            f"nothing can be decided with the pack {contract.name}: {why}; count a number of cells instead: --cells 500"
        )
    return UntilPrecise(quantities, counted=counted)


def _between(floor: int | None, ceiling: int | None) -> str:
    if floor is None:
        return f"below {ceiling} %"
    return f"{floor} % or more" if ceiling is None else f"{floor} to {ceiling} %"


def _percents(thresholds: tuple[int, ...] | list[int]) -> str:
    return f"{' / '.join(str(threshold) for threshold in thresholds)} %"
