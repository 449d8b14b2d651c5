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
from marrowscope.phantom.layout import Layout, lay_out, start_of
from marrowscope.phantom.options import PhantomError, PhantomOptions
from marrowscope.phantom.pool import CellPool
from marrowscope.phantom.scatter import IN_PARTICLE_PER_MM2, Crowd, clumped
from marrowscope.phantom.scene import Cells, Maps, Scene
from marrowscope.taxonomy import PHANTOM_TYPES

VARIANTS = 40
"""Drawings of each type on one slide; each is turned and mirrored at will."""

BETWEEN_PER_MM2 = 16.0
"""Nucleated cells strewn over the smear outside of trails (blood that came with the marrow)."""

BLOOD_PER_MM2 = 32.0
"""White cells of the peripheral-blood strip."""

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
    layout = lay_out(width, height, options.cells / options.density, options.blood_strip, rng)
    maps = _make_maps(layout, size, options, rng)
    crowd = Crowd(pool, VARIANTS, rng)
    for x, y, r in layout.fat[:, :3]:
        crowd.block(x, y, r)
    marrow, blood = marrow_composition(options.diagnosis), blood_composition(options.diagnosis)
    trails = unary_union(layout.trails)
    n = _people(crowd, options.cells, marrow, _trail_places(layout, rng), rng, beside=0.35)
    if n < options.cells:
        raise PhantomError(
            f"only {n} of {options.cells} cells found room at {options.density:g} per mm2: "
            "ask for fewer cells, a lower density or a larger size"
        )
    clumps = unary_union(layout.particles)
    rest = layout.smear.buffer(-60).difference(trails.buffer(45)).difference(clumps.buffer(25))
    strewn = int(rng.poisson(BETWEEN_PER_MM2 * rest.area / 1e6))
    _people(crowd, strewn, 0.5 * marrow + 0.5 * blood, _places(rest, rng), rng)
    before_blood = len(crowd)
    if layout.blood is not None:
        strip = layout.blood.buffer(-40)
        _people(crowd, int(rng.poisson(BLOOD_PER_MM2 * strip.area / 1e6)), blood, _places(strip, rng), rng)
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
    crowd: Crowd, count: int, composition: NDArray[np.float64], places: Iterator[tuple[float, float]],
    rng: np.random.Generator, beside: float = 0.0,
) -> int:  # fmt: skip
    kinds = rng.choice(len(composition), size=count, p=composition)
    kinds = np.concatenate([kinds[np.isin(kinds, _FIRST)], kinds[~np.isin(kinds, _FIRST)]])

    def spot(_: np.random.Generator) -> tuple[float, float]:
        return next(places)

    return sum(crowd.add(int(kind), spot, beside=beside) for kind in kinds)


def _places(area: BaseGeometry, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Even places inside an area, for ever."""
    prepare(area)
    x0, y0, x1, y1 = area.bounds
    while True:
        x, y = rng.uniform(x0, x1, 4096), rng.uniform(y0, y1, 4096)
        inside = shapely.contains_xy(area, x, y)
        yield from zip(x[inside].tolist(), y[inside].tolist(), strict=True)


def _trail_places(layout: Layout, rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """Places in the trails, thinning outwards to a third."""
    trails = list(layout.trails)
    weights = np.array([t.area for t in trails])
    starts = [start_of(t, layout.particles) for t in trails]
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
    thickness = _fill([layout.smear], shape, um)
    thickness = cv2.GaussianBlur(thickness, (0, 0), max(25 / um, 0.5))
    thickness = np.clip(thickness * 1.25 - 0.25, 0, 1) * np.clip(0.52 + 0.22 * slow_field(shape, um, 900, rng), 0.15, 1)
    if layout.blood is not None:
        strip = cv2.GaussianBlur(_fill([layout.blood], shape, um), (0, 0), max(20 / um, 0.5))
        thickness += np.clip(strip * 1.25 - 0.25, 0, 1) * np.clip(0.5 + 0.12 * slow_field(shape, um, 700, rng), 0.2, 1)
    particle = cv2.GaussianBlur(_fill(layout.particles, shape, um), (0, 0), max(6 / um, 0.5))
    paper = options.difficulty == "paper"
    blur = np.clip((slow_field(shape, um, 1100, rng) - (0.8 if paper else 1.35)) * 1.2, 0, 1.0 if paper else 0.7)
    light = 1 + 0.012 * slow_field(shape, um, 2500, rng)
    return Maps(
        pitch, np.clip(thickness, 0, 1).astype(np.float32), particle, blur.astype(np.float32),
        light.astype(np.float32), float(rng.uniform(0.25, 0.6)),
    )  # fmt: skip


def _fill(polygons: tuple[Polygon, ...] | list[Polygon], shape: tuple[int, int], um: float) -> NDArray[np.float32]:
    mask = np.zeros(shape, np.uint8)
    for polygon in polygons:
        points = np.rint(np.array(polygon.exterior.coords) / um * 16 - 8).astype(np.int32)
        cv2.fillPoly(mask, [points], 255, cv2.LINE_AA, 4)
    return mask.astype(np.float32) / 255


def slow_field(shape: tuple[int, int], um: float, length: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of deviation about 1 that varies over ``length`` um; ``um`` per value of the field."""
    coarse = [max(4, ceil(n * um / length) + 3) for n in shape]
    noise = rng.standard_normal(coarse).astype(np.float32)
    field: NDArray[np.float32] = cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return field
