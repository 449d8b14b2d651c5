"""Which cells of a set are learned from, chosen on, and reported on: given, by chance, by class, or by patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import DataError, how_many
from marrowscope.learning.datasets.cell_sets import CellSet

How = Literal["natural", "given", "random", "stratified", "patient"]
HOW: tuple[How, ...] = ("natural", "given", "random", "stratified", "patient")

FEW_PATIENTS = 10
"""Below so many, whole patients must give every part every class, or a natural parting is class by class."""

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
    where they are known and enough, else class by class. ``natural`` is as :func:`natural_how` says. Raises
    :class:`DataError` where the set does not tell what is needed, shares make no sense, a part that was asked for would
    be empty, or a class would be tested but never trained on.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise DataError(f"the shares val {val:g} and test {test:g} leave nothing to train on; give 0 <= val + test < 1")
    why = ""
    if how == "natural":
        how, why = _natural(cells, val, test, seed)
    rng = np.random.default_rng([seed, 101])
    if how == "given":
        parts = _given(cells, val, rng)
    elif how == "random":
        parts = _cut(rng.permutation(len(cells)), val, test, f"at random, by picture, seed {seed}")
    elif how == "stratified":
        words = f"class by class, by picture, seed {seed}{why}"
        parts = _by_class(cells, np.arange(len(cells)), val, test, rng, words)
    elif how == "patient":
        parts = _by_patient(cells, np.arange(len(cells)), val, test, rng, f"by patient, seed {seed}")
    else:
        raise DataError(f"unknown way to part a set: {how!r}; give one of {', '.join(HOW)}")
    return _checked(cells, parts, val > 0, test > 0 or how == "given", how)


def natural_how(cells: CellSet, *, val: float, test: float, seed: int) -> How:
    """The best way to part a set that it allows: as it tells, else by patient, else class by class.

    By patient where those of most cells are known and whole patients can be parted; if they are fewer than
    :data:`FEW_PATIENTS`, every part must get every class. ``part(cells, how="natural", ...)`` goes this way, and says
    why where it is class by class though patients are known. Raises :class:`DataError` for shares that make no sense.
    """
    return _natural(cells, val, test, seed)[0]


def _natural(cells: CellSet, val: float, test: float, seed: int) -> tuple[How, str]:
    """The way, and a clause on why it is not by patient."""
    if "test" in cells.splits:
        return "given", ""
    unknown = cells.patients.count("")
    patients = len(set(cells.patients) - {""})
    if not patients:
        return "stratified", ""
    both = "cells of one patient may lie on both sides"
    if 2 * unknown > len(cells):
        return "stratified", f", since the patients of {how_many(unknown, 'picture')} are not known: {both}"
    try:
        parts = part(cells, how="patient", val=val, test=test, seed=seed)
    except DataError:  # what forbids every other way, too, is raised by that
        fits = False
    else:
        wanted = [parts.train, *([parts.val] if val else []), *([parts.test] if test else [])]
        every = set(cells.labels.tolist())
        fits = patients >= FEW_PATIENTS or all(set(cells.labels[rows].tolist()) == every for rows in wanted)
    if fits:
        return "patient", ""
    words = f"{how_many(patients, 'patient')} {'is' if patients == 1 else 'are'} too few to give each part every class"
    return "stratified", f", since {words}: {both}"


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
        ways = "--split stratified, or --split patient" if any(cells.patients) else "--split stratified"
        raise DataError(f"{cells.source}: the set tells {told}; expected train and test. Part it otherwise: {ways}")
    how = "as the set gives it"
    if not len(valid) and val:
        known = all(cells.patients[row] for row in train)
        inner = (_by_patient if known else _by_class)(cells, train, val, 0.0, rng, "")
        how += f", validation taken from training {'by patient' if known and len(inner.val) else 'class by class'}"
        if known and not len(inner.val):
            inner = _by_class(cells, train, val, 0.0, rng, "")
            how += ", since whole patients are too few: cells of one patient may lie on both sides"
        train, valid = inner.train, inner.val
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
    for has in have.T:  # a class that would be tested but never trained on goes to training with its largest owner
        if has.any() and not has[chosen == 0].any():
            chosen[has.argmax()] = 0
    train, valid, tested = (named[chosen[owner] == number] for number in range(3))
    return Parts(train, valid, tested, f"{how} ({len(patients)} patients)" if how else how)


def _checked(cells: CellSet, parts: Parts, with_val: bool, with_test: bool, how: How) -> Parts:
    wanted: Sequence[tuple[str, Rows, bool]] = (
        ("training", parts.train, True),
        ("validation", parts.val, with_val),
        ("test", parts.test, with_test),
    )
    for name, rows, needed in wanted:
        if needed and not len(rows):
            more = "cells of more patients, or --split stratified" if how == "patient" else "more cells"
            raise DataError(f"{cells.source}: no cell is left for the {name} part ({parts.how}); give {more}")
    trained = set(cells.labels[parts.train].tolist())
    for name, rows, _ in wanted[1:]:
        strange = sorted(set(cells.labels[rows].tolist()) - trained)
        if strange:
            words = ", ".join(cells.classes[label] for label in strange)
            raise DataError(
                f"{cells.source}: the {name} part has cells of {words}, of which there is none to train on "
                f"({parts.how}); leave the class out, or part the set otherwise: --classes and --split of "
                "marrowscope train cells"
            )
    told = [parts.how]
    missing = [
        w for label, w in enumerate(cells.classes) if label in trained and not (cells.labels[parts.test] == label).any()
    ]
    if with_test and missing:
        told.append(f"no test cell of {', '.join(missing)}")
    lost = [word for label, word in enumerate(cells.classes) if label not in trained and (cells.labels == label).any()]
    if lost:
        told.append(f"no cell in any part of {', '.join(lost)}")
    shared = patients_in_several(cells, parts)
    if shared:
        told.append(f"{how_many(shared, 'patient')} with cells in more than one part")
    train, val, test = (np.sort(rows).astype(np.int64) for rows in (parts.train, parts.val, parts.test))
    return Parts(train, val, test, "; ".join(told))
