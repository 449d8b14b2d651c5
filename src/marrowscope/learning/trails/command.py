"""``marrowscope train regions``: from a folder of slides to the files that a pack takes its region model from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from marrowscope.errors import DataError, how_many
from marrowscope.evaluation.intervals import Proportion, bootstrap_interval
from marrowscope.files import write_json
from marrowscope.learning.cascade.backbones import check_start_weights, parameter_count
from marrowscope.learning.cascade.inference import load_cascade
from marrowscope.learning.cascade.places import require_place
from marrowscope.learning.cascade.training import MODEL_FILE as TORCH_FILE
from marrowscope.learning.trails.data import LabelledOverview
from marrowscope.learning.trails.export import export_trails
from marrowscope.learning.trails.folders import LabelledFolder, read_folder
from marrowscope.learning.trails.recipes import RECIPES, TrailRecipe
from marrowscope.learning.trails.scoring import FOUND_FROM, Counts
from marrowscope.learning.trails.training import require_weights, train_trails
from marrowscope.learning.trails.validation import SlideResult, counts, find_on
from marrowscope.packs.contract import RegionContract
from marrowscope.packs.metrics import METRICS_FILE, Evaluation, Measured, RegionMetrics

MODEL_FILE = "regions.onnx"
HELD_OUT = 0.2
LEAST_SLIDES = 3
FILES = (TORCH_FILE, MODEL_FILE, METRICS_FILE)
"""What a finished training leaves, in the order in which it is written."""

Progress = Callable[[str, float, str], None]
"""Called with the stage, the share of it that is done, and words."""


def train_regions_command(
    recipe: str,
    data: Path,
    output: Path,
    *,
    weights: Path | str | None = None,
    seed: int | None = None,
    spacing: float | None = None,
    force: bool = False,
    progress: Progress = lambda stage, done, words: None,
) -> RegionMetrics:
    """Train on four fifths of the slides; writes ``model.pt``, ``regions.onnx`` and ``metrics.json`` to ``output``.

    ``data``: see :func:`marrowscope.learning.trails.folders.read_folder`; ``metrics.json``, written last, says what the
    model finds on the other fifth. An earlier training in ``output`` is begun anew only with ``force``. Options are
    looked at first. Raises ``DataError`` as that and :func:`train_trails` do, for an unknown recipe, for weights that a
    recipe has no use for, and for too few slides, ``OutputError`` as :func:`require_place`.
    """
    if recipe not in RECIPES:
        raise DataError(f"there is no recipe {recipe!r}; the recipes are: {', '.join(RECIPES)}")
    chosen = RECIPES[recipe]()
    chosen = chosen if seed is None else replace(chosen, seed=seed)
    require_weights(chosen, weights)
    if weights is not None and not chosen.starts_from_weights:
        raise DataError(f"the recipe {recipe} starts from random weights: leave --weights out, or take --recipe trails")
    require_place(output, FILES, force=force)
    if weights is not None:
        check_start_weights(chosen.shape.backbone, weights)
    seen = read_folder(data, chosen.side, spacing, lambda done, name: progress("reading slides", done, name))
    train, test = hold_out(seen.overviews, chosen.seed)

    def told(done: float) -> None:
        progress("training", done, f"step {round(done * chosen.steps):,} of {chosen.steps:,}")

    model = train_trails(chosen, train, output / TORCH_FILE, told, weights=weights)
    progress("exporting", 0.0, "")
    contract = export_trails(model, [one.picture for one in (*test, *train)[:2]], output / MODEL_FILE)
    progress("measuring on the held-out slides", 0.0, how_many(len(test), "slide"))
    metrics = measured(model, chosen, contract, seen, train, find_on(model, test))
    write_json(output / METRICS_FILE, metrics.model_dump(mode="json"))
    return metrics


def hold_out(overviews: Sequence[LabelledOverview], seed: int) -> tuple[list[LabelledOverview], list[LabelledOverview]]:
    """Overviews to learn from and a fifth to measure on, at random; a fifth of those with an object, at least one.

    Raises ``DataError`` with fewer than three slides, or with an object on fewer than two.
    """
    if len(overviews) < LEAST_SLIDES:
        raise DataError(f"{LEAST_SLIDES} slides or more are needed, to learn and to measure; found {len(overviews)}")
    with_object = [row for row, one in enumerate(overviews) if len(one.boxes)]
    if len(with_object) < 2:
        raise DataError(
            f"{len(with_object)} of {how_many(len(overviews), 'overview')} has a particle or a trail: two or more are "
            "needed, to learn and to measure; add slides that do"
        )
    empty = [row for row, one in enumerate(overviews) if not len(one.boxes)]
    generator = np.random.default_rng((seed, 19))
    held: set[int] = set()
    for rows, least in ((with_object, 1), (empty, 0)):
        share = max(least, round(HELD_OUT * len(rows)))
        held |= {rows[place] for place in generator.permutation(len(rows))[:share]}
    return (
        [one for row, one in enumerate(overviews) if row not in held],
        [one for row, one in enumerate(overviews) if row in held],
    )


def measured(
    model: Path,
    recipe: TrailRecipe,
    contract: RegionContract,
    seen: LabelledFolder,
    train: Sequence[LabelledOverview],
    found: Sequence[SlideResult],
) -> RegionMetrics:
    """What a card says of a model that learnt from ``train`` and gave ``found`` on the held-out slides."""
    objects = sum(len(one.boxes) for one in train)
    start = "start weights" if recipe.starts_from_weights else "random weights"
    phantoms = {0: "drawn by hand", len(seen.overviews): "phantoms"}.get(seen.phantoms, "partly phantoms")
    limits = ["The region model has not seen a real slide."] if phantoms == "phantoms" else []
    if all(len(one.boxes) <= 1 for one in train):
        limits.append(
            "No overview that the region model learnt from has more than one object: on smears of several particles "
            "it may find none."
        )
    return RegionMetrics(
        contract=contract,
        architecture=f"Cascade R-CNN, {len(recipe.shape.stages)} stages, {recipe.shape.backbone.name} with a feature "
        f"pyramid, {parameter_count(load_cascade(model)):,} parameters",
        training=f"{how_many(len(train), 'overview')} of {recipe.side} px with {how_many(objects, 'object')} "
        f"({phantoms}), {how_many(recipe.steps, 'step')} of {recipe.batch}, seed {recipe.seed}, from {start}; "
        f"recipe {recipe.name}",
        evaluations=_evaluations(found, phantoms, recipe.seed),
        limits=tuple(limits),
        notes=seen.notes,
    )


def _evaluations(found: Sequence[SlideResult], data: str, seed: int) -> tuple[Evaluation, ...]:
    """By object and by slide: recall and precision with Wilson intervals, IoU with a bootstrap over slides."""
    by_unit = counts(found)
    notes = {"object": "with a box of its own", "slide": "of the areas of all boxes"}
    slides = how_many(len(found), "slide")
    ns = {"object": f"{how_many(len(by_unit['object'].overlaps), 'object')} on {slides}", "slide": slides}
    return tuple(
        Evaluation(
            data=f"held-out slides, {data}, by {unit}",
            n=ns[unit],
            measured=(
                *_shares(counted),
                _mean_iou([counts([one])[unit].overlaps for one in found if len(one.true)], seed),
            ),
            note=f"Found: IoU > {FOUND_FROM:g} {notes[unit]}."
            + ("" if counted.hits + counted.false else " No box was drawn, so there is no precision."),
        )
        for unit, counted in by_unit.items()
    )


def _shares(counted: Counts) -> tuple[Measured, ...]:
    shares = {
        "recall": Proportion(counted.hits, counted.hits + counted.missed),
        "precision": Proportion(counted.hits, counted.hits + counted.false),
    }
    return tuple(
        Measured(name=name, value=share.value, low=share.interval[0], high=share.interval[1])
        for name, share in shares.items()
        if share.total
    )


def _mean_iou(overlaps: Sequence[tuple[float, ...]], seed: int) -> Measured:
    """Over the objects of all slides; without an interval on a single slide."""

    def mean(rows: Iterable[int]) -> float:
        return float(np.mean([overlap for row in rows for overlap in overlaps[row]]))

    low, high = bootstrap_interval(mean, len(overlaps), seed=seed) if len(overlaps) > 1 else (None, None)
    return Measured(name="IoU", value=mean(range(len(overlaps))), low=low, high=high)
