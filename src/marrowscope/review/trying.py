"""Pictures of single cells, named and explained for the page: nothing of them outlives the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from marrowscope.cells.classification import Classifier
from marrowscope.cells.explain import explain
from marrowscope.cells.pictures import cell_picture
from marrowscope.errors import DataError, PackError, SlideError, SpacingError
from marrowscope.packs.loading import Pack
from marrowscope.report.evidence import MEANING, overlay
from marrowscope.report.pictures import jpeg_uri
from marrowscope.report.sheet import explained_rows
from marrowscope.slides.protocol import Picture

MOST_PICTURES = 50
"""Of one request."""

LARGEST_BYTES = 8 * 2**20
"""Of one picture: it shows a single cell."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One cell: types with probabilities, the most probable first; pictures of it and of the evidence as data URIs."""

    file: str
    types: tuple[tuple[str, float], ...]
    anomaly: float | None
    unsure: bool
    anomalous: bool
    picture: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The cells, what a map means, and the names of what is no picture of a cell, with its problem."""

    cells: tuple[Tried, ...]
    meaning: str
    skipped: tuple[tuple[str, str], ...]


def try_pictures(files: Sequence[tuple[str, Path]], pack: Pack, spacing: float | None) -> Answer:
    """Name and explain each picture of ``files``: its name, and where it lies for now.

    Raises ``PackError`` for a pack without a classifier, ``SpacingError`` when its pictures need a spacing.
    """
    contract = pack.contract
    if contract.classifier is None:
        raise PackError(f"the pack {contract.name} names cells on slides only: choose another one")
    if contract.classifier.spacing is not None and spacing is None:
        raise SpacingError(f"the pack {contract.name} needs to know how large a pixel is: give um per pixel")
    read: list[tuple[str, Picture]] = []
    skipped: list[tuple[str, str]] = []
    for name, path in files:
        try:
            read.append((name, cell_picture(path, spacing, contract.classifier)))
        except (SlideError, DataError) as error:
            skipped.append((name, str(error).replace(str(path), name).removeprefix(f"{name}: ")))
    if not read:
        return Answer((), "", tuple(skipped))
    names, crops = [name for name, _ in read], np.stack([picture for _, picture in read])
    found, named = explain(crops, pack), Classifier(pack).classify(crops)
    cells = []
    for index, row in enumerate(explained_rows(names, found, named, contract)):
        chances = found.probabilities[index]
        order = np.argsort(-chances, kind="stable")
        evidence = overlay(crops[index], found.maps[index], float(found.maps[index].max()))
        cells.append(
            Tried(
                file=names[index],
                types=tuple((contract.classes[place], round(float(chances[place]), 4)) for place in order),
                anomaly=None if named.anomaly is None else round(float(named.anomaly[index]), 3),
                unsure=bool(row["unsure"]),
                anomalous=bool(row["anomalous"]),
                picture=jpeg_uri(crops[index], 90),
                evidence=jpeg_uri(evidence, 88),
            )
        )
    return Answer(tuple(cells), MEANING[found.method], tuple(skipped))
