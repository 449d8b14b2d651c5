"""What a set of single cells is: classes, splits, patients, sizes, what was left out, and what it looks like.

:func:`write_description` makes one HTML file, without scripts or anything outside the file, with cells of each class.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from marrowscope.errors import how_many
from marrowscope.files import whole_file
from marrowscope.learning.datasets.cell_sets import CellSet, read_cell_picture
from marrowscope.learning.datasets.pictures import look_at
from marrowscope.taxonomy import CELL_TYPES

SPLITS = ("train", "val", "test", "")

SHOWN = 24
"""Pictures of each class on the page."""

SIDE = 112
"""Longest side of a small picture, pixels."""

IMBALANCE = 20.0
"""Largest over smallest class from which an imbalance is noted."""

FEW = 10
"""Pictures below which a class is noted: parts to learn from, to choose by and to test on can hardly be cut from it."""


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """One class: ``splits`` counts pictures by train, val, test and "" (those with none are left out)."""

    word: str
    title: str
    cell_type: str | None
    count: int
    splits: dict[str, int]
    patients: int


@dataclass(frozen=True, slots=True)
class Description:
    """A set in figures. ``sizes``: (width, height) px to pictures, most first; ``notes``: what to mind."""

    source: str
    layout: str
    total: int
    classes: tuple[ClassFacts, ...]
    splits: dict[str, int]
    patients: int
    spacing: float | None
    sizes: dict[tuple[int, int], int]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


def describe(cells: CellSet) -> Description:
    """Look at a set as a whole; its pictures have been looked at when it was read."""
    splits = np.array(cells.splits, str)
    patients = np.array(cells.patients, str)
    facts = []
    for label, (word, title, cell_type) in enumerate(zip(cells.classes, cells.titles, cells.types, strict=True)):
        mine = cells.labels == label
        counts = Counter(splits[mine].tolist())
        known = len(set(patients[mine].tolist()) - {""})
        by_split = {name: counts[name] for name in SPLITS if counts[name]}
        facts.append(ClassFacts(word, title, cell_type, int(mine.sum()), by_split, known))
    sizes = Counter((look.width, look.height) for look in look_at(cells.files))
    return Description(
        cells.source,
        cells.name,
        len(cells),
        tuple(facts),
        {name: int((splits == name).sum()) for name in SPLITS if (splits == name).any()},
        len(set(cells.patients) - {""}),
        cells.spacing,
        dict(sizes.most_common()),
        cells.skipped,
        tuple(_notes(cells, facts)),
    )


def _notes(cells: CellSet, facts: list[ClassFacts]) -> list[str]:
    notes = []
    told = {name for name in cells.splits if name}
    for split in ("val", "test"):
        strange = [one.word for one in facts if one.splits.get(split) and not one.splits.get("train")]
        if strange and "train" in told:
            notes.append(f"in {split} but not in train: {', '.join(strange)}; such a class cannot be learned")
    if "train" in told and "test" in told:
        untested = [one.word for one in facts if not one.splits.get("test")]
        if untested:
            notes.append(f"no test picture of {', '.join(untested)}")
    else:
        notes.append("no split into train and test is told: part it by patient where patients are known, else by class")
    owners: dict[str, set[str]] = {}
    for patient, split in zip(cells.patients, cells.splits, strict=True):
        if patient and split:
            owners.setdefault(patient, set()).add(split)
    shared = sum(len(seen) > 1 for seen in owners.values())
    if shared:
        notes.append(f"{how_many(shared, 'patient')} with pictures in more than one split: scores will be too good")
    if not any(cells.patients):
        notes.append("patients are not known: pictures of one patient may be in several parts, and scores too good")
    elif not all(cells.patients):
        notes.append(f"{how_many(cells.patients.count(''), 'picture')} of unknown patients")
    if cells.spacing is None:
        notes.append(
            "the spacing is not known: networks see whole pictures resized, and no pack of them counts slides. "
            "marrowscope data check estimates it from red cells; give it to marrowscope train cells with --spacing"
        )
    few = [f"{one.count} of {one.word}" for one in sorted(facts, key=lambda one: one.count) if one.count < FEW]
    if few:
        notes.append(
            f"few pictures: only {', '.join(few)}. A class needs some {FEW} or more, to learn from, to choose by and "
            "to test on: add some, or leave it out by naming the others with --classes"
        )
    counts = [one.count for one in facts]
    if max(counts) > IMBALANCE * min(counts):
        rarest = min(facts, key=lambda one: one.count)
        notes.append(f"{max(counts) / min(counts):,.0f} times as many of the largest class as of {rarest.word}")
    return notes


def as_json(description: Description) -> dict[str, object]:
    """The description as plain values."""
    return {
        "source": description.source,
        "layout": description.layout,
        "pictures": description.total,
        "classes": [
            {
                "class": one.word,
                "title": one.title,
                "type": one.cell_type,
                "pictures": one.count,
                "splits": {name or "not told": n for name, n in one.splits.items()},
                "patients": one.patients,
            }
            for one in description.classes
        ],
        "splits": {name or "not told": n for name, n in description.splits.items()},
        "patients": description.patients,
        "spacing": description.spacing,
        "sizes": [{"width": w, "height": h, "pictures": n} for (w, h), n in description.sizes.items()],
        "skipped": list(description.skipped),
        "notes": list(description.notes),
    }


def write_description(path: Path, cells: CellSet, description: Description, seed: int = 0) -> None:
    """Write the page: the figures, and of each class up to :data:`SHOWN` pictures drawn at random.

    Raises :class:`marrowscope.errors.OutputError` when the file cannot be written.
    """
    rng = np.random.default_rng([seed, 104])
    sheets = []
    for label, one in enumerate(description.classes):
        rows = np.flatnonzero(cells.labels == label)
        drawn = np.sort(rng.permutation(rows)[:SHOWN])
        pictures = [(cells.files[row].name, _said(cells, int(row)), _small(cells.files[row])) for row in drawn]
        colour = CELL_TYPES[one.cell_type].colour if one.cell_type else "#9e9e9e"
        sheets.append({"facts": one, "colour": colour, "pictures": pictures})
    environment = Environment(
        loader=PackageLoader("marrowscope.learning.datasets", "."), autoescape=True, undefined=StrictUndefined
    )
    html = environment.get_template("description.html.j2").render(
        about=description,
        sheets=sheets,
        names=[name for name in SPLITS if name in description.splits and set(description.splits) != {""}],
        most=max(one.count for one in description.classes),
        shown=SHOWN,
    )
    with whole_file(path) as beside:
        beside.write_text(html, encoding="utf-8")


def _said(cells: CellSet, row: int) -> str:
    patient = f"patient {cells.patients[row]}" if cells.patients[row] else ""
    return ", ".join(word for word in (cells.splits[row], patient) if word)


def _small(path: Path) -> str:
    """A JPEG file as a data address, so that the page stands alone."""
    picture = Image.fromarray(read_cell_picture(path))
    picture.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
