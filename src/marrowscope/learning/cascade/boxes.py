"""Boxes as offsets from other boxes, and how much they overlap.

Legend of shapes: ``b`` boxes, ``(b, 4)`` as x0, y0, x1, y1 in tile pixels; the weights ``(4,)`` scale dx, dy, dw, dh.
"""

from __future__ import annotations

from math import log

import torch
from torch import Tensor

Weights = tuple[float, float, float, float]

LARGEST_LOG_RATIO = log(1000.0 / 16)
"""A box grows at most by this much in one step, as in every Faster R-CNN."""


def encode(boxes: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """Offsets ``(b, 4)`` that lead from ``anchors`` to ``boxes``: (dx / w, dy / h, log dw, log dh) x weights."""
    size = (anchors[:, 2:] - anchors[:, :2]).clamp(min=1e-3)
    target = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)
    shift = ((boxes[:, :2] + boxes[:, 2:]) - (anchors[:, :2] + anchors[:, 2:])) / 2 / size
    return torch.cat((shift, (target / size).log()), 1) * boxes.new_tensor(weights)


def decode(offsets: Tensor, anchors: Tensor, weights: Weights) -> Tensor:
    """The boxes ``(..., 4)`` to which offsets ``(..., 4)`` lead from ``anchors (..., 4)``: the inverse of encode."""
    dx, dy, dw, dh = (offsets / offsets.new_tensor(weights)).unbind(-1)
    x0, y0, x1, y1 = anchors.unbind(-1)
    width, height = x1 - x0, y1 - y0
    x, y = (x0 + x1) / 2 + dx * width, (y0 + y1) / 2 + dy * height
    half_width = dw.clamp(max=LARGEST_LOG_RATIO).exp() * width / 2
    half_height = dh.clamp(max=LARGEST_LOG_RATIO).exp() * height / 2
    return torch.stack((x - half_width, y - half_height, x + half_width, y + half_height), -1)


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """Boxes ``(..., 4)`` cut at the border of a picture."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    return torch.stack((x0.clamp(0, width), y0.clamp(0, height), x1.clamp(0, width), y1.clamp(0, height)), -1)


def best_overlap(boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Largest IoU ``(b,)`` of each box with any label, and the row of that label; 0 and 0 without labels."""
    if not len(labels):
        return boxes.new_zeros(len(boxes)), torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    low = torch.maximum(boxes[:, None, :2], labels[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], labels[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(2)
    areas = [(b[:, 2:] - b[:, :2]).clamp(min=0).prod(1) for b in (boxes, labels)]
    union = areas[0][:, None] + areas[1][None] - shared
    return (shared / union.clamp(min=1e-6)).max(1)
