"""The two losses of the centre detector.

Legend of shapes: ``n`` tiles, ``y x`` output grid.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

ALPHA, BETA = 2.0, 4.0
"""Exponents of the focal loss, as in CornerNet."""


def heat_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Penalty-reduced focal loss (CornerNet, eq. 1) of logits ``(n, 1, y, x)`` against heat ``(n, 1, y, x)``.

    Summed over the grid, divided by the number of centres (at least one).
    """
    p = logits.sigmoid()
    log_p, log_not_p = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    centre = heat == 1
    loss = torch.where(centre, (1 - p) ** ALPHA * log_p, (1 - heat) ** BETA * p**ALPHA * log_not_p)
    return -loss.sum() / centre.sum().clamp(min=1)


def box_loss(boxes: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """1 - GIoU (Rezatofighi et al. 2019, arXiv:1902.09630), averaged with ``weight (n, y, x)``.

    ``boxes`` and ``truth`` are ``(n, 4, y, x)`` x0, y0, x1, y1. 0 when nothing has weight.
    """
    return ((1 - generalised_iou(boxes, truth)) * weight).sum() / weight.sum().clamp(min=1e-6)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """GIoU in -1..1 of boxes along axis 1."""
    ax0, ay0, ax1, ay1 = a.unbind(1)
    bx0, by0, bx1, by1 = b.unbind(1)
    width = (torch.minimum(ax1, bx1) - torch.maximum(ax0, bx0)).clamp(min=0)
    height = (torch.minimum(ay1, by1) - torch.maximum(ay0, by0)).clamp(min=0)
    overlap = width * height
    union = (ax1 - ax0) * (ay1 - ay0) + (bx1 - bx0) * (by1 - by0) - overlap
    hull = (torch.maximum(ax1, bx1) - torch.minimum(ax0, bx0)) * (torch.maximum(ay1, by1) - torch.minimum(ay0, by0))
    hull = hull.clamp(min=1e-6)
    return overlap / union.clamp(min=1e-6) - (hull - union) / hull
