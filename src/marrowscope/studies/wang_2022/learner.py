"""The cascade of ``marrowscope.learning`` as the learner of this study; the only door of the studies to torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marrowscope.annotations import LabelledTiles
from marrowscope.detection.table import Detections
from marrowscope.errors import DataError
from marrowscope.studies.wang_2022.work import Count, Picture

if TYPE_CHECKING:
    from marrowscope.learning.cascade.network import CascadeRCNN
    from marrowscope.learning.cascade.recipes import CascadeRecipe


MODEL_GRAPH = "detector.onnx"


def recipes() -> dict[str, Callable[[], CascadeRecipe]]:
    """The recipes of ``learning`` by name, and those that only this study needs to compare like with like."""
    from marrowscope.learning.cascade.augmentation import Augmentation
    from marrowscope.learning.cascade.recipes import RECIPES, modern, paper, plain, tiny

    def tiny_plain() -> CascadeRecipe:
        """The plain detector with the toy network of :func:`tiny`."""
        small = tiny()
        return replace(plain(), name="tiny-plain", backbone=small.backbone, hidden=small.hidden, steps=small.steps)

    def scratch_resnet101() -> CascadeRecipe:
        """:func:`modern` with the backbone of the paper from random weights, and the steps that it then needs."""
        backbone = replace(paper().backbone, strides=(8, 16), frozen_norm=False, frozen_to=0)
        longer = replace(modern(), name="scratch-resnet101", backbone=backbone, colours_of_weights=False)
        return replace(longer, steps=1500, batch=4, learning_rate=5e-4)

    def plain_resnet101() -> CascadeRecipe:
        """The paper's schedule and backbone with one head, flips and quarter turns, every unlabelled box background."""
        augmentation = Augmentation(turns=True)
        return replace(paper(), name="plain-resnet101", stages=(0.5,), soft_boxes=False, augmentation=augmentation)

    own = (tiny_plain, scratch_resnet101, plain_resnet101)
    return RECIPES | {recipe.__name__: recipe for recipe in own}


def recipe_named(name: str) -> CascadeRecipe:
    """Raises ``DataError`` with the known names when there is none of this one."""
    known = recipes()
    if name not in known:
        raise DataError(f"no recipe is called {name!r}; known: {', '.join(known)}")
    return known[name]()


@dataclass(frozen=True, slots=True)
class CascadeLearner:
    """Trains and applies :class:`marrowscope.learning.cascade.CascadeRCNN`."""

    def question(self, recipe: str) -> Mapping[str, Any]:
        return asdict(recipe_named(recipe))

    def needing_weights(self, recipes: Sequence[str]) -> list[str]:
        """Those of the named recipes that keep layers as they were loaded."""
        return [name for name in dict.fromkeys(recipes) if recipe_named(name).starts_from_weights]

    def train(
        self,
        recipe: str,
        tiles: LabelledTiles,
        rows: Sequence[int],
        folder: Path,
        *,
        weights: Path | None,
        threads: int,
    ) -> Path:
        from marrowscope.learning.cascade.training import train_cascade
        from marrowscope.learning.threads import use_threads

        use_threads(threads)
        chosen = recipe_named(recipe)
        start = weights if chosen.starts_from_weights else None
        return train_cascade(chosen, tiles, rows, folder, weights=start, resume=True, silent=True)

    def predict(self, model: Path, pictures: Iterable[Picture], *, threads: int) -> list[Detections]:
        from marrowscope.learning.cascade.inference import predict
        from marrowscope.learning.threads import use_threads

        use_threads(threads)
        return list(predict(_loaded(model, model.stat().st_mtime_ns), pictures))

    def counter(self, model: Path, examples: Sequence[Picture], folder: Path, *, threads: int) -> Count:
        from marrowscope.detection.engine import open_session
        from marrowscope.learning.cascade.export import export_cascade
        from marrowscope.learning.cascade.inference import LEAST_SCORE, load_cascade

        session = open_session(export_cascade(load_cascade(model), np.stack(examples), folder / MODEL_GRAPH), threads)

        def found(picture: Picture) -> Detections:
            boxes, scores, types = (
                one[0] for one in session.run(["boxes", "scores", "probabilities"], {"tiles": picture[None]})
            )
            kept = scores >= LEAST_SCORE
            return Detections(boxes[kept].astype(np.float64), scores[kept], types[kept])

        return lambda pictures: [found(picture) for picture in pictures]

    def export(
        self,
        recipe: str,
        model: Path,
        tiles: LabelledTiles,
        train: Sequence[int],
        test: Sequence[int],
        folder: Path,
        unit: str,
    ) -> None:
        """Write ``detector.onnx`` and ``metrics.json`` of a model, measured on the tiles ``test``."""
        from marrowscope.learning.cascade.command import export_run

        export_run(model, recipe_named(recipe), tiles, train, test, folder, unit)


@lru_cache(maxsize=1)
def _loaded(model: Path, written: int) -> CascadeRCNN:
    """A model stays loaded between calls; ``written`` is when its file was, so that another one is loaded anew."""
    from marrowscope.learning.cascade.inference import load_cascade

    return load_cascade(model)
