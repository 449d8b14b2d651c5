"""The smears of one case: pooled into one differential, after a test whether they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import cv2
import numpy as np
import polars as pl
import shapely.affinity

from marrowscope.differential.counting import make_differential
from marrowscope.differential.pooling import agreement
from marrowscope.differential.references import load_references
from marrowscope.differential.result import Differential
from marrowscope.differential.tally import NDC, NDC_WITH_MITOSES, tally
from marrowscope.errors import MarrowscopeError
from marrowscope.geometry import Box, Size
from marrowscope.options import CountOptions
from marrowscope.packs.loading import Pack
from marrowscope.pipeline import stopping_rule
from marrowscope.regions import Region, RegionFinding
from marrowscope.report.content import ReportContent
from marrowscope.slides import Picture

GAP_PX = 24
"""Between two overviews in the picture of a case."""


def pool_case(
    name: str, smears: Sequence[ReportContent], pack: Pack, options: CountOptions | None = None
) -> ReportContent:
    """Add the smears of a case up: one content for one report.

    The overviews stand side by side in one picture, in the frame of the first slide. Raises ``MarrowscopeError`` for
    fewer than two smears.
    """
    options = options or CountOptions()
    if len(smears) < 2:
        raise MarrowscopeError(f"the case {name!r} has {len(smears)} smear; --case pools two slides or more")
    first = smears[0]
    rule = stopping_rule(options, pack)
    by_smear = {smear.slide.label: Counter(smear.cells["type"].to_list()) for smear in smears}
    counted = NDC_WITH_MITOSES if options.count_mitoses else NDC
    tested = None
    if all(any(counts[cell_type] for cell_type in counted) for counts in by_smear.values()):
        tested = agreement(by_smear, counted)
    particles = [smear.finding.particles for smear in smears if smear.finding.particles is not None]
    differential = make_differential(
        reduce(add, (tally(smear.cells) for smear in smears)),
        pack.contract,
        rule,
        area_mm2=sum(smear.differential.area_mm2 for smear in smears),
        fields=sum(smear.differential.fields for smear in smears),
        stopped="; ".join(f"{smear.slide.label}: {smear.differential.stopped}" for smear in smears),
        particles=sum(particles) if particles else None,
        references=load_references(options.reference_ranges),
        agreement=tested,
        notes=tuple(_of_smear(smear, note) for smear in smears for note in smear.quality),
    )
    return _beside_each_other(name, smears, differential, first)


def _of_smear(smear: ReportContent, note: str) -> str:
    return f"{smear.slide.label}: {note}"


def _beside_each_other(
    name: str, smears: Sequence[ReportContent], differential: Differential, first: ReportContent
) -> ReportContent:
    """Cells, pictures and outlines of all smears in one frame: that of the first slide, extended to the right."""
    scale_x, scale_y = first.overview_downsample
    height = max(smear.overview.shape[0] for smear in smears)
    strips: list[Picture] = []
    regions: list[Region] = []
    outlines: list[Region] = []
    fields: list[Box] = []
    cells: list[pl.DataFrame] = []
    crops: dict[int, Picture] = {}
    left = first_id = 0
    for number, smear in enumerate(smears, start=1):
        move = _Move(scale_x / smear.overview_downsample[0], scale_y / smear.overview_downsample[1], left * scale_x)
        regions += [move.region(region, number) for region in smear.finding.regions]
        outlines += [move.region(region, number) for region in smear.finding.outlines]
        fields += [move.box(box) for box in smear.fields]
        cells.append(smear.cells.with_columns(cell_id=pl.col("cell_id") + first_id))
        crops |= {cell_id + first_id: _at_spacing(crop, smear, first) for cell_id, crop in smear.crops.items()}
        first_id += smear.cells.height
        strip = np.full((height, smear.overview.shape[1] + GAP_PX, 3), 255, np.uint8)
        strip[: smear.overview.shape[0], : smear.overview.shape[1]] = smear.overview
        strips.append(strip)
        left += strip.shape[1]
    overview = np.ascontiguousarray(np.concatenate(strips, axis=1)[:, :-GAP_PX])
    size = Size(round(overview.shape[1] * scale_x), round(overview.shape[0] * scale_y))
    labels = ", ".join(smear.slide.label for smear in smears)
    return replace(
        first,
        slide=replace(first.slide, label=f"{name} ({labels})", size=size, bounds=Box(0, 0, *size)),
        differential=differential,
        cells=pl.concat(cells),
        finding=RegionFinding(tuple(regions), tuple(outlines), differential.notes, first.finding.particles),
        overview=overview,
        crops=crops,
        fields=tuple(fields),
        quality=tuple(_of_smear(smear, note) for smear in smears for note in smear.quality),
        case=name,
    )


@dataclass(frozen=True, slots=True)
class _Move:
    """From the level-0 pixels of one slide to those of the first: a factor along each axis, then to the right."""

    factor_x: float
    factor_y: float
    right: float

    def region(self, region: Region, number: int) -> Region:
        matrix = [self.factor_x, 0, 0, self.factor_y, self.right, 0]
        polygon = shapely.affinity.affine_transform(region.polygon, matrix)
        return replace(region, name=f"{number}: {region.name}", polygon=polygon)

    def box(self, box: Box) -> Box:
        x0, x1 = (value * self.factor_x + self.right for value in (box.x0, box.x1))
        return Box(x0, box.y0 * self.factor_y, x1, box.y1 * self.factor_y)


def _at_spacing(crop: Picture, smear: ReportContent, first: ReportContent) -> Picture:
    factor = smear.crop_spacing / first.crop_spacing
    if factor == 1:
        return crop
    return np.asarray(cv2.resize(crop, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
