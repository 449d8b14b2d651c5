"""How well a pack finds nucleated cells in real marrow fields that were boxed by eye, beside threshold + watershed.

    python benchmarks/marrow_detection.py --data ../shared/data [--pack blood-11] [--pictures DIR] [--json]

Fields are found in ``DATA/segpc/fields``, their boxes in ``benchmarks/marrow_boxes`` (read there who drew them and by
which rules). The pack runs as in a count: every field is a slide, counted whole. Two figures:

* main: uncertain cells (cut by the border, naked nuclei, smudges) are left out both ways;
* strict: they count as cells like all others.

A detection that matches no counted cell and lies with half of its area on something left out is neither right nor
wrong. Boxes are clipped to the picture, as those of the truth are. Average precision ranks all detections down to a
score of 0.05; the baseline has no scores.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely
from marrow_truth import Boxes, MarrowField, read_truth
from numpy.typing import NDArray
from tables import print_table
from watershed import watershed_boxes

from marrowscope.cells.finding import CellFinder, Tiling
from marrowscope.errors import DataError
from marrowscope.evaluation.detection import Ranking, average_precision
from marrowscope.evaluation.intervals import bootstrap_interval
from marrowscope.evaluation.matching import Matching, match_by_score, overlapping_pairs
from marrowscope.files import whole_file
from marrowscope.geometry import Spacing
from marrowscope.packs import load_pack
from marrowscope.packs.loading import Pack
from marrowscope.regions.region import Region
from marrowscope.slides import open_slide
from marrowscope.tiles import plan_fields

LOWEST_SCORE = 0.05
"""Detections down to this score are ranked for AP50; precision and recall use the pack's own threshold."""

HALF = 0.5
"""Share of its area from which a detection lies on what is left out."""

Rate = Callable[[NDArray[Any]], float]
Counting = Callable[[NDArray[np.intp]], NDArray[Any]]

GREEN, RED, ORANGE, GREY = (0, 190, 0), (0, 0, 255), (0, 140, 255), (150, 150, 150)  # blue, green, red


@dataclass(frozen=True, slots=True)
class Found:
    """Detections of one field: ``boxes (n, 4)`` level-0 pixels, ``scores (n,)``."""

    boxes: Boxes
    scores: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Detections of one field against its cells, those left out taken away; ``cells (n, 4)`` are those that count."""

    found: Found
    cells: Boxes
    matching: Matching
    threshold: float

    @property
    def ranking(self) -> Ranking:
        right = np.zeros(len(self.found.scores), bool)
        right[self.matching.predicted] = True
        return Ranking(self.found.scores, right, len(self.cells))

    @property
    def counts(self) -> NDArray[np.int64]:
        """Right, false, missed at the threshold."""
        ranking = self.ranking
        kept = ranking.scores >= self.threshold
        right = int((kept & ranking.right).sum())
        return np.array([right, int(kept.sum()) - right, len(self.cells) - right])

    def missed(self) -> Boxes:
        return self.cells[np.setdiff1d(np.arange(len(self.cells)), self.matching.truth[self._kept_pairs()])]

    def false(self) -> Found:
        ranking = self.ranking
        wrong = (ranking.scores >= self.threshold) & ~ranking.right
        return Found(self.found.boxes[wrong], self.found.scores[wrong])

    def right(self) -> Found:
        pairs = self.matching.predicted[self._kept_pairs()]
        return Found(self.found.boxes[pairs], self.found.scores[pairs])

    def _kept_pairs(self) -> NDArray[np.bool_]:
        return self.found.scores[self.matching.predicted] >= self.threshold


def find_with_pack(picture: Path, pack: Pack, spacing: float, threads: int | None) -> Found:
    """All detections of a field, found as a count finds them, the whole picture being one region."""
    lowest = min(LOWEST_SCORE, pack.contract.detector.score_threshold)
    detector = pack.contract.detector.model_copy(update={"score_threshold": lowest})
    eager = replace(pack, contract=pack.contract.model_copy(update={"detector": detector}))
    with open_slide(picture, spacing) as slide:
        region = Region("whole", shapely.box(0, 0, *slide.size), 1.0, "whole")
        square = Spacing(spacing, spacing)
        finder = CellFinder(slide, square, eager, [region], Tiling(threads=threads))
        with closing(finder.find(plan_fields([region], square))) as fields:
            parts = list(fields)
        boxes = np.concatenate([part.boxes for part in parts] or [np.zeros((0, 4))])
        scores = np.concatenate([part.scores.astype(np.float64) for part in parts] or [np.zeros(0)])
        return Found(np.clip(boxes, 0, np.tile(slide.size, 2)), scores)


def find_with_watershed(picture: Path, spacing: float) -> Found:
    """The baseline; its boxes have no scores and all get 1."""
    boxes = watershed_boxes(_pixels(picture), spacing)
    return Found(boxes, np.ones(len(boxes)))


def _pixels(picture: Path) -> NDArray[np.uint8]:
    """Blue-green-red, as OpenCV has it."""
    return np.asarray(cv2.imread(str(picture)), np.uint8)


def judge(found: Found, field: MarrowField, threshold: float, iou: float, strict: bool) -> Judged:
    """Match detections, best first, to the cells that count; take away those on what is left out."""
    cells, left_out = field.sides(strict)
    matching = match_by_score(found.boxes, found.scores, cells, iou)
    free = matching.spurious
    spare = shapely.box(*found.boxes[free].T)
    covered = np.zeros(len(free))
    for shape in left_out:
        covered = np.maximum(covered, shapely.area(shapely.intersection(spare, shape)) / shapely.area(spare))
    kept = np.setdiff1d(np.arange(len(found.boxes)), free[covered >= HALF])
    remaining = Found(found.boxes[kept], found.scores[kept])
    return Judged(remaining, cells, match_by_score(remaining.boxes, remaining.scores, cells, iou), threshold)


def summary(judged: Sequence[Judged], seed: int, ranked: bool) -> dict[str, Any]:
    """Precision, recall, F1 with intervals over fields and over cells; AP50 where detections have scores."""
    counts = np.array([field.counts for field in judged])
    outcomes = np.repeat(np.arange(3), counts.sum(axis=0))
    rates: dict[str, Rate] = {
        "precision": lambda n: _ratio(n[0], n[0] + n[1]),
        "recall": lambda n: _ratio(n[0], n[0] + n[2]),
        "f1": lambda n: _ratio(2 * n[0], 2 * n[0] + n[1] + n[2]),
    }
    result: dict[str, Any] = dict(zip(("right", "false", "missed"), counts.sum(axis=0).tolist(), strict=True))
    for name, rate in rates.items():
        result[name] = {
            "value": rate(counts.sum(axis=0)),
            "over_fields": _over(lambda i: counts[i].sum(axis=0), rate, len(counts), seed),
            "over_cells": _over(lambda i: np.bincount(outcomes[i], minlength=3), rate, len(outcomes), seed),
        }
    if ranked:
        result["ap"] = {
            "value": _average_precision(judged),
            "over_fields": bootstrap_interval(
                lambda i: _average_precision([judged[n] for n in i]), len(judged), seed=seed
            ),
        }
    return result


def _over(counted: Counting, rate: Rate, n: int, seed: int) -> tuple[float, float]:
    return bootstrap_interval(lambda drawn: rate(counted(drawn)), n, seed=seed)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def _average_precision(judged: Sequence[Judged]) -> float:
    rankings = [field.ranking for field in judged]
    scores = np.concatenate([ranking.scores for ranking in rankings])
    order = np.argsort(-scores, kind="stable")
    right = np.concatenate([ranking.right for ranking in rankings])[order]
    return average_precision(Ranking(scores[order], right, sum(ranking.n_truth for ranking in rankings)))


def explain_missed(judged: Judged, box: Boxes) -> str:
    """What there is at a missed cell."""
    touching, _, overlap = overlapping_pairs(judged.found.boxes, box[None], 0.1)
    if not len(touching):
        return "nothing there"
    best = int(np.argmax(overlap))
    score, taken = judged.found.scores[touching[best]], touching[best] in judged.matching.predicted
    kind = "box right, score too low" if score < judged.threshold and taken else "box wrong or another cell's"
    return f"{kind} (IoU {overlap[best]:.2f}, score {score:.2f})"


def explain_false(judged: Judged, field: MarrowField, box: Boxes) -> str:
    """What a false detection overlaps."""
    _, touching, overlap = overlapping_pairs(box[None], judged.cells, 0.1)
    if len(touching):
        best = int(np.argmax(overlap))
        found = touching[best] in judged.matching.truth
        return f"{'second box on a found cell' if found else 'box wrong on a missed cell'} (IoU {overlap[best]:.2f})"
    left_out = overlapping_pairs(box[None], field.cells[field.uncertain], 0.1)[2]
    return f"box wrong on a cell left out (IoU {left_out.max():.2f})" if len(left_out) else "no cell there"


def draw(picture: Path, judged: Judged, field: MarrowField, path: Path) -> None:
    """Hits green, missed red, false orange, cells that are left out grey; half size."""
    pixels = _pixels(picture)
    for shape in field.sides(strict=False)[1]:
        cv2.polylines(pixels, [np.array(shape.exterior.coords, np.int32)], True, GREY, 4)
    for boxes, colour in ((judged.right(), GREEN), (judged.false(), ORANGE)):
        for box, score in zip(boxes.boxes.astype(int).tolist(), boxes.scores, strict=True):
            cv2.rectangle(pixels, tuple(box[:2]), tuple(box[2:]), colour, 5)
            cv2.putText(pixels, f"{score:.2f}", (box[0] + 6, box[1] + 40), cv2.FONT_HERSHEY_SIMPLEX, 1.2, colour, 3)
    for box in judged.missed().astype(int).tolist():
        cv2.rectangle(pixels, tuple(box[:2]), tuple(box[2:]), RED, 7)
    encoded = cv2.imencode(".png", cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as beside:
        beside.write_bytes(encoded.tobytes())


def _rounded(box: Boxes) -> list[int]:
    return [round(side) for side in box.tolist()]


def _with_intervals(value: dict[str, Any]) -> str:
    parts = [f"{value[name][0]:.2f}-{value[name][1]:.2f}" for name in ("over_fields", "over_cells") if name in value]
    return f"{value['value']:.3f} ({'; '.join(parts)})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--pack", default="blood-11", help="name or folder")
    parser.add_argument("--truth", type=Path, default=Path(__file__).parent / "marrow_boxes")
    parser.add_argument("--spacing", type=float, default=0.05, help="um per pixel of the fields")
    parser.add_argument("--iou", type=float, default=0.5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of hits, misses and false alarms")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    options = parser.parse_args()
    truth = [read_truth(path) for path in sorted(options.truth.glob("*.geojson"))]
    if not truth:
        raise DataError(f"no .geojson files in {options.truth}; --truth takes the folder with the boxes")
    pictures = [options.data / "segpc" / "fields" / f"{field.name}.jpg" for field in truth]
    pack = load_pack(options.pack)
    threshold = pack.contract.detector.score_threshold
    methods = {
        pack.contract.name: ([find_with_pack(p, pack, options.spacing, options.threads) for p in pictures], threshold),
        "threshold + watershed": ([find_with_watershed(p, options.spacing) for p in pictures], 0.0),
    }
    results: dict[str, Any] = {}
    judged: dict[tuple[str, str], list[Judged]] = {}
    for name, (found, at) in methods.items():
        for figure in ("main", "strict"):
            fields = [
                judge(one, field, at, options.iou, figure == "strict") for one, field in zip(found, truth, strict=True)
            ]
            judged[name, figure] = fields
            results[f"{name}, {figure}"] = summary(fields, options.seed, ranked=name == pack.contract.name) | {
                "fields": {field.name: one.counts.tolist() for field, one in zip(truth, fields, strict=True)}
            }
    first = judged[pack.contract.name, "main"]
    if options.pictures is not None:
        for picture, one, field in zip(pictures, first, truth, strict=True):
            draw(picture, one, field, options.pictures / f"{field.name}.png")
    mistakes = []
    for field, one in zip(truth, first, strict=True):
        missed, false = one.missed(), one.false().boxes
        mistakes += [(field.name, "missed", *_rounded(box), explain_missed(one, box)) for box in missed]
        mistakes += [(field.name, "false", *_rounded(box), explain_false(one, field, box)) for box in false]
    if options.json:
        print(
            json.dumps(
                {
                    "pack": pack.contract.name,
                    "pack_sha256": pack.sha256,
                    "score_threshold": threshold,
                    "iou": options.iou,
                    "results": results,
                    "mistakes": mistakes,
                },
                indent=1,
            )
        )
        return
    certain, uncertain = (sum(int((field.uncertain == value).sum()) for field in truth) for value in (False, True))
    print(
        f"{len(truth)} marrow fields (SegPC-2021) at {options.spacing:g} um per pixel, {certain} certain and "
        f"{uncertain} uncertain cells boxed by eye; IoU {options.iou:g}; {pack.contract.name} {pack.contract.version} "
        f"({pack.sha256[:12]}) at its threshold {threshold:g}.\n95 % intervals by bootstrap: over fields; over cells.\n"
    )
    print_table(
        ("method, figure", "right", "false", "missed", "precision", "recall", "F1", f"AP{round(100 * options.iou)}"),
        [
            (
                name,
                r["right"],
                r["false"],
                r["missed"],
                *(_with_intervals(r[k]) for k in ("precision", "recall", "f1")),
                _with_intervals(r["ap"]) if "ap" in r else "",
            )
            for name, r in results.items()
        ],
    )
    print("Right / false / missed in each field:\n")
    print_table(
        ("method, figure", *(field.name for field in truth)),
        [(name, *(" / ".join(map(str, n)) for n in r["fields"].values())) for name, r in results.items()],
    )
    print(f"Mistakes of {pack.contract.name}, main figure:\n")
    print_table(("field", "kind", "x0", "y0", "x1", "y1", "what is there"), mistakes)


if __name__ == "__main__":
    main()
