"""Recipes: everything that a training depends on, as one frozen object that can be read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marrowscope.errors import DataError
from marrowscope.learning.classifier.augmentation import Augmentation
from marrowscope.learning.classifier.data import Cells, Splits
from marrowscope.learning.classifier.networks import CellClassifier, mobilenet_v2, small_network
from marrowscope.learning.classifier.phantoms import load_phantoms
from marrowscope.learning.datasets.cells import PBC_SIDE, decode, read_pbc
from marrowscope.learning.datasets.splits import clean_split
from marrowscope.taxonomy import PBC_TYPES, PHANTOM_TYPES


@dataclass(frozen=True, slots=True)
class ClassifierRecipe:
    """How a classifier is trained. ``crop`` in pixels at ``spacing`` um/px.

    ``draws`` is the number of views an epoch; ``learning_rate`` the peak of one cycle; ``averaging`` the decay a step
    of the running average of the weights, 0 for none; ``coverage`` the share of cells that shall still get a name when
    ``unsure_below`` is chosen on the validation cells.
    """

    name: str
    architecture: str
    classes: tuple[str, ...]
    load: Callable[[Path], Splits]
    network: Callable[[int], CellClassifier]
    augmentation: Augmentation
    epochs: int
    draws: int
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    averaging: float = 0.0
    crop: int = 96
    spacing: float = 0.25
    coverage: float = 0.95


OTHER_LABORATORIES = Augmentation(
    zoom=(0.75, 1.35),
    strong_chance=0.5,
    grey_chance=0.05,
    haze_chance=0.25,
    blur_chance=0.35,
    blur=0.6,
    coarse_chance=0.3,
    swap_chance=0.5,
    glass_chance=0.15,
    crowd_chance=0.1,
    neighbour_chance=0.2,
)
"""Views as far from PBC as other scanners, stains and neighbourhoods are: what each part brings stands in
docs/results/real-cells.md."""


def blood_11() -> ClassifierRecipe:
    """The eleven PBC classes: MobileNetV2 from ImageNet, all layers trained, at the spacing of the pictures."""
    return ClassifierRecipe(
        name="blood-11",
        architecture="MobileNetV2 1.0, ImageNet start, 2.2 M weights",
        classes=PBC_TYPES,
        load=load_pbc,
        network=mobilenet_v2,
        augmentation=OTHER_LABORATORIES,
        epochs=16,
        draws=9020,
        averaging=0.998,
        crop=112,
        spacing=0.20,
    )


def phantom_16() -> ClassifierRecipe:
    """The types of the phantom: a small network from scratch. Phantoms are exact in scale and need no turning."""
    return ClassifierRecipe(
        name="phantom-16",
        architecture="seven plain convolutions, 0.3 M weights, from scratch",
        classes=PHANTOM_TYPES,
        load=load_phantoms,
        network=small_network,
        augmentation=Augmentation(
            zoom=(0.95, 1.05),
            quarter_turns=0.8,
            density=0.08,
            stain=0.03,
            lamp=0.03,
            neutral_chance=0.1,
            haze_chance=0.05,
            blur_chance=0.15,
            sharpen_chance=0.05,
            bare_chance=0.0,
        ),
        epochs=12,
        draws=19_000,
        batch=128,
        learning_rate=4e-3,
        label_smoothing=0.02,
    )


def load_pbc(folder: Path) -> Splits:
    """The PBC set in its clean splits (:mod:`marrowscope.learning.datasets.splits`), decoded (about 1.2 GB).

    Pictures that the clean list does not name are dropped. Raises :class:`DataError` when it names none.
    """
    pictures, clean = read_pbc(folder), clean_split("pbc")
    names = [file.relative_to(folder).as_posix() for file in pictures.files]
    if clean.keys().isdisjoint(names):
        raise DataError(
            f"{folder / 'labels.csv'} names no picture of the clean split (its first is {names[0]}); expected files "
            "images/CLASS/FILE of the published set: lay the folder out so"
        )
    pictures = dataclasses.replace(pictures, splits=tuple(clean.get(name, "dropped") for name in names))
    train, val, test = (
        Cells(decode(part, PBC_SIDE), part.labels, part.spacing)
        for part in (pictures.split(name) for name in ("train", "val", "test"))
    )
    return Splits(train, val, test, "Barcelona PBC (Acevedo et al. 2020), clean split by picture")
