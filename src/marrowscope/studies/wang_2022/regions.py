"""Results of the region model, as the job ``regions`` leaves them in ``OUT/jobs/regions/regions.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marrowscope.errors import DataError

FILE = "regions.json"


@dataclass(frozen=True, slots=True)
class RegionFold:
    """One fold: means over its objects or its slides, as in Table 4; each value lies in 0..1."""

    recall: float
    precision: float
    accuracy: float
    iou: float


@dataclass(frozen=True, slots=True)
class RegionResult:
    """Cross-validation of the region model on overviews.

    ``objects`` and ``slides``: one entry a fold, by object and by slide (found when IoU > 0.5). ``detected``: slide to
    the number of regions found on it and their size in mm2 (Fig. 3). ``words`` names model and data.
    """

    objects: tuple[RegionFold, ...]
    slides: tuple[RegionFold, ...]
    detected: Mapping[str, tuple[int, float]]
    words: str

    def to_json(self) -> dict[str, Any]:
        def folds(parts: tuple[RegionFold, ...]) -> list[dict[str, float]]:
            return [{name: getattr(part, name) for name in RegionFold.__slots__} for part in parts]

        detected = {name: list(found) for name, found in self.detected.items()}
        return {"objects": folds(self.objects), "slides": folds(self.slides), "detected": detected, "words": self.words}


def read_regions(output: Path) -> RegionResult | None:
    """The result of the region job of a study in ``output``; None when it was not run.

    Raises ``DataError`` when the file is damaged.
    """
    path = output / "jobs" / "regions" / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return RegionResult(
            tuple(RegionFold(**fold) for fold in found["objects"]),
            tuple(RegionFold(**fold) for fold in found["slides"]),
            {name: (int(number), float(size)) for name, (number, size) in found["detected"].items()},
            str(found["words"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it and run the study again") from error
