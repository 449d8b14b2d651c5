"""Many detections as one table of parallel arrays.

Shapes: ``boxes (n, 4) float64`` as ``x0, y0, x1, y1``; ``scores (n,) float32``; ``probabilities (n, classes) float32``
or None for a detector that only finds cells. The frame of the boxes is that of the variable that holds the table
(lattice pixels inside the detector, level-0 pixels everywhere else).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """Found objects, checked on construction. Raises ``ValueError`` naming expected and actual shapes."""

    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.boxes.shape != (n, 4):
            raise ValueError(f"boxes must have shape ({n}, 4), found {self.boxes.shape}")
        if self.scores.shape != (n,):
            raise ValueError(f"scores must have shape ({n},), found {self.scores.shape}")
        if self.probabilities is not None and (self.probabilities.ndim != 2 or len(self.probabilities) != n):
            raise ValueError(f"probabilities must have shape ({n}, classes), found {self.probabilities.shape}")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4)), np.zeros(0, np.float32))

    @property
    def centres(self) -> NDArray[np.float64]:
        """``(n, 2)`` x, y."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / 2

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Detections:
        probabilities = None if self.probabilities is None else self.probabilities[index]
        return Detections(self.boxes[index], self.scores[index], probabilities)

    @classmethod
    def concatenate(cls, parts: Sequence[Detections]) -> Detections:
        parts = [part for part in parts if len(part)]
        if not parts:
            return cls.empty()
        with_probabilities = [part.probabilities for part in parts if part.probabilities is not None]
        if with_probabilities and len(with_probabilities) != len(parts):
            raise ValueError("either all parts carry class probabilities or none does")
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate(with_probabilities) if with_probabilities else None,
        )
