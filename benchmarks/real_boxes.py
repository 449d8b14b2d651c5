"""White cells, red cells and platelets of real blood: the cascade on the clean splits of TXL-PBC and BCCD.

    python benchmarks/real_boxes.py --data ../shared/data --weights ../shared/weights/mobilenetv2_imagenet.npz -o FOLDER
        [--recipe modern|plain|scratch] [--steps N] [--threads N] [--resume]

Learns on the clean training splits of both sets together and finds on the clean test split of each. Every picture is
brought to 0.15 um per pixel by the size of its red cells. Average precision as COCO defines it, at IoU 0.5 and over
0.50 to 0.95, by class, with 95 % intervals by bootstrap over pictures; computed by ``marrowscope.evaluation`` and again
by torchmetrics on pycocotools, and the run ends with an error where the two differ by more than 0.001.

* all labels: every label of the set, also slivers at the border of a picture;
* whole cells only: a label that touches the border counts neither way, and neither does a detection of its class on it.

Writes ``FOLDER/RECIPE/result.json`` and ``FOLDER/real_boxes.md`` of all recipes that have a result there. Both sets are
far from fully labelled (red cells of BCCD above all): a detection of a cell without a label is a false positive here.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from drawn_tiles import DrawnTiles, Picture, drawn_tiles
from numpy.typing import NDArray
from tables import machine, markdown_table
from torchmetrics.detection import MeanAveragePrecision

from marrowscope.errors import DataError
from marrowscope.evaluation.detection import (
    COCO_IOUS,
    LabelledPicture,
    Ranking,
    average_precision,
    rank_predictions,
)
from marrowscope.evaluation.redrawing import draw_weights, estimate
from marrowscope.files import whole_file, write_json
from marrowscope.learning.cascade.inference import load_cascade, predict
from marrowscope.learning.cascade.network import CascadeRCNN
from marrowscope.learning.cascade.recipes import CascadeRecipe, blood_boxes, modern, plain, scratch
from marrowscope.learning.cascade.training import train_cascade
from marrowscope.learning.datasets.boxes import BoxPicture, resample
from marrowscope.learning.detector.blood import fields_by_split
from marrowscope.learning.detector.borders import OUTSIDE
from marrowscope.learning.detector.measuring import pooled

CLASSES = ("WBC", "RBC", "platelet")
SETS = {"txl_pbc": "TXL-PBC", "bccd": "BCCD"}
VIEWS = ("all labels", "whole cells only")
RECIPES: dict[str, Callable[[], CascadeRecipe]] = {"modern": modern, "plain": plain, "scratch": scratch}

ROUNDS = 4
"""How often each picture stands in a mosaic, each time with other neighbours, in another size and crop."""

ZOOM = (0.9, 1.12)
EDGE = 8
"""Pixels of nothing round each picture of a mosaic at least."""

LEAST_SEEN = 0.2
"""A cell with less of its box in a mosaic is not shown with it."""

BORDER = 16
"""Pixels of nothing round a picture in which cells are looked for."""

MOST = 100
"""Detections a picture that are judged, the best: COCO's limit, of each class there."""

DRAWS = 500
AGREE = 1e-3
TARGETS = {"WBC": 0.97, "mean": 0.93}

PUBLISHED = (
    ("BCCD", "Faster R-CNN R_101_FPN_3x (Detectron2)", "AP 0.903",
     "[Information Technology and Control 54(3)](https://doi.org/10.5755/j01.itc.54.3.39342), best of 5 of its kind"),
    ("BCCD", "YOLOv5-s", "AP 0.945",
     "[Information Technology and Control 54(3)](https://doi.org/10.5755/j01.itc.54.3.39342), best of 16 of its kind"),
    ("BCCD", "YOLOv8n", "mAP50 0.904",
     "[Bioengineering 2026; 13: 321](https://doi.org/10.3390/bioengineering13030321), its baseline"),
    ("BCCD", "NBCDC-YOLOv8 (YOLOv8n of the same paper: 2.3 points less)", "mAP 0.947",
     "[IET Computer Vision 2025](https://doi.org/10.1049/cvi2.12341)"),
)  # fmt: skip
"""Set, method, figure and source, as the abstracts give them."""

NOTES = (
    "95 % intervals by bootstrap over pictures; a smear gives many pictures, so intervals for a new smear are wider. "
    "torchmetrics with pycocotools, on all labels, differs from these numbers by at most {difference:.1e}. The {most} "
    "best detections of a picture are judged. *Whole cells only*: labels at the border of a picture count neither way. "
    "Many cells have no label, red cells of BCCD above all: finding them counts as an error here, so no method can "
    "reach 1."
)

WHY_THIS_SPACING = (
    "Why 0.15 um per pixel: the fields were taken at 0.057 to 0.10. At 0.25 a platelet (2.9 um) is 11 px wide, one and "
    "a half pixels of the network's finest map; at 0.15 it is 19 px, a red cell 48, a white cell 90 to 110, and all "
    "fields to learn from are still only about 40 million pixels."
)

ON_PUBLISHED = (
    "From abstracts, on the sets' published splits, which leak: 33 of the 72 test pictures of BCCD are in TXL-PBC's "
    "train or val, and 21 of TXL-PBC's 144 in BCCD's. Ours are on clean splits, and the test pictures are others: the "
    "figures cannot be ranked. The authors of TXL-PBC ([arXiv:2407.13214](https://arxiv.org/abs/2407.13214)) report "
    "YOLOv5s, YOLOv8s, YOLOv11s, SSD300, Faster R-CNN and RetinaNet on it; their abstract gives no figure."
)

Boxes = NDArray[np.float64]
Drawn = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Placed:
    """A field in a mosaic: resized by ``zoom``, its part ``width x height`` from ``left, top`` laid at ``x, y``."""

    field: int
    zoom: float
    left: int
    top: int
    width: int
    height: int
    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of one field, best first: ``boxes (n, 4)`` in its pixels, ``scores (n,)`` of the type that each was
    ``called (n,)`` (number in CLASSES)."""

    boxes: Boxes
    scores: NDArray[np.float64]
    called: NDArray[np.intp]


def labels_of(field: BoxPicture) -> tuple[NDArray[np.float32], ...]:
    """Boxes of each of CLASSES, cut at the border of the picture, without those that have no area."""
    height, width = field.pixels.shape[:2]
    kinds = []
    for boxes in (field.boxes, field.red_cells, field.platelets):
        cut = np.clip(boxes, 0, np.tile((width, height), 2).astype(np.float32))
        kinds.append(cut[((cut[:, 2:] - cut[:, :2]) >= 1).all(axis=1)])
    return tuple(kinds)


def make_mosaics(
    fields: Sequence[BoxPicture], side: int, spacing: float, seed: int, rounds: int = ROUNDS
) -> DrawnTiles:
    """Tiles of ``side`` px, a field in each quarter; a field larger than its quarter is cropped at random.

    Every field stands ``rounds`` times. Raises :class:`DataError` without fields.
    """
    if not fields:
        raise DataError("there is no field to learn from: give the folder that holds txl_pbc and bccd with --data")
    rng = np.random.default_rng((seed, 5))
    order = np.concatenate([rng.permutation(len(fields)) for _ in range(rounds)])
    order = np.concatenate([order, order[: -len(order) % 4]])
    half = side // 2
    mosaics = [
        [_place(fields[one], int(one), half, quarter, rng) for quarter, one in enumerate(four)]
        for four in order.reshape(-1, 4)
    ]
    cells = [
        {"tile": number, **row} for number, four in enumerate(mosaics) for one in four for row in _cells(fields, one)
    ]

    def draw(number: int) -> Picture:
        canvas = np.full((side, side, 3), OUTSIDE, np.uint8)
        for one in mosaics[number]:
            shown = resample(fields[one.field].pixels, one.zoom)
            part = shown[one.top : one.top + one.height, one.left : one.left + one.width]
            canvas[one.y : one.y + one.height, one.x : one.x + one.width] = part
        return canvas

    slides = [f"mosaic {number}" for number in range(len(mosaics))]
    return drawn_tiles(draw, slides, cells, spacing=spacing, side=side, classes=CLASSES)


def _place(field: BoxPicture, number: int, half: int, quarter: int, rng: np.random.Generator) -> Placed:
    zoom, room = float(rng.uniform(*ZOOM)), half - 2 * EDGE
    height, width = resample(field.pixels, zoom).shape[:2]
    shown = min(width, room), min(height, room)
    left, top = (int(rng.integers(size - part + 1)) for size, part in zip((width, height), shown, strict=True))
    x, y = (EDGE + int(rng.integers(room - part + 1)) for part in shown)
    return Placed(number, zoom, left, top, *shown, x + quarter % 2 * half, y + quarter // 2 * half)


def _cells(fields: Sequence[BoxPicture], one: Placed) -> list[dict[str, Any]]:
    rows = []
    height, width = fields[one.field].pixels.shape[:2]
    scale = np.tile((max(1, round(width * one.zoom)) / width, max(1, round(height * one.zoom)) / height), 2)
    for name, boxes in zip(CLASSES, labels_of(fields[one.field]), strict=True):
        moved = boxes * scale - np.tile((one.left, one.top), 2)
        parts = np.clip(moved, 0, np.tile((one.width, one.height), 2))
        seen = (parts[:, 2:] - parts[:, :2]).prod(1) / (moved[:, 2:] - moved[:, :2]).prod(1)
        for box, share in zip(parts + np.tile((one.x, one.y), 2), seen.tolist(), strict=True):
            if share >= LEAST_SEEN:
                corners = dict(zip(("x0", "y0", "x1", "y1"), box.tolist(), strict=True))
                rows.append({"id": "", "type": name, **corners, "visible": min(share, 1.0), "owned": share >= 0.5})
    return rows


def find_on(network: CascadeRCNN, fields: Sequence[BoxPicture]) -> list[Found]:
    """What the network finds in each field, as it saw fields in mosaics: with nothing round them."""
    stride = network.pyramid.strides[-1]

    def padded(pixels: Picture) -> Picture:
        height, width = pixels.shape[:2]
        below, right = (BORDER + -(length + 2 * BORDER) % stride for length in (height, width))
        colour = (OUTSIDE, OUTSIDE, OUTSIDE)
        return np.asarray(
            cv2.copyMakeBorder(pixels, BORDER, below, BORDER, right, cv2.BORDER_CONSTANT, value=colour), np.uint8
        )

    results = []
    found = predict(network, (padded(field.pixels) for field in fields), batch=1)
    for field, one in zip(fields, found, strict=True):
        assert one.probabilities is not None
        height, width = field.pixels.shape[:2]
        boxes, probabilities = one.boxes - BORDER, one.probabilities.astype(np.float64)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = ((middle >= 0) & (middle < (width, height))).all(axis=1)
        scores = one.scores.astype(np.float64) * probabilities.max(1)
        order = np.flatnonzero(inside)[np.argsort(-scores[inside], kind="stable")][:MOST]
        boxes = np.clip(boxes[order], 0, np.tile((width, height), 2))
        results.append(Found(boxes, scores[order], probabilities[order].argmax(1)))
    return results


def judged(fields: Sequence[BoxPicture], found: Sequence[Found], number: int, view: str) -> list[LabelledPicture]:
    """Detections and labels of one class in each field."""
    pictures = []
    for field, one in zip(fields, found, strict=True):
        labels, mine = labels_of(field)[number], one.called == number
        height, width = field.pixels.shape[:2]
        cut = (labels[:, :2] <= 1).any(axis=1) | (labels[:, 2:] >= (width - 1, height - 1)).any(axis=1)
        cut &= view == VIEWS[1]
        pictures.append(LabelledPicture(one.boxes[mine], one.scores[mine], labels[~cut], labels[cut]))
    return pictures


def measure(fields: Sequence[BoxPicture], found: Sequence[Found], view: str, draws: int = DRAWS) -> dict[str, Any]:
    """AP50 and AP50:95 of each class and their mean, each as value, low, high; ``n`` labels."""
    ranked: list[list[list[Ranking]]] = []  # by class, by IoU, by picture
    for number in range(len(CLASSES)):
        pictures = judged(fields, found, number, view)
        ranked.append([[rank_predictions([picture], iou) for picture in pictures] for iou in COCO_IOUS])
    whole = _precisions(ranked, np.arange(len(fields)))
    weights = draw_weights(len(fields), draws=draws).astype(int)
    drawn = np.stack([_precisions(ranked, np.repeat(np.arange(len(fields)), row)) for row in weights])
    result: dict[str, Any] = {}
    counts = [sum(ranking.n_truth for ranking in by_iou[0]) for by_iou in ranked]
    for place, name in enumerate((*CLASSES, "mean")):
        rows = slice(None) if name == "mean" else slice(place, place + 1)
        n = sum(counts) if name == "mean" else counts[place]
        both = {"ap50": slice(0, 1), "ap50_95": slice(None)}
        result[name] = {"n": n} | {
            key: _rounded(float(whole[rows, ious].mean()), drawn[:, rows, ious].mean(axis=(1, 2)), n, len(fields))
            for key, ious in both.items()
        }
    return result


def _precisions(ranked: list[list[list[Ranking]]], drawn: Drawn) -> NDArray[np.float64]:
    """Average precision ``(class, IoU)`` on these pictures."""
    return np.array([[average_precision(pooled([one[i] for i in drawn])) for one in by_iou] for by_iou in ranked])


def _rounded(value: float, drawn: NDArray[np.float64], n: int, units: int) -> list[float]:
    one = estimate(value, drawn, n, units)
    return [round(number, 4) for number in (one.value, one.low, one.high)]


def measure_with_torchmetrics(fields: Sequence[BoxPicture], found: Sequence[Found]) -> dict[str, tuple[float, float]]:
    """AP50 and AP50:95 of each class by torchmetrics and pycocotools, on all labels.

    The recalls at which precision is read are given as ours, with a tolerance of 1e-12: torchmetrics has them in 32
    bits, where 29 of 50 is less than 0.58 and moves average precision by up to 0.01.
    """
    result = {}
    recalls = (np.linspace(0, 1, 101) - 1e-12).tolist()
    for number, name in enumerate(CLASSES):
        metric = MeanAveragePrecision(rec_thresholds=recalls, backend="pycocotools")
        for picture in judged(fields, found, number, VIEWS[0]):
            boxes, truth = (
                torch.as_tensor(np.asarray(one), dtype=torch.float64) for one in (picture.boxes, picture.truth)
            )
            scores = torch.as_tensor(np.asarray(picture.scores))
            guessed = {"boxes": boxes, "scores": scores, "labels": torch.zeros(len(boxes), dtype=torch.long)}
            metric.update([guessed], [{"boxes": truth, "labels": torch.zeros(len(truth), dtype=torch.long)}])
        values = metric.compute()
        result[name] = (float(values["map_50"]), float(values["map"]))
    return result


def require_agreement(ours: dict[str, Any], theirs: dict[str, tuple[float, float]]) -> float:
    """The largest difference. Raises :class:`DataError` when it is more than :data:`AGREE`."""
    worst = max(
        (abs(ours[name][key][0] - theirs[name][place]), name, key)
        for name in theirs
        for place, key in enumerate(("ap50", "ap50_95"))
        if ours[name]["n"]
    )
    if worst[0] > AGREE:
        raise DataError(
            f"marrowscope and torchmetrics differ by {worst[0]:.4f} on {worst[2]} of {worst[1]}: one is wrong"
        )
    return worst[0]


def run(
    recipe: CascadeRecipe,
    fields: dict[str, list[BoxPicture]],
    output: Path,
    *,
    weights: Path | None = None,
    resume: bool = False,
    silent: bool = False,
    draws: int = DRAWS,
) -> dict[str, Any]:
    """Train, find and measure; what ``result.json`` holds. ``fields`` by clean split."""
    mosaics = make_mosaics(fields["train"], recipe.side, recipe.spacing, recipe.seed)
    begun = time.perf_counter()
    model = train_cascade(recipe, mosaics, range(len(mosaics)), output, weights=weights, resume=resume, silent=silent)
    seconds = time.perf_counter() - begun
    network = load_cascade(model)
    result: dict[str, Any] = {
        "recipe": asdict(recipe),
        "train": {"fields": len(fields["train"]), "mosaics": len(mosaics), "seconds": round(seconds)},
        "start": "random weights" if weights is None else weights.stem,
        "machine": f"{machine()}, {torch.get_num_threads()} threads",
        "sets": {},
    }
    for source, words in SETS.items():
        test = [field for field in fields["test"] if field.source == source]
        begun = time.perf_counter()
        found = find_on(network, test)
        pace = (time.perf_counter() - begun) / max(len(test), 1)
        ours = {view: measure(test, found, view, draws) for view in VIEWS}
        theirs = measure_with_torchmetrics(test, found)
        difference = require_agreement(ours[VIEWS[0]], theirs)
        result["sets"][words] = {
            "pictures": len(test),
            "seconds a picture": round(pace, 3),
            "views": ours,
            "torchmetrics": theirs,
            "largest difference": difference,
        }
    write_json(output / "result.json", result)
    return result


def page(results: dict[str, dict[str, Any]]) -> str:
    """The results as Markdown, recipe by recipe."""
    lines = ["# White cells, red cells and platelets of real blood", ""]
    command = "    python benchmarks/real_boxes.py --data DATA --weights WEIGHTS.npz -o FOLDER --recipe "
    lines += [command + " | ".join(results), ""]
    rows, trained, checks, reached = [], [], [], []
    for recipe, result in results.items():
        facts, settings = result["train"], result["recipe"]
        trained.append(
            f"`{recipe}`: {facts['fields']} fields in {facts['mosaics']} mosaics of {settings['side']} px at "
            f"{settings['spacing']:g} um per pixel, {settings['steps']:,} steps of {settings['batch']} mosaics, "
            f"{settings['backbone']['name']} from {result['start']}, {facts['seconds'] / 60:.0f} minutes since it was "
            f"last begun ({result['machine']})."
        )
        for words, one in result["sets"].items():
            checks.append(one["largest difference"])
            for view, classes in one["views"].items():
                for name, values in classes.items():
                    both = [f"{v:.3f} ({a:.3f}-{b:.3f})" for v, a, b in (values["ap50"], values["ap50_95"])]
                    rows.append((recipe, f"{words}, {one['pictures']} pictures", view, name, values["n"], *both))
        for view, classes in result["sets"]["TXL-PBC"]["views"].items():
            reached += [
                f"{name} {classes[name]['ap50'][0]:.3f} (asked {aim:.2f}: "
                f"{'yes' if classes[name]['ap50'][0] >= aim else '**no**'}) with `{recipe}`, {view}"
                for name, aim in TARGETS.items()
            ]
    lines += [*trained, ""]
    lines += ["AP50 asked on the clean TXL-PBC test: " + "; ".join(reached) + ".", ""]
    head = ("recipe", "clean test split", "labels", "class", "n", "AP50", "AP50:95")
    lines += [markdown_table(head, rows), ""]
    lines += [NOTES.format(most=MOST, difference=max(checks)), "", WHY_THIS_SPACING, "", "## Published figures", ""]
    lines += [markdown_table(("set", "method", "figure", "source"), PUBLISHED), "", ON_PUBLISHED, ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with txl_pbc and bccd")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for models and results")
    parser.add_argument("--weights", type=Path, help="start weights of MobileNetV2 (npz); scratch needs none")
    parser.add_argument("--recipe", choices=RECIPES, default="modern")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    recipe = replace(blood_boxes(RECIPES[options.recipe]), seed=options.seed)
    if options.steps:
        recipe = replace(recipe, steps=options.steps)
    fields = fields_by_split(options.data, recipe.spacing)
    weights = options.weights if recipe.starts_from_weights else None
    run(recipe, fields, options.output / options.recipe, weights=weights, resume=options.resume)
    done = {name: options.output / name / "result.json" for name in RECIPES}
    results = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in done.items() if path.is_file()}
    text = page(results)
    with whole_file(options.output / "real_boxes.md") as beside:
        beside.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
