"""The pool of drawn cells and specks: each variant is drawn once, coloured once, and stamped many times."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.phantom.drawing import CellDrawing, draw_cell
from marrowscope.phantom.elements import dust, platelet, red_cell
from marrowscope.phantom.morphology import draw_looks
from marrowscope.phantom.stains import Stain, transmittance
from marrowscope.taxonomy import PHANTOM_TYPES

RED_CELLS, RED_CELLS_FLAT, PLATELETS, SPECKS = 48, 32, 24, 12
"""Variants of red cells with and without pallor, platelets and specks of dust."""

GHOST = 0.5
"""Share of its dye that a cell deep in a particle shows."""

Sprite = NDArray[np.uint8]
"""``(h, w, 4)``: transmittance RGB and cover, 0..255; red cells have three channels and are multiplied in."""


class CellPool:
    """Drawings without a stain, made when first asked for. The same arguments give the same drawings in any order."""

    def __init__(self, seed: int, spacing: float, difficulty: str) -> None:
        self.seed, self.spacing, self.difficulty = seed, spacing, difficulty
        self._cells: dict[tuple[int, int], CellDrawing] = {}

    def cell(self, kind: int, variant: int) -> CellDrawing:
        """Variant of the type ``PHANTOM_TYPES[kind]``."""
        key = (kind, variant)
        if key not in self._cells:
            rng = np.random.default_rng([self.seed, 11, kind, variant])
            looks = draw_looks(PHANTOM_TYPES[kind], self.difficulty, rng)
            self._cells[key] = draw_cell(looks, self.spacing, rng)
        return self._cells[key]

    def likeness(self, kind: int, variant: int) -> tuple[str, float]:
        """The neighbouring type towards which a drawing was moved ("" for none) and how far, 0..0.45."""
        looks = draw_looks(PHANTOM_TYPES[kind], self.difficulty, np.random.default_rng([self.seed, 11, kind, variant]))
        return looks.neighbour, looks.share


@lru_cache(maxsize=4)
def cell_pool(seed: int, spacing: float, difficulty: str) -> CellPool:
    """A pool that is kept between calls."""
    return CellPool(seed, spacing, difficulty)


@dataclass(frozen=True, slots=True)
class Elements:
    """Specks in dyes: ``red`` (amounts only), ``platelets`` and ``specks`` (amounts, cover)."""

    red: tuple[NDArray[np.float32], ...]
    platelets: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]
    specks: tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]


@lru_cache(maxsize=4)
def elements(spacing: float) -> Elements:
    """The specks at a spacing, the same for every seed; where they lie is what differs."""
    rng = np.random.default_rng(4711)
    flat = tuple(red_cell(False, spacing, rng) for _ in range(RED_CELLS_FLAT))
    return Elements(
        tuple(red_cell(True, spacing, rng) for _ in range(RED_CELLS)) + flat,
        tuple(platelet(spacing, rng) for _ in range(PLATELETS)),
        tuple(dust(spacing, rng) for _ in range(SPECKS)),
    )


class Palette:
    """Sprites of one slide: a pool seen through one stain."""

    def __init__(self, pool: CellPool, stain: Stain) -> None:
        self.pool, self.stain = pool, stain
        parts = elements(pool.spacing)
        self.red = [transmittance(dyes, stain) for dyes in parts.red]
        self.platelets = [_sprite(dyes, cover, stain) for dyes, cover in parts.platelets]
        self.specks = [_sprite(dyes, cover, stain) for dyes, cover in parts.specks]
        self._cells: dict[tuple[int, int], Sprite] = {}
        self._ghosts: dict[tuple[int, int], Sprite] = {}

    def cell(self, kind: int, variant: int) -> Sprite:
        key = (kind, variant)
        if key not in self._cells:
            drawing = self.pool.cell(kind, variant)
            self._cells[key] = np.dstack([transmittance(drawing.dyes, self.stain), drawing.alpha])
        return self._cells[key]

    def ghost(self, kind: int, variant: int) -> Sprite:
        """A cell deep in a particle, to be multiplied in: out of focus and faint, ``(h, w, 3)``."""
        key = (kind, variant)
        if key not in self._ghosts:
            sigma = 1.1 / self.pool.spacing
            pad = int(3 * sigma) + 1
            sprite = cv2.copyMakeBorder(self.cell(kind, variant), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
            shade = (255 - sprite[..., :3].astype(np.float32)) * sprite[..., 3:] * (GHOST / 255)
            self._ghosts[key] = np.rint(255 - cv2.GaussianBlur(shade, (0, 0), sigma)).astype(np.uint8)
        return self._ghosts[key]


def _sprite(dyes: NDArray[np.float32], cover: NDArray[np.float32], stain: Stain) -> Sprite:
    return np.dstack([transmittance(dyes, stain), np.rint(255 * cover).astype(np.uint8)])
