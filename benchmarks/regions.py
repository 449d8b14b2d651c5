"""Regions found on phantoms against their truth, by area of the slide and by object (Wang et al. 2022, Table 4).

    python benchmarks/regions.py [FOLDER]

renders ten phantoms of different stains, diagnoses, densities and difficulties into FOLDER (kept for the next run;
default: a temporary folder) and prints one line a slide. Every number is about phantoms, not about patients. Columns:

* recall, precision, IoU: area of all true trails against the area of all regions.
* trails: true trails of at least 0.05 mm2 of which more than half lies in regions / all such trails.
* particles: true particles whose centre lies in a found one / all; IoU of the areas.
* in blood, in particle, on glass: share of the regions' area in the strip of peripheral blood, in a particle, off the
  smear; all three should be 0.
* strip IoU: the excluded outline of peripheral blood against the true strip.
* cells/mm2: true nucleated cells in regions per area; strangers: share of them that belong to no trail.
* of slide: share of the slide that the regions cover (what a scanner would need to scan).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

import shapely
from tables import machine, print_table

from marrowscope.phantom import PhantomOptions, read_truth, render_phantom, truth_path
from marrowscope.regions import find_regions
from marrowscope.slides import open_slide, require_spacing

PHANTOMS = (
    PhantomOptions(cells=2000, seed=4400, stain="may-gruenwald-giemsa"),
    PhantomOptions(cells=2000, seed=4401, stain="wright-giemsa", diagnosis="aml"),
    PhantomOptions(cells=3000, seed=4402, stain="jenner-giemsa", diagnosis="mm", density=900.0),
    PhantomOptions(cells=2000, seed=4403, stain="rapid", diagnosis="mds", density=1300.0),
    PhantomOptions(cells=3000, seed=4404, stain="random", diagnosis="cml", difficulty="paper"),
    PhantomOptions(cells=2000, seed=4405, stain="random", diagnosis="all", difficulty="paper", density=700.0),
    PhantomOptions(cells=5000, seed=4406, stain="may-gruenwald-giemsa", diagnosis="cmml", difficulty="paper"),
    PhantomOptions(cells=1000, seed=4407, stain="random", difficulty="paper", factor=2),
    PhantomOptions(cells=800, seed=4408, stain="jenner-giemsa", difficulty="paper", density=500.0),
    PhantomOptions(cells=5000, seed=4409, stain="wright-giemsa", diagnosis="mm", density=1500.0, factor=2),
)
"""Seeds that were never looked at while the finder was made."""

LEAST_MM2 = 0.05


class Line(NamedTuple):
    """One slide; shares 0..1."""

    recall: float
    precision: float
    iou: float
    trails: tuple[int, int]
    particles: tuple[int, int]
    particle_iou: float
    in_blood: float
    in_particle: float
    on_glass: float
    strip_iou: float
    cells_per_mm2: float
    strangers: float
    of_slide: float
    seconds: float


def measure(path: Path) -> Line:
    """Find the regions of one phantom and compare them with its truth."""
    truth = read_truth(path)
    slide = open_slide(path)
    spacing = require_spacing(slide)
    started = perf_counter()
    finding = find_regions(slide, spacing)
    seconds = perf_counter() - started
    slide.close()
    regions = shapely.union_all([region.polygon for region in finding.regions])
    seen = {
        kind: shapely.union_all([outline.polygon for outline in finding.outlines if outline.kind == kind])
        for kind in ("particle", "blood")
    }
    blood = truth.blood if truth.blood is not None else shapely.Polygon()
    trails = [trail for trail in truth.trails if spacing.area_mm2(trail.area) >= LEAST_MM2]
    all_trails, particles = shapely.union_all(truth.trails), shapely.union_all(truth.particles)
    boxes = truth.cells.select("x0", "y0", "x1", "y1").to_numpy()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = shapely.contains_xy(regions, centres[:, 0], centres[:, 1])
    in_trail = truth.cells["in_trail"].to_numpy()
    found = [seen["particle"].contains(particle.representative_point()) for particle in truth.particles]
    return Line(
        recall=_share(all_trails, regions),
        precision=_share(regions, all_trails),
        iou=_iou(regions, all_trails),
        trails=(sum(_share(trail, regions) > 0.5 for trail in trails), len(trails)),
        particles=(sum(found), len(found)),
        particle_iou=_iou(seen["particle"], particles),
        in_blood=_share(regions, blood),
        in_particle=_share(regions, particles),
        on_glass=max(0.0, 1 - _share(regions, shapely.union(truth.smear, blood))),
        strip_iou=_iou(seen["blood"], blood),
        cells_per_mm2=float(inside.sum() / spacing.area_mm2(regions.area)),
        strangers=float((inside & ~in_trail).sum() / inside.sum()),
        of_slide=regions.area / slide.size.area,
        seconds=seconds,
    )


def _share(area: shapely.Geometry, other: shapely.Geometry) -> float:
    """Share of an area that lies in another."""
    return float(shapely.area(shapely.intersection(area, other)) / shapely.area(area)) if shapely.area(area) else 0.0


def _iou(one: shapely.Geometry, other: shapely.Geometry) -> float:
    union = shapely.area(shapely.union(one, other))
    return float(shapely.area(shapely.intersection(one, other)) / union) if union else 1.0


def mean(lines: list[Line]) -> Line:
    """Means over slides; objects are added up."""
    columns: Iterable[tuple[object, ...]] = zip(*lines, strict=True)
    return Line(
        *(
            tuple(map(sum, zip(*values, strict=True))) if isinstance(values[0], tuple) else statistics.fmean(values)
            for values in columns
        )
    )


def row(name: str, line: Line) -> list[object]:
    cells: list[object] = [f"{value[0]}/{value[1]}" if isinstance(value, tuple) else value for value in line]
    cells[Line._fields.index("cells_per_mm2")] = round(line.cells_per_mm2)
    return [name, *cells]


def main() -> None:
    """Render what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="where the phantoms are kept")
    with TemporaryDirectory() as temporary:
        folder = parser.parse_args().folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        names, lines = [], []
        for options in PHANTOMS:
            path = folder / f"regions-{options.seed}.tif"
            if not truth_path(path).exists():
                render_phantom(path, options)
            lines.append(measure(path))
            names.append(f"{options.seed} {options.stain} {options.diagnosis} {options.difficulty} {options.density:g}")
    print(f"Regions on phantoms ({machine()})\n")
    rows = [row(name, line) for name, line in zip(names, lines, strict=True)]
    rows.append(row(f"mean of {len(lines)} phantoms", mean(lines)))
    header = [field.replace("_", " ").replace("iou", "IoU") for field in Line._fields]
    print_table(["phantom (seed, stain, diagnosis, difficulty, cells/mm2)", *header], rows)


if __name__ == "__main__":
    main()
