"""The ruler that every smear carries: red cells measured in pixels, to see whether a spacing can be true.

Shapes: fields are uint8 RGB ``(height, width, 3)``; discs are float rows ``(n, 3)`` of x, y, radius in field pixels.

Method. In optical density, Otsu's threshold on green, blue or their mean (whichever separates best) parts cells from
plasma, and a second one on green parts nuclei from red cells where there are any. The distance transform of the cells
peaks in the middle of each, touching ones included, and is there the radius of the largest disc that fits. Discs count
when they hold no nucleus, lie inside the field and have plasma around at least half of their rim. This is done at
several scales, and the one whose discs explain most of the cells' area wins: no spacing goes in, so that a wrong one
cannot spoil the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, pi, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.geometry import RED_CELL_UM, Point, Size, Spacing
from marrowscope.slides.overview import overview
from marrowscope.slides.protocol import Picture, Slide

TOLERANCE = 1.4
"""Measured diameter against 7.2 um, either way. Red cells differ by disease and stain; most wrong spacings are wrong by
two or more (a 20x scan taken for 40x)."""

_FIT = 1.06
"""Diameter of a cell over that of the largest disc inside it; see docs/methods/slides.md."""

_SHRINKS = (1, 2, 4, 8)
_FIELD = 512
_SMALLEST_FIELD = 60
_FIELDS_TO_CHOOSE, _FIELDS, _ENOUGH_DISCS = 2, 8, 50
_DIAMETERS = (12.0, 48.0)
_LEAST_DISCS, _WIDEST_SPREAD, _LEAST_EXPLAINED = 5, 0.35, 0.3
_COARSEST_SIDE = 4096
_MOST_READ = 4.01
"""A field is read from pixels at most so many times finer: without a pyramid, coarse fields would cost seconds."""
_PALE = 0.12
_WEIGHTS = np.array([(0, 1, 0), (0, 0, 1), (0, 0.5, 0.5)], np.float32)

_Look = tuple[NDArray[np.float64], float]
"""Radii of the discs in one field, and the area of the cells without nuclei there."""


def spacing_contradiction(slide: Slide, spacing: Spacing) -> str | None:
    """A quality note when the size of the red cells contradicts ``spacing``; None when it agrees or nobody can tell.

    Raises ``SlideError`` where the file is damaged.
    """
    pixels = red_cell_diameter(slide)
    if pixels is None:
        return None
    um = pixels * spacing.mean
    if 1 / TOLERANCE <= um / RED_CELL_UM <= TOLERANCE:
        return None
    return (
        f"the red cells measure {um:.1f} um at a spacing of {spacing.mean:.3g} um per pixel, expected about "
        f"{RED_CELL_UM:g} um; about {RED_CELL_UM / pixels:.2g} would fit: check it and set it with --spacing UM"
    )


def red_cell_diameter(slide: Slide) -> float | None:
    """Diameter of the red cells in level-0 pixels, from a few well-spread fields; None where too few stand apart.

    Raises ``SlideError`` where the file is damaged.
    """
    darkness = _darkness(slide)
    centres = {shrink: _field_centres(slide, shrink, darkness) for shrink in _SHRINKS}
    looks = {
        shrink: [_look(_field(slide, centre, shrink)) for centre in centres[shrink][:_FIELDS_TO_CHOOSE]]
        for shrink in _SHRINKS
    }
    shrink = max(_SHRINKS, key=lambda shrink: _measure(looks[shrink])[1])
    for centre in centres[shrink][_FIELDS_TO_CHOOSE:]:
        if sum(len(radii) for radii, _ in looks[shrink]) >= _ENOUGH_DISCS:
            break
        looks[shrink].append(_look(_field(slide, centre, shrink)))
    diameter, _, reliable = _measure(looks[shrink])
    return diameter * shrink * _FIT if reliable else None


def red_cell_diameter_in(pictures: Sequence[Picture]) -> float | None:
    """As :func:`red_cell_diameter`, in the pixels of pictures of one spacing that are no slide; None where too few."""
    looks = {
        shrink: [
            _look(_smaller(picture, shrink))
            for picture in pictures
            if min(picture.shape[:2]) >= _SMALLEST_FIELD * shrink
        ]
        for shrink in _SHRINKS
    }
    shrink = max(_SHRINKS, key=lambda shrink: _measure(looks[shrink])[1])
    diameter, _, reliable = _measure(looks[shrink])
    return diameter * shrink * _FIT if reliable else None


def _smaller(picture: Picture, shrink: int) -> Picture:
    size = picture.shape[1] // shrink, picture.shape[0] // shrink
    return picture if shrink == 1 else np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _measure(looks: list[_Look]) -> tuple[float, float, bool]:
    """Diameter in field pixels, the share of the cells' area that discs of about that size explain, and whether enough
    of them agree. Discs weigh by their area: dust and platelets are many but small."""
    radii = np.concatenate([radii for radii, _ in looks]) if looks else np.empty(0)
    if not len(radii):
        return 0.0, 0.0, False
    radii = np.sort(radii)
    share = np.cumsum(radii**2) / (radii**2).sum()
    low, middle, high = radii[np.searchsorted(share, (0.25, 0.5, 0.75))]
    if not _DIAMETERS[0] <= 2 * middle <= _DIAMETERS[1]:
        return 0.0, 0.0, False
    alike = radii[np.abs(radii / middle - 1) < 0.25]
    explained = pi * float((alike**2).sum()) / max(sum(area for _, area in looks), 1.0)
    agree = len(alike) >= _LEAST_DISCS and (high - low) / middle < _WIDEST_SPREAD
    reliable = agree and explained * sqrt(len(alike) / _LEAST_DISCS) >= _LEAST_EXPLAINED
    return 2 * float(middle), explained, bool(reliable)


def _look(field: Picture) -> _Look:
    """Find the discs in one field."""
    cells, nuclei = _cells_and_nuclei(field)
    if cells.all():  # nothing to measure a distance from
        return np.empty(0), float(cells.size)
    distance = cv2.distanceTransform(cells, cv2.DIST_L2, 5)
    smooth = cv2.GaussianBlur(distance, (0, 0), 1.5)
    around = cv2.dilate(smooth, np.ones((9, 9), np.uint8))
    rows, columns = np.nonzero((smooth >= around) & (distance >= 3))
    discs = np.column_stack([columns, rows, distance[rows, columns]])
    discs = _apart(discs[np.argsort(-discs[:, 2], kind="stable")])
    x, y, radius = discs.T
    height, width = cells.shape
    inside = np.minimum(np.minimum(x, y), np.minimum(width - 1 - x, height - 1 - y)) > radius
    free = _share_on_circle(nuclei, discs, (0.0, 0.4, 0.8, 1.2)) < 0.02
    stands_apart = _share_on_circle(cells, discs, (1.35,)) < 0.5
    return radius[inside & free & stands_apart], float(np.count_nonzero(cells & ~nuclei))


def _apart(discs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without those whose centre lies in a larger one; ``discs`` are largest first."""
    kept = np.empty((0, 3))
    while len(discs):
        kept = np.vstack([kept, discs[:1]])
        x, y, radius = discs[0]
        discs = discs[np.hypot(discs[:, 0] - x, discs[:, 1] - y) > 0.9 * radius]
    return kept


def _share_on_circle(
    mask: NDArray[np.uint8], discs: NDArray[np.float64], reaches: tuple[float, ...]
) -> NDArray[np.float64]:
    """Share of the mask on circles of so many radii around each disc's centre ``(n,)``."""
    angles = np.linspace(0, 2 * pi, 32, endpoint=False)
    around = np.concatenate([reach * np.stack([np.cos(angles), np.sin(angles)], 1) for reach in reaches])
    points = np.rint(discs[:, None, :2] + discs[:, None, 2:] * around).astype(np.int64)
    x, y = np.clip(points[..., 0], 0, mask.shape[1] - 1), np.clip(points[..., 1], 0, mask.shape[0] - 1)
    share: NDArray[np.float64] = (mask[y, x] > 0).mean(axis=1)
    return share


def _cells_and_nuclei(field: Picture) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Masks of everything that is no plasma (pale centres filled), and of the nuclei in it."""
    density = _optical_density(field)
    sample = density[::4, ::4].reshape(-1, 3)
    deep = _nuclear_density(sample)
    sample = sample[sample[:, 1] <= deep]
    candidates = [(*_otsu(sample @ weight), weight) for weight in _WEIGHTS]
    threshold, _, weight = max(candidates, key=lambda candidate: candidate[1])
    nuclei = np.asarray(density[..., 1] > deep, np.uint8)
    cells = np.asarray(density @ weight > threshold, np.uint8) | nuclei
    return _with_pale_centres(_opened(cells)), _opened(nuclei)


def _nuclear_density(sample: NDArray[np.float32]) -> float:
    """The density in green above which pixels are nuclei; infinite where there are none.

    The deepest of three classes is nuclear when it is much deeper than the middle one and of another colour or very
    deep: the rim of a red cell is deeper than its middle, but of the same colour.
    """
    green = sample[:, 1]
    low, high = _otsu_thresholds(green)
    middle, deepest = sample[(green > low) & (green <= high)], sample[green > high]
    if not len(middle) or not len(deepest):
        return inf
    pale, deep = middle.mean(axis=0), deepest.mean(axis=0)
    colour = float(pale @ deep) / max(float(np.linalg.norm(pale) * np.linalg.norm(deep)), 1e-6)
    return high if deep[1] > max(1.8 * pale[1], 0.45) and (colour < 0.97 or deep[1] > 0.8) else inf


def _optical_density(field: Picture) -> NDArray[np.float32]:
    """Against the field's own plasma, taken as its 90th percentile in each channel."""
    field = np.asarray(cv2.GaussianBlur(field, (0, 0), 0.8))
    plasma = np.percentile(field[::4, ::4].reshape(-1, 3), 90, axis=0)
    tables = np.log((plasma + 1) / (np.arange(256)[:, None] + 1)).astype(np.float32)
    return np.stack([tables[field[..., channel], channel] for channel in range(3)], axis=2)


def _otsu(values: NDArray[np.float32]) -> tuple[float, float]:
    """Otsu's threshold and the share of the variance that lies between its two classes (Otsu 1979)."""
    weight, mean, edges = _cumulated(values)
    inner = np.maximum(weight * (1 - weight), 1e-12)[:-1]
    between = (mean[-1] * weight[:-1] - mean[:-1]) ** 2 / inner
    best = int(between.argmax())
    return float(edges[best + 1]), float(between[best] / max(float(values.var()), 1e-9))


def _otsu_thresholds(values: NDArray[np.float32]) -> tuple[float, float]:
    """Otsu's thresholds for three classes."""
    weight, mean, edges = _cumulated(values)
    low, high = np.triu_indices(len(weight) - 1, 1)
    between = sum(
        m**2 / np.maximum(w, 1e-12)
        for m, w in (
            (mean[low], weight[low]),
            (mean[high] - mean[low], weight[high] - weight[low]),
            (mean[-1] - mean[high], 1 - weight[high]),
        )
    )
    best = int(np.argmax(between))
    return float(edges[low[best] + 1]), float(edges[high[best] + 1])


def _cumulated(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Share and first moment of all values up to each bin of a histogram, and its edges."""
    counts, edges = np.histogram(values, 96)
    share = counts / max(len(values), 1)
    return np.cumsum(share), np.cumsum(share * (edges[:-1] + edges[1:]) / 2), edges


def _opened(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)), np.uint8)


def _with_pale_centres(cells: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill convex holes: the pale middle of a red cell is convex, a gap between touching cells is not."""
    contours, hierarchy = cv2.findContours(cells, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    for contour, links in zip(contours, hierarchy[0] if hierarchy is not None else (), strict=True):
        if links[3] >= 0:  # has a parent: a hole
            area = cv2.contourArea(contour)
            if area < 20 or (area < 1000 and area > 0.85 * cv2.contourArea(cv2.convexHull(contour))):
                cv2.drawContours(cells, [contour], -1, 1, -1)
    return cells


def _field(slide: Slide, centre: Point, shrink: int) -> Picture:
    """The field around ``centre`` (level-0 pixels), one of its pixels ``shrink`` level-0 pixels wide."""
    index, _ = _level_for(slide, shrink)
    x, y = slide.levels[index].downsample
    width, height = (round(min(_FIELD * shrink, side) / scale) for side, scale in zip(slide.size, (x, y), strict=True))
    left = min(max(round(centre.x / x - width / 2), 0), max(slide.levels[index].size.width - width, 0))
    top = min(max(round(centre.y / y - height / 2), 0), max(slide.levels[index].size.height - height, 0))
    field = slide.read(index, left, top, Size(width, height))
    wanted = max(1, round(width * x / shrink)), max(1, round(height * y / shrink))
    return field if wanted == (width, height) else np.asarray(cv2.resize(field, wanted, interpolation=cv2.INTER_AREA))


def _level_for(slide: Slide, shrink: int) -> tuple[int, float]:
    """The coarsest level that is fine enough, and its downsample."""
    fine = [i for i, level in enumerate(slide.levels) if max(level.downsample) <= shrink * 1.01]
    index = fine[-1] if fine else 0
    return index, min(slide.levels[index].downsample)


def _field_centres(slide: Slide, shrink: int, darkness: NDArray[np.float32] | None) -> list[Point]:
    """Centres of fields, most promising first: those whose mean darkness is that of cells side by side."""
    side = _FIELD * shrink
    bounds = slide.bounds
    if min(bounds.width, bounds.height) < _SMALLEST_FIELD * shrink:
        return []
    if _level_for(slide, shrink)[1] * _MOST_READ < min(shrink, slide.size.width / _FIELD):
        return []
    columns, rows = (min(24, max(1, int(extent // side))) for extent in (bounds.width, bounds.height))
    centres = [
        Point(bounds.x0 + (column + 0.5) * bounds.width / columns, bounds.y0 + (row + 0.5) * bounds.height / rows)
        for row in range(rows)
        for column in range(columns)
    ]
    if darkness is None:
        order = np.random.default_rng(0).permutation(len(centres))
        return [centres[i] for i in order[:_FIELDS]]
    scale_x, scale_y = darkness.shape[1] / slide.size.width, darkness.shape[0] / slide.size.height
    half_x, half_y = max(1, int(side * scale_x / 2)), max(1, int(side * scale_y / 2))

    def off(centre: Point) -> float:
        x, y = int(centre.x * scale_x), int(centre.y * scale_y)
        part = darkness[max(0, y - half_y) : y + half_y, max(0, x - half_x) : x + half_x]
        return abs(float(part.mean()) - _PALE)

    return sorted(centres, key=off)[:_FIELDS]


def _darkness(slide: Slide) -> NDArray[np.float32] | None:
    """A small map of optical density in green; None when no level is small enough to look at quickly."""
    if max(slide.levels[-1].size) > _COARSEST_SIDE:
        return None
    picture, _ = overview(slide, 512)
    green = picture[..., 1]
    return np.asarray(np.log((np.percentile(green, 95) + 1) / (green.astype(np.float32) + 1)), np.float32)
