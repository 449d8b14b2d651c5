"""Which cells of a set are learned from, chosen on, and reported on: given, by chance, by class, or by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import DataError, how_many
from marrowscope.learning.datasets.cell_sets import CellSet

How = Literal["given", "random", "stratified", "patient"]
HOW: tuple[How, ...] = ("given", "random", "stratified", "patient")

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows of a set, in ascending order, none in two parts; ``how`` says in a sentence how they were parted."""

    train: Rows
    val: Rows
    test: Rows
    how: str


def part(cells: CellSet, *, how: How, val: float, test: float, seed: int) -> Parts:
    """Part a set. ``val`` and ``test`` are shares of all its cells, 0 for none; ``given`` goes by what the set tells.

    Where a given split has no validation part, the share ``val`` of its training cells becomes one: whole patients
    where they are known, else class by class. Raises :class:`DataError` where the set does not tell what is needed,
    shares make no sense, a part that was asked for would be empty, or a class would be tested but never trained on.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise DataError(f"the shares val {val:g} and test {test:g} leave nothing to train on; give 0 <= val + test < 1")
    rng = np.random.default_rng([seed, 101])
    if how == "given":
        parts = _given(cells, val, rng)
    elif how == "random":
        parts = _cut(rng.permutation(len(cells)), val, test, f"at random, by picture, seed {seed}")
    elif how == "stratified":
        parts = _by_class(cells, np.arange(len(cells)), val, test, rng, f"class by class, by picture, seed {seed}")
    elif how == "patient":
        parts = _by_patient(cells, np.arange(len(cells)), val, test, rng, f"by patient, seed {seed}")
    else:
        raise DataError(f"unknown way to part a set: {how!r}; give one of {', '.join(HOW)}")
    return _checked(cells, parts, val > 0, test > 0 or how == "given")


def limited(cells: CellSet, *, per_class: int | None = None, share: float | None = None, seed: int) -> CellSet:
    """At most ``per_class`` cells of each class, or the ``share`` of each class (at least one), drawn at random.

    The cells stay in their order. Raises :class:`DataError` for limits that leave nothing.
    """
    if (per_class is not None and per_class < 1) or (share is not None and not 0 < share <= 1):
        raise DataError(f"{per_class} cells a class, share {share}: give at least 1, and a share above 0 up to 1")
    rng = np.random.default_rng([seed, 102])
    kept = []
    for label in range(len(cells.classes)):
        rows = rng.permutation(np.flatnonzero(cells.labels == label))
        number = len(rows) if share is None else max(1, round(share * len(rows)))
        kept.append(rows[: number if per_class is None else min(number, per_class)])
    return cells.take(np.sort(np.concatenate(kept)).astype(np.int64))


def patients_in_several(cells: CellSet, parts: Parts) -> int:
    """Known patients who have cells in more than one part."""
    owners = [{cells.patients[row] for row in rows} - {""} for rows in (parts.train, parts.val, parts.test)]
    everyone = set().union(*owners)
    return sum(sum(patient in some for some in owners) > 1 for patient in everyone)


def _given(cells: CellSet, val: float, rng: np.random.Generator) -> Parts:
    train, valid, test, untold = (_where(cells, name) for name in ("train", "val", "test", ""))
    if not len(train) or not len(test):
        told = ", ".join(sorted(set(cells.splits) - {""})) or "no split"
        ways = "stratified, or by patient" if any(cells.patients) else "stratified"
        raise DataError(f"{cells.source}: the set tells {told}; expected train and test. Part it otherwise: {ways}")
    how = "as the set gives it"
    if not len(valid) and val:
        known = all(cells.patients[row] for row in train)
        cut = _by_patient if known else _by_class
        inner = cut(cells, train, val, 0.0, rng, "")
        train, valid = inner.train, inner.val
        how += f", validation taken from training {'by patient' if known else 'class by class'}"
    if len(untold):
        how += f"; {how_many(len(untold), 'picture')} of no split left out"
    return Parts(train, valid, test, how)


def _where(cells: CellSet, split: str) -> Rows:
    return np.array([row for row, name in enumerate(cells.splits) if name == split], np.int64)


def _cut(rows: Rows, val: float, test: float, how: str) -> Parts:
    """Rows in their order: the first are test, the next val; one is always left to train on."""
    n_test = min(round(test * len(rows)), max(0, len(rows) - 1))
    n_val = min(round(val * len(rows)), max(0, len(rows) - 1 - n_test))
    return Parts(rows[n_test + n_val :], rows[n_test : n_test + n_val], rows[:n_test], how)


def _by_class(cells: CellSet, rows: Rows, val: float, test: float, rng: np.random.Generator, how: str) -> Parts:
    cuts = [
        _cut(rng.permutation(rows[cells.labels[rows] == label]), val, test, how) for label in range(len(cells.classes))
    ]
    train, valid, tested = (
        np.concatenate(parts) for parts in zip(*((c.train, c.val, c.test) for c in cuts), strict=True)
    )
    return Parts(train, valid, tested, how)


def _by_patient(cells: CellSet, rows: Rows, val: float, test: float, rng: np.random.Generator, how: str) -> Parts:
    """Whole patients, those with most cells first, each to the part that lacks most of what the patient has."""
    named = np.array([row for row in rows if cells.patients[row]], np.int64)
    if not len(named):
        raise DataError(f"{cells.source}: no patient is known; give a column patient in labels.csv, or part stratified")
    if len(named) < len(rows):
        how += f"; {how_many(len(rows) - len(named), 'picture')} of unknown patients left out"
    patients, owner = np.unique([cells.patients[row] for row in named], return_inverse=True)
    have = np.zeros((len(patients), len(cells.classes)))
    np.add.at(have, (owner, cells.labels[named]), 1)
    shares = np.array([1 - val - test, val, test])
    want = shares[:, None] * have.sum(axis=0)
    scale = np.maximum(have.sum(axis=0), 1)
    lacking, chosen = want.copy(), np.zeros(len(patients), np.int64)
    order = rng.permutation(len(patients))
    for patient in order[np.argsort(-have[order].sum(axis=1), kind="stable")]:
        after = lacking - have[patient]
        gain = ((np.abs(lacking) - np.abs(after)) / scale).sum(axis=1)
        chosen[patient] = int(np.where(shares > 0, gain, -np.inf).argmax())
        lacking[chosen[patient]] = after[chosen[patient]]
    train, valid, tested = (named[chosen[owner] == number] for number in range(3))
    return Parts(train, valid, tested, f"{how} ({len(patients)} patients)" if how else how)


def _checked(cells: CellSet, parts: Parts, with_val: bool, with_test: bool) -> Parts:
    wanted: Sequence[tuple[str, Rows, bool]] = (
        ("training", parts.train, True),
        ("validation", parts.val, with_val),
        ("test", parts.test, with_test),
    )
    for name, rows, needed in wanted:
        if needed and not len(rows):
            raise DataError(f"{cells.source}: no cell is left for the {name} part ({parts.how}); give more cells")
    trained = set(cells.labels[parts.train].tolist())
    for name, rows, _ in wanted[1:]:
        strange = sorted(set(cells.labels[rows].tolist()) - trained)
        if strange:
            words = ", ".join(cells.classes[label] for label in strange)
            raise DataError(
                f"{cells.source}: the {name} part has cells of {words}, of which there is none to train on "
                f"({parts.how}); leave the class out with --classes, or part the set otherwise"
            )
    told = [parts.how]
    missing = [
        w for label, w in enumerate(cells.classes) if label in trained and not (cells.labels[parts.test] == label).any()
    ]
    if with_test and missing:
        told.append(f"no test cell of {', '.join(missing)}")
    shared = patients_in_several(cells, parts)
    if shared:
        told.append(f"{how_many(shared, 'patient')} with cells in more than one part")
    train, val, test = (np.sort(rows).astype(np.int64) for rows in (parts.train, parts.val, parts.test))
    return Parts(train, val, test, "; ".join(told))
