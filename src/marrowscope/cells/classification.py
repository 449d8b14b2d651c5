"""The cell classifier of a pack, run with ONNX Runtime.

Shapes: crops ``(n, crop, crop, 3)`` uint8 RGB at the classifier's spacing; probabilities ``(n, classes)`` float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from marrowscope.detection.engine import open_session
from marrowscope.packs.contract import ClassifierContract

BATCH = 32
"""Crops per run: large enough to fill two cores, small enough to stay in their cache."""


class Classifier:
    """Names the type of cells; probabilities are calibrated with the pack's temperature."""

    def __init__(self, model: Path, contract: ClassifierContract, classes: int, *, threads: int | None = None) -> None:
        self.contract = contract
        self._classes = classes
        self._session = open_session(model, threads)

    def classify(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Class probabilities of each crop."""
        if not len(crops):
            return np.zeros((0, self._classes), np.float32)
        logits = [
            self._session.run(["logits"], {"crops": crops[start : start + BATCH]})[0]
            for start in range(0, len(crops), BATCH)
        ]
        return np.asarray(softmax(np.concatenate(logits) / self.contract.temperature, axis=1), np.float32)
