"""Where to count: the cellular trails of a marrow smear that are well spread and in focus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely

from marrowscope.errors import RegionError
from marrowscope.geometry import Spacing
from marrowscope.regions.focus import look_at_focus
from marrowscope.regions.look import Look, look_closer
from marrowscope.regions.outlines import outline
from marrowscope.regions.rasters import (
    RASTER_UM,
    Mask,
    Raster,
    blur,
    blur_within,
    drop_small,
    fill_small,
    grow,
    opened,
    parts,
    ramp,
)
from marrowscope.regions.region import Region, RegionFinding
from marrowscope.regions.survey import CELLULAR, Survey, read_overview, survey
from marrowscope.slides.protocol import Slide

SMALL_MM2 = 4.0
"""A slide with less scanned than this is one region: nobody scans so little without having chosen it."""

LEAST_MM2 = 0.05
MOST_REGIONS = 30
GOOD = 0.4
"""Score from which a place may lie in a region."""

NEAR_UM = 2000.0
"""A cellular part within this distance of a particle is its trail."""

WHOLE_NOTE = "no particle was looked for"

MOSTLY_THICK = 0.5
"""Share of the cellular area: from here on thickness is why nothing was found, if the spacing is right."""

HALO_UM = 16.0
CELL_UM2 = 70.0
"""Nuclear matter of one cell."""

DILUTED, SPARSE = 0.012, 0.06
"""Share of the area that is nuclear matter: what a diluted smear has at most, what a usable trail has at least."""

Progress = Callable[[float], None]


def find_regions(slide: Slide, spacing: Spacing, progress: Progress | None = None) -> RegionFinding:
    """Find the well-spread, focused parts of the cellular trails, best first.

    ``progress`` is called with the share done, 0..1. A picture, or a slide with less than 4 mm2 scanned, is one region
    of kind ``whole``. Particles and the strip of peripheral blood come as ``outlines`` and are never inside a region;
    ``notes`` say what a reader must know. Method and numbers: docs/methods/regions.md. Raises ``RegionError`` when
    the slide shows nothing but glass or nothing that can be counted, ``SlideError`` where the file is damaged.
    """
    if slide.reader == "picture" or spacing.area_mm2(slide.bounds.area) < SMALL_MM2:
        return whole_slide(slide)
    seen = survey(read_overview(slide), slide.background)
    if not seen.smear.any():
        raise RegionError(f"{slide.name}: no smear found, only glass; {_OTHERWISE}")
    marrow = seen.smear & ~seen.blood
    crowd = np.where(marrow, blur(seen.nuclear, 100.0), 0).astype(np.float32)
    cellular = marrow & grow(crowd > CELLULAR, 200.0)
    diluted = _mm2((crowd > CELLULAR) & ~seen.particles) < 2 * LEAST_MM2
    look = look_closer(slide, seen.stain, np.where(marrow if diluted else cellular, crowd + 1e-6, 0), progress)
    judged = judge(slide, seen, look)
    regions = _regions(seen, judged.score, slide, spacing)
    if not regions:
        check = f", or check the spacing ({spacing.mean:g} um per pixel)" if judged.too_thick > MOSTLY_THICK else ""
        raise RegionError(f"{slide.name}: {judged.why_nothing}; {_OTHERWISE}{check}")
    outlines = _outlines(seen, slide, spacing)
    particles = sum(outlined.kind == "particle" for outlined in outlines)
    return RegionFinding(regions, outlines, _notes(particles, judged), particles)


_OTHERWISE = "count everything with --region whole, or draw where to count and give --region FILE.geojson"


def whole_slide(slide: Slide) -> RegionFinding:
    """The scanned part of the slide as one region; nothing is looked for."""
    bounds = slide.bounds
    polygon = shapely.box(bounds.x0, bounds.y0, bounds.x1, bounds.y1)
    return RegionFinding((Region("whole", polygon, 1.0, "whole"),), notes=(WHOLE_NOTE,))


@dataclass(frozen=True, slots=True)
class Judged:
    """``score`` 0..1 of each raster pixel; shares of the cellular area that were lost; whether cells are rare."""

    score: Raster
    too_thick: float
    out_of_focus: float | None
    diluted: bool

    @property
    def why_nothing(self) -> str:
        if self.too_thick > MOSTLY_THICK:
            return "the smear is too thick to count anywhere"
        if (self.out_of_focus or 0.0) > 0.5:
            return "the cellular parts of the smear are out of focus"
        return "no part of the smear is cellular and well spread"


def judge(slide: Slide, seen: Survey, look: Look) -> Judged:
    """Score = cellular x well spread x in focus, each 0..1, around (not in) the particles."""
    place = seen.smear & ~seen.blood & ~grow(seen.particles, HALO_UM) & np.isfinite(look.nuclear)
    nuclear, gaps = np.nan_to_num(look.nuclear), np.nan_to_num(look.gaps)
    wide = blur_within(nuclear, place, 100.0)
    rich = place & (wide > DILUTED)
    diluted = _mm2(rich) < 2 * LEAST_MM2
    if diluted:
        rich = place
    usual = float(np.median(wide[rich])) if rich.any() else 0.0
    # Some twenty cells have a say at each place; with fewer a region would be drawn around single cells.
    reach = (20 * CELL_UM2 / (4 * np.pi * max(usual, 1e-6))) ** 0.5
    near = blur_within(nuclear, place, float(np.clip(reach, 40.0, 300.0)))
    level = min(max(0.45 * usual, 0.0 if diluted else DILUTED), SPARSE)
    cellular = ramp(near, 0.0, max(2.2 * level, 1e-6)) * ramp(near, 0.65, 0.45)
    spread = ramp(blur_within(gaps, place, 40.0), 0.05, 0.25)
    score = np.where(place, cellular * spread, 0).astype(np.float32)
    too_thick = _share(spread < 0.3, place & (near > level))
    wanted = place & (near > 0.5 * level)
    focus = look_at_focus(slide, wanted)
    if focus is None:
        return Judged(score, too_thick, None, diluted)
    return Judged(score * focus, too_thick, _share(focus < 0.5, wanted), diluted)


def _regions(seen: Survey, score: Raster, slide: Slide, spacing: Spacing) -> tuple[Region, ...]:
    closed = seen.smear & ~seen.blood & ~seen.particles
    good = drop_small(fill_small(opened(score > GOOD, 40.0), 0.02) & closed, LEAST_MM2)
    near_particle = grow(seen.particles, NEAR_UM)
    found = []
    for part in parts(good)[:MOST_REGIONS]:
        polygon = outline(part, slide, spacing)
        if not polygon.is_empty:
            kind = "trail" if part.of(near_particle).any() else "smear"
            found.append((round(float(part.of(score).mean()), 3), kind, polygon))
    found.sort(key=lambda item: (-item[0], -item[2].area))
    return tuple(Region(f"{kind} {rank}", polygon, score, kind) for rank, (score, kind, polygon) in enumerate(found, 1))


def _outlines(seen: Survey, slide: Slide, spacing: Spacing) -> tuple[Region, ...]:
    masks = {"smear": seen.smear & ~seen.blood, "particle": seen.particles, "blood": seen.blood}
    found = []
    for kind, mask in masks.items():
        for number, part in enumerate(parts(mask), 1):
            polygon = outline(part, slide, spacing)
            if not polygon.is_empty:
                found.append(Region(f"{kind} {number}", polygon, 1.0, kind))
    return tuple(found)


def _notes(particles: int, judged: Judged) -> tuple[str, ...]:
    notes = []
    if not particles:
        notes.append("no particle found")
    if judged.diluted and (judged.out_of_focus or 0.0) < 0.5:
        notes.append("few nucleated cells everywhere: the smear looks diluted with blood")
    if judged.too_thick > 0.25:
        notes.append(f"{judged.too_thick:.0%} of the cellular area is too thick to count")
    if judged.out_of_focus is None:
        notes.append("focus was not judged: the slide is coarser than 0.5 um per pixel")
    elif judged.out_of_focus > 0.1:
        notes.append(f"{judged.out_of_focus:.0%} of the cellular area is out of focus")
    return tuple(notes)


def _share(part: Mask, whole: Mask) -> float:
    return float((part & whole).sum() / max(1, whole.sum()))


def _mm2(mask: Mask) -> float:
    return float(mask.sum()) * RASTER_UM**2 / 1e6
