"""Losses of the centre detector: numbers worked out by hand, and numbers pinned with a seed."""

from __future__ import annotations

import math

import pytest
import torch

from marrowscope.learning.detector.losses import box_loss, generalised_iou, heat_loss


def test_heat_loss_of_one_centre_and_one_background_cell() -> None:
    logits = torch.tensor([0.0, 0.0]).view(1, 1, 1, 2)
    heat = torch.tensor([1.0, 0.5]).view(1, 1, 1, 2)
    # centre: -(1/2)^2 log(1/2); beside it: -(1/2)^4 (1/2)^2 log(1/2); one centre
    assert float(heat_loss(logits, heat)) == pytest.approx((0.25 + 0.25 / 16) * math.log(2))


def test_heat_loss_without_cells_is_finite_and_falls_with_the_logits() -> None:
    heat = torch.zeros(1, 1, 4, 4)
    losses = [float(heat_loss(torch.full((1, 1, 4, 4), value), heat)) for value in (2.0, 0.0, -8.0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == pytest.approx(0, abs=1e-5)


def test_heat_loss_is_pinned() -> None:
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(2, 1, 8, 8, generator=generator)
    heat = torch.rand(2, 1, 8, 8, generator=generator)
    heat[:, :, 3, 3] = 1.0
    assert float(heat_loss(logits, heat)) == pytest.approx(3.387228, rel=1e-5)


def test_generalised_iou_of_known_boxes() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]] * 3)
    b = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [4.0, 0.0, 6.0, 2.0]])
    # equal; overlap 2 of union 6, hull 6; apart: 0 - (12 - 8) / 12
    assert generalised_iou(a, b).tolist() == pytest.approx([1.0, 1 / 3, -1 / 3])


def test_box_loss_is_the_weighted_mean_and_zero_without_weight() -> None:
    boxes = torch.tensor([0.0, 0.0, 2.0, 2.0]).view(1, 4, 1, 1).expand(1, 4, 1, 2)
    truth = torch.stack((torch.tensor([0.0, 0, 2, 2]), torch.tensor([4.0, 0, 6, 2])), 1).view(1, 4, 1, 2)
    weight = torch.tensor([3.0, 1.0]).view(1, 1, 2)
    assert float(box_loss(boxes, truth, weight)) == pytest.approx((4 / 3) / 4)
    assert float(box_loss(boxes, truth, torch.zeros(1, 1, 2))) == 0.0
