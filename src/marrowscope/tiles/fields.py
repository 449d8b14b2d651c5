"""Counting fields: squares of a fixed size in um, anchored to the slide, in the order in which they are counted.

Order and stopping are decided field by field and never tile by tile, so that another tile size gives the same cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from marrowscope.geometry import Box, Spacing
from marrowscope.regions.region import Region, areas_only

FIELD_UM = 192.0
"""Side of a counting field, um: about 30 to 60 nucleated cells of a cellular trail."""

SLIVER = 0.3
"""A field with less of its area inside the region than this is counted after the fuller ones of its rank."""


@dataclass(frozen=True, slots=True)
class CountingField:
    """One square of the slide and the part of a region that lies in it.

    ``column`` and ``row`` number the squares from the slide's origin; ``box`` is in level-0 pixels (half-open);
    ``owned`` is the polygon, in level-0 pixels, whose cells are counted here; ``region`` names the region.
    """

    column: int
    row: int
    box: Box
    owned: Polygon | MultiPolygon
    region: str

    def owns(self, centres: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the points ``(n, 2)``, level-0 pixels, are counted in this field."""
        if not len(centres):
            return np.zeros(0, bool)
        x, y = centres[:, 0], centres[:, 1]
        inside = (x >= self.box.x0) & (x < self.box.x1) & (y >= self.box.y0) & (y < self.box.y1)
        if inside.any():
            inside[inside] = shapely.intersects_xy(self.owned, x[inside], y[inside])
        return inside


def plan_fields(
    regions: Sequence[Region], spacing: Spacing, *, seed: int = 0, field_um: float = FIELD_UM
) -> list[CountingField]:
    """Cut regions into counting fields and put them in counting order.

    Regions come by rank (their score in quarters); within a rank the fields come in an order drawn with ``seed``, so
    that the counted cells are a random sample of that rank and not of one corner. Where two regions share a square, or
    overlap, each part is counted once, under the better region.
    """
    width, height = field_um / spacing.x, field_um / spacing.y
    ranked = sorted(regions, key=lambda region: (-region.score, region.name))
    planned: list[tuple[int, bool, CountingField]] = []
    taken: list[Polygon | MultiPolygon] = []
    for region in ranked:
        polygon = region.polygon
        for other in taken:
            if polygon.intersects(other):
                polygon = areas_only(polygon.difference(other))
        taken.append(region.polygon)
        if polygon.is_empty:
            continue
        shapely.prepare(polygon)
        x0, y0, x1, y1 = polygon.bounds
        for row in range(floor(y0 / height), ceil(y1 / height)):
            for column in range(floor(x0 / width), ceil(x1 / width)):
                box = Box(column * width, row * height, (column + 1) * width, (row + 1) * height)
                square = shapely.box(box.x0, box.y0, box.x1, box.y1)
                if not polygon.intersects(square):
                    continue
                whole = polygon.contains_properly(square)
                owned = square if whole else areas_only(polygon.intersection(square))
                if owned.is_empty:
                    continue
                rank = -min(3, floor(region.score * 4))
                field = CountingField(column, row, box, owned, region.name)
                planned.append((rank, owned.area < SLIVER * square.area, field))
    planned.sort(key=lambda item: (item[2].row, item[2].column, item[2].region))
    chance = np.random.default_rng(seed).permutation(len(planned))
    order = sorted(range(len(planned)), key=lambda i: (planned[i][0], planned[i][1], chance[i]))
    return [planned[i][2] for i in order]
