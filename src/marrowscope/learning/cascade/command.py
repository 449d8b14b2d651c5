"""``marrowscope train cascade``: from labelled tiles to the files that a pack is built of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import torch
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from marrowscope.annotations.tiles import LabelledTiles, read_tiles
from marrowscope.errors import DataError
from marrowscope.evaluation.classification import confusion_matrix
from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.matching import match_boxes
from marrowscope.files import write_json
from marrowscope.learning.cascade.backbones import parameter_count
from marrowscope.learning.cascade.export import export_cascade
from marrowscope.learning.cascade.inference import load_cascade, predict
from marrowscope.learning.cascade.network import CascadeRCNN
from marrowscope.learning.cascade.recipes import RECIPES, CascadeRecipe
from marrowscope.learning.cascade.training import train_cascade, training_steps
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
    held_out: float = HELD_OUT,
    silent: bool = False,
    devices: int | None = None,
) -> DetectorMetrics:
    """Train on labelled tiles; writes ``model.pt``, ``detector.onnx`` and ``metrics.json`` to ``output``.

    ``held_out`` is the share of the tiles that the training does not see and that the metrics are measured on: those of
    whole patients (slides where those are unknown). All GPUs train unless ``devices`` says how many; the processes of
    the further ones end here, see :func:`train_cascade`. Raises :class:`DataError` as that does and for an unknown
    recipe.
    """
    if recipe not in RECIPES:
        raise DataError(f"there is no recipe {recipe!r}; the recipes are: {', '.join(RECIPES)}")
    chosen = RECIPES[recipe]()
    chosen = chosen if steps is None else replace(chosen, steps=steps)
    chosen = chosen if seed is None else replace(chosen, seed=seed)
    tiles = read_tiles(data)
    train, test, unit = hold_out(tiles, held_out, chosen.seed)
    if not silent:
        _say(f"{len(train):,} tiles to learn from, {len(test):,} held out to measure on ({unit} kept apart)")
    devices = devices or max(1, torch.cuda.device_count())
    model = train_cascade(chosen, tiles, train, output, weights=weights, resume=resume, silent=silent, devices=devices)
    return export_run(model, chosen, tiles, train, test, output, unit)


@rank_zero_only
def _say(words: str) -> None:
    Console(stderr=True, soft_wrap=True).print(words, highlight=False)


def export_run(
    model: Path,
    recipe: CascadeRecipe,
    tiles: LabelledTiles,
    train: Sequence[int],
    test: Sequence[int],
    output: Path,
    unit: str,
) -> DetectorMetrics:
    """Write ``detector.onnx`` and ``metrics.json`` of a trained ``model.pt``, measured on the tiles ``test``.

    ``unit`` says in words what was kept apart. Raises :class:`DataError` when the graph is not the model.
    """
    network = load_cascade(model)
    output.mkdir(parents=True, exist_ok=True)
    compared = np.stack([tiles.picture(row) for row in (*test, *train)[:2]])
    export_cascade(network, compared, output / MODEL_FILE)
    metrics = measure(network, recipe, tiles, train, test, unit)
    write_json(output / METRICS_FILE, metrics.model_dump(mode="json"))
    return metrics


def hold_out(tiles: LabelledTiles, share: float, seed: int) -> tuple[list[int], list[int], str]:
    """Rows to train on, rows held out, and what was kept apart: whole patients, else slides, else tiles.

    Patients are taken in a random order, passing over those that would bring the tiles held out no nearer to the share
    and those whose absence would leave a class without a cell; where none is left, that with the fewest tiles is taken.
    Raises :class:`DataError` when there is nothing to hold out.
    """
    if not 0 < share < 1:
        raise DataError(f"the share that is held out must lie between 0 and 1, found {share:g}")
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
        raise DataError(
            f"every one of the {len(by_unit)} {unit} is the only one with some type: add slides, so that one can be "
            "held out"
        )
    return [row for row in range(len(tiles)) if row not in held], sorted(held), unit


def measure(
    network: CascadeRCNN,
    recipe: CascadeRecipe,
    tiles: LabelledTiles,
    train: Sequence[int],
    test: Sequence[int],
    unit: str,
) -> DetectorMetrics:
    """What the network finds and calls of the labelled cells of the tiles ``test``; unlabelled cells are not judged."""
    truth: list[int] = []
    called: list[int] = []
    number = {name: place for place, name in enumerate(tiles.classes)}
    labels = tiles.cells.filter(pl.col("owned") & pl.col("type").is_in(list(tiles.classes)))
    missed = 0
    for row, found in zip(test, predict(network, (tiles.picture(row) for row in test)), strict=True):
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
    held = f"{len(test):,} tiles of {slides} slides that training did not see ({unit} kept apart)"
    stages = "one stage (Faster R-CNN)" if len(recipe.stages) == 1 else f"{len(recipe.stages)} stages"
    return DetectorMetrics(
        spacing=recipe.spacing,
        architecture=f"Cascade R-CNN, {stages}, {recipe.backbone.name} with a feature pyramid, "
        f"{parameter_count(network):,} parameters",
        training=f"{len(train):,} tiles of {tiles.side} px, {training_steps(recipe, len(train)):,} steps of "
        f"{recipe.batch} tiles, seed {recipe.seed}; recipe {recipe.name}",
        evaluations=(Evaluation(data=held, n=f"{labelled:,} labelled cells", measured=measured),),
        limits=("Measured on partly labelled tiles: how often it takes something else for a cell is not known.",),
        tile=tiles.side,
        margin=min(MARGIN, tiles.side // 4 // network.pyramid.strides[-1] * network.pyramid.strides[-1]),
        stride=network.pyramid.strides[-1],
        score_threshold=SCORE_THRESHOLD,
        iou_threshold=network.shape.iou,
        classes=tiles.classes,
        confusion=tuple(tuple(int(n) for n in row) for row in counts),
        confusion_data=f"{len(truth):,} cells that were found on {held}",
    )
