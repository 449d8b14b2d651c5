"""Several data sets as one, to learn from jointly: no picture of a test part may be learned from in another set."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from marrowscope.errors import DataError, how_many
from marrowscope.learning.datasets.cell_sets import CellSet
from marrowscope.learning.datasets.parting import Parts
from marrowscope.learning.datasets.pictures import look_at
from marrowscope.studies.cell_studies.finished import class_key

Parted = tuple[CellSet, Parts]


def of_one_spacing(sets: Sequence[Parted]) -> list[Parted]:
    """The sets as they are where their spacings agree; else all without one, so that every arm sees whole pictures."""
    spacings = [cells.spacing for cells, _ in sets]
    if len(set(spacings)) == 1:
        return list(sets)
    told = " and ".join("an unknown one" if spacing is None else f"{spacing:g} um" for spacing in spacings)
    words = f"the spacings of the sets, which differ ({told} per pixel): whole pictures are seen in every arm"
    return [(dataclasses.replace(cells, spacing=None, skipped=(*cells.skipped, words)), parts) for cells, parts in sets]


def joined(sets: Sequence[Parted]) -> Parted:
    """Several sets as one: their parts joined part by part, classes by name, no picture twice.

    Raises ``DataError`` when two sets have other classes.
    """
    first = sets[0][0]
    keys = [class_key(word) for word in first.classes]
    labels, starts = [], [0]
    for cells, _ in sets:
        own = [class_key(word) for word in cells.classes]
        if sorted(own) != sorted(keys):
            raise DataError(
                f"{cells.source} and {first.source} have other classes ({', '.join(cells.classes)} and "
                f"{', '.join(first.classes)}); sets that are learned from jointly must have the same"
            )
        labels.append(np.array([keys.index(key) for key in own], np.int64)[cells.labels])
        starts.append(starts[-1] + len(cells))
    together = dataclasses.replace(
        first,
        name="joined",
        files=tuple(file for cells, _ in sets for file in cells.files),
        labels=np.concatenate(labels),
        splits=tuple(split for cells, _ in sets for split in cells.splits),
        patients=tuple(
            f"{number}:{patient}" if patient else ""
            for number, (cells, _) in enumerate(sets)
            for patient in cells.patients
        ),
        folds=tuple(fold for cells, _ in sets for fold in cells.folds),
        source=" and ".join(cells.source for cells, _ in sets),
        skipped=tuple(dict.fromkeys(words for cells, _ in sets for words in cells.skipped)),
    )
    train, val, test = (
        np.concatenate([getattr(parts, name) + start for (_, parts), start in zip(sets, starts, strict=False)])
        for name in ("train", "val", "test")
    )
    how = "each set by itself: " + "; ".join(dict.fromkeys(parts.how for _, parts in sets))
    return without_copies(together, Parts(train, val, test, how))


def without_copies(cells: CellSet, parts: Parts) -> Parted:
    """The same cells, each picture in one part only: in test before validation before training.

    Copies of a picture that two sets call differently are in none. What is left out is counted in ``skipped``.
    """
    digests = [look.digest for look in look_at(cells.files)]
    called = defaultdict(set)
    for digest, label in zip(digests, cells.labels, strict=True):
        called[digest].add(int(label))
    taken: set[str] = set()
    kept, copies, disputed = [], 0, 0
    for rows in (parts.test, parts.val, parts.train):
        own = []
        for row in rows:
            if len(called[digests[row]]) > 1:
                disputed += 1
            elif digests[row] in taken:
                copies += 1
            else:
                taken.add(digests[row])
                own.append(row)
        kept.append(np.array(own, np.int64))
    test, val, train = kept
    told = (
        (copies, "that another set or part holds too (kept in test before validation before training)"),
        (disputed, "of which the sets hold copies in another class"),
    )
    skipped = tuple(f"{how_many(count, 'picture')} {words}" for count, words in told if count)
    return dataclasses.replace(cells, skipped=(*cells.skipped, *skipped)), Parts(train, val, test, parts.how)
