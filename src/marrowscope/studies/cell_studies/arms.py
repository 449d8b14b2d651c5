"""The data of a study of single cells: sets read, limited and parted as the paper says, singly and jointly."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from marrowscope.errors import DataError, how_many
from marrowscope.learning.datasets.cell_sets import CellSet
from marrowscope.learning.datasets.generated import drawn_as, write_generated_cells
from marrowscope.learning.datasets.parting import How, Parts, limited, part
from marrowscope.studies.cell_studies.finished import class_key
from marrowscope.studies.cell_studies.papers import find_paper

if TYPE_CHECKING:
    from marrowscope.options import Progress
    from marrowscope.studies.cell_studies.study import CellStudy

Stain = Literal["none", "reinhard"]

SEED = 2025
"""Of the limits and the parts: the same cells for every network and recipe."""

DRAWN_SIDE = 72


def drawn_per_class(classes: int) -> int:
    """Cells of each class for a smoke run: fewer where there are many classes, and at least one of each patient."""
    return max(6, 48 // classes)


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """What ``study.json`` and the page tell of an arm."""

    words: str
    source: str
    how: str
    train: int
    val: int
    test: int
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    identity: str


@dataclass(frozen=True, eq=False)
class Arm:
    """Cells, their parts and how their stain is prepared; ``words`` tell arms apart, "" where there is one."""

    cells: CellSet
    parts: Parts
    stain: Stain
    words: str

    @property
    def slug(self) -> str:
        """For the folder of a job."""
        return "-".join("".join(c if c.isalnum() else " " for c in self.words.lower()).split())

    @cached_property
    def identity(self) -> str:
        """Hash of files, labels and parts: another one is other data."""
        told = [
            f"{file.parent.name}/{file.name} {file.stat().st_size} {label}"
            for file, label in zip(self.cells.files, self.cells.labels, strict=True)
        ]
        rows = [part.tobytes() for part in (self.parts.train, self.parts.val, self.parts.test)]
        words = [*self.cells.classes, str(self.cells.spacing), *told]
        return hashlib.sha256("\n".join(words).encode() + b"|".join(rows)).hexdigest()

    @property
    def told(self) -> ArmFacts:
        parts = self.parts
        return ArmFacts(
            self.words,
            self.cells.source,
            parts.how,
            len(parts.train),
            len(parts.val),
            len(parts.test),
            self.cells.titles,
            self.cells.skipped,
            self.identity,
        )


def own_cells(study: CellStudy, output: Path, progress: Progress) -> list[Path]:
    """Folders of drawn cells for a smoke run without data, made once: phantoms of the paper's classes."""
    words = [class_word(word) for word in find_paper(study.ABOUT.name).classes]
    folders = [output / "cells" / (f"set-{number}" if study.several else "drawn") for number in (1, 2)]
    folders = folders if study.several else folders[:1]
    for seed, folder in enumerate(folders):
        if not (folder / "labels.csv").is_file():
            write_generated_cells(
                folder,
                words,
                drawn_per_class(len(words)),
                SEED + seed,
                DRAWN_SIDE,
                progress=lambda share: progress("drawing cells", share, ""),
            )
    return folders


def class_word(word: str) -> str:
    """A paper's class as a word that can be drawn."""
    for known in (word, word.lower().replace(" ", "_").removesuffix("_precursors")):
        try:
            drawn_as(known)
        except DataError:
            continue
        return known
    return "other"


def parted(study: CellStudy, cells: CellSet) -> tuple[CellSet, Parts]:
    """The cells that the paper would take of this set, and their parts.

    Only the paper's classes where the set has them all, else every class. A split that the set gives goes first; then
    whole patients where they are known, unless the paper parts class by class; then class by class.
    """
    wanted = {class_key(word) for word in find_paper(study.ABOUT.name).classes}
    keys = [class_key(word) for word in cells.classes]
    if wanted < set(keys):
        cells = of_classes(cells, [word for word, key in zip(cells.classes, keys, strict=True) if key in wanted])
    if cells.name == "mll" and study.share_of_mll is not None:
        cells = fewer(cells, limited(cells, share=study.share_of_mll, seed=SEED), f"{study.share_of_mll:.0%} a class")
    if cells.name == "mll" and study.per_class is not None:
        cells = fewer(
            cells, limited(cells, per_class=study.per_class, seed=SEED), f"at most {study.per_class:,} a class"
        )
    return cells, part(cells, how=_how(study, cells), val=study.val, test=study.test, seed=SEED)


def _how(study: CellStudy, cells: CellSet) -> How:
    return "stratified" if study.by_class and "test" not in cells.splits else "natural"


def fewer(cells: CellSet, left: CellSet, limit: str) -> CellSet:
    """``left`` of ``cells``, which says so."""
    if len(left) == len(cells):
        return cells
    words = f"{how_many(len(cells) - len(left), 'picture')} beyond the paper's limit of {limit}"
    source = f"{cells.source.rsplit(': ', 1)[0]}: {len(left):,} pictures of {len(cells.classes)} classes"
    return dataclasses.replace(left, source=source, skipped=(*cells.skipped, words))


def of_classes(cells: CellSet, words: Sequence[str]) -> CellSet:
    """The cells of some classes, which alone remain."""
    places = [cells.classes.index(word) for word in words]
    cells = cells.take(np.flatnonzero(np.isin(cells.labels, places)).astype(np.int64))
    new = np.full(max(places) + 1, -1, np.int64)
    new[places] = np.arange(len(places))
    return dataclasses.replace(
        cells,
        labels=new[cells.labels],
        classes=tuple(words),
        titles=tuple(cells.titles[place] for place in places),
        types=tuple(cells.types[place] for place in places),
        source=f"{cells.source.rsplit(': ', 1)[0]}: {len(cells):,} pictures of {len(words)} classes",
    )


def set_words(cells: CellSet, stain: str, sets: int, stains: int) -> str:
    """What tells an arm from the others of its study: the set where there are several, the stain where it is varied."""
    which = "" if sets == 1 else "both sets jointly" if cells.name == "joined" else _set_name(cells)
    how = {"none": "stain as it is"}.get(stain, "stain normalised") if stains > 1 else ""
    return ", ".join(word for word in (which, how) if word)


def _set_name(cells: CellSet) -> str:
    return cells.files[0].parent.parent.name if cells.name == "table" else cells.source.split(":")[0]
