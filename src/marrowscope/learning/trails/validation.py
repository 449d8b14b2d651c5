"""One fold of a cross-validation of the region model: learn from some overviews, find on others, score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.files import whole_file
from marrowscope.learning.cascade.inference import load_cascade, predict
from marrowscope.learning.trails.data import LabelledOverview, Picture
from marrowscope.learning.trails.recipes import TrailRecipe
from marrowscope.learning.trails.scoring import Counts, area, by_object, by_slide
from marrowscope.learning.trails.training import train_trails
from marrowscope.regions.learned import outermost

SCORE = 0.5
"""Score from which a box is a region; not tuned."""

TRUE, FOUND = (0, 0, 0), (220, 30, 30)
"""RGB, as in Fig. 8 of Wang et al. 2022."""


@dataclass(frozen=True, slots=True)
class SlideResult:
    """Of one slide: found boxes ``(k, 4)`` in overview pixels, best first, their scores, and the area they cover."""

    name: str
    boxes: list[list[float]]
    scores: list[float]
    true: list[list[float]]
    mm2: float

    @property
    def found(self) -> NDArray[np.float64]:
        return np.array(self.boxes, np.float64).reshape(-1, 4)

    @property
    def objects(self) -> NDArray[np.float64]:
        return np.array(self.true, np.float64).reshape(-1, 4)


def find_on(model: Path, overviews: Sequence[LabelledOverview], score: float = SCORE) -> list[SlideResult]:
    """What a trained model finds on overviews. Raises ``DataError`` when ``model`` is none."""
    results = []
    found = predict(load_cascade(model), (one.picture for one in overviews), batch=1)
    for one, boxes in zip(overviews, found, strict=True):
        kept = boxes[boxes.scores >= score]
        kept = kept[outermost(kept.boxes)]
        size = area(kept.boxes) * one.mm2
        results.append(
            SlideResult(
                one.name,
                np.round(kept.boxes, 2).tolist(),
                np.round(kept.scores.astype(float), 4).tolist(),
                np.round(one.boxes.astype(float), 2).tolist(),
                round(size, 4),
            )
        )
    return results


def run_fold(
    recipe: TrailRecipe,
    train: Sequence[LabelledOverview],
    test: Sequence[LabelledOverview],
    model: Path,
    *,
    weights: Path | str | None = None,
) -> list[SlideResult]:
    """Learn from ``train``, write the model, find on ``test``. Raises ``DataError`` as :func:`train_trails` does."""
    train_trails(recipe, train, model, weights=weights)
    return find_on(model, test)


def measures(results: Sequence[SlideResult]) -> dict[str, dict[str, float]]:
    """Recall, precision, accuracy and IoU of some slides, by ``object`` and by ``slide``; IoU NaN without objects."""
    return {
        words: {name: getattr(counted, name) for name in ("recall", "precision", "accuracy", "iou")}
        for words, counted in counts(results).items()
    }


def counts(results: Sequence[SlideResult]) -> dict[str, Counts]:
    """What was found, missed and found wrongly on some slides, by ``object`` and by ``slide``."""
    scores = {"object": by_object, "slide": by_slide}
    return {
        words: reduce(add, (score(one.found, one.objects) for one in results), Counts(0, 0, 0, ()))
        for words, score in scores.items()
    }


def draw(picture: Picture, result: SlideResult, path: Path) -> None:
    """The overview with true boxes in black and found ones in red, as PNG."""
    canvas = picture.copy()
    for boxes, colour in ((result.true, TRUE), (result.boxes, FOUND)):
        for x0, y0, x1, y1 in np.rint(np.array(boxes).reshape(-1, 4)).astype(int).tolist():
            cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, 2)
    with whole_file(path) as beside:
        beside.write_bytes(cv2.imencode(".png", canvas[..., ::-1])[1].tobytes())
