"""What an unlabelled box is worth as an example of background, where many cells were never labelled.

Three answers, chosen by a recipe. ``background``: what has no label is background, weight 1. ``soft-sampling`` (Wu et
al., BMVC 2019): the further a box is from every label, the less it is believed. ``ignore-confident`` (ours): a box that
the network itself takes for a cell, against its labels, is believed neither way. docs/results/missing-labels.md
compares them.

Legend of shapes: ``b`` boxes that no label claims.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

MissingLabels = Literal["background", "soft-sampling", "ignore-confident"]
MISSING_LABELS: tuple[MissingLabels, ...] = ("background", "soft-sampling", "ignore-confident")


def soft_sampling_weight(overlap: Tensor, a: float = 0.25, b: float = 50.0, c: float = 20.0) -> Tensor:
    """Gompertz weight ``a + (1 - a) exp(-b exp(-c o))``, ``o`` the largest IoU with a label (Wu et al. 2019, eq. 2)."""
    return a + (1 - a) * torch.exp(-b * torch.exp(-c * overlap))


@dataclass(frozen=True, slots=True)
class NegativeRule:
    """Weight of unlabelled boxes in the classification loss.

    ``confident`` is the foreground probability from which ``ignore-confident`` drops a box, after ``warm_up`` steps in
    which the network has learnt what a cell looks like. A low one teaches nothing about what rarely lies beside cells:
    with 0.3 a training of 250 steps took red cells far from any cell for lymphocytes.
    """

    kind: MissingLabels = "background"
    confident: float = 0.8
    warm_up: int = 100

    def weigh(self, overlap: Tensor, foreground: Tensor, step: int) -> Tensor:
        """Weights ``(b,)`` from the largest IoU with a label and the probability of being a cell, both ``(b,)``."""
        match self.kind:
            case "background":
                return torch.ones_like(overlap)
            case "soft-sampling":
                return soft_sampling_weight(overlap)
            case "ignore-confident":
                if step < self.warm_up:
                    return torch.ones_like(overlap)
                return (foreground.detach() < self.confident).to(overlap.dtype)
