"""Where to count: the cellular trails of a marrow smear that are well spread and in focus."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import shapely

from marrowscope.errors import RegionError
from marrowscope.geometry import Spacing
from marrowscope.regions.focus import focus_of_squares
from marrowscope.regions.outlines import outline
from marrowscope.regions.rasters import RASTER_UM, Mask, Raster, blur, drop_small, fill_small, parts, ramp
from marrowscope.regions.region import Region, RegionFinding
from marrowscope.regions.squares import SQUARE_UM, Squares, look_at_squares
from marrowscope.regions.survey import CELLULAR, Survey, read_overview, survey
from marrowscope.slides.protocol import Slide

SMALL_MM2 = 4.0
"""A slide with less scanned than this is one region: nobody scans so little without having chosen it."""

LEAST_MM2 = 0.05
MOST_REGIONS = 30
GOOD = 0.35
"""Score of a square from which it may lie in a region."""

NEAR_UM = 2000.0
"""A cellular part within this distance of a particle is its trail."""

WHOLE_NOTE = "no particle was looked for"

_PER_SQUARE = round(SQUARE_UM / RASTER_UM)

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
    seen = survey(read_overview(slide))
    if not seen.smear.any():
        raise RegionError(f"{slide.name}: no smear found, only glass; {_OTHERWISE}")
    squares = look_at_squares(slide, seen.stain, _rich_squares(seen, CELLULAR), progress)
    diluted = _mm2(squares.nuclear > 0) < 2 * LEAST_MM2
    if diluted:
        squares = look_at_squares(slide, seen.stain, _rich_squares(seen, 0.0), progress)
    judged = _judge(slide, squares, diluted)
    regions, outlines = _regions(seen, judged.score, slide, spacing), _outlines(seen, slide, spacing)
    if not regions:
        raise RegionError(f"{slide.name}: {judged.why_nothing(squares)}; {_OTHERWISE}")
    particles = sum(kind.kind == "particle" for kind in outlines)
    return RegionFinding(regions, outlines, _notes(particles, diluted, judged), particles)


_OTHERWISE = "count everything with --region whole, or draw where to count and give --region FILE.geojson"


def whole_slide(slide: Slide) -> RegionFinding:
    """The scanned part of the slide as one region; nothing is looked for."""
    bounds = slide.bounds
    polygon = shapely.box(bounds.x0, bounds.y0, bounds.x1, bounds.y1)
    return RegionFinding((Region("whole", polygon, 1.0, "whole"),), notes=(WHOLE_NOTE,))


@dataclass(frozen=True, slots=True)
class _Judged:
    """``score`` of each square, and the shares of the cellular area that were lost."""

    score: Raster
    too_thick: float
    out_of_focus: float | None

    def why_nothing(self, squares: Squares) -> str:
        if self.too_thick > 0.5:
            return "the smear is too thick to count anywhere"
        if self.out_of_focus is not None and self.out_of_focus > 0.5:
            return "the cellular parts of the smear are out of focus"
        return "no part of the smear is cellular and well spread"


def _rich_squares(seen: Survey, least: float) -> Raster:
    """Share of nuclear matter of each square of the marrow smear, 0 where it is not more than ``least``."""
    marrow = np.where(seen.smear & ~seen.blood, blur(seen.nuclear, 64.0), 0).astype(np.float32)
    rows, columns = (-(-side // _PER_SQUARE) for side in marrow.shape)
    padded = np.zeros((rows * _PER_SQUARE, columns * _PER_SQUARE), np.float32)
    padded[: marrow.shape[0], : marrow.shape[1]] = marrow
    rich = cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.where(rich > least, rich, 0).astype(np.float32)


def _judge(slide: Slide, squares: Squares, diluted: bool) -> _Judged:
    """Score = well spread x cellular x in focus, each 0..1."""
    least, enough = (0.0, 0.01) if diluted else (0.01, 0.06)
    cellular = np.nan_to_num(ramp(squares.nuclear, least, enough) * ramp(squares.nuclear, 0.60, 0.40))
    spread = np.nan_to_num(ramp(squares.gaps, 0.05, 0.25))
    score = cellular * spread
    focus = focus_of_squares(slide, score)
    crowded = squares.nuclear > least
    too_thick = _share(spread < 0.3, crowded)
    if focus is None:
        return _Judged(score, too_thick, None)
    return _Judged(score * focus, too_thick, _share(focus < 0.5, score > GOOD))


def _regions(seen: Survey, score: Raster, slide: Slide, spacing: Spacing) -> tuple[Region, ...]:
    rows, columns = seen.smear.shape
    whole = score.shape[1] * _PER_SQUARE, score.shape[0] * _PER_SQUARE
    fine = np.asarray(cv2.resize(score, whole, interpolation=cv2.INTER_LINEAR), np.float32)[:rows, :columns]
    good = (blur(fine, 48.0) > GOOD) & seen.smear & ~seen.blood & ~seen.particles
    good = drop_small(fill_small(good, 0.03) & ~seen.particles, LEAST_MM2)
    far = cv2.distanceTransform((~seen.particles).astype(np.uint8), cv2.DIST_L2, 5) * RASTER_UM
    found = []
    for part in parts(good)[:MOST_REGIONS]:
        polygon = outline(part, slide, spacing)
        if not polygon.is_empty:
            kind = "trail" if seen.particles.any() and float(far[part].min()) < NEAR_UM else "smear"
            found.append((round(float(fine[part].mean()), 3), kind, polygon))
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


def _notes(particles: int, diluted: bool, judged: _Judged) -> tuple[str, ...]:
    notes = []
    if not particles:
        notes.append("no particle found")
    if diluted:
        notes.append("few nucleated cells everywhere: the smear looks diluted with blood")
    if judged.too_thick > 0.25:
        notes.append(f"{judged.too_thick:.0%} of the cellular area is too thick to count")
    if judged.out_of_focus is None:
        notes.append("focus was not judged: the slide is coarser than 0.5 um per pixel")
    elif judged.out_of_focus > 0.1:
        notes.append(f"{judged.out_of_focus:.0%} of the cellular, well-spread area is out of focus")
    return tuple(notes)


def _share(part: Mask, whole: Mask) -> float:
    return float((part & whole).sum() / max(1, whole.sum()))


def _mm2(squares: Mask) -> float:
    return float(squares.sum()) * SQUARE_UM**2 / 1e6
