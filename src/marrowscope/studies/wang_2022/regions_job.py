"""The job ``regions``: cross-validation of the region model over the slides of both cohorts.

In its folder: ``fold-N/model.pt`` and ``fold-N/found.json`` (a fold that has one is not done again),
``pictures/NAME.png`` (true boxes black, found ones red, as in Fig. 8) and, last, ``regions.json``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from marrowscope.errors import how_many
from marrowscope.files import write_json
from marrowscope.studies.folds import as_folds, balanced_folds
from marrowscope.studies.jobs import Job
from marrowscope.studies.wang_2022.data import StudyData
from marrowscope.studies.wang_2022.planning import hash_of
from marrowscope.studies.wang_2022.regions import FILE, RegionFold, RegionResult
from marrowscope.studies.wang_2022.scales import Scale

NAME = "regions"


def plan_regions(data: StudyData, scale: Scale, weights: Path | None) -> list[Job]:
    """The job of a scale; none for data without the truth of whole slides (labelled tiles of real ones)."""
    if data.truth is None or not data.slides:
        return []
    from marrowscope.learning.trails.recipes import RECIPES

    recipe = RECIPES[scale.region_recipe]()
    question = {
        "recipe": asdict(recipe),
        "data": data.identity,
        "slides": sorted(data.slides),
        "folds": scale.region_folds,
        "seed": scale.seed,
        "weights": hash_of(weights) if weights is not None and recipe.starts_from_weights else None,
    }
    arguments = {
        "slides": {name: str(data.slides[name]) for name in sorted(data.slides)},
        "recipe": scale.region_recipe,
        "folds": scale.region_folds,
        "seed": scale.seed,
        "data_words": data.words,
        "weights": weights,
    }
    return [Job(NAME, NAME, cross_validate, arguments, question)]


def cross_validate(
    folder: Path,
    *,
    slides: Mapping[str, str],
    recipe: str,
    folds: int,
    seed: int,
    data_words: str,
    weights: Path | None = None,
) -> Mapping[str, Any]:
    """Learn and test every fold of whole slides, then write ``regions.json``; one thread, for the model is small.

    Raises ``DataError`` with fewer slides than folds, for a slide without its truth, when none has an object, and when
    the recipe needs start weights that are not given.
    """
    from marrowscope.learning.threads import use_threads
    from marrowscope.learning.trails.data import read_labelled
    from marrowscope.learning.trails.recipes import RECIPES
    from marrowscope.learning.trails.validation import SlideResult, draw, measures, run_fold

    use_threads(1)
    rows = as_folds(balanced_folds(np.ones((len(slides), 1)), folds, seed), list(range(len(slides))), "fold")
    chosen = RECIPES[recipe]()
    overviews = [read_labelled(Path(path), chosen.side, name) for name, path in slides.items()]
    results: list[list[SlideResult]] = []
    for fold in rows:
        done = folder / fold.name / "found.json"
        if not done.is_file():
            test = [overviews[row] for row in fold.test]
            train = [overviews[row] for row in fold.train]
            found = run_fold(chosen, train, test, done.parent / "model.pt", weights=weights)
            for one, seen in zip(test, found, strict=True):
                draw(one.picture, seen, folder / "pictures" / f"{one.name}.png")
            write_json(done, {"slides": [asdict(result) for result in found]})
            print(f"{fold.words}: {measures(found)}", flush=True)
        results.append([SlideResult(**one) for one in json.loads(done.read_text(encoding="utf-8"))["slides"]])
    empty = [one.name for one in overviews if not len(one.boxes)]
    scored = [measures(found) for found in results]
    shape, start = chosen.shape, "start weights" if chosen.starts_from_weights else "random weights"
    objects = sum(len(one.boxes) for one in overviews)
    words = (
        f"Regions: {data_words}. {len(overviews)} overviews of {chosen.side} x {chosen.side} px, {folds} folds of "
        f"whole slides, {how_many(objects, 'object')}: boxes round each particle with its trail, from the phantoms' "
        f"truth. Model {chosen.name}: cascade of {len(shape.stages)} stages on {shape.backbone.name}, {chosen.steps} "
        f"steps of {chosen.batch}, from {start}. An object that was missed counts with the IoU of the nearest box."
    )
    if empty:
        words += f" Without a particle or a trail, and so counted by found boxes only: {', '.join(empty)}."
    result = RegionResult(
        tuple(RegionFold(**one["object"]) for one in scored if _asked(one["object"])),
        tuple(RegionFold(**one["slide"]) for one in scored if _asked(one["slide"])),
        {one.name: (len(one.boxes), one.mm2) for found in results for one in found},
        words,
    )
    write_json(folder / FILE, result.to_json())
    return {"slides": len(overviews), "folds": folds, "without_object": empty}


def _asked(values: Mapping[str, float]) -> bool:
    """Whether a fold has anything to be found."""
    return not math.isnan(values["iou"])
