"""A small smear of discs, drawn from density maps: as much of a marrow slide as finding regions needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, MultiPolygon, Point, Polygon

from marrowscope.slides.memory import MemorySlide

Array = NDArray[np.float32]

NUCLEUS = (0.62, 0.95, 0.30)
RED_CELL = (0.10, 0.26, 0.20)
"""Optical densities (natural logarithm, RGB) as on a May-Gruenwald-Giemsa smear."""


@dataclass(frozen=True)
class Sketch:
    """What to draw; lengths in mm, densities in cells per mm2."""

    width: float = 3.2
    height: float = 3.6
    um: float = 2.0
    marrow: Polygon | None = field(default_factory=lambda: shapely.box(0.2, 0.2, 3.0, 2.4))
    particles: tuple[tuple[float, float, float], ...] = ((0.8, 0.6, 0.22), (2.1, 0.7, 0.28))
    clumps: bool = True
    trail_mm: float = 1.2
    nuclei: float = 1600.0
    red_cells: float = 7000.0
    thick: Polygon | None = None
    blood: Polygon | None = field(default_factory=lambda: shapely.box(0.3, 2.85, 2.9, 3.4))
    white_cells: float = 25.0
    glass: tuple[float, float, float] = (238.0, 236.0, 232.0)
    nucleus: tuple[float, float, float] = NUCLEUS
    red_cell: tuple[float, float, float] = RED_CELL
    shade: float = 0.0
    blur_um: float = 0.0
    seed: int = 1

    def trail(self, particle: tuple[float, float, float]) -> Polygon:
        """Where a particle left its cells: downwards, as wide as itself, without the particle."""
        x, y, radius = particle
        swept = LineString([(x, y), (x, y + self.trail_mm)]).buffer(radius * 1.1)
        return swept.difference(Point(x, y).buffer(radius * 1.05)).intersection(self.marrow)

    def clump_area(self) -> MultiPolygon:
        """All particles, mm."""
        return shapely.union_all([Point(x, y).buffer(radius) for x, y, radius in self.particles])

    def trails(self) -> MultiPolygon:
        """All trails, level-0 pixels."""
        return self.pixels(shapely.union_all([self.trail(particle) for particle in self.particles]))

    def pixels(self, polygon: Polygon | MultiPolygon) -> Polygon | MultiPolygon:
        """A polygon in mm as level-0 pixels."""
        return shapely.transform(polygon, lambda mm: mm * 1000 / self.um)


def _mask(polygon: Polygon | None, sketch: Sketch, soft_um: float) -> Array:
    mask = np.zeros((round(sketch.height * 1000 / sketch.um), round(sketch.width * 1000 / sketch.um)), np.float32)
    for part in [] if polygon is None else shapely.get_parts(polygon):
        ring = np.round(shapely.get_coordinates(part.exterior) * 1000 / sketch.um).astype(np.int32)
        cv2.fillPoly(mask, [ring], 1.0)
    return cv2.GaussianBlur(mask, (0, 0), soft_um / sketch.um)


def _discs(density: Array, diameter_um: float, sketch: Sketch, rng: np.random.Generator) -> Array:
    """How many discs cover each pixel, their centres a Poisson process of this density."""
    centres = rng.poisson(density * (sketch.um / 1000) ** 2).astype(np.float32)
    radius = diameter_um / 2 / sketch.um
    half = int(np.ceil(radius))
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return cv2.filter2D(centres, -1, kernel, borderType=cv2.BORDER_CONSTANT)


def draw(sketch: Sketch) -> MemorySlide:
    """The sketch as a slide in memory."""
    rng = np.random.default_rng(sketch.seed)
    marrow = _mask(sketch.marrow, sketch, 40)
    blood = _mask(sketch.blood, sketch, 40)
    rows = np.arange(len(marrow), dtype=np.float32)[:, None] * sketch.um / 1000
    nuclei = marrow * 30 + blood * sketch.white_cells
    thick = np.zeros_like(marrow)
    for particle in sketch.particles:
        x, y, radius = particle
        thinning = np.clip(1.15 - (rows - y) / (sketch.trail_mm * 1.3), 0.3, 1.0)
        nuclei += _mask(sketch.trail(particle), sketch, 50) * thinning * sketch.nuclei
        disc = _mask(Point(x, y).buffer(radius), sketch, 10) * sketch.clumps
        for dx, dy in rng.uniform(-radius, radius, (18, 2)):
            centre = round((x + dx) * 1000 / sketch.um), round((y + dy) * 1000 / sketch.um)
            cv2.circle(disc, centre, round(30 / sketch.um), 0.07 * sketch.clumps, -1)
        thick += disc
    red = _discs((marrow * (1 + 9 * _mask(sketch.thick, sketch, 40)) + blood) * sketch.red_cells, 7.2, sketch, rng)
    dots = _discs(nuclei, 9.0, sketch, rng)
    dots += 1.3 * thick
    channels = zip(sketch.red_cell, sketch.nucleus, sketch.glass, strict=True)
    light = np.dstack([cv2.exp(-red * pale - dots * dark) * glass for pale, dark, glass in channels])
    light *= 1 - sketch.shade * np.linspace(0, 1, light.shape[1], dtype=np.float32)[None, :, None]
    if sketch.blur_um:
        light = cv2.GaussianBlur(light, (0, 0), sketch.blur_um / sketch.um)
    noise = np.tile(rng.normal(0, 1.5, (300, 300, 3)), (light.shape[0] // 300 + 1, light.shape[1] // 300 + 1, 1))
    light += noise[: light.shape[0], : light.shape[1]]
    return MemorySlide(np.clip(light, 0, 255).astype(np.uint8), sketch.um, name="sketch")


@pytest.fixture(scope="session")
def sketch_slide() -> Callable[..., tuple[Sketch, MemorySlide]]:
    """``sketch_slide(**changes)``: a sketch and its slide."""

    drawn: dict[Sketch, MemorySlide] = {}

    def make(**changes: object) -> tuple[Sketch, MemorySlide]:
        sketch = Sketch(**changes)  # type: ignore[arg-type]
        if sketch not in drawn:
            drawn[sketch] = draw(sketch)
        return sketch, drawn[sketch]

    return make
