"""What labelled cells were called: by a model against labels, or by one observer against another.

A labelled cell that no detection meets at IoU >= 0.5 is *missed*. A detection that meets no label is a false positive
only where every cell is labelled (``complete``); with partial annotation it says nothing and is left out.

Legend: ``n`` rows (labelled cells and counted detections), ``c`` types, ``k`` clusters; a *table* ``(c + 1, c + 1)``
has true types in rows and called types in columns, the background as last row, the missed as last column.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marrowscope.evaluation.redrawing import DRAWS, Estimate, Floats, draw_weights, estimate, share
from marrowscope.taxonomy import CELL_TYPES

Codes = NDArray[np.int64]

MATURATION_LINES: tuple[tuple[str, ...], ...] = (
    ("blast", "promyelocyte", "myelocyte", "metamyelocyte", "band_neutrophil", "segmented_neutrophil"),
    ("proerythroblast", "basophilic_erythroblast", "polychromatic_erythroblast", "orthochromatic_erythroblast"),
)
"""The granulocytic and the erythroid line, each from its youngest stage to its ripest."""

NEIGHBOURING_STAGES: dict[str, tuple[str, ...]] = {
    name: tuple(line[at] for at in (place - 1, place + 1) if 0 <= at < len(line))
    for line in MATURATION_LINES
    for place, name in enumerate(line)
}
"""Type to the stages just before and just after it; types outside the two lines have none."""

TOLERANT_RULE = (
    "Tolerant: a call of the stage just before or just after the true one counts as right, along the granulocytic line "
    "(blast, promyelocyte, myelocyte, metamyelocyte, band, segmented) and the erythroid line (proerythroblast, "
    "basophilic, polychromatic, orthochromatic). Two stages off is wrong, and so is another line."
)


@dataclass(frozen=True, slots=True, eq=False)
class Calls:
    """Labelled cells and what they were called, as codes into ``types``.

    ``truth (n,)`` is ``len(types)`` for the background, ``called (n,)`` is ``len(types)`` for a missed cell;
    ``clusters (n,)`` numbers slides or tiles from 0, or each row by itself where none were given (``independent``).
    ``left_out`` detections without a label were not judged, as not every cell is labelled.
    """

    types: tuple[str, ...]
    truth: Codes
    called: Codes
    clusters: Codes
    independent: bool
    complete: bool
    left_out: int = 0

    @property
    def n(self) -> int:
        """Labelled cells."""
        return int((self.truth < len(self.types)).sum())

    @property
    def units(self) -> int:
        """Number of clusters that are redrawn for an interval."""
        return int(self.clusters.max()) + 1 if len(self.clusters) else 0

    def table(self) -> NDArray[np.int64]:
        """Counts ``(c + 1, c + 1)``."""
        side = len(self.types) + 1
        return np.bincount(self.truth * side + self.called, minlength=side * side).reshape(side, side)

    def redrawn_tables(self, draws: int = DRAWS, seed: int = 0) -> Floats:
        """Tables ``(draws, c + 1, c + 1)`` of redrawn clusters (of redrawn rows where each is independent)."""
        side = len(self.types) + 1
        if not len(self.truth):
            return np.zeros((draws, side, side))
        if self.independent:  # redrawing rows and counting them is a multinomial draw of the table
            shares = self.table().ravel() / len(self.truth)
            drawn = np.random.default_rng(seed).multinomial(len(self.truth), shares, draws).astype(np.float64)
        else:
            cell = self.clusters * side * side + self.truth * side + self.called
            tables = np.bincount(cell, minlength=self.units * side * side).reshape(self.units, side * side)
            drawn = draw_weights(self.units, draws=draws, seed=seed) @ tables
        return drawn.reshape(draws, side, side)


def make_calls(
    truth: Sequence[str | None],
    called: Sequence[str | None],
    clusters: Sequence[Hashable] | None = None,
    *,
    complete: bool,
    types: Iterable[str] = (),
) -> Calls:
    """Calls from names: ``truth`` None is a detection without a label, ``called`` None a labelled cell that was missed.

    ``complete`` says that every cell is labelled where these detections lie, so that one without a label is wrong;
    otherwise such rows are left out and numbered. ``clusters`` names the slide or tile of each row. ``types`` are
    listed even where no row names them. Raises ``ValueError`` for unequal lengths, unknown types and empty rows.
    """
    lengths = {len(truth), len(called), *(() if clusters is None else (len(clusters),))}
    if len(lengths) > 1:
        raise ValueError(f"truth, called and clusters must be of one length, found {sorted(lengths)}")
    named = ({*truth, *called} - {None}) | set(types)
    if unknown := [name for name in named if name not in CELL_TYPES]:
        raise ValueError(f"unknown cell types {sorted(map(str, unknown))}; the taxonomy has: {', '.join(CELL_TYPES)}")
    order = tuple(name for name in CELL_TYPES if name in named)
    code: dict[str | None, int] = {name: number for number, name in enumerate(order)} | {None: len(order)}
    true = np.array([code[name] for name in truth], dtype=np.int64)
    call = np.array([code[name] for name in called], dtype=np.int64)
    if ((true == len(order)) & (call == len(order))).any():
        raise ValueError("a row with neither a label nor a call says nothing")
    kept = np.ones(len(true), bool) if complete else true < len(order)
    rows: Sequence[Hashable] = range(len(true)) if clusters is None else clusters
    numbers: dict[Hashable, int] = {}
    group = np.array([numbers.setdefault(row, len(numbers)) for row in rows], dtype=np.int64)[kept]
    group = np.unique(group, return_inverse=True)[1].astype(np.int64) if len(group) else group
    return Calls(order, true[kept], call[kept], group, clusters is None, complete, int((~kept).sum()))


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Counts of true types (``rows``) called as types (``columns``); the column ``missed`` is always there.

    The row ``background`` (detections without a label) is there only with complete truth.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: NDArray[np.int64]


def confusion(calls: Calls) -> Confusion:
    """The confusion matrix of these calls."""
    rows = (*calls.types, "background") if calls.complete else calls.types
    return Confusion(rows, (*calls.types, "missed"), calls.table()[: len(rows)])


def kappa(
    first: Sequence[str | None],
    second: Sequence[str | None],
    clusters: Sequence[Hashable] | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """Cohen's kappa (1960), unweighted, of two namings of the same cells, with a bootstrapped 95 % interval.

    Cells that one of the two did not name are left out (``n`` is what remains). Clusters are redrawn where they are
    given, else cells. nan when nothing is left or both always say the same one thing.
    """
    both = [one is not None and two is not None for one, two in zip(first, second, strict=True)]
    calls = make_calls(
        [name for name, kept in zip(first, both, strict=True) if kept],
        [name for name, kept in zip(second, both, strict=True) if kept],
        None if clusters is None else [name for name, kept in zip(clusters, both, strict=True) if kept],
        complete=False,
    )
    value = _cohen(calls.table()[:-1, :-1].astype(np.float64))
    return estimate(float(value), _cohen(calls.redrawn_tables(draws, seed)[:, :-1, :-1]), calls.n, calls.units)


def _cohen(tables: Floats) -> Floats:
    """Kappa of each table ``(..., c, c)``."""
    total = tables.sum(axis=(-2, -1))
    observed = share(np.trace(tables, axis1=-2, axis2=-1), total)
    chance = share((tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1), total**2)
    return share(observed - chance, 1 - chance)


def accepted(types: Sequence[str], names: Collection[str], *, tolerant: bool) -> NDArray[np.bool_]:
    """Which of ``types`` is a right call for a cell of one of ``names``, ``(c,)``."""
    right = set(names)
    if tolerant:
        right |= {near for name in names for near in NEIGHBOURING_STAGES.get(name, ())}
    return np.array([name in right for name in types], dtype=bool)
