"""What each part of the recipe brings in other laboratories: short trainings that differ in one thing.

    python benchmarks/ablation.py --data ../shared/data --weights WEIGHTS.npz -o FOLDER [--epochs 3]

Each row of :data:`VARIANTS` is trained alike (MobileNetV2 from ImageNet, PBC clean split, 6,000 views an epoch, seed 0)
and named on the PBC validation cells and on the sources of ``laboratories.py``, whose labels chose nothing in this
table; two decisions of the recipe were later made with them, see docs/results/real-cells.md. The first and the last
variant are then looked at again with what can be done when cells are named: mirrored views, white balance, Reinhard's
and Macenko's normalisation, batch norm statistics of the set, and the mix of the specimen. Results are kept in
FOLDER/NUMBER, so that an interrupted run goes on; ``variant.json`` there says what they are of, and a run with other
settings is refused. About three minutes a variant on one core.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from laboratories import LEAST, SOURCES, Source, balanced, framed, truth_for
from numpy.typing import NDArray
from tables import print_table
from torch import nn

from marrowscope.errors import DataError
from marrowscope.evaluation.classification import accuracy, confusion_matrix, macro_f1
from marrowscope.evaluation.intervals import bootstrap_confusion
from marrowscope.files import write_json
from marrowscope.learning.classifier.augmentation import Augmentation, cut
from marrowscope.learning.classifier.data import Splits, with_masks
from marrowscope.learning.classifier.export import normalised
from marrowscope.learning.classifier.networks import CellClassifier
from marrowscope.learning.classifier.recipes import OTHER_LABORATORIES, ClassifierRecipe, blood_11
from marrowscope.learning.classifier.scenes import glass_colour
from marrowscope.learning.classifier.training import logits_of, train_classifier
from marrowscope.learning.datasets.cells import read_picture, read_table
from marrowscope.packs.specimens import MIXES, prior
from marrowscope.taxonomy import CELL_TYPES, PBC_TYPES

Pictures = NDArray[np.uint8]
Logits = NDArray[np.float32]

USUAL = Augmentation(
    zoom=(0.9, 1.1),
    density=0.05,
    stain=0.0,
    lamp=0.05,
    neutral_chance=0.0,
    haze_chance=0.0,
    blur_chance=0.0,
    sharpen_chance=0.0,
    noise_chance=0.0,
    jpeg_chance=0.0,
    bare_chance=0.0,
)
"""Flips, rotation, mild changes of brightness and colour: how such networks are usually fine-tuned."""

STAINED = Augmentation(neighbour_chance=0.2)
STRONGLY = replace(STAINED, strong_chance=0.5, grey_chance=0.05, haze_chance=0.25)
SWAPPED = replace(STRONGLY, swap_chance=0.5, glass_chance=0.15)


@dataclass(frozen=True, slots=True)
class Variant:
    """One row: a name, the augmentation, the running average, crop in pixels and um per pixel."""

    name: str
    augmentation: Augmentation
    averaging: float = 0.99
    crop: int = 96
    spacing: float = 0.25


VARIANTS = (
    Variant("usual: flips, rotation, mild colour", USUAL, averaging=0.0),
    Variant("+ running average of the weights", USUAL),
    Variant("+ stain matrix, haze, blur, noise, JPEG", STAINED),
    Variant("+ stains and lamps of other laboratories, grey", STRONGLY),
    Variant("+ background swapped, bare glass", SWAPPED),
    Variant("+ coarse, blurred, zoom 0.75-1.35, crowds", OTHER_LABORATORIES),
    Variant("+ 0.20 instead of 0.25 um/px", OTHER_LABORATORIES, crop=112, spacing=0.20),
)


@dataclass(frozen=True, slots=True)
class Foreign:
    """The cells of a source as they are: pictures, their classes (-1: none), and the source."""

    source: Source
    pictures: tuple[Pictures, ...]
    truth: NDArray[np.int64]

    def crops(self, variant: Variant) -> Pictures:
        side = round(1.5 * variant.crop * variant.spacing / self.source.spacing)
        return np.stack(
            [cut(framed(one, side), self.source.spacing, variant.spacing, variant.crop) for one in self.pictures]
        )

    def resized(self, variant: Variant) -> Pictures:
        """Every picture squeezed to the network's input, whatever it shows: pixels instead of um."""
        sides = (variant.crop, variant.crop)
        return np.stack([cv2.resize(one, sides, interpolation=cv2.INTER_AREA) for one in self.pictures])


def read_foreign(folder: Path) -> list[Foreign]:
    found = []
    for source in SOURCES[:4]:
        name = source.name if source.table == "labels.csv" else None
        table = read_table(folder / source.table, tuple(CELL_TYPES), source.spacing, name)
        truth = np.array([truth_for(table.classes[label], PBC_TYPES) for label in table.labels])
        found.append(Foreign(source, tuple(read_picture(file) for file in table.files), truth))
    return found


def scores(logits: Logits, foreign: Foreign) -> list[float]:
    """Balanced accuracy with its interval (accuracy for the marrow, as its types are few and many)."""
    called = logits.argmax(1)
    if not foreign.source.knows_bands:
        called[called == PBC_TYPES.index("band_neutrophil")] = PBC_TYPES.index("segmented_neutrophil")
    known = foreign.truth >= 0
    confusion = confusion_matrix(foreign.truth[known], called[known], len(PBC_TYPES))
    if foreign.source.name == "marrow":
        share = accuracy(confusion)
        return [share.value, *share.interval]
    types = confusion.sum(1) >= LEAST
    return [
        balanced(confusion, types),
        *bootstrap_confusion(lambda counts: balanced(counts, types), confusion, seed=0),
    ]


def logits_on(network: CellClassifier, crops: Pictures) -> Logits:
    with torch.inference_mode():
        parts = [network(normalised(torch.from_numpy(crops[i : i + 64])))[0] for i in range(0, len(crops), 64)]
    return torch.cat(parts).numpy()


def mirrored(network: CellClassifier, crops: Pictures) -> Logits:
    """Mean logits over the eight orientations."""
    turned = (np.rot90(crops[:, :, ::side], k, (1, 2)) for side in (1, -1) for k in range(4))
    return np.mean([logits_on(network, np.ascontiguousarray(one)) for one in turned], axis=0)


def white_balanced(crops: Pictures, home: Pictures) -> Pictures:
    """Glass of the set brought to that of PBC."""
    gain = np.median([glass_colour(one) for one in home], 0) / np.median([glass_colour(one) for one in crops], 0)
    return np.clip(crops * gain, 0, 255).astype(np.uint8)


def reinhard(crops: Pictures, home: Pictures) -> Pictures:
    """Mean and deviation of each Lab channel brought to those of PBC (Reinhard et al. 2001)."""
    lab = [cv2.cvtColor(np.ascontiguousarray(one).reshape(-1, 1, 3), cv2.COLOR_RGB2LAB) for one in (crops, home)]
    here, there = (one.reshape(-1, 3).astype(np.float32) for one in lab)
    moved = (here - here.mean(0)) / here.std(0) * there.std(0) + there.mean(0)
    rgb = cv2.cvtColor(np.clip(moved, 0, 255).astype(np.uint8).reshape(-1, 1, 3), cv2.COLOR_LAB2RGB)
    return np.asarray(rgb, np.uint8).reshape(crops.shape)


def macenko(crops: Pictures, home: Pictures) -> Pictures:
    """Two stain vectors and their 99th percentiles brought to those of PBC (Macenko et al. 2009)."""
    (stains, dose), (wanted, wanted_dose) = _stains(crops), _stains(home)
    glass, glass_home = (np.median([glass_colour(x) for x in one], 0) for one in (crops, home))
    density = -np.log(np.maximum(crops.reshape(-1, 3).astype(np.float32) + 1, 1) / glass)
    amounts = density @ np.linalg.pinv(stains) / dose * wanted_dose
    return np.clip(glass_home * np.exp(-amounts @ wanted) - 1, 0, 255).astype(np.uint8).reshape(crops.shape)


def _stains(crops: Pictures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    glass = np.median([glass_colour(one) for one in crops], 0)
    density = -np.log((crops[:, ::3, ::3].reshape(-1, 3).astype(np.float64) + 1) / glass)
    density = density[(density > 0.15).any(1)]
    plane = np.linalg.eigh(np.cov(density.T))[1][:, [2, 1]]
    plane *= np.sign(plane.sum(0))
    low, high = np.percentile(np.arctan2(*(density @ plane).T[::-1]), [1, 99])
    stains = np.stack([plane @ [np.cos(angle), np.sin(angle)] for angle in (low, high)])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    stains = stains[np.argsort(stains[:, 0])]
    return stains, np.percentile(density @ np.linalg.pinv(stains), 99, axis=0)


def with_statistics_of(network: CellClassifier, crops: Pictures, share: float = 0.3) -> CellClassifier:
    """Batch norm statistics mixed with those of the set (Schneider et al. 2020)."""
    adapted = copy.deepcopy(network)
    norms = [module for module in adapted.modules() if isinstance(module, nn.BatchNorm2d)]
    home = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    logits_on(adapted, crops[: len(crops) // 64 * 64])
    for norm, (mean, variance) in zip(norms, home, strict=True):
        norm.running_mean.copy_(share * norm.running_mean + (1 - share) * mean)
        norm.running_var.copy_(share * norm.running_var + (1 - share) * variance)
    return adapted.eval()


def settle(variant: Variant, epochs: int, folder: Path) -> None:
    """Note in ``folder/variant.json`` what its results are of; refuse to go on from those of another variant."""
    note = folder / "variant.json"
    settings = {"epochs": epochs, "variant": asdict(variant)}
    if not note.is_file():
        write_json(note, settings)
        return
    there, here = json.loads(note.read_text()), json.loads(json.dumps(settings))
    if there != here:
        raise DataError(
            f"{folder} holds results of {there['variant']['name']!r}, {there['epochs']} epochs, and this run is of "
            f"{variant.name!r}, {epochs} epochs (all settings: {note}); give another folder with -o"
        )


def train(variant: Variant, splits: Splits, folder: Path, weights: Path, epochs: int) -> CellClassifier:
    recipe = _recipe(variant, epochs)
    resume = (folder / "last.ckpt").is_file()
    return train_classifier(recipe, splits, folder, weights=weights, resume=resume)


def _recipe(variant: Variant, epochs: int) -> ClassifierRecipe:
    return replace(
        blood_11(),
        augmentation=variant.augmentation,
        averaging=variant.averaging,
        crop=variant.crop,
        spacing=variant.spacing,
        epochs=epochs,
        draws=6000,
    )


def looks(network: CellClassifier, variant: Variant, home: Pictures) -> dict[str, Callable[[Foreign], Logits]]:
    """What can be done with a trained network when cells are named."""

    def plain(one: Foreign) -> Logits:
        return logits_on(network, one.crops(variant))

    def specimen(one: Foreign) -> Logits:
        return plain(one) + np.log(prior("marrow" if one.source.specimen == "marrow" else "blood", PBC_TYPES))

    return {
        "as it is": plain,
        "pictures squeezed to the input: pixels instead of um": lambda one: logits_on(network, one.resized(variant)),
        "eight mirrored views": lambda one: mirrored(network, one.crops(variant)),
        "white balance on the glass": lambda one: logits_on(network, white_balanced(one.crops(variant), home)),
        "Reinhard": lambda one: logits_on(network, reinhard(one.crops(variant), home)),
        "Macenko": lambda one: logits_on(network, macenko(one.crops(variant), home)),
        "batch norm statistics, 0.3 of the set": lambda one: logits_on(
            with_statistics_of(network, one.crops(variant)), one.crops(variant)
        ),
        f"mix of the specimen ({', '.join(MIXES)})": specimen,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with pbc and external")
    parser.add_argument("--weights", type=Path, required=True, help="start weights (npz)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for trainings and results")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for number, variant in enumerate(VARIANTS):
        settle(variant, arguments.epochs, arguments.output / str(number))
    foreign = read_foreign(arguments.data / "external")
    splits = blood_11().load(arguments.data / "pbc")
    splits = replace(splits, train=with_masks(splits.train))
    names = [one.source.name for one in foreign]
    trained, named = [], []
    for number, variant in enumerate(VARIANTS):
        folder = arguments.output / str(number)
        network = train(variant, splits, folder, arguments.weights, arguments.epochs)
        done = folder / "scores.json"
        if not done.is_file():
            logits = logits_of(network, splits.val, _recipe(variant, arguments.epochs))
            home = confusion_matrix(splits.val.labels, logits.argmax(1), len(PBC_TYPES))
            row = [[macro_f1(home), *bootstrap_confusion(macro_f1, home, seed=0)]]
            row += [scores(logits_on(network, one.crops(variant)), one) for one in foreign]
            write_json(done, row)
        trained.append([variant.name, *map(_text, json.loads(done.read_text()))])
        if number in (0, len(VARIANTS) - 1):
            home_crops = splits.val.crops(variant.crop, variant.spacing)
            for what, look in looks(network, variant, home_crops).items():
                named.append([variant.name, what, *(_text(scores(look(one), one)) for one in foreign)])
    print_table(["trained with", f"PBC val macro F1, n = {len(splits.val)}", *names], trained)
    print_table(["network", "when naming", *names], named)


def _text(numbers: list[float]) -> str:
    return "{:.2f} ({:.2f} to {:.2f})".format(*numbers)


if __name__ == "__main__":
    main()
