"""The smears of one case: pooled into one differential, after a test whether they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any

import cv2
import numpy as np
import polars as pl
import shapely.affinity
from numpy.typing import NDArray

from marrowscope.differential.adequacy import why_not_looked
from marrowscope.differential.counting import make_differential
from marrowscope.differential.pooling import agreement
from marrowscope.differential.references import load_references
from marrowscope.differential.result import Differential
from marrowscope.differential.tally import NDC, NDC_WITH_MITOSES, tally
from marrowscope.errors import MarrowscopeError
from marrowscope.geometry import Box, Size
from marrowscope.options import CountOptions
from marrowscope.packs.loading import Pack
from marrowscope.pipeline import BLOOD, stopping_rule
from marrowscope.regions import Region, RegionFinding
from marrowscope.report.content import Evidence, ReportContent, SmearFacts
from marrowscope.slides import Picture
from marrowscope.stored import counted_as

GAP_PX = 24
"""Between two overviews in the picture of a case."""


def pool_case(
    name: str, smears: Sequence[ReportContent], pack: Pack, options: CountOptions | None = None
) -> ReportContent:
    """Add the smears of a case up: one content for one report.

    The overviews stand side by side in one picture, at one scale. Without ``options`` the specimen is that of the
    smears. Raises ``MarrowscopeError`` for fewer than two smears, for a smear that is given twice (one label names one
    smear), and for smears that were counted for different specimens or for another than ``options`` name.
    """
    if len(smears) < 2:
        raise MarrowscopeError(f"the case {name!r} has {len(smears)} smear; --case pools two slides or more")
    labels = [smear.slide.label for smear in smears]
    if twice := [label for label, times in Counter(labels).items() if times > 1]:
        raise MarrowscopeError(f"the smear {twice[0]!r} is given twice in the case {name!r}; give each slide once")
    specimen = _specimen(name, smears)
    options = options or CountOptions(specimen=specimen)
    if options.specimen != specimen:
        raise MarrowscopeError(
            f"the smears of the case {name!r} were counted for the specimen {specimen}, not {options.specimen}; "
            f"set it with --specimen {specimen}, or count them again"
        )
    pack = pack.for_specimen(specimen)
    rule = stopping_rule(options, pack)
    by_smear = {smear.slide.label: Counter(smear.cells["type"].to_list()) for smear in smears}
    counted = NDC_WITH_MITOSES if options.count_mitoses else NDC
    tested = None
    if all(any(counts[cell_type] for cell_type in counted) for counts in by_smear.values()):
        tested = agreement(by_smear, counted)
    differential = make_differential(
        reduce(add, (tally(smear.cells) for smear in smears)),
        pack.contract,
        rule,
        area_mm2=sum(smear.differential.area_mm2 for smear in smears),
        fields=sum(smear.differential.fields for smear in smears),
        stopped="; ".join(f"{smear.slide.label}: {smear.differential.stopped}" for smear in smears),
        particles=_particles(smears),
        not_looked=_not_looked(smears),
        references=load_references(options.reference_ranges),
        agreement=tested,
        notes=tuple(_of_smear(smear, note) for smear in smears for note in smear.quality),
        warnings=(BLOOD,) if specimen == "blood" else (),
        phantom=any(smear.differential.phantom for smear in smears),
    )
    return beside_each_other(name, smears, differential)


def _specimen(name: str, smears: Sequence[ReportContent]) -> str:
    """The specimen that all smears were counted for: what one prior calls a type, another may call otherwise."""
    by_smear = {smear.slide.label: counted_as(smear.run) for smear in smears}
    if len(set(by_smear.values())) > 1:
        found = ", ".join(f"{label} for {specimen}" for label, specimen in by_smear.items())
        raise MarrowscopeError(
            f"the smears of the case {name!r} were counted for different specimens ({found}); count all of them again "
            "with one --specimen"
        )
    return next(iter(by_smear.values()))


def _particles(smears: Sequence[ReportContent]) -> int | None:
    """Particles seen on all smears; None when nobody looked on any."""
    seen = [smear.finding.particles for smear in smears if smear.finding.particles is not None]
    return sum(seen) if seen else None


def _not_looked(smears: Sequence[ReportContent]) -> str:
    """Why nobody looked for particles, each reason with its smears where they differ."""
    smears_of: dict[str, list[str]] = {}
    for smear in smears:
        why = why_not_looked(str(smear.run.get("options", {}).get("region", "auto")))
        smears_of.setdefault(why, []).append(smear.slide.label)
    if len(smears_of) == 1:
        return next(iter(smears_of))
    return "; ".join(f"{', '.join(labels)}: {why}" for why, labels in smears_of.items())


def _of_smear(smear: ReportContent, note: str) -> str:
    return f"{smear.slide.label}: {note}"


def beside_each_other(name: str, smears: Sequence[ReportContent], differential: Differential) -> ReportContent:
    """Cells, pictures and outlines of all smears in one frame: that of the first slide, extended to the right.

    All overviews are brought to one scale, the coarsest of them: lengths and areas in the frame are true for each.
    """
    first = smears[0]
    frame_um = first.slide.spacing
    um = max(max(_overview_um(smear)) for smear in smears)
    pictures = [_at_scale(smear, um) for smear in smears]
    height = max(picture.shape[0] for picture in pictures)
    strips: list[Picture] = []
    regions: list[Region] = []
    outlines: list[Region] = []
    fields: list[Box] = []
    cells: list[pl.DataFrame] = []
    crops: dict[int, Picture] = {}
    maps: dict[int, NDArray[np.float32]] = {}
    left = first_id = 0
    for number, (smear, picture) in enumerate(zip(smears, pictures, strict=True), start=1):
        spacing = smear.slide.spacing
        move = _Move(number, spacing.x / frame_um.x, spacing.y / frame_um.y, left * um / frame_um.x)
        cells.append(move.cells(smear.cells, first_id, len(fields)))
        crops |= {cell_id + first_id: crop for cell_id, crop in smear.crops.items()}
        if smear.evidence is not None:
            maps |= {cell_id + first_id: pair for cell_id, pair in smear.evidence.maps.items()}
        first_id += smear.cells.height
        regions += [move.region(region) for region in smear.finding.regions]
        outlines += [move.region(region) for region in smear.finding.outlines]
        fields += [move.box(box) for box in smear.fields]
        strip = np.full((height, picture.shape[1] + GAP_PX, 3), 255, np.uint8)
        strip[: picture.shape[0], : picture.shape[1]] = picture
        strips.append(strip)
        left += strip.shape[1]
    overview = np.ascontiguousarray(np.concatenate(strips, axis=1)[:, :-GAP_PX])
    downsample = um / frame_um.x, um / frame_um.y
    size = Size(round(overview.shape[1] * downsample[0]), round(overview.shape[0] * downsample[1]))
    labels = ", ".join(smear.slide.label for smear in smears)
    return replace(
        first,
        slide=replace(
            first.slide, label=f"{name} ({labels})", size=size, bounds=Box(0, 0, *size), reader="", properties={}
        ),
        differential=differential,
        cells=pl.concat(cells),
        finding=RegionFinding(tuple(regions), tuple(outlines), particles=_particles(smears)),
        overview=overview,
        overview_downsample=downsample,
        crops=crops,
        fields=tuple(fields),
        evidence=None if first.evidence is None else Evidence(first.evidence.method, maps),
        run=_run(smears),
        quality=tuple(_of_smear(smear, note) for smear in smears for note in smear.quality),
        case=name,
        smears=tuple(
            SmearFacts(
                smear.slide.label, smear.differential.total, smear.differential.fields, smear.differential.area_mm2
            )
            for smear in smears
        ),
    )


def _run(smears: Sequence[ReportContent]) -> dict[str, Any]:
    """What the runs of the smears share, the fingerprints of all, and the time of the last."""
    shared = {key: smears[0].run[key] for key in ("versions", "pack", "options") if key in smears[0].run}
    if all("fingerprint" in smear.run for smear in smears):
        shared["fingerprints"] = sorted(str(smear.run["fingerprint"]) for smear in smears)
    times = [smear.run["time"] for smear in smears if "time" in smear.run]
    return shared | ({"time": max(times, key=datetime.fromisoformat)} if times else {})


def _overview_um(smear: ReportContent) -> tuple[float, float]:
    """Um per pixel of the overview."""
    spacing, downsample = smear.slide.spacing, smear.overview_downsample
    return spacing.x * downsample[0], spacing.y * downsample[1]


def _at_scale(smear: ReportContent, um: float) -> Picture:
    """The overview at ``um`` per pixel, which is no finer than it has."""
    x, y = _overview_um(smear)
    height, width = smear.overview.shape[:2]
    size = max(1, round(width * x / um)), max(1, round(height * y / um))
    return np.asarray(cv2.resize(smear.overview, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True, slots=True)
class _Move:
    """From the level-0 pixels of a smear to those of the frame: a factor along each axis, then to the right.

    The names of regions begin with the smear's ``number``.
    """

    number: int
    factor_x: float
    factor_y: float
    right: float

    def cells(self, cells: pl.DataFrame, first_id: int, first_field: int) -> pl.DataFrame:
        return cells.with_columns(
            pl.col("x0", "x1") * self.factor_x + self.right,
            pl.col("y0", "y1") * self.factor_y,
            cell_id=pl.col("cell_id") + first_id,
            region=pl.lit(f"{self.number}: ") + pl.col("region"),
            field=pl.col("field") + first_field,
        )

    def region(self, region: Region) -> Region:
        matrix = [self.factor_x, 0, 0, self.factor_y, self.right, 0]
        polygon = shapely.affinity.affine_transform(region.polygon, matrix)
        return replace(region, name=f"{self.number}: {region.name}", polygon=polygon)

    def box(self, box: Box) -> Box:
        x0, x1 = (value * self.factor_x + self.right for value in (box.x0, box.x1))
        return Box(x0, box.y0 * self.factor_y, x1, box.y1 * self.factor_y)
