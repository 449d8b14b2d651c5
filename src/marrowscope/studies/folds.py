"""Cross-validation: folds filled from the rarest type up, whole groups (slides, patients) kept together.

Legend: ``n`` units (tiles, pictures, patients), ``c`` classes; ``counts (n, c)`` labelled cells of each class in each
unit.

Source of the filling: Wang et al. 2022, section 4.2. Units that hold the type with the fewest cells are spread evenly
over the folds, then the remaining units with the next rarest type, until none is left. How "evenly" is made is not
said there; here the unit with most cells of the type goes first, each to the fold that has fewest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrowscope.errors import DataError, how_many

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to learn from and rows to test on, ascending and apart from each other."""

    name: str
    train: tuple[int, ...]
    test: tuple[int, ...]

    @property
    def words(self) -> str:
        """``fold 3`` for people; the name of a slide stays whole."""
        return self.name.replace("-", " ", -1 if "fold-" in self.name else 1)


def balanced_folds(counts: ArrayLike, folds: int, seed: int) -> Indices:
    """The fold ``(n,)`` of each unit. For the rarest type the folds differ by at most one unit's cells of it.

    The seed decides between units that are alike. Raises ``DataError`` with fewer units than folds, or fewer than 2.
    """
    table = np.asarray(counts, dtype=np.int64)
    if table.ndim != 2:
        raise ValueError(f"counts must have shape (units, classes), found {table.shape}")
    if not 2 <= folds <= len(table):
        raise DataError(
            f"found {how_many(len(table), 'unit')} for {how_many(folds, 'fold')}; at least two folds and one unit "
            "a fold are needed: take fewer folds or more data"
        )
    generator = np.random.default_rng(seed)
    fold = np.full(len(table), -1, np.int64)
    cells, units = np.zeros((folds, table.shape[1]), np.int64), np.zeros(folds, np.int64)

    def place(unit: int, k: int) -> None:
        fold[unit] = k
        cells[k] += table[unit]
        units[k] += 1

    for kind in np.argsort(table.sum(axis=0), kind="stable"):
        waiting = generator.permutation(np.flatnonzero((fold < 0) & (table[:, kind] > 0)))
        for unit in waiting[np.argsort(-table[waiting, kind], kind="stable")]:
            place(unit, int(np.lexsort((units, cells.sum(axis=1), cells[:, kind]))[0]))
    for unit in generator.permutation(np.flatnonzero(fold < 0)):
        place(unit, int(np.argmin(units)))
    return fold


def grouped_folds(groups: Sequence[str], counts: ArrayLike, folds: int, seed: int) -> Indices:
    """The same with whole groups (the tiles of a patient) as units; the fold ``(n,)`` of each row."""
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    table = np.asarray(counts, dtype=np.int64)
    pooled = np.zeros((len(names), table.shape[1]), np.int64)
    np.add.at(pooled, group, table)
    return balanced_folds(pooled, folds, seed)[group]


def as_folds(fold: ArrayLike, rows: Sequence[int] | None = None, prefix: str = "fold") -> list[Fold]:
    """One :class:`Fold` for each number in ``fold (n,)``; ``rows`` are the row numbers of the units, default 0..n-1."""
    number = np.asarray(fold, dtype=np.int64)
    row = np.arange(len(number)) if rows is None else np.asarray(rows, dtype=np.int64)
    return [
        Fold(f"{prefix}-{k}", tuple(row[number != k].tolist()), tuple(row[number == k].tolist()))
        for k in range(int(number.max()) + 1)
    ]


def leave_one_out(groups: Sequence[str], rows: Sequence[int] | None = None, prefix: str = "slide") -> list[Fold]:
    """One fold for each group (slide), in the order of the names: tested on that group, learnt from all others."""
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        raise DataError(f"found {how_many(len(names), 'slide')}; leaving one out needs at least two")
    folds = as_folds(group, rows)
    return [Fold(f"{prefix}-{name}", fold.train, fold.test) for name, fold in zip(names, folds, strict=True)]


def empty_classes(fold: Fold, counts: ArrayLike, classes: Sequence[str], *, test: bool = False) -> list[str]:
    """One line for each class without a cell in the training part (or, with ``test``, in the test part) of a fold.

    ``counts`` has one line for each row number that a fold can name. Classes without any cell in the whole fold
    are not listed: no other filling would help them.
    """
    table = np.asarray(counts, dtype=np.int64)
    part, words = (fold.test, "test") if test else (fold.train, "training")
    everything = table[list(fold.train)].sum(axis=0) + table[list(fold.test)].sum(axis=0)
    there = table[list(part)].sum(axis=0)
    return [
        f"{name} has no cell in the {words} part of {fold.words}"
        for name, n, total in zip(classes, there, everything, strict=True)
        if total and not n
    ]


def usable_folds(
    folds: Sequence[Fold], counts: ArrayLike, classes: Sequence[str], *, skip: bool = False
) -> tuple[list[Fold], list[str]]:
    """The folds from which every class can be learnt, and a line for each that was skipped.

    Without ``skip`` the first such fold raises ``DataError``: nothing is trained on folds that silently lack a class.
    """
    kept, notes = [], []
    for fold in folds:
        lacking = empty_classes(fold, counts, classes)
        if not lacking:
            kept.append(fold)
        elif skip:
            notes.append(f"{fold.words} was left out: {'; '.join(lacking)}")
        else:
            raise DataError(f"{'; '.join(lacking)}: take fewer folds, another seed, or label more cells of that type")
    return kept, notes
