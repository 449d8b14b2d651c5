"""The parts of a smear: its outline, particles with their trails, fat, the strip of peripheral blood. Lengths in um.

After Fig. 1 of Wang et al. 2022: the marrow smear fills the upper part of the slide, a blood smear of the same patient
the lower, glass lies between. Particles are dropped on the smear and pulled along it; each leaves a trail of cells that
thins outwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, hypot, pi, radians, sin, sqrt

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.affinity import rotate, translate
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from marrowscope.phantom.options import PhantomError
from marrowscope.phantom.placement import Placement

TRAIL_MM2 = 0.7
"""Usual area of the trail of one particle."""

FULLEST = 0.55
"""The trails may cover so much of the marrow smear."""


@dataclass(frozen=True, slots=True)
class Layout:
    """``fat (n, 5)``: x, y, long radius, short over long, degrees. All in um."""

    width: float
    height: float
    smear: Polygon
    blood: Polygon | None
    particles: tuple[Polygon, ...]
    trails: tuple[Polygon, ...]
    fat: NDArray[np.float64]


def lay_out(width: float, height: float, trail_mm2: float, blood: bool, rng: np.random.Generator) -> Layout:
    """Lay out a slide of ``width x height`` um whose trails have about ``trail_mm2`` of area.

    Raises :class:`PhantomError` when the slide is too small for them.
    """
    strip = blood and height >= 1000
    bottom = 0.755 if strip else 0.975
    smear = _rounded(0.03 * width, 0.03 * height, 0.97 * width, bottom * height, rng)
    blood_polygon = _rounded(0.03 * width, 0.82 * height, 0.97 * width, 0.965 * height, rng) if strip else None
    if trail_mm2 * 1e6 > FULLEST * smear.area:
        raise PhantomError(
            f"the trails need {trail_mm2:.2f} mm2 but the marrow smear has only {smear.area / 1e6:.2f} mm2: "
            "ask for fewer cells, a higher density or a larger size"
        )
    particles, trails = _particles_with_trails(smear, trail_mm2 * 1e6, rng)
    return Layout(width, height, smear, blood_polygon, particles, trails, _fat(particles, smear.buffer(-45), rng))


def _rounded(x0: float, y0: float, x1: float, y1: float, rng: np.random.Generator) -> Polygon:
    """A rectangle with round corners and an uneven border."""
    angle = np.linspace(0, 2 * pi, 240, endpoint=False)
    power = 2 / 7
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    shrink = 1 - 0.03 * np.abs(_wave(angle, 9, rng))
    return Polygon(
        np.stack([(x0 + x1) / 2 + (x1 - x0) / 2 * x * shrink, (y0 + y1) / 2 + (y1 - y0) / 2 * y * shrink], axis=1)
    ).buffer(0)


def _wave(angle: NDArray[np.float64], orders: int, rng: np.random.Generator) -> NDArray[np.float64]:
    total = np.zeros_like(angle)
    for k in range(2, 2 + orders):
        total += rng.normal(0, 0.6 / sqrt(k)) * np.cos(k * angle + rng.uniform(0, 2 * pi))
    return total


def _blob(x: float, y: float, radius: float, rng: np.random.Generator) -> Polygon:
    angle = np.linspace(0, 2 * pi, 90, endpoint=False)
    r = radius * (1 + 0.15 * np.clip(_wave(angle, 7, rng), -1.6, 1.6))
    stretch = rng.uniform(0.85, 1.2)
    return Polygon(np.stack([x + stretch * r * np.cos(angle), y + r / stretch * np.sin(angle)], axis=1)).buffer(0)


def _comet(length: float, width: float, rng: np.random.Generator) -> Polygon:
    """A trail that starts at the origin, runs to the right and narrows."""
    t = np.linspace(0, 1, 60)
    half = width / 2 * (1 - 0.5 * t**1.5) * np.sqrt(np.clip(1 - ((t - 0.42) / 0.62) ** 4, 0.02, 1))
    sway = width * 0.12 * np.sin(t * pi * rng.uniform(0.8, 2.0) + rng.uniform(0, 2 * pi))
    upper = half * (1 + 0.12 * _wave(t * 2 * pi, 5, rng))
    lower = half * (1 + 0.12 * _wave(t * 2 * pi, 5, rng))
    outline = np.concatenate(
        [np.stack([t * length, sway - upper], axis=1), np.stack([t * length, sway + lower], axis=1)[::-1]]
    )
    return _largest(Polygon(outline).buffer(0).buffer(-0.2 * width).buffer(0.2 * width))


def _particles_with_trails(
    smear: Polygon, wanted: float, rng: np.random.Generator
) -> tuple[tuple[Polygon, ...], tuple[Polygon, ...]]:
    n = int(np.clip(round(wanted / (TRAIL_MM2 * 1e6)), 1, 400))
    pull = rng.uniform(-10, 10)
    field = smear.buffer(-0.02 * sqrt(smear.area))
    scale = 1.0
    for _ in range(14):
        particles, trails = _attempt(field, wanted * scale / n, n, pull, rng)
        clumps = unary_union(particles).buffer(14.0)
        area = unary_union(trails).difference(clumps)
        if area.area >= 0.97 * wanted:
            return tuple(particles), tuple(part for part in _polygons(area.simplify(1.0)) if part.area > 2000)
        scale *= 1.12
    raise PhantomError(
        f"no room for trails of {wanted / 1e6:.2f} mm2 on this smear: "
        "ask for fewer cells, a higher density or a larger size"
    )


def _attempt(
    field: Polygon, area: float, n: int, pull: float, rng: np.random.Generator
) -> tuple[list[Polygon], list[Polygon]]:
    """Throw ``n`` particles with trails of about ``area`` each, where they overlap least."""
    particles: list[Polygon] = []
    trails: list[Polygon] = []
    x0, y0, x1, y1 = field.bounds
    for _ in range(n):
        own = area * rng.uniform(0.75, 1.25) if n > 1 else area
        aspect = min(rng.uniform(1.7, 2.6), 0.8 * (x1 - x0) ** 2 / own)
        width = sqrt(own / (0.78 * aspect))
        length = aspect * width
        comet = _comet(length, width, rng)
        radius = float(np.clip(0.34 * width * rng.uniform(0.75, 1.15), 22, 300))
        ahead = 0.5 * radius * cos(radians(pull)), 0.5 * radius * sin(radians(pull))
        taken = [*trails, *particles]
        bounds = np.array([part.bounds for part in taken]).reshape(-1, 4)
        least, trail, particle = float("inf"), Polygon(), Polygon()
        for _ in range(60):
            # particles lie to the left of where they are pulled
            x, y = rng.uniform(x0, max(x0 + 1, x1 - 0.9 * length)), rng.uniform(y0, y1)
            thrown = _largest(translate(rotate(comet, pull + rng.normal(0, 4), origin=(0, 0)), x, y) & field)
            missing = own - thrown.area + _overlap(thrown, taken, bounds)
            if missing < least:
                least, trail, particle = missing, thrown, _blob(x + ahead[0], y + ahead[1], radius, rng)
            if missing < 0.3 * own:
                break
        clump = _largest(particle & field.buffer(30))
        if trail.area and clump.area:
            trails.append(trail)
            particles.append(clump)
    return particles, trails


def _overlap(polygon: Polygon, others: list[Polygon], bounds: NDArray[np.float64]) -> float:
    """Area that a polygon shares with others (counted once for each of them)."""
    x0, y0, x1, y1 = polygon.bounds
    near = (bounds[:, 0] < x1) & (bounds[:, 2] > x0) & (bounds[:, 1] < y1) & (bounds[:, 3] > y0)
    return float(sum(polygon.intersection(others[i]).area for i in np.flatnonzero(near)))


def _fat(particles: tuple[Polygon, ...], smear: Polygon, rng: np.random.Generator) -> NDArray[np.float64]:
    """Fat cells fill a third of each particle, a few have been torn out of it."""
    taken = Placement(160.0)
    holes: list[tuple[float, float, float, float, float]] = []
    for particle in particles:
        x0, y0, x1, y1 = particle.bounds
        reach = 0.35 * hypot(x1 - x0, y1 - y0) / 2
        near = particle.buffer(reach)
        filled = 0.0
        for _ in range(int(60 + particle.area / 250)):
            if filled > 0.3 * particle.area:
                break
            x, y, r = rng.uniform(x0 - reach, x1 + reach), rng.uniform(y0 - reach, y1 + reach), rng.uniform(9, 34)
            within = shapely.contains_xy(particle, x, y)
            if not shapely.contains_xy(smear, x, y):
                continue
            if not within and (rng.random() > 0.06 or not shapely.contains_xy(near, x, y)):
                continue
            if taken.fits(x, y, r, 1.02 if within else 1.3):
                taken.add(x, y, r)
                holes.append((x, y, r, rng.uniform(0.86, 1.0), rng.uniform(0, 180)))
                filled += pi * r * r if within else 0.0
    return np.array(holes).reshape(-1, 5)


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    return [part for part in shapely.get_parts(geometry) if isinstance(part, Polygon)]


def _largest(geometry: BaseGeometry) -> Polygon:
    """The largest polygon in a geometry, an empty one when there is none."""
    return max(_polygons(geometry), key=lambda part: part.area, default=Polygon())
