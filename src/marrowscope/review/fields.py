"""Where the cells of a slide were counted: what people add elsewhere is no part of the sample that was drawn.

A count reads counting fields, and of each the part that lies in a region. Its percentages, intervals and area are those
of the fields. A cell that a person adds outside of them is kept and shown, and is not in the differential.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

Area = Polygon | MultiPolygon


class CountedFields:
    """The counted part of a slide, level-0 pixels.

    ``squares``: the corners ``[x0, y0, x1, y1]`` of the fields that were counted, None when the count did not keep
    them; ``regions``: where the fields count, None when that is not known. It never changes.
    """

    def __init__(self, squares: Sequence[Sequence[float]] | None, regions: Sequence[Area] | None = None) -> None:
        self.known = squares is not None
        area = shapely.union_all(shapely.box(*np.array(squares or [], np.float64).reshape(-1, 4).T))
        if regions is not None:
            area = shapely.intersection(area, shapely.union_all(list(regions)))
        self._area = area
        shapely.prepare(area)

    def __deepcopy__(self, _: dict[int, Any]) -> CountedFields:
        return self

    @property
    def outlines(self) -> list[Area]:
        """What was counted, for a picture; fields that touch are one."""
        parts = shapely.get_parts(self._area)
        return [part for part in parts.tolist() if isinstance(part, Polygon | MultiPolygon)]

    def outside(self, boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of the cells with these boxes ``(n, 4)`` have their middle where nothing was counted."""
        if not self.known or not len(boxes):
            return np.zeros(len(boxes), np.bool_)
        x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
        return ~np.asarray(shapely.intersects_xy(self._area, x, y), np.bool_)


EVERYWHERE = CountedFields(None)
"""Nobody kept what was counted: no cell is outside."""
