"""The region model of a pack, run with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrowscope.detection.engine import open_session
from marrowscope.detection.suppression import suppress
from marrowscope.packs.contract import RegionContract
from marrowscope.regions.learned import RegionModel
from marrowscope.slides.protocol import Picture


def open_region_model(model: Path, contract: RegionContract, name: str, *, threads: int | None = None) -> RegionModel:
    """The model of the file, with the score and overlap of its contract. Raises ``PackError`` when it cannot load."""
    session = open_session(model, threads)

    def find(picture: Picture) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        boxes, scores = (found[0] for found in session.run(["boxes", "scores"], {"tiles": picture[None]}))
        keep = scores >= contract.score_threshold
        boxes, scores = boxes[keep].astype(np.float64), scores[keep]
        best = suppress(boxes, scores, contract.iou_threshold)
        return boxes[best], scores[best]

    return RegionModel(name, find, contract.side)
