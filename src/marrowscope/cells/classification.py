"""The cell classifier of a pack, run with ONNX Runtime.

Shapes: crops ``(n, crop, crop, 3)`` uint8 RGB at the classifier's spacing; probabilities ``(n, classes)`` and anomaly
``(n,)`` float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marrowscope.detection.engine import open_session
from marrowscope.errors import MarrowscopeError
from marrowscope.packs.loading import Pack
from marrowscope.packs.specimens import posterior

BATCH = 32
"""Crops per run: large enough to fill two cores, small enough to stay in their cache."""


@dataclass(frozen=True, slots=True)
class Named:
    """``probabilities`` of the classes, and ``anomaly``: above 1 for a cell like none that training knew."""

    probabilities: NDArray[np.float32]
    anomaly: NDArray[np.float32] | None


class Classifier:
    """Names the type of cells; probabilities are calibrated with the pack's temperature and weighed by its prior.

    Raises ``MarrowscopeError`` for a pack whose detector names types itself, ``PackError`` for a broken anomaly score.
    """

    def __init__(self, pack: Pack, *, threads: int | None = None) -> None:
        if pack.classifier is None or pack.contract.classifier is None:
            raise MarrowscopeError(f"pack {pack.contract.name} has no classifier; its detector names types itself")
        self.contract = pack.contract.classifier
        self._classes = len(pack.contract.classes)
        self._anomaly, self._reference = pack.contract.anomaly, pack.anomaly_reference()
        self._outputs = ["logits", *([self._anomaly.features] if self._anomaly else [])]
        self._session = open_session(pack.classifier, threads)

    def classify(self, crops: NDArray[np.uint8]) -> Named:
        """Class probabilities and anomaly of each crop."""
        if not len(crops):
            return Named(np.zeros((0, self._classes), np.float32), np.zeros(0, np.float32) if self._anomaly else None)
        batches = [
            self._session.run(self._outputs, {"crops": crops[start : start + BATCH]})
            for start in range(0, len(crops), BATCH)
        ]
        logits, *features = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        anomaly = None
        if self._anomaly and self._reference:
            anomaly = self._reference.raw(*features) / np.float32(self._anomaly.threshold)
        return Named(posterior(logits, self.contract.temperature, self.contract.prior), anomaly)
