"""The recipes of the built-in detectors: each is a function that returns one frozen object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from marrowscope.learning.detector.blood import open_blood
from marrowscope.learning.detector.network import DetectorShape
from marrowscope.learning.detector.phantoms import open_phantoms
from marrowscope.learning.detector.sources import TileSource


@dataclass(frozen=True, slots=True)
class DetectorRecipe:
    """All that decides a detector. ``open_source(data_folder, seed)`` gives its training tiles and its judges."""

    name: str
    open_source: Callable[[Path | None, int], TileSource]
    limits: tuple[str, ...]
    spacing: float = 0.5
    side: int = 256
    tiles: int = 4000
    epochs: int = 10
    batch: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    seed: int = 1_000_000
    shape: DetectorShape = field(default_factory=DetectorShape)
    margin: int = 64


def blood_11() -> DetectorRecipe:
    """White cells of blood and, by pasting single cells close together, nucleated cells of marrow."""
    return DetectorRecipe(
        name="blood-11",
        open_source=open_blood,
        margin=80,  # more than the field of view, 75 px: answers do not depend on where a tile lies
        limits=(
            "Trained on blood: large or pale cells (megakaryocytes, macrophages, osteoclasts) may be missed or cut.",
            "On marrow, small pyknotic nuclei and cells in thick clumps are missed at times.",
            "A clot of dye as large as a nucleus, debris or a giant platelet may be taken for a cell.",
            "Naked nuclei and smudged cells are found only when they look like a cell.",
        ),
    )


def phantom_16() -> DetectorRecipe:
    """All nucleated cells of the phantom."""
    return DetectorRecipe(
        name="phantom-16",
        open_source=open_phantoms,
        tiles=2000,
        epochs=8,
        limits=("Knows phantoms only: nothing that it finds on a real slide means anything.",),
    )


RECIPES: dict[str, Callable[[], DetectorRecipe]] = {"blood-11": blood_11, "phantom-16": phantom_16}
