"""The pointing game: does the strongest place of a map lie on what it should lie on?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrowscope.evaluation.intervals import Proportion


def pointing_game(maps: NDArray[np.float32], masks: NDArray[np.bool_]) -> Proportion:
    """Of ``maps (n, h, w)`` those whose largest value lies in their mask ``(n, h, w)`` (Zhang et al., ECCV 2016).

    Chance is the share of a picture that its mask covers. Raises ``ValueError`` for masks of another shape.
    """
    if maps.shape != masks.shape:
        raise ValueError(f"maps {maps.shape} and masks {masks.shape} must have one shape")
    n = len(maps)
    at = maps.reshape(n, -1).argmax(axis=1) if n else np.zeros(0, np.intp)
    return Proportion(int(masks.reshape(n, -1)[np.arange(n), at].sum()) if n else 0, n)
