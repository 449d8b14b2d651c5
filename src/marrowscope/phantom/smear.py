"""From a layout to a scene: slow fields, cells in trails, strewn cells, white cells of the blood strip."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt
from typing import NamedTuple

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import prepare
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from marrowscope.geometry import Size
from marrowscope.phantom.diagnoses import blood_composition, marrow_composition
from marrowscope.phantom.layout import Layout, lay_out
from marrowscope.phantom.options import PhantomError, PhantomOptions
from marrowscope.phantom.pool import CellPool
from marrowscope.phantom.scatter import IN_PARTICLE_PER_MM2, Crowd, Ground, clumped
from marrowscope.phantom.scene import Cells, Maps, Scene
from marrowscope.phantom.textures import Field, slow_noise
from marrowscope.taxonomy import PHANTOM_TYPES

BETWEEN_PER_MM2 = 16.0
"""Nucleated cells strewn over the smear outside of trails (blood that came with the marrow)."""

BLOOD_PER_MM2 = 32.0
"""White cells of the peripheral-blood strip."""

SMALLEST_MM2 = 0.02
"""Area of the trails when very few cells are asked for."""

_FIRST = [PHANTOM_TYPES.index(name) for name in ("megakaryocyte", "other")]


class Smear(NamedTuple):
    """The scene with what the truth needs: which cells lie in trails, which in blood."""

    scene: Scene
    layout: Layout
    in_trail: NDArray[np.bool_]
    in_blood: NDArray[np.bool_]


def size_for(options: PhantomOptions) -> Size:
    """The asked size, or one of which the trails cover about a fifth."""
    if options.size is not None:
        return options.size
    mm2 = max(options.cells / options.density / 0.2, 1.6)
    side = 512 * ceil(sqrt(mm2) * 1000 / options.spacing / 512)
    return Size(side, side)


def make_smear(options: PhantomOptions, pool: CellPool) -> Smear:
    """Lay out and people a slide. Raises :class:`PhantomError` when the cells find no room."""
    rng = np.random.default_rng([options.seed, 41])
    size, spacing = size_for(options), options.spacing
    width, height = size.width * spacing, size.height * spacing
    layout = lay_out(width, height, max(options.cells / options.density, SMALLEST_MM2), options.blood_strip, rng)
    maps = _make_maps(layout, size, options, rng)
    crowd = Crowd(pool, options.variants, rng)
    for x, y, r in layout.fat[:, :3]:
        crowd.block(x, y, r)
    marrow, blood = marrow_composition(options.diagnosis), blood_composition(options.diagnosis)
    if options.composition is not None:
        marrow = np.array(options.composition) / sum(options.composition)
    trails = unary_union(layout.trails)
    prepare(trails)
    in_trails = Ground(_trail_places(layout, rng), lambda x, y: bool(shapely.contains_xy(trails, x, y)))
    n = _people(crowd, options.cells, marrow, in_trails, rng, beside=0.35)
    if n < options.cells:
        raise PhantomError(
            f"only {n} of {options.cells} cells found room at {options.density:g} per mm2: "
            "ask for fewer cells, a lower density or a larger size"
        )
    clumps = unary_union(layout.particles)
    rest = layout.smear.buffer(-60).difference(trails.buffer(45)).difference(clumps.buffer(25))
    _people(crowd, int(rng.poisson(BETWEEN_PER_MM2 * rest.area / 1e6)), 0.5 * (marrow + blood), _even(rest, rng), rng)
    before_blood = len(crowd)
    if layout.blood is not None:
        strip = layout.blood.buffer(-40)
        _people(crowd, int(rng.poisson(BLOOD_PER_MM2 * strip.area / 1e6)), blood, _even(strip, rng), rng)
    cells = crowd.table()
    rank = np.arange(len(cells))
    scene = Scene(
        size,
        spacing,
        options.seed,
        maps,
        cells,
        _clumped(layout, pool, rng),
        layout.fat / [spacing, spacing, spacing, 1, 1],
    )
    return Smear(scene, layout, rank < n, rank >= before_blood)


def _people(
    crowd: Crowd, count: int, composition: NDArray[np.float64], ground: Ground, rng: np.random.Generator,
    beside: float = 0.0,
) -> int:  # fmt: skip
    """Place ``count`` cells, the large ones while there is room; returns how many found some."""
    kinds = rng.choice(len(composition), size=count, p=composition)
    kinds = np.concatenate([kinds[np.isin(kinds, _FIRST)], kinds[~np.isin(kinds, _FIRST)]])
    return sum(crowd.add(int(kind), ground, beside=beside) for kind in kinds)


def _even(area: BaseGeometry, rng: np.random.Generator) -> Ground:
    """Even places inside an area."""
    prepare(area)
    x0, y0, x1, y1 = area.bounds

    def places() -> Iterator[tuple[float, float]]:
        while True:
            x, y = rng.uniform(x0, x1, 4096), rng.uniform(y0, y1, 4096)
            inside = shapely.contains_xy(area, x, y)
            yield from zip(x[inside].tolist(), y[inside].tolist(), strict=True)

    return Ground(places(), lambda x, y: bool(shapely.contains_xy(area, x, y)))


def _trail_places(layout: Layout, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Places in the trails, thinning outwards to a third."""
    trails = list(layout.trails)
    weights = np.array([t.area for t in trails])
    centres = [p.centroid for p in layout.particles]
    starts = [min(centres, key=trail.distance) for trail in trails]
    reaches = [max(shapely.hausdorff_distance(t, s), 1.0) for t, s in zip(trails, starts, strict=True)]
    for trail in trails:
        prepare(trail)
    while True:
        i = int(rng.choice(len(trails), p=weights / weights.sum()))
        x0, y0, x1, y1 = trails[i].bounds
        x, y, chance = rng.uniform(x0, x1, 64), rng.uniform(y0, y1, 64), rng.random(64)
        away = np.hypot(x - starts[i].x, y - starts[i].y) / reaches[i]
        keep = shapely.contains_xy(trails[i], x, y) & (chance < 1 - 0.65 * away)
        yield from zip(x[keep].tolist(), y[keep].tolist(), strict=True)


def _clumped(layout: Layout, pool: CellPool, rng: np.random.Generator) -> Cells:
    parts = []
    for particle in layout.particles:
        x0, y0, x1, y1 = particle.bounds
        n = rng.poisson(IN_PARTICLE_PER_MM2 * (x1 - x0) * (y1 - y0) / 1e6)
        xy = np.stack([rng.uniform(x0, x1, n), rng.uniform(y0, y1, n)], axis=1)
        parts.append(xy[shapely.contains_xy(particle.buffer(-3), xy[:, 0], xy[:, 1])])
    return clumped(np.concatenate(parts) / pool.spacing, pool, rng)


def _make_maps(layout: Layout, size: Size, options: PhantomOptions, rng: np.random.Generator) -> Maps:
    pitch = max(8.0 / options.spacing, max(size) / 2048)
    um = pitch * options.spacing
    shape = (ceil(size.height / pitch) + 1, ceil(size.width / pitch) + 1)

    def slow(length: float) -> Field:
        """Noise that varies over ``length`` um."""
        rows, columns = (max(4, ceil(n * um / length) + 3) for n in shape)
        return slow_noise(shape, (rows, columns), rng)

    def spread(part: Polygon, border: float) -> Field:
        """1 inside, falling to 0 within a border of so many um."""
        return np.asarray(np.clip(_fill((part,), shape, um, border) * 1.25 - 0.25, 0, 1), np.float32)

    thickness = spread(layout.smear, 25) * np.clip(0.52 + 0.22 * slow(900), 0.15, 1)
    if layout.blood is not None:
        thickness += spread(layout.blood, 20) * np.clip(0.5 + 0.12 * slow(700), 0.2, 1)
    particle = _fill(layout.particles, shape, um, 6)
    least, most = (0.8, 1.0) if options.difficulty == "paper" else (1.35, 0.7)
    defocus = np.clip((slow(1100) - least) * 1.2, 0, most)
    light = 1 + 0.012 * slow(2500)
    return Maps(pitch, np.clip(thickness, 0, 1), particle, defocus, light, float(rng.uniform(0.25, 0.6)))


def _fill(polygons: tuple[Polygon, ...], shape: tuple[int, int], um: float, border: float) -> Field:
    """Map of polygons, 1 inside, blurred over ``border`` um; ``um`` per value."""
    mask = np.zeros(shape, np.uint8)
    for polygon in polygons:
        points = np.rint(np.array(polygon.exterior.coords) / um * 16 - 8).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
    filled = mask.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.GaussianBlur(filled, (0, 0), max(border / um, 0.5)), np.float32)
