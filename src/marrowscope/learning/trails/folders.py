"""A folder of slides as overviews with their objects: phantoms by their truth, real slides by what was drawn in QuPath.

In QuPath: a polygon of the class ``particle`` round each particle, one of the class ``trail`` round each trail (one
polygon of either class round both is as good), *File > Export objects as GeoJSON* with the slide's name. Every other
class is left out, ``Region*`` too: elsewhere in this program it says that every cell within is labelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from marrowscope.errors import DataError, how_many
from marrowscope.learning.trails.data import LabelledOverview, labelled_overview, read_labelled
from marrowscope.learning.trails.objects import joined_boxes
from marrowscope.phantom.truth import TRUTH_ENDING
from marrowscope.regions.files import load_outlines
from marrowscope.slides import open_slide, require_spacing

ENDINGS = (TRUTH_ENDING, ".geojson", ".geojson.gz")
"""What says where the objects of a slide are, the first that is there."""

NO_SLIDE = (".geojson", ".gz", ".json", ".xml", ".txt", ".csv", ".parquet")
"""Endings of files that may have a slide's name and are none."""

PARTS = ("particle", "trail")
"""Classes of the polygons that are taken, in any case, also in the plural."""

HOW = "draw polygons of the class particle and trail in QuPath and export them as NAME.geojson beside the slide"


@dataclass(frozen=True, slots=True)
class LabelledFolder:
    """``overviews`` by name; ``phantoms``: how many of them are phantoms; ``notes`` say what was left out."""

    overviews: tuple[LabelledOverview, ...]
    phantoms: int
    notes: tuple[str, ...]


def read_folder(
    folder: Path,
    side: int,
    spacing: float | None = None,
    progress: Callable[[float, str], None] = lambda done, name: None,
) -> LabelledFolder:
    """Every slide of ``folder`` that has its truth or a GeoJSON of its name beside it, ``side`` pixels each.

    ``spacing`` (um per pixel) goes before what real slides state. A slide on which nobody drew a particle or a trail is
    left out, with a note: a file of cells says nothing about them. ``progress`` is called with the share done and the
    next slide's name. Raises ``DataError`` when nothing is left and for labels without a slide, ``RegionError`` for a
    damaged GeoJSON, ``SlideError`` and ``SpacingError`` for a slide that cannot be used.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}: give one with slides and their truth or GeoJSON with --data")
    labels = _labels(folder)
    if not labels:
        raise DataError(
            f"{folder} holds no slide with {' or '.join(f'NAME{ending}' for ending in ENDINGS)}: give phantoms "
            f"(marrowscope phantom cohort wang-2022 DIR), or {HOW}"
        )
    overviews: list[LabelledOverview] = []
    notes: list[str] = []
    phantoms = 0
    for done, (name, file) in enumerate(labels.items()):
        progress(done / len(labels), name)
        slide = _slide_of(folder, name, file)
        if file.name.endswith(TRUTH_ENDING):
            overviews.append(read_labelled(slide, side))
            phantoms += 1
            continue
        overview, others = read_drawn(slide, file, side, spacing)
        if len(overview.boxes):
            overviews.append(overview)
            notes += [f"{name}: polygons of other classes were left out: {others}"] if others else []
        else:
            classes = f"; its classes are: {others}" if others else ""
            notes.append(f"{name} was left out: {file.name} has no polygon of the class particle or trail{classes}")
    if not overviews:
        raise DataError(
            f"{notes[0]}; {HOW}" + (f" ({how_many(len(notes) - 1, 'more slide')} like it)" if notes[1:] else "")
        )
    return LabelledFolder(tuple(overviews), phantoms, tuple(notes))


def read_drawn(slide: Path, file: Path, side: int, spacing: float | None = None) -> tuple[LabelledOverview, str]:
    """The overview of a slide with the objects of its GeoJSON, and the other classes that are in it, in words.

    Particles and trails are joined to objects as those of phantoms are. Raises as :func:`read_folder` does.
    """
    with open_slide(slide, spacing) as opened:
        um = require_spacing(opened).mean
        drawn = load_outlines(file, opened)
        particles, trails = (
            [area for name, area in drawn if name.strip().casefold().removesuffix("s") == part] for part in PARTS
        )
        left = Counter(name or "none" for name, _ in drawn if name.strip().casefold().removesuffix("s") not in PARTS)
        others = ", ".join(f"{name} ({count})" for name, count in left.most_common())
        overview = labelled_overview(opened, joined_boxes(particles, trails, um), side, slide.stem)
    return overview, others


def _labels(folder: Path) -> dict[str, Path]:
    """File of labels by name of slide, in the order of names."""
    found: dict[str, Path] = {}
    for ending in ENDINGS:
        for file in folder.glob(f"*{ending}"):
            if not file.name.startswith("."):
                found.setdefault(file.name.removesuffix(ending), file)
    return dict(sorted(found.items()))


def _slide_of(folder: Path, name: str, labels: Path) -> Path:
    named = [path for path in folder.glob("*") if path.stem == name and path.is_file()]
    slides = sorted(path for path in named if path.suffix.lower() not in NO_SLIDE)
    if len(slides) != 1:
        found = f"there are {' and '.join(path.name for path in slides)}" if slides else "there is none"
        raise DataError(f"{labels.name} belongs to one slide of that name in {folder}, {found}: move what is too much")
    return slides[0]
