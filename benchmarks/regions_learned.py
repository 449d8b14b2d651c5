"""Regions with and without a model of the overview on smears of several particles, against the true trails.

    python benchmarks/regions_learned.py MODEL.pt [FOLDER]

``MODEL.pt`` is a region model, as ``marrowscope study run wang-2022`` leaves it in ``OUT/jobs/regions/fold-N/``. Four
phantoms that no such model has seen are rendered into FOLDER (kept for the next run; default: a temporary folder) at
0.5 um per pixel. Every number is about phantoms, not about patients. Lines: the model's boxes alone, the classical
regions, and the classical regions inside the boxes. Columns: recall and precision of the area of true trails; share in
particles; boxes with IoU > 0.5 with a true object / objects, and IoU of the areas of all boxes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import shapely
from numpy.typing import NDArray
from regions import PHANTOMS
from tables import machine, print_table

from marrowscope.learning.cascade.inference import load_cascade, predict
from marrowscope.learning.trails.objects import object_boxes
from marrowscope.learning.trails.recipes import trails
from marrowscope.learning.trails.scoring import by_object, by_slide
from marrowscope.learning.trails.validation import SCORE
from marrowscope.phantom import read_truth, render_phantom, truth_path
from marrowscope.regions import find_regions
from marrowscope.regions.learned import RegionModel, find_boxes, find_regions_learned
from marrowscope.slides import open_slide, require_spacing

CHOSEN = (1, 2, 4, 6)
"""Of the phantoms of ``regions.py``: three particles or more."""


def region_model(path: Path) -> RegionModel:
    """The model as a pack would run it."""
    network = load_cascade(path)

    def find(picture: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        found = next(iter(predict(network, [picture])))
        kept = found[found.scores >= SCORE]
        return kept.boxes, kept.scores

    return RegionModel(path.name, find, trails().side)


def measure(path: Path, model: RegionModel) -> list[list[object]]:
    """Three lines of the table."""
    truth = read_truth(path)
    true_trails, particles = shapely.union_all(truth.trails), shapely.union_all(truth.particles)
    with open_slide(path) as slide:
        spacing = require_spacing(slide)
        boxes, _ = find_boxes(slide, model)
        areas = {
            "boxes": shapely.union_all(shapely.box(*boxes.T)),
            "classical": shapely.union_all([one.polygon for one in find_regions(slide, spacing).regions]),
            "both": shapely.union_all([one.polygon for one in find_regions_learned(slide, spacing, model).regions]),
        }
    true = object_boxes(truth)
    objects, together = by_object(boxes, true), by_slide(boxes, true)
    lines: list[list[object]] = []
    for words, area in areas.items():
        inside = float(area.intersection(true_trails).area)
        shares = [
            inside / true_trails.area,
            inside / max(area.area, 1.0),
            area.intersection(particles).area / max(area.area, 1.0),
        ]
        found = [f"{objects.hits}/{len(true)}", together.iou] if words == "boxes" else ["", ""]
        lines.append([f"{path.stem} {words}", *shares, *found])
    return lines


def main() -> None:
    """Render what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", help="where the phantoms are kept")
    with TemporaryDirectory() as temporary:
        given = parser.parse_args()
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        model, rows = region_model(given.model), []
        for options in (replace(PHANTOMS[number], spacing=0.5) for number in CHOSEN):
            path = folder / f"{options.seed}.tif"
            if not truth_path(path).exists():
                render_phantom(path, options)
            rows += measure(path, model)
    print(f"Regions with and without a model on phantoms ({machine()})\n")
    print_table(["phantom", "recall", "precision", "in particles", "objects", "IoU of all boxes"], rows)


if __name__ == "__main__":
    main()
