"""``marrowscope train cascade``: from labelled tiles to the files that a pack is built of."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from lightning.pytorch.utilities import rank_zero_only

from marrowscope.annotations.tiles import LabelledTiles, read_tiles
from marrowscope.errors import DataError, how_many
from marrowscope.evaluation.classification import confusion_matrix
from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.matching import match_boxes
from marrowscope.files import write_json
from marrowscope.learning.cascade.backbones import check_start_weights, parameter_count
from marrowscope.learning.cascade.export import export_cascade
from marrowscope.learning.cascade.inference import load_cascade, predict
from marrowscope.learning.cascade.network import CascadeRCNN
from marrowscope.learning.cascade.places import FILES, require_place
from marrowscope.learning.cascade.recipes import RECIPES, CascadeRecipe
from marrowscope.learning.cascade.training import Progress, require_weights, train_cascade, training_steps
from marrowscope.packs.metrics import METRICS_FILE, DetectorMetrics, Evaluation, Measured

MODEL_FILE = "detector.onnx"
SCORE_THRESHOLD = 0.5
"""More cell than background: partly labelled tiles do not say what is no cell, so none can be chosen on them."""

MARGIN = 128
"""Pixels of context: more than the radius of a megakaryocyte. The core of a tile of 640 px is 384 px."""

HELD_OUT = 0.2


def train_cascade_command(
    recipe: str,
    data: Path,
    output: Path,
    *,
    weights: Path | str | None = None,
    steps: int | None = None,
    seed: int | None = None,
    resume: bool = False,
    force: bool = False,
    held_out: float = HELD_OUT,
    silent: bool = False,
    progress: Progress | None = None,
    devices: int | None = None,
) -> DetectorMetrics:
    """Train on labelled tiles; writes ``model.pt``, ``detector.onnx`` and ``metrics.json`` to ``output``.

    ``held_out`` is the share of the tiles that the training does not see and that the metrics are measured on: those of
    whole patients (slides where those are unknown). All GPUs train unless ``devices`` says how many; the processes of
    the further ones end here, see :func:`train_cascade`. ``progress`` is told every step and what comes before and
    after. An earlier training in ``output`` is begun anew only with ``force``; its files stay until the new model is
    whole. Options are looked at first, and nothing is written before training can begin. Raises :class:`DataError` as
    :func:`train_cascade` does and for an unknown recipe, ``OutputError`` as :func:`require_place`, and
    ``KeyboardInterrupt`` when it was broken off.
    """
    if recipe not in RECIPES:
        raise DataError(f"there is no recipe {recipe!r}; the recipes are: {', '.join(RECIPES)}")
    chosen = RECIPES[recipe]()
    chosen = chosen if steps is None else replace(chosen, steps=steps)
    chosen = chosen if seed is None else replace(chosen, seed=seed)
    _require_share(held_out)
    require_weights(chosen, weights)
    if first_process():  # the others begin when this one has written already
        require_place(output, FILES, resume=resume, force=force, can_resume=True)
        if weights is not None:
            check_start_weights(chosen.backbone, weights)
    else:
        progress = None
    tiles = read_tiles(data)
    train, test, unit = hold_out(tiles, held_out, chosen.seed)
    if not silent:
        _say(f"{how_many(len(train), 'tile')} to learn from, {len(test):,} held out to measure on ({unit} kept apart)")
    devices = devices or max(1, torch.cuda.device_count())
    try:
        model = train_cascade(
            chosen, tiles, train, output,
            weights=weights, resume=resume, silent=silent, progress=progress, devices=devices,
        )  # fmt: skip
    except SystemExit as left:
        if first_process() and left.code == 1:  # Lightning's answer to an interrupt
            raise KeyboardInterrupt from None
        raise
    return export_run(model, chosen, tiles, train, test, output, unit, progress=progress)


def first_process() -> bool:
    """Whether this is the one of several training processes that speaks and writes."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


@rank_zero_only
def _say(words: str) -> None:
    print(words, file=sys.stderr)  # past a bar of rich, which keeps this line above itself


def export_run(
    model: Path,
    recipe: CascadeRecipe,
    tiles: LabelledTiles,
    train: Sequence[int],
    test: Sequence[int],
    output: Path,
    unit: str,
    *,
    progress: Progress | None = None,
) -> DetectorMetrics:
    """Write ``detector.onnx`` and ``metrics.json`` of a trained ``model.pt``, measured on the tiles ``test``.

    ``unit`` says in words what was kept apart. The metrics of an earlier model are gone before, so that a break leaves
    no old figures beside a new model. Raises :class:`DataError` when the graph is not the model.
    """
    tell = progress or (lambda stage, done, words: None)
    network = load_cascade(model)
    output.mkdir(parents=True, exist_ok=True)
    (output / METRICS_FILE).unlink(missing_ok=True)
    metrics = measure(network, recipe, tiles, train, test, unit, tell)  # first: export moves the network to the CPU
    tell("exporting", 0.0, "")
    compared = np.stack([tiles.picture(row) for row in (*test, *train)[:2]])
    export_cascade(network, compared, output / MODEL_FILE)
    write_json(output / METRICS_FILE, metrics.model_dump(mode="json"))
    return metrics


def hold_out(tiles: LabelledTiles, share: float, seed: int) -> tuple[list[int], list[int], str]:
    """Rows to train on, rows held out, and what was kept apart: whole patients, else slides, else tiles.

    Patients are taken in a random order, passing over those that would bring the tiles held out no nearer to the share
    and those whose absence would leave a class without a cell; where none is left, that with the fewest tiles is taken.
    Raises :class:`DataError` when there is nothing to hold out.
    """
    _require_share(share)
    patients = tiles.tiles["patient"].to_list()
    slides = tiles.tiles["slide"].to_list()
    named = [patient or slide for patient, slide in zip(patients, slides, strict=True)]
    unit = "patients" if all(patients) else "slides"
    if len(set(named)) < 2:
        named, unit = [str(row) for row in range(len(tiles))], "tiles of one slide"
    if len(set(named)) < 2:
        raise DataError(f"{tiles.folder} holds one tile: two or more are needed, to train and to measure")
    by_unit = {name: {row for row, other in enumerate(named) if other == name} for name in sorted(set(named))}
    owned = tiles.cells.filter(pl.col("owned") & pl.col("type").is_in(list(tiles.classes)))
    wanted, held = share * len(tiles), set[int]()
    most = max(wanted, len(tiles) / 2)

    def can_go(rows: set[int]) -> bool:
        return set(owned.filter(~pl.col("tile").is_in(list(rows)))["type"]) == set(owned["type"])

    order = [by_unit[str(name)] for name in np.random.default_rng((seed, 19)).permutation(sorted(by_unit))]
    for rows in order:
        tried = held | rows
        if len(tried) <= most and abs(len(tried) - wanted) < abs(len(held) - wanted) and can_go(tried):
            held = tried
    held = held or next((rows for rows in sorted(order, key=len) if can_go(rows)), held)
    if not held:
        holding = [set(owned.filter(pl.col("tile").is_in(list(rows)))["type"]) for rows in by_unit.values()]
        once = sorted(name for name in set(owned["type"]) if sum(name in types for types in holding) == 1)
        raise DataError(
            f"every one of the {len(by_unit)} {unit} is the only one with some type ({', '.join(once)}): add slides "
            "that have them, so that one can be held out"
        )
    return [row for row in range(len(tiles)) if row not in held], sorted(held), unit


def _require_share(share: float) -> None:
    if not 0 < share < 1:
        raise DataError(
            f"the share that is held out must lie between 0 and 1, found {share:g}: give another --held-out"
        )


def measure(
    network: CascadeRCNN,
    recipe: CascadeRecipe,
    tiles: LabelledTiles,
    train: Sequence[int],
    test: Sequence[int],
    unit: str,
    progress: Progress = lambda stage, done, words: None,
) -> DetectorMetrics:
    """What the network finds and calls of the labelled cells of the tiles ``test``; unlabelled cells are not judged."""
    truth: list[int] = []
    called: list[int] = []
    number = {name: place for place, name in enumerate(tiles.classes)}
    labels = tiles.cells.filter(pl.col("owned") & pl.col("type").is_in(list(tiles.classes)))
    missed = 0
    progress("measuring on the held-out tiles", 0.0, "")
    looked_at = zip(test, predict(network, (tiles.picture(row) for row in test)), strict=True)
    for done, (row, found) in enumerate(looked_at, start=1):
        progress("measuring on the held-out tiles", done / len(test), f"tile {done:,} of {len(test):,}")
        mine = labels.filter(pl.col("tile") == row)
        kept = found[found.scores >= SCORE_THRESHOLD]
        pairs = match_boxes(kept.boxes, mine.select("x0", "y0", "x1", "y1").to_numpy())
        missed += len(pairs.missed)
        if len(pairs):
            assert kept.probabilities is not None
            called += kept.probabilities[pairs.predicted].argmax(1).tolist()
            types = mine["type"].to_list()
            truth += [number[types[i]] for i in pairs.truth]
    counts = confusion_matrix(truth, called, len(tiles.classes))
    labelled = len(truth) + missed
    shares = (
        ("labelled cells that were found", Proportion(len(truth), labelled)),
        ("labelled cells found and called right", Proportion(int(np.trace(counts)), labelled)),
    )
    measured = tuple(
        Measured(name=name, value=share.value, low=share.interval[0], high=share.interval[1]) for name, share in shares
    )
    slides = len(set(tiles.tiles["slide"].gather(list(test))))
    held = f"{how_many(len(test), 'tile')} of {how_many(slides, 'slide')} that training did not see ({unit} kept apart)"
    stages = "one stage (Faster R-CNN)" if len(recipe.stages) == 1 else f"{len(recipe.stages)} stages"
    return DetectorMetrics(
        spacing=recipe.spacing,
        architecture=f"Cascade R-CNN, {stages}, {recipe.backbone.name} with a feature pyramid, "
        f"{parameter_count(network):,} parameters",
        training=f"{how_many(len(train), 'tile')} of {tiles.side} px, "
        f"{how_many(training_steps(recipe, len(train)), 'step')} of {how_many(recipe.batch, 'tile')}, "
        f"seed {recipe.seed}; recipe {recipe.name}",
        evaluations=(Evaluation(data=held, n=how_many(labelled, "labelled cell"), measured=measured),),
        limits=("Measured on partly labelled tiles: how often it takes something else for a cell is not known.",),
        tile=tiles.side,
        margin=min(MARGIN, tiles.side // 4 // network.pyramid.strides[-1] * network.pyramid.strides[-1]),
        stride=network.pyramid.strides[-1],
        score_threshold=SCORE_THRESHOLD,
        threshold_chosen="fixed beforehand, chosen on no data",
        iou_threshold=network.shape.iou,
        classes=tiles.classes,
        confusion=tuple(tuple(int(n) for n in row) for row in counts),
        confusion_data=f"{how_many(len(truth), 'cell')} that were found on {held}",
    )
