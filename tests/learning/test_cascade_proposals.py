"""Anchors, targets and suppression of the proposal network; what a box reads from the pyramid."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import batched_nms
from torchvision.ops.poolers import LevelMapper

from marrowscope.learning.cascade.heads import pool, scale_gradient
from marrowscope.learning.cascade.labels import Target
from marrowscope.learning.cascade.negatives import NegativeRule
from marrowscope.learning.cascade.proposals import ProposalNetwork, ProposalSettings, suppress

NOTHING = torch.zeros(0, 4)


def some_boxes(n: int, k: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, k, 2, generator=generator) * 60
    boxes = torch.cat((corners, corners + 8 + torch.rand(n, k, 2, generator=generator) * 30), 2)
    return boxes, torch.rand(n, k, generator=generator)


def test_anchors_of_a_map_of_two_rows_and_three_columns() -> None:
    network = ProposalNetwork(4, (8,), ProposalSettings(((10.0, 20.0),)))
    anchors = network.anchors([torch.zeros(1, 4, 2, 3)])
    centres = [(4, 4), (12, 4), (20, 4), (4, 12), (12, 12), (20, 12)]
    by_hand = [[x - s / 2, y - s / 2, x + s / 2, y + s / 2] for x, y in centres for s in (10, 20)]
    assert anchors.tolist() == by_hand


def test_aspects_are_height_over_width_at_the_same_area() -> None:
    network = ProposalNetwork(4, (8,), ProposalSettings(((32.0,),), aspects=(0.25, 1.0, 4.0)))
    x0, y0, x1, y1 = network.anchors([torch.zeros(1, 4, 1, 1)]).unbind(1)
    assert (x1 - x0).tolist() == [64, 32, 16]
    assert (y1 - y0).tolist() == [16, 32, 64]


def test_raw_outputs_stand_in_the_order_of_torchvision() -> None:
    torch.manual_seed(0)
    network = ProposalNetwork(4, (8, 16), ProposalSettings(((10.0, 20.0), (30.0, 40.0))))
    maps = [torch.randn(2, 4, 3, 5), torch.randn(2, 4, 2, 3)]
    logits, offsets = network.raw(maps)
    theirs = concat_box_prediction_layers(*network.head(maps))
    assert torch.equal(logits.flatten(), theirs[0].flatten())
    assert torch.equal(offsets.flatten(0, 1), theirs[1])
    assert logits.shape[1] == len(network.anchors(maps)) == 2 * (15 + 6)


def test_settings_that_do_not_fit_the_pyramid_are_refused() -> None:
    with pytest.raises(ValueError, match="2 levels"):
        ProposalNetwork(4, (8, 16), ProposalSettings(((10.0,),)))
    with pytest.raises(ValueError, match="as many"):
        ProposalNetwork(4, (8, 16), ProposalSettings(((10.0,), (10.0, 20.0))))


def test_proposals_are_few_where_a_picture_is_small() -> None:
    torch.manual_seed(0)
    network = ProposalNetwork(4, (8,), ProposalSettings(((10.0,),), before=800, after=192))
    maps = [torch.randn(1, 4, 2, 3)]
    boxes, scores = network.propose(*network.raw(maps), network.anchors(maps), 16, 24)
    assert boxes.shape == (1, 6, 4)
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([24.0, 16, 24, 16])).all()
    assert (scores[0].diff() <= 0).all()


def test_pictures_do_not_suppress_each_other() -> None:
    boxes, scores = some_boxes(3, 40, 1)
    kept = suppress(boxes, scores, 0.4)
    picture = torch.arange(3).repeat_interleave(40)
    theirs = batched_nms(boxes.flatten(0, 1), scores.flatten(), picture, 0.4)
    assert set(kept.flatten().nonzero()[:, 0].tolist()) == set(theirs.tolist())
    assert 0 < len(theirs) < 120
    assert torch.equal(kept[kept > 0], scores[kept > 0])
    twins = boxes[:1, :1].expand(2, 1, 4)
    assert (suppress(twins, torch.tensor([[0.9], [0.8]]), 0.4) > 0).all()


def rpn_gradients(target: Target, rule: NegativeRule = NegativeRule(), step: int = 0) -> tuple[torch.Tensor, ...]:
    """Losses and gradients of logits for anchors of 16 px, 8 px apart, on a tile of 64 px."""
    torch.manual_seed(0)
    network = ProposalNetwork(4, (8,), ProposalSettings(((16.0,),), samples=256))
    anchors = network.anchors([torch.zeros(1, 4, 8, 8)])
    logits = torch.zeros(1, 64, requires_grad=True)
    offsets = torch.zeros(1, 64, 4)
    objectness, shift = network.loss(logits, offsets, anchors, [target], rule, step)
    objectness.backward()
    assert logits.grad is not None
    return objectness.detach(), shift, logits.grad[0]


def test_objects_and_background_pull_their_anchors_and_ignored_cells_pull_none() -> None:
    cell, seen = torch.tensor([[12.0, 12, 28, 28]]), torch.tensor([[36.0, 36, 52, 52]])
    objectness, shift, gradient = rpn_gradients(Target(cell, torch.tensor([0]), seen))
    on = 8 * 2 + 2  # the anchor round (20, 20) lies on the cell, that round (44, 44) on the one to be ignored
    assert gradient[on] < 0
    assert gradient[8 * 5 + 5] == 0
    assert (gradient[[0, 7, 56, 63]] > 0).all()
    assert shift == 0  # its offsets are right
    taught = int((gradient != 0).sum())
    torch.testing.assert_close(objectness, torch.tensor(taught * 0.6931472 / 256))  # a fixed divisor


def test_a_label_that_fits_no_anchor_still_has_one() -> None:
    small = Target(torch.tensor([[17.0, 17, 23, 23]]), torch.tensor([0]), NOTHING)  # IoU 0.14 with the best
    _, shift, gradient = rpn_gradients(small)
    assert (gradient < 0).nonzero().tolist() == [[8 * 2 + 2]]
    log_ratio = 0.9808292530  # ln(16 / 6), for width and height; smooth L1 with beta 1/9
    assert float(shift) == pytest.approx(2 * (log_ratio - 1 / 18) / 256, rel=1e-5)


def test_a_tile_without_labels_teaches_background_only() -> None:
    _, shift, gradient = rpn_gradients(Target(NOTHING, torch.zeros(0, dtype=torch.long), NOTHING))
    assert (gradient > 0).all()
    assert shift == 0


def test_soft_sampling_reaches_the_proposals() -> None:
    nothing = Target(NOTHING, torch.zeros(0, dtype=torch.long), NOTHING)
    plain, soft = rpn_gradients(nothing), rpn_gradients(nothing, NegativeRule("soft-sampling"))
    torch.testing.assert_close(soft[2], plain[2] / 4)
    believed = rpn_gradients(replace(nothing, complete=True), NegativeRule("soft-sampling"))
    assert torch.equal(believed[2], plain[2])


def ramp(stride: int, side: int) -> torch.Tensor:
    """A map whose two channels are x and y, tile pixels, of the middle of each cell."""
    middle = (torch.arange(side // stride) + 0.5) * stride
    return torch.stack((middle.expand(len(middle), -1), middle[:, None].expand(-1, len(middle))))[None]


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_a_box_reads_a_ramp_exactly(stride: int) -> None:
    box = torch.tensor([[[37.0, 41.5, 79.3, 90.0]]])
    read = pool([ramp(stride, 128)], [stride], box, "finest")[0]
    x0, y0, x1, y1 = box[0, 0].tolist()
    middle = (torch.arange(7) + 0.5) / 7
    torch.testing.assert_close(read[0], (x0 + middle * (x1 - x0)).expand(7, 7), atol=1e-4, rtol=0)
    torch.testing.assert_close(read[1], (y0 + middle * (y1 - y0))[:, None].expand(7, 7), atol=1e-4, rtol=0)


def test_boxes_of_a_batch_read_their_own_picture() -> None:
    maps = [torch.arange(3.0)[:, None, None, None].expand(3, 1, 8, 8)]
    boxes = torch.tensor([[[8.0, 8, 40, 40]] * 2] * 3)
    assert pool(maps, [8], boxes, "finest").mean((1, 2, 3)).tolist() == [0, 0, 1, 1, 2, 2]


def test_the_level_of_a_box_is_that_of_torchvision() -> None:
    strides = (4, 8, 16, 32)
    maps = [torch.full((1, 1, 640 // s, 640 // s), float(level)) for level, s in enumerate(strides)]
    sides = torch.tensor([5.0, 28, 55.9, 56, 100, 111.9, 112, 180, 223.9, 224, 300, 447.9, 448, 600])
    boxes = torch.stack((torch.zeros(14), torch.zeros(14), sides, sides), 1)
    level = pool(maps, strides, boxes[None], "by-size").mean((1, 2, 3))
    theirs = LevelMapper(2, 5)([boxes])
    assert level.tolist() == theirs.tolist()
    assert set(level.tolist()) == {0, 1, 2, 3}
    assert not pool(maps, strides, boxes[None], "finest").any()


def test_a_scaled_gradient_leaves_the_values() -> None:
    values = torch.tensor([1.5, -2.0], requires_grad=True)
    scaled = scale_gradient(values, 1 / 3)
    torch.testing.assert_close(scaled, values)
    scaled.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad, torch.full((2,), 1 / 3))
