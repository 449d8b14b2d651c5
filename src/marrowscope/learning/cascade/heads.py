"""One stage of the cascade: features of each box, two dense layers, a type and a better box.

Legend of shapes: ``n`` pictures, ``k`` boxes each, ``c`` channels of the pyramid, ``t`` types; class 0 is background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.ops import roi_align

Pooling = Literal["finest", "by-size"]
"""``finest``: every box reads the finest map, which is enough for cells and quick. ``by-size``: each box reads the
level that fits its size (Lin et al. 2017, eq. 1), as Faster R-CNN with FPN does."""

SIDE = 7
"""Cells a side of a box's features."""

CANONICAL_SIDE = 224.0
CANONICAL_LEVEL = 4.0
"""A box of 224 px reads the map of stride 2 ** 4."""


def pool(maps: Sequence[Tensor], strides: Sequence[int], boxes: Tensor, pooling: Pooling) -> Tensor:
    """Features ``(n k, c, 7, 7)`` of ``boxes (n, k, 4)`` in tile pixels (RoIAlign, half-pixel correct)."""
    n, k = boxes.shape[:2]
    number = torch.arange(n, device=boxes.device, dtype=boxes.dtype)[:, None, None].expand(n, k, 1)
    rois = torch.cat((number, boxes), 2).reshape(-1, 5)
    levels = list(zip(maps, strides, strict=True))
    if pooling == "finest":
        levels = levels[:1]
    read: list[Tensor] = [
        roi_align(values, rois, SIDE, spatial_scale=1 / stride, sampling_ratio=2, aligned=True)
        for values, stride in levels
    ]
    if len(read) == 1:
        return read[0]
    side = (rois[:, 3:] - rois[:, 1:3]).clamp(min=1e-3).prod(1).sqrt()
    level = torch.floor(CANONICAL_LEVEL + torch.log2(side / CANONICAL_SIDE) + 1e-6)
    finest = torch.log2(torch.tensor(float(strides[0])))
    place = (level - finest).clamp(0, len(read) - 1)
    return torch.stack([f * (place == i)[:, None, None, None] for i, f in enumerate(read)]).sum(0)


class Stage(nn.Module):
    """Features ``(b, c, 7, 7)`` to class logits ``(b, 1 + t)`` and offsets ``(b, 4)``, the same for every type."""

    def __init__(self, channels: int, hidden: int, types: int) -> None:
        super().__init__()
        self.trunk = TwoMLPHead(channels * SIDE * SIDE, hidden)
        self.classes = nn.Linear(hidden, 1 + types)
        self.offsets = nn.Linear(hidden, 4)
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.normal_(self.offsets.weight, std=0.001)
        nn.init.zeros_(self.classes.bias)
        nn.init.zeros_(self.offsets.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(features)
        return self.classes(hidden), self.offsets(hidden)


def scale_gradient(values: Tensor, factor: float) -> Tensor:
    """The same values; what flows back through them is multiplied by ``factor``."""
    return values * factor + values.detach() * (1 - factor)
