"""A finished count: the tally, the pack that named the cells, the rule that ended it, and what surrounds them."""

from __future__ import annotations

from dataclasses import dataclass

from marrowscope.differential.deciding import Share
from marrowscope.differential.rounding import round_percentages
from marrowscope.differential.stopping import StoppingRule
from marrowscope.differential.tally import Tally, ndc_total
from marrowscope.packs.contract import PackContract
from marrowscope.taxonomy import CELL_TYPES, Lineage

ERYTHROBLASTS: frozenset[str] = frozenset(t.name for t in CELL_TYPES.values() if t.lineage is Lineage.ERYTHROID)
"""The four stages and the class that pools them."""


@dataclass(frozen=True, slots=True)
class Counted:
    """What rows, ratios and flags are made of.

    ``area_mm2`` of the counted fields; ``particles`` seen on the slide, None when nobody looked, and then
    ``not_looked`` says why. Raises ``ValueError`` when cells carry a type that the pack does not have.
    """

    contract: PackContract
    tally: Tally
    rule: StoppingRule
    area_mm2: float
    particles: int | None = None
    not_looked: str = ""

    def __post_init__(self) -> None:
        strangers = [name for name, n in self.tally.counts.items() if n and name not in self.contract.classes]
        if strangers:
            raise ValueError(f"the pack {self.contract.name} has no class {', '.join(strangers)}")

    @property
    def n(self) -> int:
        """Cells in the differential: the denominator of every percentage."""
        return ndc_total(self.tally.counts, self.rule.counted)

    @property
    def unsure(self) -> int:
        """Unsure cells in the differential."""
        return ndc_total(self.tally.unsure, self.rule.counted)

    @property
    def anomalous(self) -> float:
        """Share of anomalous cells among all that were found, of whatever type."""
        return self.tally.anomalous / max(1, self.tally.detected)

    @property
    def nucleated(self) -> int:
        """Everything that was found but platelets and artefacts."""
        return self.tally.detected - self.count("platelet", "artefact")

    def count(self, *types: str) -> int:
        return sum(self.tally.counts.get(name, 0) for name in types)

    def share(self, *types: str) -> Share:
        """Their share of the differential, with the interval of the rule."""
        return Share.of(frozenset(types), self.tally.counts, self.n, self.rule.interval)

    @property
    def rounded(self) -> dict[str, float]:
        """What the table of percentages shows of each class that counts; empty when nothing was counted."""
        seen = [name for name in CELL_TYPES if name in self.contract.classes and name in self.rule.counted]
        if not self.n:
            return {}
        return dict(zip(seen, round_percentages([self.count(name) for name in seen]), strict=True))

    def shown(self, *types: str) -> str:
        """Their share of the differential for a sentence: the figure of the table, or the sum of its figures.

        Rounded by itself it could be 0.1 beside the table. Verdicts are of the exact share.
        """
        rounded = self.rounded
        return f"{sum(rounded.get(name, 0.0) for name in types):.1f} %"

    def sees(self, *types: str) -> bool:
        """Whether each of these types is a class of the pack, or a stage of one; never one counted inside another."""
        return all(
            name not in self.contract.pooled
            and (name in self.contract.classes or CELL_TYPES[name].parent in self.contract.classes)
            for name in types
        )


def percent(proportion: float) -> str:
    """For a sentence: one decimal."""
    return f"{100 * proportion:.1f} %"


def span(low: float, high: float) -> str:
    """An interval of proportions, for a sentence: "3.4-7.3 %"."""
    return f"{100 * low:.1f}-{100 * high:.1f} %"


def listed(words: list[str]) -> str:
    """A list in a sentence: "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
