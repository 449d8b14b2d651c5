"""What it costs a detector that part of the cells has no label, and which rule for unlabelled boxes wins it back.

    python benchmarks/missing_labels.py --weights ../shared/weights/mobilenetv2_imagenet.npz -o FOLDER
        [--data COHORT] [--missing 0 30 50 70] [--rules RULE ...] [--seeds 3] [--steps 400] [--threads N] [--resume]

Phantoms only: fields of difficulty ``paper`` in which every cell is known, or the tiles of a phantom cohort with their
whole truth (``--data``, quartered). Part of the training labels is taken away at random, the same ones for all rules
(those missing at 30 % are missing at 50 % too); then the same recipe is trained with each rule:

* ``background``: what has no label is background;
* ``soft-sampling``: the further from every label, the less it is believed (Wu et al., BMVC 2019);
* ``ignore-confident`` (ours): what the network itself takes for a cell is believed neither way;
* ``soft boxes``, where half of the labels is missing: soft sampling on the box loss, as wang-2022 prints it (eq. 14).

Measured on fully labelled phantom tiles that were held out: recall at score 0.5 and at one false positive a tile, AP50
of cells of whatever type and the mean over types, recall by type, and false positives on tiles of red cells alone, such
as no training tile is, for tiles are cut where cells are labelled; against ``background`` with 95 % intervals by paired
bootstrap over tiles and seeds together. Every result is one line of ``FOLDER/results.jsonl``, keyed by its settings:
with ``--resume`` only what is not there is trained. Two runs may share a folder (``--first-seed``).
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from drawn_tiles import DrawnTiles, Picture, drawn_tiles
from numpy.typing import NDArray
from rich.progress import track
from tables import machine, markdown_table

from marrowscope.errors import DataError
from marrowscope.evaluation.detection import LabelledPicture, Ranking, average_precision, judge
from marrowscope.evaluation.intervals import bootstrap_interval
from marrowscope.evaluation.matching import match_by_score
from marrowscope.files import whole_file
from marrowscope.geometry import Size
from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.cascade.data import LEARNT_FROM
from marrowscope.learning.cascade.inference import load_cascade, predict
from marrowscope.learning.cascade.negatives import MISSING_LABELS, NegativeRule
from marrowscope.learning.cascade.network import CascadeRCNN
from marrowscope.learning.cascade.recipes import CascadeRecipe, modern, scratch
from marrowscope.learning.cascade.training import train_cascade
from marrowscope.learning.threads import use_threads
from marrowscope.phantom import FieldOptions, render_field
from marrowscope.phantom.diagnoses import DIAGNOSES
from marrowscope.phantom.field import SEEDS_PER_POOL
from marrowscope.studies.wang_2022.data import SIDE as STUDY_SIDE
from marrowscope.studies.wang_2022.data import prepare_data
from marrowscope.taxonomy import WANG_2022_TYPES

SIDE, SPACING = 320, 0.25
TRAIN_FIELDS, TEST_FIELDS, EMPTY_FIELDS = 240, 80, 20
FIRST_TRAIN_SEED, FIRST_TEST_SEED, FIRST_EMPTY_SEED = 1_600_000, 820_000, 880_000
"""Of ranges that the project keeps for training and for tests; the packs were trained and judged on others."""

FIELDS_OF_ONE_POOL = 60
"""So many fields are drawn from one pool of cells; the next from another, and those for tests from none of these."""

DENSITY = 2000.0
"""Cells per mm2 of a rendered field: about thirteen a tile."""

SCORE = 0.5
FALSE_A_TILE = 1.0
DRAWS = 400

SOFT_BOXES = "soft boxes"
SOFT_BOXES_AT = 50

GAINS = (
    "Of each phantom figure: mean over seeds; then the gain over `background` with as many labels missing and its 95 "
    "% interval, by paired bootstrap over phantom tiles and seeds."
)

LIMITS = (
    "What phantoms show of a rule they show of phantoms: labels of real marrow are not missing at random, and a "
    "phantom has no cell that is hard to tell from dirt."
)

Numbers = NDArray[np.float64]
Statistic = Callable[["Judged", NDArray[np.intp]], float]


@dataclass(frozen=True, slots=True)
class Fields:
    """Fully labelled tiles: ``tiles`` for training, then those held out; ``train`` and ``test`` are their rows."""

    tiles: DrawnTiles
    train: range
    test: range
    words: str


@dataclass(frozen=True, slots=True)
class Setting:
    """One training. ``missing`` percent of the labels; ``rule`` of :data:`MISSING_LABELS` or ``SOFT_BOXES``."""

    missing: int
    rule: str
    seed: int

    def recipe(self, base: CascadeRecipe) -> CascadeRecipe:
        soft_boxes = self.rule == SOFT_BOXES
        kind = next((one for one in MISSING_LABELS if one == self.rule), "background")
        negatives = NegativeRule(kind)
        return replace(base, name=self.rule, negatives=negatives, soft_boxes=soft_boxes, seed=self.seed)


@dataclass(frozen=True, slots=True)
class Judged:
    """A training's result on the held-out tiles, cell by cell and detection by detection.

    ``cell_tile, cell_type (c,)``; ``cell_score (c,)`` of the detection that found the cell, 0 for none; ``tile, score,
    right, called, right_type (d,)`` of the detections: whether each found a cell, and one of the type that it was
    called. ``type_score (d,)`` ranks those of a type.
    """

    tiles: int
    cell_tile: NDArray[np.intp]
    cell_type: NDArray[np.intp]
    cell_score: Numbers
    tile: NDArray[np.intp]
    score: Numbers
    right: NDArray[np.bool_]
    called: NDArray[np.intp]
    type_score: Numbers
    right_type: NDArray[np.bool_]


def recipe(steps: int, started: bool) -> CascadeRecipe:
    """:func:`modern` (:func:`scratch` where it is not ``started`` from weights) on quarter tiles that are turned and
    mirrored only: what is asked is what the rule does."""
    return replace(
        modern() if started else scratch(),
        side=SIDE,
        batch=2,
        samples=32,
        steps=steps,
        augmentation=Augmentation(turns=True),
        rare=0.0,
    )


def rendered(train: int = TRAIN_FIELDS, test: int = TEST_FIELDS, empty: int = EMPTY_FIELDS, side: int = SIDE) -> Fields:
    """Phantom fields of difficulty ``paper``, every third with all types equally often, else of each diagnosis.

    The last ``empty`` ones are for tests too and hold no nucleated cell.
    """
    names = list(DIAGNOSES)
    pictures: list[Picture] = []
    cells: list[dict[str, Any]] = []
    seeds = [
        first + number // FIELDS_OF_ONE_POOL * SEEDS_PER_POOL + number % FIELDS_OF_ONE_POOL
        for first, count in ((FIRST_TRAIN_SEED, train), (FIRST_TEST_SEED, test), (FIRST_EMPTY_SEED, empty))
        for number in range(count)
    ]
    for number, seed in enumerate(track(seeds, "rendering phantom fields", disable=len(seeds) < 50)):
        composition = "even" if number % 3 == 0 else names[number // 3 % len(names)]
        density = DENSITY if number < train + test else 0.0
        options = FieldOptions("may-gruenwald-giemsa", composition, "paper", SPACING, density)
        field = render_field(options, Size(side, side), seed=seed)
        pictures.append(field.picture)
        cells += [
            {"tile": number, "id": "", "owned": row["visible"] >= 0.5, **row}
            for row in field.cells.iter_rows(named=True)
        ]
    words = f"rendered phantom fields of difficulty paper, {side} px at {SPACING:g} um per pixel"
    return _fields(pictures, [str(seed) for seed in seeds], cells, train, side, words)


def of_cohort(source: Path, output: Path, side: int = SIDE) -> Fields:
    """Quarters of the study's tiles of a phantom cohort with their whole truth; every fifth slide is held out.

    Raises :class:`DataError` for tiles whose whole truth nobody knows.
    """
    data = prepare_data(source, output / "study", lambda *_: None)
    if data.truth is None:
        raise DataError(f"{source} is no phantom cohort: only there is it known which labels are missing")
    names = data.tiles.tiles["slide"].to_list()
    held = set(sorted(set(names))[::5])
    rows = sorted(range(len(names)), key=lambda row: names[row] in held)
    corners = [(x, y) for y in range(0, STUDY_SIDE, side) for x in range(0, STUDY_SIDE, side)]
    by_tile = {key[0]: part for key, part in data.truth.partition_by("tile", as_dict=True).items()}
    pictures, slides, cells = [], [], []
    for row in rows:
        whole = data.tiles.picture(row)
        for x, y in corners:
            pictures.append(np.ascontiguousarray(whole[y : y + side, x : x + side]))
            slides.append(names[row])
            for cell in by_tile[row].iter_rows(named=True) if row in by_tile else ():
                box = np.array([cell[name] for name in ("x0", "y0", "x1", "y1")]) - (x, y, x, y)
                cut = np.clip(box, 0, side)
                visible = float((cut[2:] - cut[:2]).prod() / (box[2:] - box[:2]).prod())
                if visible > 0.02:
                    corner = dict(zip(("x0", "y0", "x1", "y1"), cut.tolist(), strict=True))
                    shown = {"visible": visible, "owned": visible >= 0.5}
                    cells.append({"tile": len(pictures) - 1, "id": "", "type": cell["type"], **corner, **shown})
    train = len(corners) * sum(name not in held for name in names)
    return _fields(pictures, slides, cells, train, side, f"quarters of the tiles of {data.words}")


def _fields(
    pictures: Sequence[Picture], slides: Sequence[str], cells: list[dict[str, Any]], train: int, side: int, words: str
) -> Fields:
    learnt = {row["type"] for row in cells if row["tile"] < train and row["visible"] >= 0.5}
    classes = tuple(name for name in WANG_2022_TYPES if name in learnt)
    tiles = drawn_tiles(pictures.__getitem__, slides, cells, spacing=SPACING, side=side, classes=classes)
    return Fields(tiles, range(train), range(train, len(pictures)), words)


def without(fields: Fields, missing: int, seed: int) -> DrawnTiles:
    """The tiles with ``missing`` percent of the labels of the training tiles taken away, of whatever type.

    More missing takes away the same and more; one label of each class is never taken, for nothing can be learnt of a
    type without any.
    """
    cells = fields.tiles.cells.filter(pl.col("tile") < len(fields.train))
    order = np.random.default_rng((seed, 41)).permutation(cells.height)
    gone = order[: round(missing / 100 * cells.height)]
    types = cells["type"].gather(order).to_list()
    whole = (cells["owned"] & (cells["visible"] >= LEARNT_FROM)).gather(order).to_list()
    classes = fields.tiles.classes
    last = {name: int(row) for name, row, seen in zip(types, order, whole, strict=True) if seen and name in classes}
    kept = np.setdiff1d(np.arange(cells.height), np.setdiff1d(gone, list(last.values())))
    return replace(fields.tiles, cells=cells[kept])


def look(network: CascadeRCNN, fields: Fields) -> Judged:
    """What a network finds on the held-out tiles, matched to their cells by score at IoU 0.5.

    Cells of types that are not trained, and those with little of them in the tile, count neither way.
    """
    classes = list(fields.tiles.classes)
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in Judged.__slots__ if name != "tiles"}
    found = predict(network, (fields.tiles.picture(row) for row in fields.test))
    truth = fields.tiles.cells.partition_by("tile", as_dict=True)
    for number, (row, one) in enumerate(zip(fields.test, found, strict=True)):
        cells = truth.get((row,), fields.tiles.cells.clear())
        counted = (cells["type"].is_in(classes) & (cells["visible"] >= LEARNT_FROM)).to_numpy()
        boxes = cells.select("x0", "y0", "x1", "y1").to_numpy()
        mine, ignored = boxes[counted], boxes[~counted]
        types = np.array([classes.index(name) for name in cells.filter(counted)["type"]], np.intp)
        assert one.probabilities is not None
        called, certain = one.probabilities.argmax(1), one.probabilities.max(1).astype(np.float64)
        scores = one.scores.astype(np.float64)
        right, kept = judge(LabelledPicture(one.boxes, scores, mine, ignored))
        pairs = match_by_score(one.boxes, scores, mine)
        cell_score = np.zeros(len(mine))
        cell_score[pairs.truth] = scores[pairs.predicted]
        right_type = np.zeros(len(scores), bool)
        for kind in np.unique(called):
            rows = np.flatnonzero(called == kind)
            typed = match_by_score(one.boxes[rows], (scores * certain)[rows], mine[types == kind])
            right_type[rows[typed.predicted]] = True
        parts["cell_tile"].append(np.full(len(mine), number))
        parts["cell_type"].append(types)
        parts["cell_score"].append(cell_score)
        parts["tile"].append(np.full(int(kept.sum()), number))
        for name, values in (
            ("score", scores),
            ("right", right),
            ("called", called),
            ("type_score", scores * certain),
            ("right_type", right_type),
        ):
            parts[name].append(values[kept])
    return Judged(len(fields.test), **{name: np.concatenate(values) for name, values in parts.items()})


def recall(one: Judged, drawn: NDArray[np.intp]) -> float:
    """Share of the cells of these tiles found with a score of at least :data:`SCORE`."""
    weight = _weights(one, drawn)[one.cell_tile]
    return float((weight * (one.cell_score >= SCORE)).sum() / weight.sum()) if weight.any() else float("nan")


def recall_at_false(one: Judged, drawn: NDArray[np.intp]) -> float:
    """Recall at the score from which there is one false positive a tile."""
    weights = _weights(one, drawn)
    order = np.argsort(-one.score, kind="stable")
    false = np.cumsum((weights[one.tile] * ~one.right)[order])
    beyond = np.flatnonzero(false > FALSE_A_TILE * len(drawn))
    least = one.score[order[beyond[0]]] if len(beyond) else -1.0
    weight = weights[one.cell_tile]
    found = (one.cell_score > least) & (one.cell_score > 0)
    return float((weight * found).sum() / weight.sum()) if weight.any() else float("nan")


def ap50(one: Judged, drawn: NDArray[np.intp]) -> float:
    """Average precision of cells of whatever type."""
    return _precision(one.tile, one.score, one.right, one.cell_tile, drawn, one.tiles)


def ap50_types(one: Judged, drawn: NDArray[np.intp]) -> float:
    """Mean over types of average precision, of those that these tiles hold."""
    values = []
    for kind in np.unique(one.cell_type):
        mine, cells = one.called == kind, one.cell_type == kind
        values.append(
            _precision(
                one.tile[mine], one.type_score[mine], one.right_type[mine], one.cell_tile[cells], drawn, one.tiles
            )
        )
    return float(np.nanmean(values))


def false_on_empty(one: Judged, drawn: NDArray[np.intp]) -> float:
    """Detections with a score of at least :data:`SCORE` on a tile that holds no cell; no number without such tiles."""
    empty = np.ones(one.tiles, bool)
    empty[one.cell_tile] = False
    weights = _weights(one, drawn) * empty
    return float(weights[one.tile[one.score >= SCORE]].sum() / weights.sum()) if weights.any() else float("nan")


STATISTICS: dict[str, Statistic] = {
    f"recall at score {SCORE:g}": recall,
    f"recall at {FALSE_A_TILE:g} false a tile": recall_at_false,
    "AP50, any type": ap50,
    "AP50, mean of types": ap50_types,
    f"false at score {SCORE:g} on a tile without cells": false_on_empty,
}


def _weights(one: Judged, drawn: NDArray[np.intp]) -> NDArray[np.intp]:
    """How often each tile was drawn."""
    return np.bincount(drawn, minlength=one.tiles)


def _precision(
    tile: NDArray[np.intp],
    score: Numbers,
    right: NDArray[np.bool_],
    cells: NDArray[np.intp],
    drawn: NDArray[np.intp],
    tiles: int,
) -> float:
    weights = np.bincount(drawn, minlength=tiles)
    order = np.argsort(-score, kind="stable")
    often = weights[tile[order]]
    return average_precision(
        Ranking(np.repeat(score[order], often), np.repeat(right[order], often), int(weights[cells].sum()))
    )


def difference(
    ours: Sequence[Judged], base: Sequence[Judged], statistic: Statistic, draws: int = DRAWS
) -> tuple[float, float, float]:
    """Mean over seeds of the gain over ``base``, and its interval: tiles and seeds are redrawn together, in pairs."""
    tiles, seeds = ours[0].tiles, len(ours)
    every = np.arange(tiles)
    value = float(np.mean([statistic(a, every) - statistic(b, every) for a, b in zip(ours, base, strict=True)]))

    def gain(drawn: NDArray[np.intp]) -> float:
        rng = np.random.default_rng(drawn.astype(np.int64))
        chosen = rng.integers(0, seeds, seeds)
        return float(np.mean([statistic(ours[i], drawn) - statistic(base[i], drawn) for i in chosen]))

    return value, *bootstrap_interval(gain, tiles, seed=0, draws=draws)


class Results:
    """``results.jsonl``: a line a training, its settings first. A line that a crash cut off is not read."""

    def __init__(self, path: Path, question: str) -> None:
        self.path, self.question = path, question

    def __iter__(self) -> Iterator[tuple[Setting, Judged]]:
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else ():
            try:
                stored = json.loads(line)
            except ValueError:
                continue
            if stored["question"] != self.question:
                raise DataError(
                    f"{self.path} holds results of other tiles or of another recipe: give another folder with -o"
                )
            yield Setting(**stored["setting"]), _read(stored["judged"])

    def add(self, setting: Setting, judged: Judged) -> None:
        values = {name: _plain(getattr(judged, name)) for name in Judged.__slots__}
        line = json.dumps({"setting": asdict(setting), "question": self.question, "judged": values})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        cut = self.path.is_file() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size > 0
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(("\n" if cut else "") + line + "\n")


def _plain(values: Any) -> Any:
    if isinstance(values, int):
        return values
    return np.round(values, 5).tolist() if values.dtype.kind == "f" else values.astype(int).tolist()


def _read(stored: dict[str, Any]) -> Judged:
    kinds = {"cell_score": float, "score": float, "type_score": float, "right": bool, "right_type": bool}
    arrays = {name: np.array(stored[name], kinds.get(name, np.intp)) for name in Judged.__slots__ if name != "tiles"}
    return Judged(stored["tiles"], **arrays)


def question(base: CascadeRecipe, fields: Fields) -> str:
    """What makes two results comparable: recipe and tiles, in 16 hex digits."""
    told = sha256(json.dumps([asdict(base), fields.words, list(fields.train), fields.tiles.classes]).encode())
    told.update(str(fields.tiles.cells.hash_rows().sum()).encode())
    return told.hexdigest()[:16]


def settings(missing: Sequence[int], rules: Sequence[str], seeds: Sequence[int]) -> list[Setting]:
    """All trainings, seed by seed, so that a run that is broken off has whole comparisons."""
    every = [
        Setting(share, rule, seed)
        for seed in seeds
        for share in missing
        for rule in (*rules, *([SOFT_BOXES] if share == SOFT_BOXES_AT else []))
    ]
    return list(dict.fromkeys(every))


def run(
    fields: Fields,
    base: CascadeRecipe,
    asked: Sequence[Setting],
    output: Path,
    *,
    weights: Path | None = None,
    silent: bool = False,
) -> Results:
    """Train what ``results.jsonl`` does not hold. A training that was broken off goes on from its checkpoint."""
    results = Results(output / "results.jsonl", question(base, fields))
    done = {setting for setting, _ in results}
    for number, setting in enumerate(asked):
        if setting in done:
            continue
        if not silent:
            print(f"{number + 1} of {len(asked)}: {setting.missing} % missing, {setting.rule}, seed {setting.seed}")
        work = output / f"{setting.missing}-{setting.rule.replace(' ', '-')}-{setting.seed}"
        tiles = without(fields, setting.missing, setting.seed)
        rows, resume = list(fields.train), work.is_dir()
        recipe = setting.recipe(base)
        model = train_cascade(recipe, tiles, rows, work, weights=weights, resume=resume, silent=silent)
        results.add(setting, look(load_cascade(model), fields))
        shutil.rmtree(work)
    return results


def page(results: Results, fields: Fields, base: CascadeRecipe, draws: int = DRAWS) -> str:
    """The results as Markdown."""
    held: dict[tuple[int, str], dict[int, Judged]] = {}
    for setting, judged in results:
        held.setdefault((setting.missing, setting.rule), {})[setting.seed] = judged
    labels = fields.tiles.cells.filter(pl.col("tile") < len(fields.train)).height
    rows, by_type = [], []
    one = next(iter(next(iter(held.values())).values()))
    statistics = {
        name: statistic for name, statistic in STATISTICS.items() if not np.isnan(statistic(one, np.arange(one.tiles)))
    }
    for (missing, rule), by_seed in sorted(held.items(), key=lambda item: (item[0][0], _rank(item[0][1]))):
        basis = held.get((missing, "background"), {})
        shared = sorted(by_seed.keys() & basis.keys())
        row: list[object] = [f"{missing} %", rule, len(by_seed)]
        for statistic in statistics.values():
            every = [statistic(one, np.arange(one.tiles)) for one in by_seed.values()]
            text = f"{np.mean(every):.3f}"
            if rule != "background" and shared:
                pairs = [by_seed[seed] for seed in shared], [basis[seed] for seed in shared]
                value, low, high = difference(*pairs, statistic, draws)
                text += f"; {value:+.3f} ({low:+.3f} to {high:+.3f})"
            row.append(text)
        rows.append(row)
        by_type.append([f"{missing} %", rule, *_recalls(list(by_seed.values()), len(fields.tiles.classes))])
    counts = np.bincount(one.cell_type, minlength=len(fields.tiles.classes))
    names = [f"{name.replace('_', ' ')} ({n})" for name, n in zip(fields.tiles.classes, counts, strict=True)]
    of_types = markdown_table(("missing on phantoms", "unlabelled boxes are", *names), by_type)
    lines = [
        "# Missing labels, on phantoms",
        "",
        "    python benchmarks/missing_labels.py --weights WEIGHTS.npz -o FOLDER",
        "",
    ]
    what = (
        f"Phantom data: {fields.words}; {len(fields.train)} phantom tiles with {labels:,} labels to learn from before "
        f"any was taken away, {len(fields.test)} fully labelled phantom tiles held out, {len(one.cell_tile):,} cells, "
        f"{one.tiles - len(np.unique(one.cell_tile))} of these tiles without a cell. "
        f"Recipe {base.name} but for the rule: {base.steps} steps of {base.batch} tiles, {len(base.stages)} stages, "
        f"{base.backbone.name} from {'ImageNet' if base.starts_from_weights else 'random weights'} ({machine()})."
    )
    lines += [
        what,
        "",
        GAINS,
        "",
        markdown_table(("missing on phantoms", "unlabelled boxes are", "seeds", *statistics), rows),
        "",
    ]
    lines += [
        f"Recall by type at score {SCORE:g} on phantom tiles, whatever a cell was called (in brackets: cells):",
        "",
    ]
    lines += [of_types, "", LIMITS, ""]
    return "\n".join(lines)


def _rank(rule: str) -> int:
    order = (*MISSING_LABELS, SOFT_BOXES)
    return order.index(rule) if rule in order else len(order)


def _recalls(seeds: Sequence[Judged], classes: int) -> list[str]:
    values = []
    for kind in range(classes):
        found = [one.cell_score[one.cell_type == kind] >= SCORE for one in seeds]
        values.append(f"{np.mean(found):.2f}" if len(found[0]) else "none")
    return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for results")
    parser.add_argument("--data", type=Path, help="phantom cohort in place of rendered fields")
    parser.add_argument("--weights", type=Path, help="start weights of MobileNetV2 (npz); without: random ones")
    parser.add_argument("--missing", type=int, nargs="+", default=[0, 30, 50, 70], help="percent")
    parser.add_argument("--rules", nargs="+", choices=MISSING_LABELS, default=list(MISSING_LABELS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument(
        "--fields", type=int, nargs=2, default=[TRAIN_FIELDS, TEST_FIELDS], help="rendered ones with cells"
    )
    parser.add_argument("--threads", type=int)
    parser.add_argument("--resume", action="store_true", help="train only what results.jsonl does not hold")
    options = parser.parse_args()
    if options.threads:
        use_threads(options.threads)
    if (options.output / "results.jsonl").is_file() and not options.resume:
        raise DataError(f"{options.output} holds results: go on with --resume or give another folder with -o")
    fields = of_cohort(options.data, options.output) if options.data else rendered(*options.fields)
    base = recipe(options.steps, options.weights is not None)
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    asked = settings(options.missing, options.rules, seeds)
    results = run(fields, base, asked, options.output, weights=options.weights)
    text = page(results, fields, base)
    with whole_file(options.output / "missing_labels.md") as beside:
        beside.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
