"""Which box learns what: matched to labels by overlap, then sampled.

Legend of shapes: ``b`` boxes (anchors or proposals) of one tile, ``g`` labelled cells, ``i`` ignored cells (seen and
annotated, but of a type that is not trained). Class 0 is background; the type of number ``t`` is class ``t + 1``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from marrowscope.learning.cascade.boxes import best_overlap

IGNORED = -1


@dataclass(frozen=True, slots=True)
class Target:
    """Labels of one tile: ``boxes (g, 4)`` tile pixels, ``types (g,)`` numbers from 0, ``ignored (i, 4)``.

    ``complete``: no cell of the tile is missing among them.
    """

    boxes: Tensor
    types: Tensor
    ignored: Tensor
    complete: bool = False

    def to(self, device: torch.device) -> Target:
        return Target(self.boxes.to(device), self.types.to(device), self.ignored.to(device), self.complete)


@dataclass(frozen=True, slots=True)
class Assigned:
    """``classes (b,)``: 0 background, ``IGNORED``, else type + 1; ``boxes (b, 4)``: the label that each box is nearest
    to; ``overlap (b,)``: IoU with it; ``complete``: background is background, for no cell lacks its label."""

    classes: Tensor
    boxes: Tensor
    overlap: Tensor
    complete: bool = False

    def __getitem__(self, rows: Tensor) -> Assigned:
        return Assigned(self.classes[rows], self.boxes[rows], self.overlap[rows], self.complete)


def assign(boxes: Tensor, target: Target, *, positive: float, negative: float, keep_best: bool = False) -> Assigned:
    """A box is a cell from IoU ``positive``, background below ``negative``, ignored between.

    Background that overlaps an ignored cell by ``negative``, or by a half, is ignored too. ``keep_best``: each label's
    best box is its own however little they overlap (for anchors: no cell without a teacher).
    """
    overlap, row = best_overlap(boxes, target.boxes)
    classes = torch.full((len(boxes),), IGNORED, dtype=torch.long, device=boxes.device)
    classes[overlap < negative] = 0
    if len(target.ignored):
        near, _ = best_overlap(boxes, target.ignored)
        classes[(near >= min(negative, 0.5)) & (overlap < positive)] = IGNORED
    matched = overlap >= positive
    nearest = target.boxes[row] if len(target.boxes) else boxes
    if len(target.boxes):
        classes[matched] = target.types[row[matched]] + 1
        if keep_best:
            of_label, best = best_overlap(target.boxes, boxes)
            best = best[of_label > 0]
            classes[best] = target.types[of_label > 0] + 1
            nearest = nearest.clone()
            nearest[best] = target.boxes[of_label > 0]
    return Assigned(classes, nearest, overlap, target.complete)


def sample(classes: Tensor, count: int, positive_share: float) -> Tensor:
    """Rows of at most ``count`` boxes: cells first, up to their share, filled with background. Chance is torch's."""
    cells, background = (classes > 0).nonzero()[:, 0], (classes == 0).nonzero()[:, 0]
    n_cells = min(len(cells), int(count * positive_share))
    n_background = min(len(background), count - n_cells)
    chosen = cells[torch.randperm(len(cells), device=cells.device)[:n_cells]]
    others = background[torch.randperm(len(background), device=cells.device)[:n_background]]
    return torch.cat((chosen, others))
