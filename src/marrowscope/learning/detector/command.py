"""``marrowscope train detector``: from a recipe's name to the files that a pack is built of."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from marrowscope.errors import DataError
from marrowscope.learning.detector.recipes import RECIPES
from marrowscope.learning.detector.training import train_detector
from marrowscope.packs.metrics import DetectorMetrics


def train_detector_command(
    recipe: str,
    data: Path | None,
    output: Path,
    *,
    epochs: int | None = None,
    seed: int | None = None,
    resume: bool = False,
) -> DetectorMetrics:
    """Train the detector of a recipe; see :func:`train_detector`. Raises :class:`DataError` for an unknown recipe."""
    if recipe not in RECIPES:
        raise DataError(f"there is no recipe {recipe!r}; the recipes are: {', '.join(RECIPES)}")
    chosen = RECIPES[recipe]()
    if epochs is not None:
        chosen = dataclasses.replace(chosen, epochs=epochs)
    if seed is not None:
        chosen = dataclasses.replace(chosen, seed=seed)
    return train_detector(chosen, data, output, resume=resume)
