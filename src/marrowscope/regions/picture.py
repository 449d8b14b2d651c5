"""A finding as a picture: where on the slide counting would take place."""

from __future__ import annotations

from math import floor, log10

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from marrowscope.geometry import Spacing
from marrowscope.regions.files import COLOURS
from marrowscope.regions.region import Region, RegionFinding
from marrowscope.slides.overview import overview
from marrowscope.slides.protocol import Picture, Slide

_INK = (40, 40, 46)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MARGIN = 28
_WORDS = {
    "trail": "cellular trail, counted",
    "smear": "smear, counted",
    "whole": "all that was scanned, counted",
    "given": "given region, counted",
    "particle": "particle",
    "blood": "peripheral blood, left out",
}


def draw_regions(slide: Slide, spacing: Spacing, finding: RegionFinding, longest: int = 1600) -> Picture:
    """The overview with regions in full colour and numbered by rank, all else faded; scale bar and legend.

    Returns RGB, at most ``longest`` pixels and a margin on a side.
    """
    seen, downsample = overview(slide, longest)
    scale = np.array(downsample)
    canvas = _fade_outside(seen, [_rings(region, scale) for region in finding.regions])
    line = max(1, round(max(seen.shape) / 700))
    for outlined in finding.outlines:
        if outlined.kind != "smear":
            cv2.polylines(canvas, _rings(outlined, scale), True, COLOURS.get(outlined.kind, _INK), line, cv2.LINE_AA)
    for region in finding.regions:
        cv2.polylines(canvas, _rings(region, scale), True, COLOURS[region.kind], 2 * line, cv2.LINE_AA)
    for rank, region in reversed(list(enumerate(finding.regions, 1))):
        _badge(canvas, rank, region, scale)
    _scale_bar(canvas, spacing.x * downsample[0])
    return _framed(canvas, slide.name, finding)


def _rings(region: Region, scale: NDArray[np.float64]) -> list[NDArray[np.int32]]:
    rings = [ring for part in shapely.get_parts(region.polygon) for ring in (part.exterior, *part.interiors)]
    return [np.round(shapely.get_coordinates(ring) / scale).astype(np.int32) for ring in rings]


def _fade_outside(seen: Picture, regions: list[list[NDArray[np.int32]]]) -> Picture:
    mask = np.zeros(seen.shape[:2], np.uint8)
    for rings in regions:
        cv2.fillPoly(mask, rings, 255)
    grey = cv2.cvtColor(cv2.cvtColor(seen, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    faded = cv2.addWeighted(cv2.addWeighted(seen, 0.55, grey, 0.45, 0), 0.6, np.full_like(seen, 255), 0.4, 0)
    faded[mask > 0] = seen[mask > 0]
    return np.asarray(faded)


def _badge(canvas: Picture, rank: int, region: Region, scale: NDArray[np.float64]) -> None:
    """The rank in a filled circle at the point of the region that is furthest from its border."""
    largest = max(shapely.get_parts(region.polygon), key=lambda part: part.area)
    x0, y0, x1, y1 = largest.bounds
    inner = shapely.maximum_inscribed_circle(largest, tolerance=max(x1 - x0, y1 - y0) / 50)
    x, y = np.round(shapely.get_coordinates(inner)[0] / scale).astype(int)
    radius = max(11, round(max(canvas.shape) / 110))
    cv2.circle(canvas, (x, y), radius + 2, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.circle(canvas, (x, y), radius, COLOURS[region.kind], -1, cv2.LINE_AA)
    _text(canvas, str(rank), (x, y), radius * 1.05, (255, 255, 255), centred=True)


def round_length(largest: float) -> float:
    """The longest of 1, 2 or 5 times a power of ten that is not longer than ``largest``."""
    power = 10.0 ** floor(log10(largest))
    return float(max(step * power for step in (1, 2, 5) if step * power <= largest * (1 + 1e-9)))


def _scale_bar(canvas: Picture, um: float) -> None:
    """A bar of a round length, about a sixth of the width."""
    length = round_length(canvas.shape[1] * um / 6)
    words = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} um"
    height = max(14, round(max(canvas.shape) / 80))
    x, y = height, canvas.shape[0] - height
    end = x + round(length / um)
    cv2.rectangle(canvas, (x - 6, y - round(2.1 * height)), (end + 6, y + 8), (255, 255, 255), -1)
    cv2.line(canvas, (x, y), (end, y), _INK, max(2, height // 4))
    _text(canvas, words, (x, y - height // 2 - 2), height, _INK)


def _framed(canvas: Picture, name: str, finding: RegionFinding) -> Picture:
    """Title above, legend below, margins around."""
    height = max(15, round(max(canvas.shape) / 80))
    kinds = list(dict.fromkeys(region.kind for region in (*finding.regions, *finding.outlines)))
    counted = {region.kind for region in finding.regions}
    shown = [kind for kind in kinds if kind in counted or kind in ("particle", "blood")]
    entries = [_WORDS[kind] if kind in counted or kind != "particle" else "particle" for kind in shown]
    widths = [round(1.6 * height) + _width(words, height) + 2 * height for words in entries]
    rows: list[list[int]] = [[]]
    for i, width in enumerate(widths):
        if rows[-1] and sum(widths[j] for j in rows[-1]) + width > canvas.shape[1]:
            rows.append([])
        rows[-1].append(i)
    top, step = _MARGIN + 2 * height, 2 * height
    sides = (top, step * (len(rows) + 1)), (_MARGIN, _MARGIN), (0, 0)
    framed = np.pad(canvas, sides, constant_values=255)
    cv2.rectangle(framed, (_MARGIN - 1, top - 1), (_MARGIN + canvas.shape[1], top + canvas.shape[0]), (205, 205, 210))
    _text(framed, name, (_MARGIN, top - round(0.8 * height)), 1.15 * height, _INK)
    for i, row in enumerate(rows):
        x, y = _MARGIN, top + canvas.shape[0] + step * i + round(1.7 * height)
        for j in row:
            cv2.rectangle(framed, (x, y - height), (x + height, y), COLOURS[shown[j]], -1 if shown[j] in counted else 2)
            _text(framed, entries[j], (x + round(1.6 * height), y), height, _INK)
            x += widths[j]
    return framed


def _width(words: str, height: float) -> int:
    return int(cv2.getTextSize(words, _FONT, height / 24, 1)[0][0])


def _text(
    canvas: Picture, words: str, at: tuple[int, int], height: float, colour: tuple[int, int, int], centred: bool = False
) -> None:
    """Words of about ``height`` pixels with their baseline's start, or their middle, at a point."""
    size, thickness = height / 24, max(1, round(height / 14))
    (width, tall), _ = cv2.getTextSize(words, _FONT, size, thickness)
    x, y = (at[0] - width // 2, at[1] + tall // 2) if centred else at
    cv2.putText(canvas, words, (x, y), _FONT, size, colour, thickness, cv2.LINE_AA)
