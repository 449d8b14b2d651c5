"""Sets of pictures of single cells, ready to learn from: every file has been looked at, and what is left out counted.

:func:`read_cell_set` reads the layouts of :mod:`marrowscope.learning.datasets.layouts`. Left out, with a sentence in
``skipped``: files that are missing or unreadable, too small or giant; both copies of a picture that bear different
labels; all but one of copies that bear the same (the one in test before val before train); classes without a picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import DataError, how_many
from marrowscope.learning.datasets.layouts import C_NMC_CLASSES, LAYOUTS, MLL_CLASSES, list_cells
from marrowscope.learning.datasets.listing import ClassWords, Listed, Listing
from marrowscope.learning.datasets.pictures import Look, look_at
from marrowscope.slides.cell_picture import LEAST_SIDE, MOST_SIDE, UnusablePicture, read_cell_picture
from marrowscope.taxonomy import CELL_TYPES

__all__ = ["LAYOUTS", "CellSet", "UnusablePicture", "read_cell_picture", "read_cell_set"]

MOST_NAMED = 20
"""Files that a sentence names."""

_BEST_SPLIT = {"test": 0, "val": 1, "train": 2, "": 3}


@dataclass(frozen=True, slots=True)
class CellSet:
    """Files of single cells. ``labels (n,)`` index ``classes``, the set's own words; ``titles`` are for people.

    ``types``: the taxonomy's name of each class, None where it has none. ``splits``: train, val, test or "" (not
    told); ``patients`` and ``folds``: "" where unknown. ``spacing``: um per pixel, None where nobody knows.
    ``source``: whose data, how many, for tables. ``skipped``: sentences with counts of what was left out and why.
    """

    name: str
    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    types: tuple[str | None, ...]
    splits: tuple[str, ...]
    patients: tuple[str, ...]
    spacing: float | None
    source: str
    skipped: tuple[str, ...] = ()
    folds: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if not self.folds:
            object.__setattr__(self, "folds", ("",) * len(self.files))
        lengths = {len(self.files), len(self.labels), len(self.splits), len(self.patients), len(self.folds)}
        if len(lengths) != 1:
            raise DataError(
                f"the columns of the set {self.name} have {sorted(lengths)} rows; expected as many as files"
            )

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: NDArray[np.int64]) -> CellSet:
        """The cells of these rows, in this order; classes stay as they are."""
        keep = [int(row) for row in rows]
        return replace(
            self,
            files=tuple(self.files[i] for i in keep),
            labels=self.labels[keep],
            splits=tuple(self.splits[i] for i in keep),
            patients=tuple(self.patients[i] for i in keep),
            folds=tuple(self.folds[i] for i in keep),
        )

    def of_split(self, name: str) -> CellSet:
        """The cells of one split. Raises :class:`DataError` when it has none."""
        rows = np.flatnonzero(np.array([split == name for split in self.splits], bool))
        if not len(rows):
            told = ", ".join(sorted(set(self.splits) - {""})) or "none"
            raise DataError(f"no picture of {self.source} is in the split {name!r}; the set tells {told}")
        return self.take(rows)

    def counts(self) -> NDArray[np.int64]:
        """Pictures of each class ``(classes,)``."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)


def read_cell_set(
    folder: Path,
    layout: str = "auto",
    classes: Sequence[str] | None = None,
    *,
    spacing: float | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> CellSet:
    """The pictures in a folder, or listed in a CSV table; every one has been decoded once (remembered afterwards).

    ``classes``: these only, in this order, by the set's own words or the taxonomy's names. ``spacing``: um per pixel,
    in place of what is known of the set. Raises :class:`DataError` where nothing usable is found, a class that was
    asked for is unknown or has no usable picture.
    """
    listing = list_cells(folder, layout)
    known = _known(listing)
    skipped = list(listing.skipped)
    chosen = tuple(known) if classes is None else tuple(_class_of(word, known, folder) for word in classes)
    if len(set(chosen)) != len(chosen):
        raise DataError(f"a class was asked for twice: {', '.join(classes or ())}")
    rows = [row for row in listing.rows if row.word in chosen]
    if len(rows) < len(listing.rows):
        left = how_many(len(listing.rows) - len(rows), "picture")
        skipped.append(f"{left} of the {len(known) - len(chosen)} classes that were not asked for")
    rows = _usable(rows, look_at([row.file for row in rows], progress), skipped)
    present = {row.word for row in rows}
    empty = [word for word in chosen if word not in present]
    if not rows or (empty and classes is not None):
        none = ", ".join(empty) or "any class"
        raise DataError(f"{folder} has no usable picture of {none}: {'; '.join(skipped) or 'no file was found'}")
    if empty:
        noun = "class" if len(empty) == 1 else "classes"
        skipped.append(f"{len(empty)} {noun} without a picture: {', '.join(empty)}")
    words = tuple(word for word in chosen if word in present)
    index = {word: number for number, word in enumerate(words)}
    return CellSet(
        listing.name,
        tuple(row.file for row in rows),
        np.array([index[row.word] for row in rows], np.int64),
        words,
        tuple(known[word][0] for word in words),
        tuple(known[word][1] for word in words),
        tuple(row.split for row in rows),
        tuple(row.patient for row in rows),
        spacing if spacing is not None else listing.spacing,
        f"{listing.whose}: {how_many(len(rows), 'picture')} of {len(words)} classes",
        tuple(skipped),
        tuple(row.fold for row in rows),
    )


def _known(listing: Listing) -> ClassWords:
    """Title and taxonomy name of every class, in the set's order; free words in the taxonomy's or the alphabet's."""
    if listing.known:
        return listing.known
    types = {row.word: _type_named(row.word) for row in listing.rows}
    order = {name: number for number, name in enumerate(CELL_TYPES)}
    words = sorted(types, key=lambda word: (order.get(types[word] or "", len(order)), word))
    return {word: (CELL_TYPES[name].title if (name := types[word]) else _title(word), types[word]) for word in words}


def _type_named(word: str) -> str | None:
    plain = _plain(word)
    for cell_type in CELL_TYPES.values():
        if plain in {cell_type.name, _plain(cell_type.title)} or word in cell_type.aliases.values():
            return cell_type.name
    return None


def _plain(word: str) -> str:
    return word.strip().lower().replace(" ", "_").replace("-", "_")


def _title(word: str) -> str:
    if word in MLL_CLASSES or word in C_NMC_CLASSES:
        return {**MLL_CLASSES, **C_NMC_CLASSES}[word][0]
    return word if word.isupper() else word.replace("_", " ").strip().capitalize()


def _class_of(word: str, known: ClassWords, folder: Path) -> str:
    for own, (title, name) in known.items():
        if word == own or _plain(word) in {_plain(own), _plain(title), name}:
            return own
    raise DataError(f"{folder} has no class {word!r}; it has {', '.join(known)}")


def _usable(rows: list[Listed], looks: list[Look], skipped: list[str]) -> list[Listed]:
    seen = list(zip(rows, looks, strict=True))
    said = {
        "unreadable": "that cannot be read",
        "too small": f"with a side below {LEAST_SIDE} px",
        "giant": f"with a side above {MOST_SIDE:,} px",
    }
    for problem, why in said.items():
        bad = [(row, look) for row, look in seen if look.problem == problem]
        if bad:
            named = _named([f"{row.file.name} {look.words}" for row, look in bad])
            skipped.append(f"{how_many(len(bad), 'picture')} {why} ({named})")
    moving = [row for row, look in seen if look.frames > 1]
    if moving:
        of = f"{how_many(len(moving), 'picture')} with several frames (first: {moving[0].file.name})"
        skipped.append(f"all frames but the first of {of}")
    copies: dict[str, list[Listed]] = defaultdict(list)
    for row, look in seen:
        if not look.problem:
            copies[look.digest].append(row)
    kept, spare, contradicting = set(), [], []
    for group in copies.values():
        if len({row.word for row in group}) > 1:
            contradicting.append(group)
        else:
            best = min(group, key=lambda row: _BEST_SPLIT[row.split])
            kept.add(id(best))
            spare += [row for row in group if row is not best]
    if contradicting:
        number = sum(len(group) for group in contradicting)
        named = _named([" and ".join(f"{row.file.name} {row.word}" for row in group) for group in contradicting])
        skipped.append(f"{how_many(number, 'picture')} whose copies bear different labels ({named})")
    if spare:
        words = "left out as copies, pixel by pixel, of others with the same label"
        named = _named([row.file.name for row in spare])
        skipped.append(f"{how_many(len(spare), 'picture')} {words} ({named})")
    return [row for row in rows if id(row) in kept]


def _named(words: list[str]) -> str:
    """All of them, or the first :data:`MOST_NAMED`."""
    if len(words) <= MOST_NAMED:
        return "; ".join(words)
    return f"first: {'; '.join(words[:MOST_NAMED])}"
