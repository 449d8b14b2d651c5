"""The loop over the stages: what is handed on, what flows back, what is averaged; detections of batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from marrowscope.learning.cascade.backbones import BackboneShape
from marrowscope.learning.cascade.boxes import clip
from marrowscope.learning.cascade.inference import predict
from marrowscope.learning.cascade.labels import Target
from marrowscope.learning.cascade.network import CascadeRCNN, CascadeShape, LossSettings
from marrowscope.learning.cascade.proposals import ProposalSettings
from marrowscope.learning.cascade.recipes import paper, tiny

SHAPE = CascadeShape(
    BackboneShape("test_resnet", (8, 16), 16),
    ProposalSettings(((34.0,), (68.0,), (150.0,)), before=60, after=24),
    ("blast", "lymphocyte"),
    hidden=32,
    samples=32,
)
TARGETS = [
    Target(torch.tensor([[10.0, 12, 50, 54], [60, 60, 100, 96]]), torch.tensor([0, 1]), torch.zeros(0, 4)),
    Target(torch.tensor([[40.0, 30, 80, 66]]), torch.tensor([1]), torch.tensor([[0.0, 80, 30, 110]])),
]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def some_tiles(n: int, side: int = 128, seed: int = 0) -> Tensor:
    """Discs on noise, so that proposals differ from place to place."""
    rng = np.random.default_rng(seed)
    tiles = rng.integers(190, 240, (n, 3, side, side)).astype(np.uint8)
    y, x = np.mgrid[:side, :side]
    for tile in tiles:
        for _ in range(4):
            middle, colour = rng.integers(10, side - 10, 2), rng.integers(20, 160, 3)
            tile[:, (x - middle[0]) ** 2 + (y - middle[1]) ** 2 < rng.integers(8, 22) ** 2] = colour[:, None]
    return torch.from_numpy(tiles)


def a_network(shape: CascadeShape = SHAPE, seed: int = 0) -> CascadeRCNN:
    """Random, but with outputs that differ between boxes."""
    torch.manual_seed(seed)
    network = CascadeRCNN(shape)
    with torch.no_grad():
        network.proposals.head.cls_logits.weight *= 30
        for stage in network.stages:
            stage.classes.weight *= 30
            stage.offsets.weight *= 300
    return network.eval()


def silent_stages(network: CascadeRCNN) -> None:
    for stage in network.stages:
        for layer in (stage.classes, stage.offsets):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)


def proposed(network: CascadeRCNN, tiles: Tensor) -> tuple[Tensor, Tensor]:
    maps = network.maps(tiles)
    anchors = network.proposals.anchors(maps)
    found: tuple[Tensor, Tensor] = network.proposals.propose(*network.proposals.raw(maps), anchors, *tiles.shape[2:])
    return found


@torch.no_grad()
def test_boxes_of_one_stage_are_the_proposals_of_the_next() -> None:
    """Each stage moves by offset / its weight of the width it was given, and is cut at the border before the next."""
    network, tiles = a_network(replace(SHAPE, iou=1.0)), some_tiles(1)
    silent_stages(network)
    start, objectness = proposed(network, tiles)
    start = start[0, objectness[0] > 0]
    kept = network.find(tiles)
    boxes = kept.boxes[0, kept.scores[0] > 0]
    assert len(start) >= 10
    assert torch.cdist(boxes, start).min(1).values.max() < 1e-3  # no offsets: the proposals themselves
    for stage in network.stages:
        stage.offsets.bias[0] = 4.0
    expected = start
    for weight in (10, 20, 30):
        step = (expected[:, 2] - expected[:, 0]) * 4.0 / weight
        expected = clip(expected + torch.stack((step, 0 * step, step, 0 * step), 1), 128, 128)
    found = network.find(tiles)
    boxes = found.boxes[0, found.scores[0] > 0]
    assert torch.cdist(boxes, expected).min(1).values.max() < 1e-3
    assert torch.cdist(boxes, start).min(1).values.max() > 5


@torch.no_grad()
def test_scores_are_the_mean_of_the_stages_without_background() -> None:
    network, tiles = a_network(), some_tiles(1)
    silent_stages(network)
    logits = torch.tensor([[0.0, 1, 2], [2, 0, 0], [0, 3, 0]])
    for stage, bias in zip(network.stages, logits, strict=True):
        stage.classes.bias.copy_(bias)
    found = network.find(tiles)
    used = found.scores[0] > 0
    mean = logits.softmax(1).mean(0)
    torch.testing.assert_close(found.scores[0, used], mean[1:].sum().expand(int(used.sum())))
    torch.testing.assert_close(found.probabilities[0, 0], mean[1:] / mean[1:].sum())


def test_losses_have_a_name_for_each_stage_and_are_pinned() -> None:
    network = a_network()
    torch.manual_seed(5)
    losses = network.losses(some_tiles(2), TARGETS, LossSettings(), 0)
    assert list(losses) == [
        "objectness",
        "proposals",
        *(f"{what}_{number}" for number in range(3) for what in ("types", "boxes")),
    ]
    found = {name: float(value.detach()) for name, value in losses.items()}
    expected = {"objectness": 0.6981, "proposals": 0.002838, "types_0": 1.155, "boxes_0": 0.00329}
    expected |= {"types_1": 1.203, "boxes_1": 0.01719, "types_2": 1.132, "boxes_2": 0.04628}
    assert found == pytest.approx(expected, rel=2e-3)


def test_the_loss_of_one_stage_does_not_reach_the_boxes_of_another() -> None:
    network = a_network()
    losses = network.losses(some_tiles(2), TARGETS, LossSettings(), 0)
    (losses["boxes_1"] + losses["types_1"]).backward()
    reached = [[p.grad is not None and bool(p.grad.any()) for p in stage.parameters()] for stage in network.stages]
    assert [any(stage) for stage in reached] == [False, True, False]
    assert all(p.grad is None for p in network.proposals.parameters())
    assert any(p.grad is not None and p.grad.any() for p in network.pyramid.neck.parameters())


def test_the_gradient_into_shared_features_is_divided_by_the_stages() -> None:
    cascade = a_network()
    alone = a_network(replace(SHAPE, stages=(0.5,)))
    alone.load_state_dict({k: v for k, v in cascade.state_dict().items() if not k.startswith(("stages.1", "stages.2"))})
    gradients, values = [], []
    for network in (cascade, alone):
        torch.manual_seed(3)
        losses = network.losses(some_tiles(2), TARGETS, LossSettings(), 0)
        (losses["types_0"] + losses["boxes_0"]).backward()
        values.append(float(losses["types_0"].detach()))
        grad = next(network.pyramid.neck.parameters()).grad
        of_head = network.stages[0].classes.weight.grad
        assert grad is not None
        assert isinstance(of_head, Tensor)
        gradients.append((grad, of_head))
    assert values[0] == pytest.approx(values[1])
    assert gradients[1][0].abs().max() > 1e-5
    torch.testing.assert_close(gradients[0][0] * 3, gradients[1][0], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(gradients[0][1], gradients[1][1])  # the head itself learns at full speed


@torch.no_grad()
def test_one_stage_is_faster_rcnn() -> None:
    network, tiles = a_network(replace(SHAPE, stages=(0.5,))), some_tiles(1)
    silent_stages(network)
    network.stages[0].classes.bias.copy_(torch.tensor([0.0, 1, 2]))
    network.stages[0].offsets.bias[2:] = 5 * np.log(1.5)
    start, objectness = proposed(network, tiles)
    x0, y0, x1, y1 = start[0, objectness[0] > 0].unbind(1)
    w, h = (x1 - x0) / 4, (y1 - y0) / 4
    grown = clip(torch.stack((x0 - w, y0 - h, x1 + w, y1 + h), 1), 128, 128)
    found = network.find(tiles)
    boxes = found.boxes[0, found.scores[0] > 0]
    assert torch.cdist(boxes, grown).min(1).values.max() < 1e-3
    assert float(found.scores[0, 0]) == pytest.approx(1 - float(torch.tensor([0.0, 1, 2]).softmax(0)[0]))


def test_suppressed_proposals_are_no_samples() -> None:
    network = a_network()
    boxes = torch.tensor([[[0.0, 0, 20, 20], [100, 100, 120, 120], [50, 0, 70, 20]]])
    chosen = network._sampled(boxes, torch.tensor([[0.9, 0.0, 0.4]]), TARGETS[:1])[0]
    assert len(chosen) == SHAPE.samples
    assert {tuple(box) for box in chosen.tolist()} == {
        tuple(box) for box in torch.cat((boxes[0, [0, 2]], TARGETS[0].boxes)).tolist()
    }


def test_a_diverged_network_has_no_number_for_a_loss_and_does_not_crash() -> None:
    network = a_network()
    with torch.no_grad():
        network.proposals.head.bbox_pred.bias.fill_(float("nan"))
        network.stages[0].offsets.bias.fill_(float("nan"))
    losses = network.losses(some_tiles(2), TARGETS, LossSettings(), 0)
    assert not torch.isfinite(torch.stack(list(losses.values())).sum())


def test_tiles_without_any_label_have_losses() -> None:
    nothing = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), torch.zeros(0, 4))
    losses = a_network().losses(some_tiles(2), [nothing, TARGETS[0]], LossSettings(), 0)
    assert all(torch.isfinite(value) for value in losses.values())
    losses = a_network().losses(some_tiles(1), [nothing], LossSettings(), 0)
    assert all(float(losses[name].detach()) == 0 for name in ("proposals", "boxes_0", "boxes_1", "boxes_2"))
    assert float(losses["types_0"].detach()) > 0


def same(found: tuple[Tensor, Tensor, Tensor], expected: tuple[Tensor, Tensor, Tensor]) -> None:
    for ours, theirs, tolerance in zip(found, expected, (0.01, 1e-5, 1e-5), strict=True):
        torch.testing.assert_close(ours, theirs, atol=tolerance, rtol=0)


@torch.no_grad()
def test_a_tile_alone_and_in_any_batch_gives_the_same() -> None:
    network, tiles = a_network(), some_tiles(3)
    together = network(tiles)
    assert (together[1][:, 0] > 0.02).all()
    order = [2, 0, 1]
    same(network(tiles[order]), tuple(value[order] for value in together))
    for number in range(3):
        same(network(tiles[number : number + 1]), tuple(value[number : number + 1] for value in together))


def test_detections_do_not_hang_on_the_batch_and_stay_in_the_picture() -> None:
    network = a_network()
    pictures = [tile.permute(1, 2, 0).numpy()[:90, :111] for tile in some_tiles(5)]
    together, alone = list(predict(network, pictures, batch=4)), list(predict(network, pictures, batch=1))
    assert len(together) == len(alone) == 5
    for found, single in zip(together, alone, strict=True):
        assert len(found) > 3
        np.testing.assert_allclose(found.boxes, single.boxes, atol=0.01)
        np.testing.assert_allclose(found.scores, single.scores, atol=1e-5)
        assert (found.boxes >= 0).all()
        assert (found.boxes <= (111, 90, 111, 90)).all()
        assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()
        assert (np.diff(found.scores) <= 0).all()
        assert found.probabilities is not None
        np.testing.assert_allclose(found.probabilities.sum(1), 1, atol=1e-5)
    assert max(found.boxes[:, 3].max() for found in together) == 90  # some box was cut at the border of the picture


def test_pictures_of_several_sizes_are_found_in_their_order() -> None:
    network = a_network()
    sizes = [(90, 111), (90, 111), (128, 128), (64, 100), (90, 111)]
    pictures = [
        tile.permute(1, 2, 0).numpy()[:height, :width]
        for tile, (height, width) in zip(some_tiles(5), sizes, strict=True)
    ]
    asked: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, arguments: asked.append(tuple(arguments[0].shape)))
    together = list(predict(network, iter(pictures), batch=3))
    assert [shape[0] for shape in asked] == [2, 1, 1, 1]  # those of one size still go together
    assert len(together) == 5
    for found, picture in zip(together, pictures, strict=True):
        (single,) = predict(network, [picture])
        assert len(found) > 0
        np.testing.assert_allclose(found.boxes, single.boxes, atol=0.01)


def test_a_picture_smaller_than_the_number_of_proposals_is_looked_at() -> None:
    network = a_network(tiny().shape(("blast",)))
    (found,) = predict(network, [some_tiles(1, 64)[0].permute(1, 2, 0).numpy()], least_score=0.0)
    assert len(found) > 0


def test_normalisation_of_the_paper_is_a_mean_in_bgr() -> None:
    shape = paper().shape(("blast",))
    assert shape.mean[::-1] == (104, 117, 124)
    assert shape.spread == (1, 1, 1)
