"""Two simulated annotators of a phantom: what they call a cell, which cells they label, and what they agree on.

Errors are where people make them: between neighbouring stages, and there on the cells that lie in between. The phantom
knows for each drawing towards which neighbour it was moved and how far (``CellPool.likeness``); the chance that a
reader names the neighbour rises with that share along a logistic curve, with a reader's own idea of each cell, the same
at every occasion. The curves are set so that blind readings agree about as in Wang et al. 2022, Table 6 (kappa within
examiner 1: 0.745, within examiner 2: 0.897, between them: 0.794).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray
from shapely import prepare
from shapely.geometry import box
from shapely.ops import unary_union

from marrowscope.phantom.truth import Truth
from marrowscope.taxonomy import PHANTOM_TYPES, WANG_2022_TYPES

Names = NDArray[np.str_]

FIELD_UM = 160.0
"""Side of the fields in which the annotators work: 640 pixels of 0.25 um, from the slide's corner."""

JITTER = 0.025
"""Deviation of each edge of a hand-drawn box, share of the side."""

ADJUDICATED = 0.95
"""Where the two readers differ, so often is what they settle on the truth; else it is one of their wrong readings."""

LABELLED: dict[str, float] = {
    "blast": 0.52, "promyelocyte": 0.92, "myelocyte": 0.62, "metamyelocyte": 0.62, "band_neutrophil": 0.52,
    "segmented_neutrophil": 0.66, "eosinophil": 0.9, "monocyte": 0.85, "proerythroblast": 0.95,
    "basophilic_erythroblast": 0.8, "polychromatic_erythroblast": 0.68, "orthochromatic_erythroblast": 0.78,
    "lymphocyte": 0.4, "plasma_cell": 0.75, "mitotic_cell": 0.95, "megakaryocyte": 0.97, "basophil": 0.4,
    "smudge": 0.6, "other": 0.3,
}  # fmt: skip
"""How often a cell in a field is labelled, by what it is called: rare types nearly always, common ones less often."""


@dataclass(frozen=True, slots=True)
class Reader:
    """An annotator. ``cut``: the share (0..0.45) at which the neighbour is named half of the time; ``steepness`` of the
    curve, logits per unit of share; ``opinion``: deviation of the reader's own idea of a cell, logits; ``slips``:
    chance of naming any type at all."""

    name: str
    cut: float
    steepness: float
    opinion: float
    slips: float

    def read(self, truth: Names, neighbours: Names, shares: NDArray[np.float64], *, seed: int, occasion: int) -> Names:
        """What the reader calls each cell of a slide, ``(n,)``; the opinion depends on ``seed`` and reader only."""
        number = int(self.name)
        idea = np.random.default_rng([seed, 61, number]).normal(0.0, self.opinion, len(truth))
        rng = np.random.default_rng([seed, 62, number, occasion])
        chance = 1 / (1 + np.exp(-(self.steepness * (shares - self.cut) + idea)))
        called = np.where((neighbours != "") & (rng.random(len(truth)) < chance), neighbours, truth)
        slip = rng.random(len(truth)) < self.slips
        return np.where(slip, rng.choice(np.array(WANG_2022_TYPES), len(truth)), called)


READERS = (
    Reader("1", cut=0.34, steepness=12.0, opinion=0.3, slips=0.012),
    Reader("2", cut=0.40, steepness=18.0, opinion=0.3, slips=0.004),
)
"""Examiner 1, three years of experience; examiner 2, twenty years."""


def settle(first: Names, second: Names, truth: Names, rng: np.random.Generator) -> Names:
    """The agreed type of each cell: what both say; where they differ, after a second look, nearly always the truth."""
    wrong = np.where(first != truth, first, second)
    after = np.where(rng.random(len(truth)) < ADJUDICATED, truth, wrong)
    return np.where(first == second, first, after)


def whole_cells(truth: Truth) -> NDArray[np.bool_]:
    """Cells that can be annotated: in a trail and not cut by the slide's border."""
    x0, y0, x1, y1 = boxes(truth).T
    inside = (x0 >= 0) & (y0 >= 0) & (x1 <= truth.size.width) & (y1 <= truth.size.height)
    return np.asarray(inside & truth.cells["in_trail"].to_numpy())


def boxes(truth: Truth) -> NDArray[np.float64]:
    """Boxes ``(n, 4)`` of all cells, level-0 pixels."""
    return truth.cells.select("x0", "y0", "x1", "y1").to_numpy()


def label_slide(name: str, truth: Truth, readings: tuple[Names, Names], wanted: int, *, seed: int) -> pl.DataFrame:
    """Labels of about ``wanted`` cells of a slide: columns id, type, x0, y0, x1, y1, cell, truth, reader_1, reader_2.

    Whole fields are taken until there are enough, those with a megakaryocyte first; in a field each cell is labelled
    with the chance that LABELLED gives to its agreed type.
    """
    rng = np.random.default_rng([seed, 63])
    true = truth.cells["type"].to_numpy().astype(str)
    agreed = settle(*readings, true, rng)
    chance = np.array([LABELLED[kind] for kind in agreed.tolist()])
    labelled = whole_cells(truth) & (rng.random(len(true)) < chance)
    chosen = np.zeros(len(true), bool)
    for members in _fields(truth, rng):
        if chosen.sum() >= wanted:
            break
        chosen[members] = labelled[members]
    cells = np.flatnonzero(chosen)
    drawn: NDArray[np.float64] = boxes(truth)[cells]
    sides = np.tile(drawn[:, 2:] - drawn[:, :2], 2)
    drawn = drawn + JITTER * sides * np.clip(rng.standard_normal(drawn.shape), -2.5, 2.5)
    drawn = np.clip(drawn, 0, np.tile([truth.size.width, truth.size.height], 2)).round(2)
    return pl.DataFrame(
        {
            "id": [f"{name}-{cell}" for cell in cells.tolist()],
            "type": agreed[cells].tolist(),
            **{edge: drawn[:, i] for i, edge in enumerate(("x0", "y0", "x1", "y1"))},
            "cell": cells.astype(np.int64),
            "truth": true[cells].tolist(),
            "reader_1": readings[0][cells].tolist(),
            "reader_2": readings[1][cells].tolist(),
        }
    )


def _fields(truth: Truth, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Rows of the cells with their centre in each field, in the order in which the fields are worked through."""
    side = FIELD_UM / truth.spacing.x
    column, row = _field_of(truth).T
    trails = unary_union(truth.trails)
    prepare(trails)
    big = truth.cells["type"].to_numpy() == "megakaryocyte"
    whole = whole_cells(truth)
    found: list[tuple[int, bool, float, NDArray[np.int64]]] = []
    for u, v in sorted(set(zip(column[whole].tolist(), row[whole].tolist(), strict=True))):
        field = box(u * side, v * side, (u + 1) * side, (v + 1) * side)
        covered = shapely.area(shapely.intersection(trails, field)) / field.area
        members = np.flatnonzero((column == u) & (row == v))
        thin = 0 if covered >= 0.6 else 1 if covered >= 0.3 else 2
        found.append((thin, not bool((big & whole)[members].any()), rng.random(), members))
    return [members for *_, members in sorted(found, key=lambda entry: entry[:3])]


def _field_of(truth: Truth) -> NDArray[np.int64]:
    """Column and row ``(n, 2)`` of the field in which each cell has its centre."""
    corners = boxes(truth)
    return np.floor((corners[:, :2] + corners[:, 2:]) / 2 * truth.spacing.x / FIELD_UM).astype(np.int64)


def cells_in_fields(truth: Truth, labels: pl.DataFrame) -> int:
    """How many cells could have been labelled in the fields that hold a label."""
    field = _field_of(truth)
    worked = set(map(tuple, field[labels["cell"].to_numpy()].tolist()))
    return sum(tuple(place) in worked for place in field[whole_cells(truth)].tolist())


def agreement_table(readings: Sequence[pl.DataFrame]) -> dict[str, NDArray[np.int64]]:
    """Counts ``(19, 19)`` over PHANTOM_TYPES of slides' blind readings, for Cohen's kappa.

    ``intra_1``, ``intra_2``: first against second occasion of a reader; ``inter``: reader 1 against reader 2 on the
    cells that were read once.
    """
    order = pl.Enum(PHANTOM_TYPES)
    tables = {name: np.zeros((len(PHANTOM_TYPES),) * 2, np.int64) for name in ("intra_1", "intra_2", "inter")}
    for table in readings:
        wide = table.with_columns(
            pl.col("type").cast(order).to_physical(), who=pl.format("{}.{}", "reader", "occasion")
        ).pivot("who", index="cell", values="type")
        twice = "1.2" in wide.columns
        pairs = {"intra_1": ("1.1", "1.2"), "intra_2": ("2.1", "2.2")} if twice else {"inter": ("1.1", "2.1")}
        if len(wide):
            for name, (one, other) in pairs.items():
                np.add.at(tables[name], (wide[one].to_numpy(), wide[other].to_numpy()), 1)
    return tables
