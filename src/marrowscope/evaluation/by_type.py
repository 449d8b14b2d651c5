"""Scores by cell type, each type against the rest as Wang et al. (2022) score them, strict or tolerant of neighbours.

Recall is TP / (TP + FN), *accuracy* (TP + TN) / all: with many types nearly all cells are true negatives of each, so
accuracy is high by construction and says little; it stands here because the paper prints it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from marrowscope.evaluation.calls import Calls, accepted
from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.redrawing import DRAWS, Estimate, Floats, estimate, mean_of_defined, share
from marrowscope.taxonomy import CELL_TYPES, stages_of

POOLED = "erythroblast"
"""Shown beside its four stages, never among the means."""


@dataclass(frozen=True, slots=True)
class TypeScores:
    """One type against the rest. ``n`` labelled cells, missed ones among them; Wilson intervals in the proportions.

    ``why`` says why a type is not assessable (no labelled cell, or one that the model cannot name); such a type is in
    no mean. ``pooled``: several stages as one, beside them.
    """

    type: str
    n: int
    recall: Proportion
    precision: Proportion
    accuracy: Proportion
    f1: Estimate
    pooled: bool
    why: str | None

    @property
    def in_means(self) -> bool:
        return self.why is None and not self.pooled


@dataclass(frozen=True, slots=True)
class TypeTable:
    """All types of a set of calls, and their unweighted means over ``averaged``.

    ``absent`` types have no labelled cell, ``unseen`` ones have but the model cannot name them: neither is averaged.
    ``right`` is the share of labelled cells called right, ``missed`` the share without a detection. With ``complete``
    False, detections without a label were left out (``left_out`` of them), and precision is that among labelled cells.
    """

    rows: tuple[TypeScores, ...]
    macro_recall: Estimate
    macro_f1: Estimate
    averaged: tuple[str, ...]
    absent: tuple[str, ...]
    unseen: tuple[str, ...]
    right: Proportion
    right_redrawn: Estimate
    missed: Proportion
    tolerant: bool
    complete: bool
    left_out: int

    @property
    def background(self) -> str:
        """How detections without a label were treated, in words."""
        if self.complete:
            return "Every cell is labelled: a detection that meets no label is a false positive of its type."
        return (
            f"Not every cell is labelled: the {self.left_out:,} detections that meet no label are neither right nor "
            "wrong, and precision, F1 and accuracy are those among the labelled cells."
        )

    def __getitem__(self, name: str) -> TypeScores:
        return next(row for row in self.rows if row.type == name)


def type_table(
    calls: Calls,
    *,
    tolerant: bool = False,
    seen: Collection[str] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> TypeTable:
    """Recall, precision, accuracy and F1 of each type, and their means, with intervals over the clusters of ``calls``.

    ``seen`` are the types that the model can name (None: all). ``tolerant`` accepts a neighbouring maturation stage
    (``NEIGHBOURING_STAGES``). Means are over the types that were labelled at least once and that the model can name;
    in a redrawn sample a type that happens to have no cell is left out of the mean.
    """
    groups = _groups(calls.types)
    members = _members(calls.types, groups.values(), tolerant=False)
    right = _members(calls.types, groups.values(), tolerant=tolerant)
    near = _members(calls.types, [(name,) for name in calls.types], tolerant=tolerant)
    table, drawn = calls.table(), calls.redrawn_tables(draws, seed)
    sums, redrawn = _Sums.of(table.astype(np.float64), members, right), _Sums.of(drawn, members, right)
    f1, drawn_f1 = sums.f1(), redrawn.f1()
    total, rows = int(table.sum()), []
    for at, (name, group) in enumerate(groups.items()):
        n, hits = int(sums.true[at]), int(sums.hits[at])
        called, meant = int(sums.called[at]), int(sums.meant[at])
        unseen = seen is not None and not set(group) & set(seen)
        rows.append(
            TypeScores(
                type=name,
                n=n,
                recall=Proportion(hits, n),
                precision=Proportion(meant, called),
                accuracy=Proportion(total - (n - hits) - (called - meant), total),
                f1=estimate(float(f1[at]), drawn_f1[:, at], n, calls.units),
                pooled=group != (name,),
                why="no labelled cell" if not n else "the pack cannot name it" if unseen else None,
            )
        )
    averaged = [at for at, row in enumerate(rows) if row.in_means]
    n_averaged = sum(rows[at].n for at in averaged)
    named_right = int((table[:-1, :-1] * near).sum())
    drawn_right = share((drawn[:, :-1, :-1] * near).sum(axis=(1, 2)), drawn[:, :-1].sum(axis=(1, 2)))
    return TypeTable(
        rows=tuple(rows),
        macro_recall=_macro(sums.recall(), redrawn.recall(), averaged, n_averaged, calls.units),
        macro_f1=_macro(f1, drawn_f1, averaged, n_averaged, calls.units),
        averaged=tuple(rows[at].type for at in averaged),
        absent=tuple(row.type for row in rows if not row.n and not row.pooled),
        unseen=tuple(row.type for row in rows if row.n and row.why and not row.pooled),
        right=Proportion(named_right, calls.n),
        right_redrawn=estimate(Proportion(named_right, calls.n).value, drawn_right, calls.n, calls.units),
        missed=Proportion(int(table[:-1, -1].sum()), calls.n),
        tolerant=tolerant,
        complete=calls.complete,
        left_out=calls.left_out,
    )


def _groups(types: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Row of the table to the types that it stands for, in the order of the taxonomy."""
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in types}
    if any(name in stages_of(POOLED) for name in types):
        groups[POOLED] = tuple(name for name in types if name == POOLED or name in stages_of(POOLED))
    return {name: groups[name] for name in CELL_TYPES if name in groups}


def _members(types: Sequence[str], groups: Iterable[Collection[str]], *, tolerant: bool) -> Floats:
    """Which types are a right call for each group, ``(g, c)`` of 0 and 1."""
    rows = [accepted(types, group, tolerant=tolerant) for group in groups]
    return np.array(rows, dtype=np.float64).reshape(-1, len(types))


def _macro(values: Floats, drawn: Floats, averaged: list[int], n: int, units: int) -> Estimate:
    if not averaged:
        return estimate(float("nan"), np.zeros(0), 0, units)
    return estimate(float(values[averaged].mean()), mean_of_defined(drawn[:, averaged]), n, units)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of each group of types, ``(..., g)``.

    ``true`` cells of the group, those with a right call (``hits``), ``called`` as the group, and of these the cells
    for which that is a right call (``meant``). Strictly hits and meant are the same cells; tolerantly they are not.
    """

    true: Floats
    hits: Floats
    called: Floats
    meant: Floats

    @classmethod
    def of(cls, tables: Floats, members: Floats, right: Floats) -> _Sums:
        inner = tables[..., :-1, :-1]
        return cls(
            true=tables[..., :-1, :].sum(axis=-1) @ members.T,
            hits=((inner @ right.T) * members.T).sum(axis=-2),
            called=tables[..., :, :-1].sum(axis=-2) @ members.T,
            meant=((inner @ members.T) * right.T).sum(axis=-2),
        )

    def recall(self) -> Floats:
        return share(self.hits, self.true)

    def f1(self) -> Floats:
        """Harmonic mean of precision and recall; 0 where one of them is 0, nan where no cell is of the type."""
        precision, recall = np.nan_to_num(share(self.meant, self.called)), self.recall()
        defined = np.where(np.isnan(recall), 0.0, recall)
        f1 = np.nan_to_num(share(2 * precision * defined, precision + defined))
        return np.where(np.isnan(recall), np.nan, f1)
