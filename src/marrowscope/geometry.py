"""Points, sizes, boxes and spacings: the frames in which marrowscope speaks of a slide.

Three frames exist, and every name says which one it is in:

* *level-0 pixels*: the frame of every stored coordinate; origin at the top left corner of the slide's level 0,
  x to the right, y down. Continuous: pixel ``(i, j)`` covers ``[i, i + 1) x [j, j + 1)``.
* *um*: level-0 pixels times the slide's :class:`Spacing`.
* *lattice pixels*: the pixels of the slide resampled to a model's spacing ``s``; lattice pixel ``(u, v)`` covers
  ``[u s, (u + 1) s) x [v s, (v + 1) s)`` um. The lattice is anchored to the slide and not to a tile, which is why
  counts do not depend on tiling.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

RED_CELL_UM = 7.2
"""Mean diameter of a red cell on a dried smear, um: the ruler that every smear carries."""


class Point(NamedTuple):
    """A position; the frame is that of the variable that holds it."""

    x: float
    y: float


class Size(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class Spacing:
    """Micrometres per level-0 pixel, along x and y.

    Raises ``ValueError`` when a value is not a positive finite number.
    """

    x: float
    y: float

    def __post_init__(self) -> None:
        for value in (self.x, self.y):
            if not 0.0 < value < float("inf"):
                raise ValueError(f"a spacing must be a positive number of um per pixel, found {value!r}")

    @classmethod
    def square(cls, um: float) -> Spacing:
        return cls(um, um)

    @property
    def mean(self) -> float:
        """Geometric mean of both directions, um per pixel."""
        return sqrt(self.x * self.y)

    def area_mm2(self, level0_pixels: float) -> float:
        """Area in mm2 of so many level-0 pixels."""
        return level0_pixels * self.x * self.y / 1e6


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-parallel rectangle ``[x0, x1) x [y0, y1)``; level-0 pixels unless the variable says otherwise."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (self.x1 >= self.x0 and self.y1 >= self.y0):
            raise ValueError(f"a box needs x0 <= x1 and y0 <= y1, found {self}")

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        return self.width * self.height

    @property
    def centre(self) -> Point:
        return Point((self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2)

    def contains(self, point: Point) -> bool:
        """Half-open, so that abutting boxes never both own a point."""
        return self.x0 <= point.x < self.x1 and self.y0 <= point.y < self.y1

    def intersects(self, other: Box) -> bool:
        return self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1
