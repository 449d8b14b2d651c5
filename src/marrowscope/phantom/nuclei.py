"""Nuclei: discs along a bent line, in a heap, or as plates of chromosomes; one shape family from round to segmented.

Distances are in um, signed, positive inside.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import cos, pi, radians, sin, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from marrowscope.phantom.morphology import Looks
from marrowscope.phantom.textures import Field, cut_noise

Discs = NDArray[np.float64]
"""``(n, 3)``: x, y, radius; their union is the nucleus."""

SECTORS = 1536
"""Directions in which the border of a cell is evaluated: steps far below a pixel, even for a megakaryocyte."""

SEGMENTED = 0.6
"""From this pinch on, lobes are apart and joined by threads only."""


class Grid(NamedTuple):
    """A square grid round the origin: position and distance of each point in um, and its direction as a sector."""

    x: Field
    y: Field
    r: Field
    sector: NDArray[np.int64]
    spacing: float

    @property
    def side(self) -> int:
        return len(self.x)

    def distance_to(self, x: float, y: float) -> Field:
        """Distance of each point to ``(x, y)``."""
        gap: Field = np.hypot(self.x - np.float32(x), self.y - np.float32(y))
        return gap


@lru_cache(maxsize=64)
def make_grid(side: int, spacing: float) -> Grid:
    """A grid of ``side x side`` points, ``spacing`` um apart."""
    axis = ((np.arange(side) + 0.5 - side / 2) * spacing).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    sector = np.rint(np.arctan2(y, x) * (SECTORS / (2 * pi))).astype(np.int64) % SECTORS
    return Grid(x, y, np.hypot(x, y), sector, spacing)


class Nucleus(NamedTuple):
    """``distance`` to the nuclear membrane, half the width of the nucleus (or of a lobe), and where its centre is."""

    distance: Field
    half_width: float
    x: float
    y: float


def _curved(looks: Looks, radius: float, rng: np.random.Generator) -> tuple[Discs, float]:
    """Discs ``(n, 3)`` x, y, radius along a bent centre line, and half the width; the area is the wanted share."""
    area = looks.nuclear_share * pi * radius**2
    length = max(looks.nucleus_length, 0.0)
    lobes = max(1, round(looks.lobes))
    if lobes > 1 and looks.pinch > SEGMENTED:
        return _segments(area, lobes, radians(looks.bend), looks.pinch, rng)
    half_width = sqrt(area / (pi + 4 * length))
    line = 2 * half_width * length
    n = 1 if length < 0.02 else int(np.clip(6 + 5 * length, 6, 40))
    t = np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1)
    bend = radians(max(looks.bend, 1.0))
    curve = line / bend
    px, py = curve * np.sin(bend * t), curve * (np.cos(bend * t) - 1)
    width = half_width * (1 - max(0.0, looks.pinch) * np.cos(pi * lobes * t) ** 2)
    px, py = px - px.mean(), py - py.mean()
    return np.stack([px, py, width], axis=1), half_width


def _segments(area: float, lobes: int, bend: float, pinch: float, rng: np.random.Generator) -> tuple[Discs, float]:
    """Round lobes in a bow, joined by threads."""
    lobe = sqrt(area / (pi * lobes * 1.12))
    pitch = lobe * (1.5 + 0.75 * pinch)
    curve = pitch * (lobes - 1) / max(bend, 0.1)
    angles = bend * (np.arange(lobes) / (lobes - 1) - 0.5)
    at = np.stack([curve * np.sin(angles), curve * (np.cos(angles) - 1)], axis=1) + rng.normal(
        0, 0.14 * lobe, (lobes, 2)
    )
    sizes = lobe * rng.uniform(0.88, 1.1, lobes)
    discs = [np.column_stack([at, sizes])]
    for i in range(lobes):  # a second disc makes each lobe a little longer than wide
        lean = rng.uniform(0, 2 * pi)
        discs.append(np.array([[*(at[i] + 0.35 * lobe * np.array([cos(lean), sin(lean)])), 0.8 * sizes[i]]]))
    for a, b in pairwise(at):
        share = np.linspace(0, 1, 9)[:, None]
        discs.append(np.column_stack([a + share * (b - a), np.full(9, max(0.28, 0.9 * (1 - pinch) * lobe))]))
    points = np.concatenate(discs)
    points[:, :2] -= at.mean(axis=0)
    return points, lobe


def _cluster(looks: Looks, radius: float, rng: np.random.Generator) -> tuple[Discs, float]:
    """A megakaryocyte's nucleus: overlapping lobes round a ring or in a heap."""
    lobes = max(4, round(looks.lobes))
    lobe = sqrt(looks.nuclear_share / lobes * 1.25) * radius
    angles = np.sort(rng.uniform(0, 2 * pi, lobes)) * 0.3 + np.linspace(0, 2 * pi, lobes, endpoint=False)
    ring = lobe * rng.uniform(0.75, 1.25, lobes) * max(1.0, lobes / 5)
    return np.stack([ring * np.cos(angles), ring * np.sin(angles), lobe * rng.uniform(0.8, 1.15, lobes)], axis=1), lobe


def _plates(looks: Looks, radius: float, rng: np.random.Generator) -> tuple[Discs, float]:
    """A dividing cell: one plate of chromosomes (metaphase) or two (anaphase), ragged."""
    area = looks.nuclear_share * pi * radius**2
    plates = 2 if rng.random() < 0.5 else 1
    thick = sqrt(area / (plates * 4 * 2.4)) * (1.15 if plates == 1 else 0.95)
    length = area / plates / (2 * thick)
    apart = rng.uniform(0.36, 0.46) * radius if plates == 2 else 0.0
    discs = []
    for plate in range(plates):
        for s in np.linspace(-0.5, 0.5, 16):
            dx = (2 * plate - 1) * apart + rng.normal(0, 0.3)
            discs.append((dx, s * length + rng.normal(0, 0.15), thick * rng.uniform(0.6, 1.1) * (1 - 0.5 * abs(s))))
    return np.array(discs), thick


_BUILDERS = {"curved": _curved, "cluster": _cluster, "plates": _plates}


def place_nucleus(looks: Looks, inside: Field, grid: Grid, rng: np.random.Generator) -> Nucleus:
    """Build a nucleus and put it into a cell; ``inside`` is the distance to the cell's membrane, which it respects."""
    radius = looks.diameter / 2
    discs, half_width = _BUILDERS[looks.nucleus](looks, radius, rng)
    turn = rng.uniform(0, 2 * pi)
    cx, cy = discs[:, 0] * cos(turn) - discs[:, 1] * sin(turn), discs[:, 0] * sin(turn) + discs[:, 1] * cos(turn)
    extent = float(np.max(np.hypot(cx, cy) + discs[:, 2]))
    away = looks.eccentricity * max(0.0, radius - extent - 0.25)
    direction = rng.uniform(0, 2 * pi)
    ox, oy = away * cos(direction), away * sin(direction)
    distance = np.full(grid.x.shape, -1e3, np.float32)
    for px, py, width in zip(cx + ox, cy + oy, discs[:, 2], strict=True):
        np.maximum(distance, np.float32(width) - grid.distance_to(px, py), out=distance)
    wobble = {"plates": 0.45, "cluster": 0.5}.get(looks.nucleus, (0.05 if looks.lobes < 2 else 0.11) * half_width)
    grain = 0.65 if looks.nucleus == "plates" else 3.0
    distance += np.float32(wobble) * cut_noise(grain, grid.spacing, grid.side, rng)
    np.minimum(distance, inside - np.float32(0.3), out=distance)
    return Nucleus(distance, half_width, ox, oy)
