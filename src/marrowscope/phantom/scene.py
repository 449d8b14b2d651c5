"""What lies where on a smear, before anything is painted.

All positions are level-0 pixels. Nucleated cells, fat and the indistinct cells of particles are tables over the whole
slide; red cells, platelets and dust are far too many and are thrown block by block, each block from its own seed, so
that memory does not grow with the slide and the picture does not depend on the order or the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from math import ceil
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.geometry import RED_CELL_UM, Size
from marrowscope.phantom.pool import PLATELETS, RED_CELLS, RED_CELLS_FLAT, SPECKS

BLOCK = 1024
"""Side of a block, level-0 pixels."""

RED_CELLS_PER_MM2 = 20_000.0
"""Where the smear is thickest."""


@dataclass(frozen=True, slots=True)
class Cells:
    """A table of cells: type and variant in the pool, centre, turn (radians), mirrored, radius (all pixels)."""

    kind: NDArray[np.int64]
    variant: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    turn: NDArray[np.float64]
    mirrored: NDArray[np.bool_]
    radius: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.kind)

    def near(self, x0: float, y0: float, x1: float, y1: float) -> NDArray[np.int64]:
        """Rows whose disc reaches into a rectangle, in the order of the table."""
        reach = self.radius * 1.5 + 2
        hit = (self.x > x0 - reach) & (self.x < x1 + reach) & (self.y > y0 - reach) & (self.y < y1 + reach)
        return np.flatnonzero(hit)

    @classmethod
    def empty(cls) -> Cells:
        none, real = np.zeros(0, np.int64), np.zeros(0)
        return cls(none, none, real, real, real, np.zeros(0, bool), real)


class Maps(NamedTuple):
    """Slow fields over the slide, one value per ``pitch`` level-0 pixels, float32 0..1."""

    pitch: float
    thickness: NDArray[np.float32]
    particle: NDArray[np.float32]
    defocus: NDArray[np.float32]
    light: NDArray[np.float32]
    rouleaux: float

    def at(self, name: str, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
        """Nearest values at level-0 positions (clamped to the map)."""
        values: NDArray[np.float32] = getattr(self, name)
        i = np.clip((y / self.pitch).astype(np.int64), 0, values.shape[0] - 1)
        j = np.clip((x / self.pitch).astype(np.int64), 0, values.shape[1] - 1)
        return values[i, j]

    def window(self, name: str, x0: int, y0: int, size: Size) -> NDArray[np.float32]:
        """The field at every pixel of a rectangle, smoothly interpolated."""
        values: NDArray[np.float32] = getattr(self, name)
        scale = 1 / self.pitch
        matrix = np.array([[scale, 0, (x0 + 0.5) * scale - 0.5], [0, scale, (y0 + 0.5) * scale - 0.5]])
        out = cv2.warpAffine(
            values, matrix, (size.width, size.height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        return np.asarray(out, np.float32)


class Specks(NamedTuple):
    """Small things of one block: sprite number and centre, level-0 pixels."""

    red: NDArray[np.int64]
    red_xy: NDArray[np.float64]
    platelet: NDArray[np.int64]
    platelet_xy: NDArray[np.float64]
    dust: NDArray[np.int64]
    dust_xy: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """A whole smear or field.

    ``fat (n, 5)``: x, y, long radius of clear round holes (pixels), short over long radius, direction in degrees.
    """

    size: Size
    spacing: float
    seed: int
    maps: Maps
    cells: Cells
    ghosts: Cells = field(default_factory=Cells.empty)
    fat: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5)))
    dust_per_mm2: float = 12.0
    platelets_per_mm2: float = 350.0

    @cached_property
    def specks(self) -> Callable[[int, int], Specks]:
        """Gives the red cells, platelets and dust of a block (column, row); remembers about four rows of blocks."""
        return lru_cache(maxsize=4 * (self.size.width // BLOCK + 4))(partial(_throw_specks, self))

    @property
    def reach(self) -> int:
        """How far the red cells of a block may lie outside of it (a roll is up to 32 um long), pixels."""
        return max(BLOCK // 2, ceil(40 / self.spacing))


def _throw_specks(scene: Scene, column: int, row: int) -> Specks:
    rng = np.random.default_rng([scene.seed, 31, column + 4, row + 4])
    corner = np.array([column * BLOCK, row * BLOCK], float)
    mm2 = (BLOCK * scene.spacing / 1000) ** 2
    red, red_xy = _throw_red_cells(scene, corner, mm2, rng)
    n = rng.poisson(scene.platelets_per_mm2 * mm2)
    platelet_xy = corner + rng.random((n, 2)) * BLOCK
    clump = rng.random(n) < 0.4
    clump[:1] = False
    if n:  # platelets lie in small groups
        leaders = np.maximum.accumulate(np.where(clump, 0, np.arange(n)))
        platelet_xy[clump] = platelet_xy[leaders[clump]] + rng.normal(0, 2.2 / scene.spacing, (int(clump.sum()), 2))
    platelet = rng.integers(PLATELETS, size=n)
    keep = (scene.maps.at("thickness", *platelet_xy.T) > 0.15) & (scene.maps.at("particle", *platelet_xy.T) < 0.4)
    m = rng.poisson(scene.dust_per_mm2 * mm2)
    return Specks(
        red,
        red_xy,
        platelet[keep],
        platelet_xy[keep],
        rng.integers(SPECKS, size=m),
        corner + rng.random((m, 2)) * BLOCK,
    )


def _throw_red_cells(
    scene: Scene, corner: NDArray[np.float64], mm2: float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Single red cells where the smear is thin, rolls of them (rouleaux) where it is thick."""
    n = rng.poisson(RED_CELLS_PER_MM2 * mm2)
    xy = corner + rng.random((n, 2)) * BLOCK
    chance = rng.random(n)
    turn, stack, pace = rng.uniform(0, 2 * np.pi, n), rng.random(n), rng.uniform(0.42, 0.62, n)
    thick = scene.maps.at("thickness", *xy.T)
    length = np.where(stack < scene.maps.rouleaux * np.clip(thick * 1.4, 0, 1), 2 + (stack * 7919 % 5).astype(int), 1)
    mean_length = 1 + 3 * scene.maps.rouleaux * np.clip(thick * 1.4, 0, 1)
    keep = chance < thick / mean_length
    xy, turn, pace, length, thick = xy[keep], turn[keep], pace[keep], length[keep], thick[keep]
    which = np.repeat(np.arange(len(xy)), length)
    step = np.arange(len(which)) - np.repeat(np.cumsum(length) - length, length)
    bend = turn[which] + 0.12 * step * np.sign(pace[which] - 0.52)
    pitch = pace[which] * RED_CELL_UM / scene.spacing * step
    xy = xy[which] + np.stack([np.cos(bend), np.sin(bend)], axis=1) * pitch[:, None]
    flat = (length[which] > 1) | (rng.random(len(which)) < 0.25 + 0.5 * thick[which])
    variant = np.where(
        flat, RED_CELLS + rng.integers(RED_CELLS_FLAT, size=len(which)), rng.integers(RED_CELLS, size=len(which))
    )
    free = (scene.maps.at("particle", *xy.T) < 0.35) & _first_on_the_spot(xy, which, 5.2 / scene.spacing)
    radius = RED_CELL_UM / 2 / scene.spacing
    (x0, y0), (x1, y1) = corner - scene.reach, corner + BLOCK + scene.reach
    near = scene.cells.near(x0, y0, x1, y1)
    discs = np.stack([scene.cells.x[near], scene.cells.y[near], scene.cells.radius[near]], axis=1)
    # cells push red cells aside but may lie on their edge; fat pushes them away whole
    discs = np.concatenate([discs + np.array([0, 0, 0.3 * radius]), scene.fat[:, :3] + np.array([0, 0, 0.7 * radius])])
    x, y, r = discs.T
    for i in np.flatnonzero((x > x0 - r) & (x < x1 + r) & (y > y0 - r) & (y < y1 + r)):
        free &= (xy[:, 0] - x[i]) ** 2 + (xy[:, 1] - y[i]) ** 2 > r[i] ** 2
    return variant[free], xy[free]


def _first_on_the_spot(xy: NDArray[np.float64], owner: NDArray[np.int64], pitch: float) -> NDArray[np.bool_]:
    """Rolls do not lie upon rolls: of those that share a square of ``pitch`` pixels only the first stays there."""
    square = np.floor(xy / pitch).astype(np.int64)
    key = square[:, 0] * 1_000_003 + square[:, 1]
    _, first, back = np.unique(key, return_index=True, return_inverse=True)
    return np.asarray(owner == owner[first[back]])
