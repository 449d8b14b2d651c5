"""The pointing game counts maps whose largest value lies in their mask."""

from __future__ import annotations

import numpy as np
import pytest

from marrowscope.evaluation.pointing import pointing_game


def test_the_largest_value_decides() -> None:
    masks = np.zeros((3, 4, 5), bool)
    masks[:, 1:3, 2] = True
    maps = np.full((3, 4, 5), -1.0, np.float32)
    maps[0, 2, 2], maps[1, 2, 3], maps[2, 0, 0] = 0.1, 9.0, -0.5
    maps[1, 1, 2] = 8.0
    found = pointing_game(maps, masks)
    assert (found.count, found.total) == (1, 3)
    assert pointing_game(maps[:0], masks[:0]).total == 0
    with pytest.raises(ValueError, match=r"maps \(3, 4, 5\) and masks \(3, 4, 4\)"):
        pointing_game(maps, masks[..., :4])
