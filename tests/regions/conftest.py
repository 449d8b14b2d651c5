"""A small smear of discs, drawn from density maps: as much of a marrow slide as finding regions needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, Point, Polygon

from marrowscope.slides.memory import MemorySlide

Array = NDArray[np.float32]

NUCLEUS = (0.62, 0.95, 0.30)
RED_CELL = (0.10, 0.26, 0.20)
"""Optical densities (natural logarithm, RGB) as on a May-Gruenwald-Giemsa smear."""


@dataclass(frozen=True)
class Sketch:
    """What to draw; lengths in mm, densities in cells per mm2."""

    width: float = 4.0
    height: float = 5.0
    um: float = 2.0
    marrow: Polygon | None = field(default_factory=lambda: shapely.box(0.4, 0.3, 3.6, 3.3))
    particles: tuple[tuple[float, float, float], ...] = ((1.3, 1.0, 0.22), (2.6, 1.2, 0.28))
    trail_mm: float = 1.4
    nuclei: float = 1600.0
    red_cells: float = 7000.0
    blood: Polygon | None = field(default_factory=lambda: shapely.box(0.5, 4.0, 3.5, 4.7))
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
        disc = _mask(Point(x, y).buffer(radius), sketch, 10)
        holes = (_discs(np.full_like(disc, 90.0), 60, sketch, rng) > 0.5).astype(np.float32)
        thick += disc * (1 - 0.93 * holes)
    red = _discs((marrow + blood) * sketch.red_cells, 7.2, sketch, rng)
    dots = _discs(nuclei, 9.0, sketch, rng)
    density = red[..., None] * np.float32(sketch.red_cell) + dots[..., None] * np.float32(sketch.nucleus)
    density += thick[..., None] * np.float32(sketch.nucleus) * 1.3
    light = np.exp(-density) * np.float32(sketch.glass)
    light *= 1 - sketch.shade * np.linspace(0, 1, light.shape[1], dtype=np.float32)[None, :, None]
    if sketch.blur_um:
        light = cv2.GaussianBlur(light, (0, 0), sketch.blur_um / sketch.um)
    noise = rng.standard_normal(light.shape, dtype=np.float32) * 1.5
    return MemorySlide(np.clip(light + noise, 0, 255).astype(np.uint8), sketch.um, name="sketch")


@pytest.fixture(scope="session")
def sketch_slide() -> Callable[..., tuple[Sketch, MemorySlide]]:
    """``sketch_slide(**changes)``: a sketch and its slide."""

    def make(**changes: object) -> tuple[Sketch, MemorySlide]:
        sketch = Sketch(**changes)  # type: ignore[arg-type]
        return sketch, draw(sketch)

    return make
