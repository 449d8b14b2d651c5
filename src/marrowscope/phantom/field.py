"""Fields of view straight to memory, and crops of single cells cut from them: for training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import pi
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.geometry import Size
from marrowscope.phantom.diagnoses import even_composition, marrow_composition
from marrowscope.phantom.options import FieldOptions
from marrowscope.phantom.painter import paint
from marrowscope.phantom.pool import CellPool, Palette, cell_pool
from marrowscope.phantom.scatter import IN_PARTICLE_PER_MM2, Crowd, Ground, boxes_of, clumped
from marrowscope.phantom.scene import Cells, Maps, Scene
from marrowscope.phantom.stains import make_stain
from marrowscope.phantom.textures import Field, slow_noise
from marrowscope.slides.protocol import Picture
from marrowscope.taxonomy import PHANTOM_TYPES

VARIANTS = 48
"""Drawings of each type in the pool of a field."""

SEEDS_PER_POOL = 250
"""So many consecutive seeds share one pool of drawings, so that a drawing is paid for once."""


class RenderedField(NamedTuple):
    """``picture (h, w, 3)`` uint8 RGB; ``cells``: type, x0, y0, x1, y1 (pixels of the picture, cut at its border) and
    ``visible``, the share of the cell's box that lies inside."""

    picture: Picture
    cells: pl.DataFrame


@dataclass(frozen=True, slots=True)
class CellCrops:
    """``pictures (n, crop, crop, 3)`` uint8 RGB with the cell's box centred; ``types (n,)``: index into PHANTOM_TYPES;
    ``boxes (n, 4)`` float64 in pixels of the crop."""

    pictures: NDArray[np.uint8]
    types: NDArray[np.int64]
    boxes: NDArray[np.float64]


def render_field(options: FieldOptions, size: Size, *, seed: int) -> RenderedField:
    """Render one crowded field of ``size`` pixels: trail, sometimes with fat, the edge of a particle, or bare glass."""
    rng = np.random.default_rng([seed, 21])
    pool = cell_pool(seed // SEEDS_PER_POOL, options.spacing, options.difficulty)
    scene = _field_scene(options, size, pool, seed, rng)
    palette = Palette(pool, make_stain(options.stain, options.difficulty, rng))
    picture = paint(scene, palette, 0, 0, size)
    boxes = boxes_of(scene.cells, pool)
    inside = np.clip(boxes, 0, [size.width, size.height, size.width, size.height])
    area = np.prod(inside[:, 2:] - inside[:, :2], axis=1)
    visible = area / np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-9)
    keep = visible > 0.02
    names = np.array(PHANTOM_TYPES)[scene.cells.kind[keep]]
    columns = {name: inside[keep, i] for i, name in enumerate(("x0", "y0", "x1", "y1"))}
    cells = pl.DataFrame(
        {"type": names.tolist(), **columns, "visible": visible[keep]}, schema_overrides={"type": pl.String}
    )
    return RenderedField(picture, cells)


def render_cells(options: FieldOptions, count: int, *, seed: int, crop: int) -> CellCrops:
    """Crops of ``crop`` pixels round ``count`` cells, cut from fields with their real neighbours.

    Types come as ``options.composition`` says (``even`` for training a classifier). Each field of about 100 cells has
    its own stain, light and focus; ``seed`` and the following ones are used, one for each field.
    """
    pictures: list[Picture] = []
    types: list[int] = []
    boxes: list[NDArray[np.float64]] = []
    side = max(crop * 3, round(300 / options.spacing))
    half = crop // 2
    index = {name: i for i, name in enumerate(PHANTOM_TYPES)}
    step = 0
    while len(pictures) < count:
        field = render_field(options, Size(side, side), seed=seed * 1000 + step)
        step += 1
        for name, x0, y0, x1, y1, visible in field.cells.iter_rows():
            left, top = round((x0 + x1) / 2) - half, round((y0 + y1) / 2) - half
            if visible < 0.999 or left < 0 or top < 0 or left + crop > side or top + crop > side:
                continue
            pictures.append(field.picture[top : top + crop, left : left + crop])
            types.append(index[name])
            boxes.append(np.array([x0 - left, y0 - top, x1 - left, y1 - top]))
    return CellCrops(np.stack(pictures[:count]), np.array(types[:count]), np.stack(boxes[:count]))


def _field_scene(options: FieldOptions, size: Size, pool: CellPool, seed: int, rng: np.random.Generator) -> Scene:
    spacing = options.spacing
    margin = 30.0  # um around the field in which cells may have their centre
    width, height = size.width * spacing, size.height * spacing
    pitch = 8.0 / spacing
    shape = (max(2, round(height / 8) + 2), max(2, round(width / 8) + 2))
    thickness = np.full(shape, rng.uniform(0.25, 0.95), np.float32) + 0.12 * slow_noise(shape, (4, 4), rng)
    particle = np.zeros(shape, np.float32)
    crowd = Crowd(pool, VARIANTS, rng)
    event = rng.random()
    fat: list[tuple[float, float, float, float, float]] = []
    if event < 0.08:
        particle = _corner(shape, rng)
    elif event < 0.13:
        thickness *= 1 - _corner(shape, rng)  # the edge of the smear: bare glass
    if event < 0.3:
        for _ in range(rng.poisson(1.5)):
            x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(6, 26)
            fat.append((x / spacing, y / spacing, r / spacing, rng.uniform(0.86, 1.0), rng.uniform(0, 180)))
            crowd.block(x, y, r)
    maps = Maps(
        pitch, np.clip(thickness, 0, 1), particle, _defocus(shape, options.difficulty, rng),
        (1 + 0.012 * slow_noise(shape, (4, 4), rng)).astype(np.float32), float(rng.uniform(0.1, 0.7)),
    )  # fmt: skip
    share = even_composition() if options.composition == "even" else marrow_composition(options.composition)
    density = options.density * rng.uniform(0.5, 1.5)
    n = rng.poisson(density * (width + 2 * margin) * (height + 2 * margin) / 1e6)

    def holds(x: float, y: float) -> bool:
        at = np.array([x / spacing]), np.array([y / spacing])
        return bool(maps.at("particle", *at)[0] < 0.2 and maps.at("thickness", *at)[0] > 0.12)

    def places() -> Iterator[tuple[float, float]]:
        while True:
            yield rng.uniform(-margin, width + margin), rng.uniform(-margin, height + margin)

    kinds = np.sort(rng.choice(len(share), size=n, p=share))
    ground = Ground(places(), holds)
    for kind in _large_first(kinds):
        crowd.add(int(kind), ground, tries=40, beside=0.3)
    holes = np.array(fat).reshape(-1, 5)
    ghosts = _clumped(maps, pool, size, rng)
    return Scene(size, spacing, seed, maps, crowd.table(), ghosts, holes)


def _large_first(kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Megakaryocytes find room only while there is some."""
    big = np.isin(kinds, [PHANTOM_TYPES.index(name) for name in ("megakaryocyte", "other")])
    return np.concatenate([kinds[big], kinds[~big]])


def _clumped(maps: Maps, pool: CellPool, size: Size, rng: np.random.Generator) -> Cells:
    n = rng.poisson(IN_PARTICLE_PER_MM2 * size.area * pool.spacing**2 / 1e6) if maps.particle.any() else 0
    xy = rng.uniform(0, 1, (n, 2)) * [size.width, size.height]
    return clumped(xy[maps.at("particle", *xy.T) > 0.5], pool, rng)


def _corner(shape: tuple[int, int], rng: np.random.Generator) -> Field:
    """1 on one side of a wavy line across the field, 0 on the other."""
    angle = rng.uniform(0, 2 * pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    line = x * np.cos(angle) + y * np.sin(angle) - rng.uniform(0.2, 0.8) + 0.12 * slow_noise(shape, (4, 4), rng)
    return np.asarray(np.clip(line * 6 + 0.5, 0, 1), np.float32)


def _defocus(shape: tuple[int, int], difficulty: str, rng: np.random.Generator) -> Field:
    """Share of blur, 0..1; most fields are sharp."""
    if rng.random() < (0.7 if difficulty == "easy" else 0.45):
        return np.zeros(shape, np.float32)
    peak = 0.6 if difficulty == "easy" else 1.0
    return np.asarray(np.clip(rng.uniform(0, peak) + 0.2 * slow_noise(shape, (4, 4), rng), 0, peak), np.float32)
