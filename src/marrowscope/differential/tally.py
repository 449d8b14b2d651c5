"""What was counted, before any percentage: numbers of cells by type and by quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from marrowscope.packs.contract import CERTAINTY_BANDS
from marrowscope.taxonomy import CELL_TYPES

NDC: frozenset[str] = frozenset(t.name for t in CELL_TYPES.values() if t.counted)
"""Types of the nucleated differential count (ICSH 2008), the pooled ``erythroblast`` among them."""

NDC_WITH_MITOSES: frozenset[str] = NDC | {"mitotic_cell"}
"""The same with mitotic cells, which ICSH names in neither of its lists."""


def ndc_total(counts: Mapping[str, int], counted: frozenset[str] = NDC) -> int:
    """Number of cells of the types that are counted."""
    return sum(n for name, n in counts.items() if name in counted)


@dataclass(frozen=True, slots=True)
class Tally:
    """Cells of the counted fields.

    ``counts`` by most probable type; ``detected`` cells of whatever type; ``unsure`` by type: those whose certainty is
    below the pack's threshold (they are in ``counts`` too); ``blurred`` cells out of focus; ``by_certainty``: the
    counts divided into ``packs.contract.CERTAINTY_BANDS``, the least certain first, or empty where nobody knows;
    ``anomalous`` cells unlike nearly all that the pack was trained on. Raises ``ValueError`` when these contradict each
    other.
    """

    counts: Mapping[str, int]
    detected: int
    unsure: Mapping[str, int] = field(default_factory=dict)
    blurred: int = 0
    by_certainty: tuple[Mapping[str, int], ...] = ()
    anomalous: int = 0

    def __post_init__(self) -> None:
        if unknown := [name for name in self.counts if name not in CELL_TYPES]:
            raise ValueError(f"counts name unknown cell types: {unknown}")
        if sum(self.counts.values()) != self.detected or min(self.counts.values(), default=0) < 0:
            raise ValueError(f"counts {dict(self.counts)} must be >= 0 and add up to {self.detected} detected cells")
        if any(n > self.counts.get(name, 0) for name, n in self.unsure.items()) or self.blurred > self.detected:
            raise ValueError("there cannot be more unsure or blurred cells than cells")
        if not 0 <= self.anomalous <= self.detected:
            raise ValueError(f"there cannot be {self.anomalous} anomalous cells of {self.detected}")
        if self.by_certainty and any(
            sum(band.get(name, 0) for band in self.by_certainty) != n for name, n in self.counts.items()
        ):
            raise ValueError("the counts of all certainties must add up to counts")

    def __add__(self, other: Tally) -> Tally:
        """The tally of both smears together."""
        return Tally(
            _sum(self.counts, other.counts),
            self.detected + other.detected,
            _sum(self.unsure, other.unsure),
            self.blurred + other.blurred,
            tuple(_sum(one, two) for one, two in zip(self.by_certainty, other.by_certainty, strict=False)),
            self.anomalous + other.anomalous,
        )


def tally(cells: pl.DataFrame) -> Tally:
    """Tally a table of cells (schema ``marrowscope.cells.table``, one row a cell)."""
    bands = cells.select("type", band=np.digitize(cells["certainty"].to_numpy(), CERTAINTY_BANDS))
    by_type = cells.group_by("type").agg(
        pl.len().alias("n"), pl.col("flags").list.contains("unsure").sum().alias("unsure")
    )
    return Tally(
        counts=dict(by_type.select("type", "n").iter_rows()),
        detected=cells.height,
        unsure={name: n for name, n in by_type.select("type", "unsure").iter_rows() if n},
        blurred=int(cells["flags"].list.contains("blurred").sum()),
        by_certainty=tuple(
            dict(bands.filter(pl.col("band") == number)["type"].value_counts().iter_rows())
            for number in range(len(CERTAINTY_BANDS) + 1)
        ),
        anomalous=int(cells["flags"].list.contains("anomalous").sum()),
    )


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}
