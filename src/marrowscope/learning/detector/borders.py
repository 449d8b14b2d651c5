"""Cells that a picture's border cuts: labelled, as people label them, by the part that is seen.

Beyond the border of a picture a detector sees :data:`OUTSIDE`, in training as in measuring; at the border of a tile it
sees nothing at all. In both cases the box ends where the picture ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OUTSIDE = 128
"""Grey value beyond a picture's border, the middle of the range: the network's zero."""

LEAST_SEEN = 5.0
"""Pixels (at 0.5 um: 2.5 um) that must be seen of a cell in both directions; people leave out thinner slivers."""


def seen_parts(boxes: NDArray[np.float32], window: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """The parts of ``boxes (n, 4)`` within ``window`` (x0, y0, x1, y1), without those too thin to be a cell's."""
    low, high = np.tile(window[:2], 2), np.tile(window[2:], 2)
    parts = np.asarray(np.clip(boxes, low, high), np.float32)
    cut = (parts != boxes).any(axis=1)
    sides = parts[:, 2:] - parts[:, :2]
    kept: NDArray[np.float32] = parts[~cut | (sides >= LEAST_SEEN).all(axis=1)]
    return kept
