"""The slide resampled to a spacing, on a lattice that belongs to the slide and not to the tile.

Shapes: ``u, v`` are lattice columns and rows, may be negative or beyond the slide; pictures are uint8 RGB
``(height, width, 3)``. Axes are independent, so an anisotropic slide gives square lattice pixels.

Lattice pixel ``u`` covers ``[u s, (u + 1) s)`` um. With a level whose pixel is ``l`` um wide, its value comes from
level coordinate ``(u + 1/2) s / l``. The factor ``f = s / l`` is split into a whole number ``k = round(f)``, done by
averaging blocks of ``k`` pixels that start at multiples of ``k`` of the level, and a rest ``r = f / k`` between 0.75
and 1.5, done by linear interpolation with weights in steps of 1/32. Blocks, coordinates and weights depend on the
slide and on ``(u, v)`` alone and all arithmetic is in whole numbers or by whole blocks: the value of a lattice pixel
is the same, bit for bit, whatever is read around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from marrowscope.geometry import Size, Spacing
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.spacing import as_spacing, require_spacing

_FINER = 1.01
"""A level up to 1 % coarser than wanted still counts as "not coarser": scanners say 0.2502 for 0.25."""

_EXACT = 1e-6
"""Relative deviation from a whole factor that is neglected: a quarter of a pixel across 250,000."""

_STEPS = 32
"""Positions between two pixels that linear interpolation tells apart (OpenCV's fixed-point remap)."""

_REMAP = 8192
"""OpenCV's remap takes positions up to 32,767; larger reads are put together from squares of this side."""


@dataclass(frozen=True, slots=True)
class _Axis:
    """How one axis of the lattice is made from one axis of a level."""

    shrink: int
    rest: float

    @classmethod
    def of(cls, factor: float) -> _Axis:
        shrink = max(1, round(factor))
        rest = factor / shrink
        return cls(shrink, 1.0 if abs(rest - 1) < _EXACT else rest)

    def positions(self, start: int, count: int) -> tuple[int, NDArray[np.int16], NDArray[np.uint16]]:
        """Where lattice pixels ``start, start + 1, ...`` lie among the shrunk ones.

        The shrunk pixel left of the first; then for each its left neighbour, counted from that one, and the 32nds
        towards the right neighbour.
        """
        centre = (np.arange(start, start + count) + 0.5) * self.rest - 0.5
        steps = np.floor(centre * _STEPS + 0.5).astype(np.int64)
        left = steps // _STEPS
        return int(left[0]), (left - left[0]).astype(np.int16), (steps % _STEPS).astype(np.uint16)


class Sampler:
    """The slide at ``spacing`` um per pixel.

    ``upsampled`` says that the slide is coarser than wanted, so that details are made up. Raises ``SpacingError``
    when the slide has no spacing or the wanted one is absurd.
    """

    def __init__(self, slide: Slide, spacing: float) -> None:
        as_spacing(spacing, slide.name)
        self.slide = slide
        self.spacing = spacing
        self.level, level_spacing = _best_level(slide, spacing)
        self._x = _Axis.of(spacing / level_spacing.x)
        self._y = _Axis.of(spacing / level_spacing.y)
        self.upsampled = max(level_spacing.x, level_spacing.y) > spacing * _FINER
        level0 = require_spacing(slide)
        self._scale = np.array([spacing / level0.x, spacing / level0.y])
        self.size = Size(
            ceil(slide.size.width / self._scale[0] - _EXACT), ceil(slide.size.height / self._scale[1] - _EXACT)
        )

    def read(self, u: int, v: int, size: Size) -> Picture:
        """Lattice pixels ``[u, u + width) x [v, v + height)``; background where the slide is not.

        Raises ``SlideError`` where the file is damaged.
        """
        if not size.area:
            return np.empty((size.height, size.width, 3), np.uint8)
        if self._x.rest == 1.0 and self._y.rest == 1.0:
            return self._shrunk(u, v, size)
        picture = np.empty((size.height, size.width, 3), np.uint8)
        for top in range(0, size.height, _REMAP):
            for left in range(0, size.width, _REMAP):
                self._interpolate(u + left, v + top, picture[top : top + _REMAP, left : left + _REMAP])
        return picture

    def to_level0(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Lattice coordinates ``(..., 2)`` as level-0 pixels."""
        level0: NDArray[np.float64] = np.asarray(xy, np.float64) * self._scale
        return level0

    def from_level0(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Level-0 pixels ``(..., 2)`` as lattice coordinates."""
        lattice: NDArray[np.float64] = np.asarray(xy, np.float64) / self._scale
        return lattice

    def _interpolate(self, u: int, v: int, out: Picture) -> None:
        u0, columns, right = self._x.positions(u, out.shape[1])
        v0, rows, down = self._y.positions(v, out.shape[0])
        source = self._shrunk(u0, v0, Size(int(columns[-1]) + 2, int(rows[-1]) + 2))
        corner = np.empty((*out.shape[:2], 2), np.int16)
        corner[..., 0] = columns
        corner[..., 1] = rows[:, None]
        cv2.remap(source, corner, (down * _STEPS)[:, None] + right, cv2.INTER_LINEAR, dst=out)

    def _shrunk(self, u: int, v: int, size: Size) -> Picture:
        """A window of the level after its blocks are averaged."""
        kx, ky = self._x.shrink, self._y.shrink
        picture = self.slide.read(self.level, u * kx, v * ky, Size(size.width * kx, size.height * ky))
        return _shrink(picture, kx, ky)


def shrink(picture: Picture, factor: int) -> Picture:
    """Average blocks of ``factor x factor`` pixels: 0.25 um per pixel to 0.5 with factor 2.

    Raises ``ValueError`` when the sides are no multiples of ``factor``.
    """
    if factor < 1 or picture.shape[0] % factor or picture.shape[1] % factor:
        raise ValueError(f"sides must be multiples of the factor {factor}, found {picture.shape[:2]}")
    return _shrink(picture, factor, factor)


def _shrink(picture: Picture, kx: int, ky: int) -> Picture:
    if kx == 1 and ky == 1:
        return picture
    size = picture.shape[1] // kx, picture.shape[0] // ky
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def _best_level(slide: Slide, spacing: float) -> tuple[int, Spacing]:
    """The coarsest level not coarser than ``spacing`` (level 0 when all are), with its spacing."""
    level0 = require_spacing(slide)
    spacings = [Spacing(level0.x * level.downsample[0], level0.y * level.downsample[1]) for level in slide.levels]
    fine = [i for i, found in enumerate(spacings) if max(found.x, found.y) <= spacing * _FINER]
    level = fine[-1] if fine else 0
    return level, spacings[level]
