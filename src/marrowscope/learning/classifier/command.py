"""``marrowscope train classifier``: from a recipe and its data to the files that a pack is built of."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.evaluation.classification import confusion_matrix, temperature_doubt
from marrowscope.files import write_json
from marrowscope.learning.classifier.anomaly import write_anomaly
from marrowscope.learning.classifier.assessment import assess, calibrate, confusion_by_certainty
from marrowscope.learning.classifier.data import Cells, Splits
from marrowscope.learning.classifier.export import export_classifier
from marrowscope.learning.classifier.networks import CellClassifier
from marrowscope.learning.classifier.recipes import ClassifierRecipe, blood_11, phantom_16
from marrowscope.learning.classifier.training import logits_of, train_classifier
from marrowscope.packs.metrics import METRICS_FILE
from marrowscope.packs.specimens import MIXES, SpecimenName, posterior, prior

RECIPES: dict[str, Callable[[], ClassifierRecipe]] = {"blood-11": blood_11, "phantom-16": phantom_16}


def train_classifier_command(
    recipe: str,
    data: Path,
    output: Path,
    *,
    weights: Path | None = None,
    epochs: int | None = None,
    seed: int = 0,
    resume: bool = False,
) -> dict[str, Any]:
    """Train a recipe's classifier; write ``classifier.onnx``, ``linear_head.npz``, ``anomaly.npz``, ``metrics.json``.

    Gives back what stands in ``metrics.json``; checkpoints and the log stay in ``output/training``. Raises
    :class:`DataError` for an unknown recipe, unusable data or unusable start weights.
    """
    if recipe not in RECIPES:
        raise DataError(f"there is no recipe {recipe!r}; the recipes are: {', '.join(RECIPES)}")
    chosen = RECIPES[recipe]()
    if epochs is not None:
        chosen = dataclasses.replace(chosen, epochs=epochs)
    splits = chosen.load(data)
    network = train_classifier(chosen, splits, output / "training", weights=weights, seed=seed, resume=resume)
    export_classifier(network, chosen.crop, output)
    metrics = measure(network, chosen, splits)
    metrics["anomaly"] = write_anomaly(output, chosen, splits, seed=seed)
    metrics["start"] = weights.name if weights else "random"
    metrics["command"] = typed_command(chosen, data, weights, seed)
    write_json(output / METRICS_FILE, metrics)
    return metrics


def measure(network: CellClassifier, recipe: ClassifierRecipe, splits: Splits) -> dict[str, Any]:
    """Calibrate on the validation cells, score on validation and test cells: ``metrics.json`` but anomaly and command.

    :class:`marrowscope.packs.metrics.ClassifierMetrics` names what the builder of packs reads of it.
    """
    val, test = logits_of(network, splits.val, recipe), logits_of(network, splits.test, recipe)
    temperature, unsure_below = calibrate(val, splits.val.labels, recipe.coverage)
    doubt = temperature_doubt(temperature, val, splits.val.labels)
    return {
        "recipe": recipe.name,
        "architecture": recipe.architecture,
        "training_data": splits.source,
        "n_train": len(splits.train),
        "classes": list(recipe.classes),
        "spacing": recipe.spacing,
        "crop": recipe.crop,
        "feature_map": "feature_map",
        "temperature": round(temperature, 4),
        "certainty_doubt": doubt or "",
        "unsure_below": unsure_below,
        "limits": [doubt] if doubt else [],
        "validation": assess(val, splits.val.labels, recipe.classes, temperature, unsure_below),
        "test": assess(test, splits.test.labels, recipe.classes, temperature, unsure_below),
        "specimens": {name: _in_specimen(name, test, splits.test, recipe, temperature) for name in MIXES},
    }


def _in_specimen(
    name: SpecimenName, logits: NDArray[np.float32], cells: Cells, recipe: ClassifierRecipe, temperature: float
) -> dict[str, Any]:
    """What is called wrongly when the mix of a specimen is expected; true classes in rows."""
    expected = prior(name, recipe.classes)
    probabilities = posterior(logits, temperature, expected)
    confusion = confusion_matrix(cells.labels, probabilities.argmax(1), len(recipe.classes))
    return {
        "prior": expected,
        "confusion": confusion.tolist(),
        "confusion_by_certainty": confusion_by_certainty(probabilities, cells.labels),
    }


def typed_command(recipe: ClassifierRecipe, data: Path, weights: Path | None, seed: int) -> str:
    """What to type for the same training; names only, for it is printed on a card that others read."""
    typed = ["marrowscope", "train", "classifier", "--recipe", recipe.name, "--data", data.name, "-o", "OUT"]
    typed += ["--weights", weights.name] if weights else []
    return shlex.join([*typed, "--epochs", str(recipe.epochs), "--seed", str(seed)])
