"""Where to count by a model of the overview: its boxes say where, the classical judge says what is countable there.

A box round a particle with its trail (Wang et al. 2022) holds the particle itself, smear without cells and thick parts;
counting in all of it would count those. Measured in docs/methods/regions.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import shapely
from numpy.typing import NDArray

from marrowscope.geometry import Spacing
from marrowscope.regions.finder import LEAST_MM2, WHOLE_NOTE, Progress, find_regions
from marrowscope.regions.overviews import SIDE, square_overview
from marrowscope.regions.region import Region, RegionFinding, areas_only
from marrowscope.slides.protocol import Picture, Slide

FindBoxes = Callable[[Picture], tuple[NDArray[np.float64], NDArray[np.float32]]]
"""A picture ``(side, side, 3)`` uint8 RGB to boxes ``(n, 4)`` in its pixels and their scores ``(n,)``, best first."""


@dataclass(frozen=True, slots=True)
class RegionModel:
    """A model of the overview, ready to look. ``name`` stands in the notes; ``side`` of its picture in pixels."""

    name: str
    find: FindBoxes
    side: int = SIDE


NESTED = 0.8
"""A box of which more than this share lies in a larger one is a part of that object: a particle in its trail's box."""


def outermost(boxes: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows of ``boxes (n, 4)``, in their order, that are no part of a larger one."""
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    kept: list[int] = []
    for row in np.argsort(-areas, kind="stable").tolist():
        low, high = np.maximum(boxes[row, :2], boxes[kept, :2]), np.minimum(boxes[row, 2:], boxes[kept, 2:])
        if ((high - low).clip(min=0).prod(axis=1) <= NESTED * areas[row]).all():
            kept.append(row)
    return np.array(sorted(kept), np.int64)


def find_boxes(slide: Slide, model: RegionModel) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """What the model finds on a slide: boxes ``(n, 4)`` in level-0 pixels, inside the slide, and scores ``(n,)``.

    Boxes that are part of a larger one are left out.
    """
    seen = square_overview(slide, model.side)
    boxes, scores = model.find(seen.picture)
    placed = seen.to_level0(boxes)
    placed = np.clip(placed, 0, np.tile([slide.size.width, slide.size.height], 2))
    inside = (placed[:, 2:] > placed[:, :2]).all(axis=1)
    placed, scores = placed[inside], scores[inside]
    rows = outermost(placed)
    return placed[rows], scores[rows]


def find_regions_learned(
    slide: Slide, spacing: Spacing, model: RegionModel, progress: Progress | None = None
) -> RegionFinding:
    """The well-spread, focused parts of the smear that lie in a box of the model, best first.

    A picture and a slide of less than 4 mm2 are one region, as in :func:`find_regions`: their part was chosen by who
    scanned it. Where the model finds nothing, or nothing that can be counted, the classical regions stand as they are.
    A note says which of all this happened. Raises ``RegionError`` as :func:`find_regions` does.
    """
    classical = find_regions(slide, spacing, progress)
    if WHOLE_NOTE in classical.notes:
        return classical
    boxes, scores = find_boxes(slide, model)
    if not len(boxes):
        return _noted(classical, f"the region model of {model.name} found nothing: regions are those found without it")
    kept = within(classical.regions, boxes, spacing)
    if not kept:
        note = f"nothing in the {_boxes(len(boxes))} of the region model of {model.name} can be counted"
        return _noted(classical, f"{note}: regions are those found without it")
    outlines = tuple(
        Region(f"box {number}", shapely.box(*box), round(float(score), 3), "box")
        for number, (box, score) in enumerate(zip(boxes, scores, strict=True), 1)
    )
    found = RegionFinding(kept, (*classical.outlines, *outlines), classical.notes, classical.particles)
    return _noted(found, f"regions lie in {_boxes(len(boxes))} of the region model of {model.name}")


def within(regions: tuple[Region, ...], boxes: NDArray[np.float64], spacing: Spacing) -> tuple[Region, ...]:
    """The parts of regions that lie in boxes ``(n, 4)``, at least 0.05 mm2 each, numbered anew, in order."""
    area = shapely.union_all(shapely.box(*boxes.T))
    kept: list[Region] = []
    for region in regions:
        for part in shapely.get_parts(areas_only(shapely.intersection(region.polygon, area))):
            if spacing.area_mm2(part.area) >= LEAST_MM2:
                kept.append(Region(f"trail {len(kept) + 1}", part, region.score, "trail"))
    return tuple(kept)


def _noted(finding: RegionFinding, note: str) -> RegionFinding:
    return replace(finding, notes=(*finding.notes, note))


def _boxes(count: int) -> str:
    return f"{count} {'box' if count == 1 else 'boxes'}"
