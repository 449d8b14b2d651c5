"""Where a recipe's training tiles come from and what its detector is judged on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from marrowscope.learning.detector.measuring import LabelledField


class TileSource(Protocol):
    """Training tiles, and labelled pictures that training never sees."""

    def tile(self, number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """The training tile of a number, ``(side, side, 3)``, and its boxes ``(b, 4)``; all chance is ``rng``'s."""

    def validation(self) -> Sequence[LabelledField]:
        """Pictures on which the score threshold is chosen."""

    def tests(self) -> dict[str, Sequence[LabelledField]]:
        """Pictures that choose nothing, by the name of their set."""

    def describe(self) -> str:
        """What the tiles are made of, with counts, in half a sentence."""
