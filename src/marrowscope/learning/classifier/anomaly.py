"""The reference of the anomaly score: known cells as the exported classifier sees them.

Legend: ``n`` cells, ``c`` features, ``k`` classes. Known are training cells, half as they are and half as augmented
views, equally many of each class; the threshold comes from the validation cells as they are.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from marrowscope.evaluation.intervals import Proportion
from marrowscope.learning.classifier.assessment import proportion
from marrowscope.learning.classifier.data import Cells, Splits, Views
from marrowscope.learning.classifier.export import LAYERS, ONNX_NAME
from marrowscope.learning.classifier.recipes import ClassifierRecipe
from marrowscope.packs.anomaly import METHOD, AnomalyReference

ANOMALY_NAME = "anomaly.npz"

KNOWN = 4000
"""Cells in the reference: a fifth of a megabyte."""

DIRECTIONS = 24
NEIGHBOURS = 5

SHRINKAGE = 0.01
"""Share of the mean variance that is added to each direction before whitening."""

QUANTILE = 0.99
"""Of the known cells of the same laboratory one in a hundred is called anomalous."""

BATCH = 64

Floats = NDArray[np.float32]


def write_anomaly(folder: Path, recipe: ClassifierRecipe, splits: Splits, *, seed: int) -> dict[str, Any]:
    """Write ``anomaly.npz`` beside ``classifier.onnx`` in ``folder``; give what ``metrics.json`` says about it."""
    model = folder / ONNX_NAME
    crops, labels = known_crops(recipe, splits.train, seed)
    reference = fit_reference(features_of(model, crops), labels)
    raw = {
        name: reference.raw(features_of(model, cells.crops(recipe.crop, recipe.spacing)))
        for name, cells in (("validation", splits.val), ("test", splits.test))
    }
    threshold = float(np.quantile(raw["validation"], QUANTILE))
    reference.write(folder / ANOMALY_NAME)
    return {
        "method": METHOD,
        "features": LAYERS,
        "quantile": QUANTILE,
        "threshold": threshold,
        "n_validation": len(splits.val),
        "above": proportion(Proportion(int((raw["test"] > threshold).sum()), len(splits.test))),
    }


def known_crops(recipe: ClassifierRecipe, cells: Cells, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """:data:`KNOWN` crops or fewer with their labels: per class some cells as they are, as many as augmented views."""
    random = np.random.default_rng((seed, 4))
    labels = np.unique(cells.labels)
    each = KNOWN // (2 * len(labels))
    drawn = np.concatenate([random.permutation(np.flatnonzero(cells.labels == label))[:each] for label in labels])
    chosen = dataclasses.replace(cells, pictures=cells.pictures[drawn], labels=cells.labels[drawn], masks=None)
    views = Views(chosen, recipe.augmentation, recipe.crop, recipe.spacing, seed)
    augmented = [views[index, 0, index][0].numpy() for index in range(len(chosen))]
    crops = np.concatenate([chosen.crops(recipe.crop, recipe.spacing), np.stack(augmented)])
    return crops, np.tile(chosen.labels, 2)


def features_of(model: Path, crops: NDArray[np.uint8]) -> Floats:
    """Features ``(n, c)`` of crops ``(n, s, s, 3)`` from an exported classifier."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    starts = range(0, len(crops), BATCH)
    return np.concatenate([session.run([LAYERS], {"crops": crops[start : start + BATCH]})[0] for start in starts])


def fit_reference(
    features: Floats, labels: NDArray[np.int64], directions: int = DIRECTIONS, neighbours: int = NEIGHBOURS
) -> AnomalyReference:
    """A reference of known cells: standardise features ``(n, c)``, keep ``directions``, whiten within classes."""
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    scale = 1.0 / np.maximum(deviation, 1e-3 * deviation.max())  # a channel that never fires says nothing
    standard = ((features - mean) * scale).astype(np.float64)
    axes = np.linalg.eigh(standard.T @ standard / len(standard))[1][:, ::-1][:, :directions]
    reduced = standard @ axes
    classes, members = np.unique(labels, return_inverse=True)
    centres = np.stack([reduced[members == index].mean(axis=0) for index in range(len(classes))])
    within = np.cov((reduced - centres[members]).T)
    within += SHRINKAGE * np.trace(within) / len(within) * np.eye(len(within))
    projection = (scale[:, None] * axes) @ np.linalg.cholesky(np.linalg.inv(within))
    plain = AnomalyReference(mean, projection.astype(np.float32), np.zeros((1, len(within)), np.float32), neighbours=1)
    known = plain.places(features).astype(np.float16).astype(np.float32)  # as it is stored
    return AnomalyReference(mean, plain.projection, known, neighbours)
