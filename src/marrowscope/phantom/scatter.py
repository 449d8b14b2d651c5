"""Throw cells: which variant of a type, how turned, where; and the box that each then fills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import cos, pi, sin
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from marrowscope.phantom.placement import Placement
from marrowscope.phantom.pool import CellPool
from marrowscope.phantom.scene import Cells
from marrowscope.taxonomy import PHANTOM_TYPES

CLOSENESS = {"easy": (0.98, 0.88, 0.12), "paper": (0.96, 0.80, 0.3)}
"""By difficulty: least distance of centres over the sum of the radii; the same for overlapping cells; their share."""


class Ground(NamedTuple):
    """Where cells may lie: ``propose`` gives places in um for ever, ``holds`` says whether a place is inside."""

    propose: Iterator[tuple[float, float]]
    holds: Callable[[float, float], bool]


class Crowd:
    """Grows a table of cells that keep their distance. Lengths in um until :meth:`table`."""

    def __init__(self, pool: CellPool, variants: int, rng: np.random.Generator) -> None:
        self.pool, self.variants, self.rng = pool, variants, rng
        self.placement = Placement()
        self._rows: list[tuple[int, int, float, float, float, bool, float]] = []
        self._closeness = CLOSENESS[pool.difficulty]

    def __len__(self) -> int:
        return len(self._rows)

    def block(self, x: float, y: float, radius: float) -> None:
        """Keep cells out of a disc."""
        self.placement.add(x, y, radius)

    def add(self, kind: int, ground: Ground, tries: int = 400, beside: float = 0.0) -> bool:
        """Place one cell of a type; ``beside`` is the chance that it touches a cell that is there already."""
        rng = self.rng
        variant = int(rng.integers(self.variants))
        outline = self.pool.cell(kind, variant).outline
        radius = float(np.hypot(outline[:, 0], outline[:, 1]).mean())
        usual, close, share = self._closeness
        closeness = close if rng.random() < share else usual
        for attempt in range(tries):
            if self._rows and attempt < 3 and rng.random() < beside:
                x, y = self._beside(radius, closeness)
            else:
                x, y = next(ground.propose)
            if ground.holds(x, y) and self.placement.fits(x, y, radius, closeness):
                self.placement.add(x, y, radius)
                self._rows.append((kind, variant, x, y, rng.uniform(0, 2 * pi), bool(rng.random() < 0.5), radius))
                return True
        return False

    def _beside(self, radius: float, closeness: float) -> tuple[float, float]:
        _, _, x, y, _, _, other = self._rows[int(self.rng.integers(len(self._rows)))]
        angle, away = self.rng.uniform(0, 2 * pi), (radius + other) * self.rng.uniform(closeness, 1.12)
        return x + away * cos(angle), y + away * sin(angle)

    def table(self) -> Cells:
        """All cells so far, in pixels."""
        if not self._rows:
            return Cells.empty()
        kind, variant, x, y, turn, mirrored, radius = zip(*self._rows, strict=True)
        spacing = self.pool.spacing
        return Cells(
            np.array(kind), np.array(variant), np.array(x) / spacing, np.array(y) / spacing, np.array(turn),
            np.array(mirrored), np.array(radius) / spacing,
        )  # fmt: skip


def boxes_of(cells: Cells, pool: CellPool) -> NDArray[np.float64]:
    """Tight boxes ``(n, 4)`` x0, y0, x1, y1 in level-0 pixels, from the outlines as they are turned."""
    boxes = np.zeros((len(cells), 4))
    for i in range(len(cells)):
        outline = pool.cell(int(cells.kind[i]), int(cells.variant[i])).outline / pool.spacing
        u = -outline[:, 0] if cells.mirrored[i] else outline[:, 0]
        c, s = cos(cells.turn[i]), sin(cells.turn[i])
        x, y = c * u - s * outline[:, 1] + cells.x[i], s * u + c * outline[:, 1] + cells.y[i]
        boxes[i] = x.min(), y.min(), x.max(), y.max()
    return boxes


IN_PARTICLE_PER_MM2 = 11_000.0
"""Indistinct cells of a particle, layers upon each other."""

_CLUMPED = ("myelocyte", "lymphocyte", "basophilic_erythroblast", "plasma_cell", "polychromatic_erythroblast")


def clumped(xy: NDArray[np.float64], pool: CellPool, rng: np.random.Generator) -> Cells:
    """The indistinct cells of a particle at ``xy (n, 2)`` pixels: any type that is common in particles."""
    n = len(xy)
    kinds = rng.choice([PHANTOM_TYPES.index(name) for name in _CLUMPED], size=n)
    return Cells(
        kinds, rng.integers(12, size=n), xy[:, 0], xy[:, 1], rng.uniform(0, 2 * pi, n), rng.random(n) < 0.5,
        np.full(n, 8.0 / pool.spacing),
    )  # fmt: skip
