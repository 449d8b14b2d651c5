"""The detector of a pack, run with ONNX Runtime.

Shapes: tiles ``(n, height, width, 3)`` uint8 RGB at the detector's spacing. Boxes come back in lattice pixels of the
slide (not of the tile): each tile's corner has been added.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from marrowscope.detection.suppression import suppress
from marrowscope.detection.table import Detections
from marrowscope.errors import PackError
from marrowscope.packs.checking import RUNTIME_ERRORS
from marrowscope.packs.contract import DetectorContract
from marrowscope.tiles.reading import Tile

PREFERRED_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")


def open_session(path: Path, threads: int | None = None) -> ort.InferenceSession:
    """Open a model with the best provider that this installation reports. Raises ``PackError`` when it cannot load."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or _cores()
    options.log_severity_level = 3
    # Idle model threads would spin on the cores that the reading threads need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    available = ort.get_available_providers()
    providers = [name for name in PREFERRED_PROVIDERS if name in available] or available
    try:
        return ort.InferenceSession(path, options, providers=providers)
    except RUNTIME_ERRORS as error:
        raise PackError(f"{path} cannot be loaded as a model ({error}); reinstall the pack") from error


def _cores() -> int:
    """Cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Detector:
    """Finds nucleated cells in tiles."""

    def __init__(self, model: Path, contract: DetectorContract, *, threads: int | None = None) -> None:
        self.contract = contract
        self._session = open_session(model, threads)
        outputs = [output.name for output in self._session.get_outputs()]
        self._outputs = [name for name in ("boxes", "scores", "probabilities") if name in outputs]

    def detect(self, tiles: Sequence[Tile]) -> list[Detections]:
        """Detections of each tile, best first, in lattice pixels of the slide; the margin's are included.

        Tiles of one size run as one batch. Boxes below the score threshold are dropped and overlapping ones suppressed
        inside the tile, where both are seen with their context.
        """
        results: list[Detections | None] = [None] * len(tiles)
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, tile in enumerate(tiles):
            by_size.setdefault(tile.picture.shape, []).append(index)
        for indices in by_size.values():
            batch = np.stack([tiles[index].picture for index in indices])
            boxes, scores, *more = self._session.run(self._outputs, {"tiles": batch})
            for position, index in enumerate(indices):
                corner = tiles[index].window
                results[index] = self._select(
                    boxes[position], scores[position], more[0][position] if more else None, (corner.u, corner.v)
                )
        return [result for result in results if result is not None]

    def _select(
        self,
        boxes: NDArray[np.float32],
        scores: NDArray[np.float32],
        probabilities: NDArray[np.float32] | None,
        corner: tuple[int, int],
    ) -> Detections:
        keep = scores >= self.contract.score_threshold
        moved = boxes[keep].astype(np.float64) + np.array([*corner, *corner], np.float64)
        found = Detections(moved, scores[keep], None if probabilities is None else probabilities[keep])
        return found[suppress(found.boxes, found.scores, self.contract.iou_threshold)]
