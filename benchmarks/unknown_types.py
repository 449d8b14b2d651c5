"""Types left out of training: does the anomaly score tell them from the known ones, and beside which other scores?

    python benchmarks/unknown_types.py blood-11 DATA/pbc --weights WEIGHTS.npz [--types lymphocyte ...] [-o FILE]
    python benchmarks/unknown_types.py phantom-16 FOLDER --together [-o FILE]

Each type is left out of training, validation and reference, and a network is trained on the others by the recipe, for
fewer views; then its test cells are scored beside those of the types that the network knows. ``--together`` leaves all
of them out at once (for phantoms, the marrow's own types: what remains is about what blood shows). Stages of one
maturation are hardly told from their neighbours by anybody: leave out promyelocytes, and most pass for myelocytes.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
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
    "blood-11": ("lymphocyte", "erythroblast", "eosinophil", "basophil", "monocyte", "platelet"),
    "phantom-16": ("blast", "plasma_cell", "megakaryocyte", "proerythroblast", "mitotic_cell"),
}
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


def evaluate(
    recipe: ClassifierRecipe, splits: Splits, left_out: Sequence[str], weights: Path | None, seed: int
) -> tuple[list[tuple[object, ...]], Evaluation]:
    """Train without some types; a row a score, and the pack's own score as it stands on a card."""
    names = recipe.classes
    unlearnt = {*left_out, *NEVER_LEARNT.get(recipe.name, ())}
    kept = [index for index, name in enumerate(names) if name not in unlearnt]
    recipe = dataclasses.replace(recipe, classes=tuple(names[index] for index in kept))
    known = Splits(among(splits.train, kept), among(splits.val, kept), among(splits.test, kept), splits.source)
    others = among(splits.test, [names.index(name) for name in left_out])
    with tempfile.TemporaryDirectory() as folder:
        network = train_classifier(recipe, known, Path(folder), weights=weights, seed=seed, workers=0)
        model, _ = export_classifier(network, recipe.crop, Path(folder))
        crops, labels = known_crops(recipe, known.train, seed)
        reference = seen(model, crops, labels)
        validation, test, unknown = (
            seen(model, cells.crops(recipe.crop, recipe.spacing), cells.labels)
            for cells in (known.val, known.test, others)
        )
    right = float((test.logits.argmax(axis=1) == test.labels).mean())
    what = " and ".join(left_out)
    rows: list[tuple[object, ...]] = []
    evaluation = None
    for name, score in scorers(reference).items():
        usual, strange, threshold = score(test), score(unknown), np.quantile(score(validation), QUANTILE)
        area, (low, high) = auroc(usual, strange), auroc_interval(usual, strange)
        found, false = float((strange > threshold).mean()), float((usual > threshold).mean())
        rows.append(
            (
                what,
                len(strange),
                name,
                area,
                f"{low:.3f} to {high:.3f}",
                called_unknown_at(usual, strange),
                found,
                false,
            )
        )
        if evaluation is None:
            evaluation = Evaluation(
                data=f"{what} left out of a training of {recipe.epochs * recipe.draws:,} views (right on {right:.3f} "
                "of the known test cells)",
                n=f"{len(strange):,} unknown and {len(usual):,} known test cells",
                measured=(
                    Measured(name="AUROC of the anomaly score", value=area, low=low, high=high),
                    Measured(name="unknown cells called anomalous", value=found),
                    Measured(name="known cells called anomalous", value=false),
                ),
            )
    assert evaluation is not None
    return rows, evaluation


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", choices=LEFT_OUT)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--types", nargs="+")
    parser.add_argument("--together", action="store_true", help="leave all of them out at once")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--draws", type=int, default=6000, help="views an epoch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="JSON with the pack's own score, as packs build reads it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    recipe = dataclasses.replace(RECIPES[arguments.recipe](), epochs=arguments.epochs, draws=arguments.draws)
    splits = recipe.load(arguments.data)
    if recipe.augmentation.moves_cells:
        splits = dataclasses.replace(splits, train=with_masks(splits.train))
    types = arguments.types or LEFT_OUT[recipe.name]
    rows: list[tuple[object, ...]] = []
    evaluations = []
    for left_out in [tuple(types)] if arguments.together else [(name,) for name in types]:
        more, evaluation = evaluate(recipe, splits, left_out, arguments.weights, arguments.seed)
        rows += more
        evaluations.append(evaluation)
        print(f"{evaluation.data}: {evaluation.measured[0].value:.3f}", flush=True)
    print(f"\n{splits.source}; seed {arguments.seed}; {machine()}\n")
    print_table(
        (
            "left out",
            "n",
            "score",
            "AUROC",
            "95 % interval",
            "known above at 95 % found",
            "found at the threshold",
            "known above",
        ),
        rows,
    )
    if arguments.output:
        with whole_file(arguments.output) as beside:
            listed = ",\n".join(evaluation.model_dump_json(indent=2) for evaluation in evaluations)
            beside.write_text(f"[{listed}]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
