"""Reading the boxes of ``benchmarks/marrow_boxes``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from marrowscope.errors import DataError

CELL, IGNORED = "Nucleated cell", "Ignore*"

Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MarrowField:
    """Truth of one field, level-0 pixels: ``cells (n, 4)``, ``uncertain (n,)``, ``reasons`` (n words), ``ignored``."""

    name: str
    cells: Boxes
    uncertain: NDArray[np.bool_]
    reasons: tuple[str, ...]
    ignored: tuple[shapely.Polygon, ...]

    def sides(self, strict: bool) -> tuple[Boxes, list[shapely.Polygon]]:
        """Boxes that count as cells, and what is left out."""
        if strict:
            return self.cells, list(self.ignored)
        return self.cells[~self.uncertain], [*self.ignored, *(shapely.box(*box) for box in self.cells[self.uncertain])]


def read_truth(path: Path) -> MarrowField:
    """Boxes of one GeoJSON file. Raises ``DataError`` when it cannot be read as one."""
    cells, uncertain, reasons, ignored = [], [], [], []
    try:
        for feature in json.loads(path.read_bytes())["features"]:
            outline = shapely.Polygon(feature["geometry"]["coordinates"][0])
            properties = feature["properties"]
            name = properties["classification"]["name"]
            if name == IGNORED:
                ignored.append(outline)
                continue
            if name != CELL:
                raise ValueError(f"the class {name!r}, neither {CELL!r} nor {IGNORED!r}")
            cells.append(outline.bounds)
            uncertain.append(properties["measurements"]["uncertain"] == 1)
            reasons.append(properties.get("metadata", {}).get("reason", ""))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} holds no marrow boxes ({error!r}); see benchmarks/marrow_boxes/README.md") from error
    boxes = np.array(cells, np.float64).reshape(-1, 4)
    return MarrowField(path.stem, boxes, np.array(uncertain, bool), tuple(reasons), tuple(ignored))
