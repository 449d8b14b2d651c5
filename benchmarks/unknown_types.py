"""Types left out of training: does the anomaly score tell them from the known ones, and beside which other scores?

    python benchmarks/unknown_types.py blood-11 DATA/pbc --weights WEIGHTS.npz [-o FILE]
    python benchmarks/unknown_types.py phantom-16 FOLDER [-o FILE]

A group of types is left out of training, validation and reference, and a network is trained on the others by the
recipe, for fewer views; then the test cells of each type left out are scored beside those of the types that it knows.
``--types`` gives a group of your own. A stage of a maturation is hardly told from its neighbours by anybody: leave out
promyelocytes, and most pass for myelocytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from tables import machine, print_table
from unknown_scores import Seen, auroc, auroc_interval, called_unknown_at, scorers

from marrowscope.files import whole_file
from marrowscope.learning.classifier.anomaly import QUANTILE, known_crops
from marrowscope.learning.classifier.command import RECIPES
from marrowscope.learning.classifier.data import Cells, Splits, with_masks
from marrowscope.learning.classifier.export import LAYERS, export_classifier
from marrowscope.learning.classifier.recipes import ClassifierRecipe
from marrowscope.learning.classifier.training import train_classifier
from marrowscope.packs.metrics import Evaluation, Measured

LEFT_OUT = {
    "blood-11": (("lymphocyte", "eosinophil", "platelet"), ("erythroblast", "basophil", "monocyte")),
    "phantom-16": (("blast", "plasma_cell", "megakaryocyte", "proerythroblast", "mitotic_cell"),),
}
"""Groups of types that are left out together; of phantoms those that blood does not show."""

NEVER_LEARNT = {"phantom-16": ("smudge", "other")}
"""Neither known nor left out: no cells that could be told from anything."""


def among(cells: Cells, kept: Sequence[int]) -> Cells:
    """The cells of some labels, numbered anew in the order of ``kept``."""
    chosen = np.isin(cells.labels, kept)
    labels = np.searchsorted(np.sort(kept), cells.labels[chosen])
    masks = None if cells.masks is None else cells.masks[chosen]
    return Cells(cells.pictures[chosen], labels, cells.spacing, masks)


def seen(model: Path, crops: NDArray[np.uint8], labels: NDArray[np.int64]) -> Seen:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    outputs = ["logits", "feature_map", LAYERS]
    parts = [session.run(outputs, {"crops": crops[start : start + 64]}) for start in range(0, len(crops), 64)]
    logits, maps, layers = (np.concatenate(values) for values in zip(*parts, strict=True))
    return Seen(logits, maps.mean(axis=(2, 3)), layers, labels)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a network trained without a group of types gives; ``unknown`` are the test cells of each of them."""

    views: int
    reference: Seen
    validation: Seen
    test: Seen
    unknown: dict[str, Seen]


def trial(recipe: ClassifierRecipe, splits: Splits, group: Sequence[str], weights: Path | None, seed: int) -> Trial:
    names = recipe.classes
    kept = [index for index, name in enumerate(names) if name not in {*group, *NEVER_LEARNT.get(recipe.name, ())}]
    recipe = dataclasses.replace(recipe, classes=tuple(names[index] for index in kept))
    known = Splits(among(splits.train, kept), among(splits.val, kept), among(splits.test, kept), splits.source)

    def plain(cells: Cells) -> Seen:
        return seen(model, cells.crops(recipe.crop, recipe.spacing), cells.labels)

    with tempfile.TemporaryDirectory() as folder:
        network = train_classifier(recipe, known, Path(folder), weights=weights, seed=seed, workers=0)
        model, _ = export_classifier(network, recipe.crop, Path(folder))
        return Trial(
            recipe.epochs * recipe.draws,
            seen(model, *known_crops(recipe, known.train, seed)),
            plain(known.val),
            plain(known.test),
            {name: plain(among(splits.test, [names.index(name)])) for name in group},
        )


def compare(done: Trial) -> Iterator[tuple[object, ...]]:
    """A row a type and score: AUROC, interval, false alarms at 95 % found, found and false alarms at the threshold."""
    for name, score in scorers(done.reference).items():
        usual, threshold = score(done.test), np.quantile(score(done.validation), QUANTILE)
        for what, cells in done.unknown.items():
            strange = score(cells)
            low, high = auroc_interval(usual, strange)
            shares = called_unknown_at(usual, strange), float((strange > threshold).mean())
            yield what, len(strange), name, auroc(usual, strange), f"{low:.3f} to {high:.3f}", *shares


def evaluation(done: Trial) -> Evaluation:
    """The pack's own score, as it stands on a card."""
    score = next(iter(scorers(done.reference).values()))
    usual, threshold = score(done.test), np.quantile(score(done.validation), QUANTILE)
    measured = []
    for what, cells in done.unknown.items():
        strange = score(cells)
        low, high = auroc_interval(usual, strange)
        measured.append(
            Measured(name=f"{what}: AUROC of the anomaly score", value=auroc(usual, strange), low=low, high=high)
        )
        measured.append(Measured(name=f"{what}: share called anomalous", value=float((strange > threshold).mean())))
    measured.append(Measured(name="known cells called anomalous", value=float((usual > threshold).mean())))
    right = float((done.test.logits.argmax(axis=1) == done.test.labels).mean())
    unknown = " + ".join(f"{len(cells.labels):,} {what}" for what, cells in done.unknown.items())
    return Evaluation(
        data=f"a network of the same kind that was trained without {', '.join(done.unknown)}, on {done.views:,} views",
        n=f"{unknown} unknown, {len(usual):,} known test cells",
        measured=tuple(measured),
        note=f"That network names {right:.3f} of the known cells rightly.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=LEFT_OUT)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--types", nargs="+", help="one group of your own")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--draws", type=int, default=6000, help="views an epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="JSON with the pack's own score, as packs build reads it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    # so short a training would average in its start
    shorter = {"epochs": arguments.epochs, "draws": arguments.draws, "averaging": 0.0}
    recipe = dataclasses.replace(RECIPES[arguments.recipe](), **shorter)
    splits = recipe.load(arguments.data)
    if recipe.augmentation.moves_cells:
        splits = dataclasses.replace(splits, train=with_masks(splits.train))
    evaluations = []
    print(f"{splits.source}; seed {arguments.seed}; {machine()}\n")
    for group in (tuple(arguments.types),) if arguments.types else LEFT_OUT[recipe.name]:
        done = trial(recipe, splits, group, arguments.weights, arguments.seed)
        evaluations.append(evaluation(done))
        print(f"Left out: {', '.join(group)}. {evaluations[-1].n}. {evaluations[-1].note}\n")
        header = (
            "left out",
            "n",
            "score",
            "AUROC",
            "95 % interval",
            "known above at 95 % found",
            "found at the threshold",
        )
        print_table(header, list(compare(done)))
    if arguments.output:
        listed = ",\n".join(one.model_dump_json(indent=2) for one in evaluations)
        with whole_file(arguments.output) as beside:
            beside.write_text(f"[{listed}]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
