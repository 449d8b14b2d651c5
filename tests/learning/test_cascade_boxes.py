"""Offsets, overlaps and the weights of boxes against published values, torchvision and sums by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import box_iou

from marrowscope.learning.cascade.boxes import best_overlap, clip, decode, encode
from marrowscope.learning.cascade.labels import IGNORED, Assigned, Target, assign, sample
from marrowscope.learning.cascade.negatives import NegativeRule, soft_sampling_weight
from marrowscope.learning.cascade.network import LossSettings, stage_losses, stage_weights


def some_boxes(n: int, seed: int, side: float = 100.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(n, 2, generator=generator) * side
    return torch.cat((corners, corners + 2 + torch.rand(n, 2, generator=generator) * side / 2), 1)


def test_weights_of_the_three_stages() -> None:
    assert [stage_weights(i) for i in range(3)] == [(10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15)]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_offsets_are_those_of_torchvision(number: int) -> None:
    boxes, anchors, weights = some_boxes(40, 1), some_boxes(40, 2), stage_weights(number)
    coder = BoxCoder(weights)
    offsets = encode(boxes, anchors, weights)
    torch.testing.assert_close(offsets, coder.encode_single(boxes, anchors), atol=1e-4, rtol=1e-5)
    wild = torch.randn(40, 4, generator=torch.Generator().manual_seed(3)) * 40  # some beyond the largest growth
    torch.testing.assert_close(decode(wild, anchors, weights), coder.decode_single(wild, anchors), atol=1e-2, rtol=1e-5)


places = st.floats(0, 600, width=32)
sides = st.floats(6, 300, width=32)  # no step grows a box beyond 62.5 times


@given(st.tuples(places, places, sides, sides), st.tuples(places, places, sides, sides), st.sampled_from([0, 1, 2]))
def test_decoding_undoes_encoding(box: tuple[float, ...], anchor: tuple[float, ...], number: int) -> None:
    b, a = (torch.tensor([[x, y, x + w, y + h]], dtype=torch.float64) for x, y, w, h in (box, anchor))
    weights = stage_weights(number)
    torch.testing.assert_close(decode(encode(b, a, weights), a, weights), b, atol=1e-6, rtol=1e-9)


def test_overlap_is_torchvisions_and_zero_without_labels() -> None:
    boxes, labels = some_boxes(50, 4), some_boxes(9, 5)
    best, row = best_overlap(boxes, labels)
    expected = box_iou(boxes, labels).max(1)
    torch.testing.assert_close(best, expected.values)
    assert torch.equal(row[best > 0], expected.indices[best > 0])
    best, row = best_overlap(boxes, labels[:0])
    assert not best.any()
    assert not row.any()


def test_a_box_is_cut_at_the_border() -> None:
    cut = clip(torch.tensor([[-3.0, 5, 70, 90], [1, 2, 3, 4]]), 60, 50)
    assert cut.tolist() == [[0, 5, 50, 60], [1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("overlap", "weight"), [(0, 0.2500), (0.10, 0.2509), (0.15, 0.3122), (0.20, 0.5502), (0.30, 0.9126), (0.40, 0.9875)]
)
def test_soft_sampling_has_its_check_values(overlap: float, weight: float) -> None:
    assert round(float(soft_sampling_weight(torch.tensor(overlap, dtype=torch.float64))), 4) == weight


def test_rules_for_unlabelled_boxes() -> None:
    overlap, foreground = torch.tensor([0.0, 0.2, 0.4]), torch.tensor([0.9, 0.1, 0.31])
    assert NegativeRule("background").weigh(overlap, foreground, 10**6).tolist() == [1, 1, 1]
    soft = NegativeRule("soft-sampling").weigh(overlap, foreground, 0)
    assert torch.equal(soft, soft_sampling_weight(overlap))
    ours = NegativeRule("ignore-confident", confident=0.3, warm_up=100)
    assert ours.weigh(overlap, foreground, 99).tolist() == [1, 1, 1]
    assert ours.weigh(overlap, foreground, 100).tolist() == [0, 1, 0]


LABELS = Target(
    torch.tensor([[10.0, 10, 30, 30], [60, 60, 80, 80]]), torch.tensor([4, 0]), torch.tensor([[40.0, 10, 60, 30]])
)


def test_boxes_are_cells_background_or_ignored_by_their_overlap() -> None:
    boxes = torch.tensor(
        [
            [10.0, 10, 30, 30],  # 1.00 of the first label
            [10, 10, 30, 20],  # 0.50
            [10, 10, 20, 20],  # 0.25
            [10, 10, 30, 18],  # 0.40: between
            [40, 10, 60, 30],  # an ignored cell
            [40, 10, 50, 20],  # a quarter of it
            [0, 90, 5, 95],
        ]
    )
    found = assign(boxes, LABELS, positive=0.5, negative=0.3)
    assert found.classes.tolist() == [5, 5, 0, IGNORED, IGNORED, 0, 0]
    assert found.overlap.tolist() == pytest.approx([1, 0.5, 0.25, 0.4, 0, 0, 0])
    assert found.boxes[:4].tolist() == [[10, 10, 30, 30]] * 4


def test_the_best_anchor_of_a_label_teaches_it_however_poor() -> None:
    boxes = torch.tensor([[10.0, 10, 20, 20], [60, 60, 70, 65], [0, 90, 5, 95]])
    assert assign(boxes, LABELS, positive=0.6, negative=0.3).classes.tolist() == [0, 0, 0]
    kept = assign(boxes, LABELS, positive=0.6, negative=0.3, keep_best=True)
    assert kept.classes.tolist() == [5, 1, 0]
    assert kept.boxes[:2].tolist() == LABELS.boxes.tolist()
    nowhere = assign(boxes[2:], LABELS, positive=0.6, negative=0.3, keep_best=True)
    assert nowhere.classes.tolist() == [0]  # a label that no anchor touches claims none


def test_a_sample_is_cells_up_to_their_share_then_background() -> None:
    classes = torch.tensor([3] * 10 + [0] * 20 + [IGNORED] * 30)
    rows = sample(classes, 12, 0.5)
    assert (classes[rows] > 0).sum() == 6
    assert (classes[rows] == 0).sum() == 6
    assert len(set(rows.tolist())) == 12
    assert sorted(sample(classes[8:], 12, 0.5).tolist())[:2] == [0, 1]  # two cells only: ten of background


def one_stage(
    classes: list[int], overlap: list[float], seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, list[Assigned]]:
    """Logits over background and three types, offsets and boxes of one tile, and what they should be."""
    generator = torch.Generator().manual_seed(seed)
    n = len(classes)
    logits = torch.randn(1, n, 4, generator=generator)
    offsets = torch.randn(1, n, 4, generator=generator) * 3
    found = Assigned(torch.tensor(classes), some_boxes(n, 7), torch.tensor(overlap))
    return logits, offsets, some_boxes(n, 8)[None], [found]


def test_one_stage_has_the_losses_of_faster_rcnn() -> None:
    classes = [0, 1, 2, 0, 3, 0]
    logits, offsets, boxes, found = one_stage(classes, [0.1, 0.7, 0.8, 0.0, 0.9, 0.2])
    weights = stage_weights(0)
    of_types, of_boxes = stage_losses(logits, offsets, boxes, found, weights, LossSettings(), 0)
    aim = encode(found[0].boxes, boxes[0], weights)
    theirs = fastrcnn_loss(logits[0], offsets[0].repeat(1, 4), [found[0].classes], [aim])
    torch.testing.assert_close(of_types, theirs[0])
    cells = found[0].classes > 0
    by_hand = functional.smooth_l1_loss(offsets[0, cells], aim[cells], reduction="sum") / len(classes)
    torch.testing.assert_close(of_boxes, by_hand)


def test_an_ignored_box_says_nothing_and_still_counts_in_the_divisor() -> None:
    logits, offsets, boxes, found = one_stage([0, 1, IGNORED, IGNORED], [0.0, 0.8, 0.4, 0.4])
    logits.requires_grad_(True)
    of_types, _ = stage_losses(logits, offsets, boxes, found, stage_weights(0), LossSettings(), 0)
    by_hand = functional.cross_entropy(logits[0, :2], torch.tensor([0, 1]), reduction="sum") / 4
    torch.testing.assert_close(of_types, by_hand)
    of_types.backward()
    assert logits.grad is not None
    assert not logits.grad[0, 2:].any()


def test_soft_sampling_weighs_background_only_and_divides_by_the_count() -> None:
    overlap = [0.0, 0.15, 0.9, 0.3]
    logits, offsets, boxes, found = one_stage([0, 0, 2, 0], overlap)
    settings = LossSettings(NegativeRule("soft-sampling"))
    of_types, of_boxes = stage_losses(logits, offsets, boxes, found, stage_weights(0), settings, 0)
    each = functional.cross_entropy(logits[0], found[0].classes, reduction="none")
    by_hand = (each * torch.tensor([0.25, 0.3122, 1.0, 0.9126])).sum() / 4
    torch.testing.assert_close(of_types, by_hand, atol=1e-4, rtol=1e-4)
    plain = stage_losses(logits, offsets, boxes, found, stage_weights(0), LossSettings(), 0)
    assert torch.equal(of_boxes, plain[1])


@pytest.mark.parametrize("rule", [NegativeRule("soft-sampling"), NegativeRule("ignore-confident", 0.0, warm_up=0)])
def test_background_of_a_complete_tile_is_believed(rule: NegativeRule) -> None:
    """Two tiles with the same boxes: the rule weighs those of the first, the second says as much as without a rule."""
    classes, overlap = [0, 0, 2, IGNORED], [0.0, 0.15, 0.9, 0.4]
    logits, offsets, boxes, (partial,) = one_stage(classes, overlap)
    complete = replace(partial, complete=True)

    def of_types(found: list[Assigned], settings: LossSettings) -> float:
        n = len(found)
        arguments = [value.expand(n, -1, -1) for value in (logits, offsets, boxes)]
        return float(stage_losses(*arguments, found, stage_weights(0), settings, 0)[0])

    weighed, plain = of_types([partial], LossSettings(rule)), of_types([partial], LossSettings())
    assert weighed < 0.9 * plain
    assert of_types([complete], LossSettings(rule)) == pytest.approx(plain)
    assert of_types([partial, complete], LossSettings(rule)) == pytest.approx((weighed + plain) / 2)


def test_soft_sampling_on_the_box_loss_changes_nothing() -> None:
    """As eq. 14 of wang-2022 stands: only cells have a box loss, they overlap by 0.5 or more, and there it is 1."""
    overlap = [0.0, 0.5, 0.55, 0.7, 0.2]
    arguments = one_stage([0, 1, 2, 3, 0], overlap)
    plain = stage_losses(*arguments, stage_weights(0), LossSettings(), 0)
    theirs = stage_losses(*arguments, stage_weights(0), LossSettings(soft_boxes=True), 0)
    assert torch.equal(plain[0], theirs[0])
    assert plain[1] != theirs[1]  # the option is there
    torch.testing.assert_close(plain[1], theirs[1], atol=0, rtol=0.002)
    assert 0.998 < float(soft_sampling_weight(torch.tensor(0.5))) < 0.999


def test_confident_unlabelled_boxes_are_dropped_after_the_warm_up_only() -> None:
    logits, offsets, boxes, found = one_stage([0, 0, 1], [0.0, 0.0, 0.8])
    logits[0, 0] = torch.tensor([0.0, 9, 0, 0])  # taken for a cell, and no label there
    logits[0, 1] = torch.tensor([9.0, 0, 0, 0])
    settings = LossSettings(NegativeRule("ignore-confident", warm_up=10))
    early, _ = stage_losses(logits, offsets, boxes, found, stage_weights(0), settings, 9)
    late, _ = stage_losses(logits, offsets, boxes, found, stage_weights(0), settings, 10)
    dropped = functional.cross_entropy(logits[0, :1], torch.tensor([0])) / 3
    torch.testing.assert_close(early - late, dropped)


def test_balance_adjusts_the_logits_of_cells_and_leaves_background_alone() -> None:
    """Menon et al. 2021: cross entropy of logits + balance x log frequency, the commonest type unchanged."""
    settings = LossSettings(balance=0.5, frequencies=(100.0, 25.0, 1.0))
    logits, offsets, boxes, found = one_stage([0, 3], [0.0, 0.8])
    of_types, _ = stage_losses(logits, offsets, boxes, found, stage_weights(0), settings, 0)
    prior = 0.5 * torch.tensor([1.0, 1.0, 0.25, 0.01]).log()
    by_hand = functional.cross_entropy(logits[0, :1], torch.tensor([0])) + functional.cross_entropy(
        logits[0, 1:] + prior, torch.tensor([3])
    )
    torch.testing.assert_close(of_types, by_hand / 2)
    logits, offsets, boxes, found = one_stage([0, 0], [0.0, 0.1])
    assert torch.equal(
        stage_losses(logits, offsets, boxes, found, stage_weights(0), settings, 0)[0],
        stage_losses(logits, offsets, boxes, found, stage_weights(0), LossSettings(), 0)[0],
    )
