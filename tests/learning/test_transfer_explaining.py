"""Maps of networks: they fall on what was learnt, change when weights are spoilt, and are what their papers say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from marrowscope.errors import MarrowscopeError
from marrowscope.learning.transfer.explaining import explain_network, grad_cam, shuffled
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.networks import CellNetwork, build

SIDE = 48
COLOURS = np.array([[150, 60, 170], [220, 110, 60]], np.uint8)
"""Of the spots that make two of the classes; the third has none, or absence would be evidence for one of the two."""


def spots(n: int, seed: int, kinds: int = 2) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pictures of one coloured spot each, anywhere on noise, their classes, and where the spots are."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(170, 250, (n, SIDE, SIDE, 3)).astype(np.uint8)
    classes, masks = np.arange(n) % kinds, np.zeros((n, SIDE, SIDE), bool)
    y, x = np.mgrid[:SIDE, :SIDE]
    for picture, kind, mask, (v, u) in zip(pictures, classes, masks, rng.uniform(10, SIDE - 10, (n, 2)), strict=True):
        mask[:] = (y - v) ** 2 + (x - u) ** 2 < 8**2
        if kind < 2:
            picture[mask] = COLOURS[kind]
    return pictures, classes, masks


def trained(head: Head) -> CellNetwork:
    torch.manual_seed(0)
    network = build("sequential-cnn", 3, head, weights=None, seed=0, side=SIDE)
    pictures, classes, _ = spots(192, 0, kinds=3)
    x, y = torch.from_numpy(pictures), torch.from_numpy(classes)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for step in range(60):
        rows = slice(32 * (step % 6), 32 * (step % 6) + 32)
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        optimiser.step()
    return network.eval()


@pytest.fixture(scope="module")
def linear() -> CellNetwork:
    return trained(Head())


@pytest.fixture(scope="module")
def dense() -> CellNetwork:
    return trained(Head(dense=(64,)))


def on_spot(maps: np.ndarray, masks: np.ndarray) -> float:
    """Share of the pictures whose strongest place lies on the spot (pointing game, Zhang et al., ECCV 2016)."""
    at = maps.reshape(len(maps), -1).argmax(axis=1)
    return float(masks.reshape(len(maps), -1)[np.arange(len(maps)), at].mean())


@pytest.mark.parametrize(("which", "method"), [("linear", "class activation"), ("linear", "Grad-CAM"), ("dense", None)])
def test_evidence_falls_on_what_makes_the_class_and_not_where_weights_are_random(
    request: pytest.FixtureRequest, which: str, method: str | None
) -> None:
    """Adebayo et al., NeurIPS 2018: what survives spoilt weights explains the picture, not the network."""
    network: CellNetwork = request.getfixturevalue(which)
    pictures, classes, masks = spots(40, 9)
    found = explain_network(network, pictures, method=method)
    assert (found.types == classes).mean() > 0.95
    assert found.maps.shape == (40, SIDE, SIDE)
    assert on_spot(found.maps, masks) > 0.9 > 2 * masks.mean()
    other = explain_network(shuffled(network, seed=1), pictures, found.types, method=method)
    pairs = zip(found.maps[:, ::4, ::4], other.maps[:, ::4, ::4], strict=True)
    correlations = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs]
    assert np.nanmean(correlations) < 0.6


def test_class_activation_adds_up_to_the_logit_and_grad_cam_agrees(linear: CellNetwork) -> None:
    pictures, _, _ = spots(3, 4)
    types = np.array([0, 1, 0])
    cam = explain_network(linear, pictures, types)
    grad = explain_network(linear, pictures, types, method="Grad-CAM")
    assert cam.method == "class activation"
    mirrored = [pictures[:, ::a, ::b].copy() for a in (1, -1) for b in (1, -1)]
    logits = torch.stack([linear(torch.from_numpy(turned)) for turned in mirrored]).mean(dim=0).detach().numpy()
    expected = logits[np.arange(3), types] - linear.head.linear.bias.detach().numpy()[types]
    np.testing.assert_allclose(cam.maps.mean(axis=(1, 2)), expected, rtol=0.1, atol=0.05)
    area = (SIDE // 8) ** 2
    np.testing.assert_allclose(grad.maps * area, cam.maps, atol=1e-3)
    np.testing.assert_allclose(cam.contrast, cam.maps - cam.other_maps)
    assert (cam.others != types).all()


def test_grad_cam_of_named_types_alone_is_the_same_map(dense: CellNetwork) -> None:
    pictures, _, _ = spots(19, 2)
    types = np.arange(19) % 3
    dense.train()
    np.testing.assert_allclose(
        grad_cam(dense, pictures, types), explain_network(dense, pictures, types).maps, atol=1e-6
    )
    assert dense.training
    dense.eval()
    assert grad_cam(dense, pictures[:0], types[:0]).shape == (0, SIDE, SIDE)
    with pytest.raises(MarrowscopeError, match="48 x 48 px, found"):
        grad_cam(dense, np.zeros((1, 50, 50, 3), np.uint8), np.zeros(1, np.intp))


def test_shuffled_weights_are_the_same_numbers_elsewhere(dense: CellNetwork) -> None:
    all_layers, head = shuffled(dense), shuffled(dense, head_only=True)
    for name, weight in dense.named_parameters():
        for other, moved in ((all_layers, True), (head, name.startswith("head"))):
            found = other.get_parameter(name)
            assert torch.equal(found.flatten().sort().values, weight.flatten().sort().values)
            assert torch.equal(found, weight) == (not moved or weight.ndim < 2), name
    assert torch.equal(shuffled(dense).head.linear.weight, all_layers.head.linear.weight)


def test_grad_cam_of_a_transformer_is_that_of_its_patches() -> None:
    """Held against gradients by hand; the network is left as it was."""
    network = build("vit-small", 3, Head("token"), weights=None, seed=0, side=64).eval()
    network.freeze_base()
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    types = np.array([2, 0])
    before = network(torch.from_numpy(pictures)).detach()
    found = explain_network(network, pictures, types)
    assert found.method == "Grad-CAM"
    assert np.ptp(found.maps, axis=(1, 2)).min() > 0
    torch.testing.assert_close(network(torch.from_numpy(pictures)).detach(), before)
    kept: list[torch.Tensor] = []

    def keep(_: nn.Module, __: object, tokens: torch.Tensor) -> None:
        tokens.retain_grad()
        kept.append(tokens)

    maps = []
    handle = network.cam_layer().register_forward_hook(keep)
    for axes in ((), (1,), (2,), (1, 2)):
        x = torch.from_numpy(pictures).flip(axes).float().requires_grad_()
        network(x)[[0, 1], types].sum().backward()
        tokens = kept.pop()
        assert tokens.grad is not None
        values, slopes = network.to_map(tokens), network.to_map(tokens.grad)
        maps.append((values * slopes.mean((2, 3), keepdim=True)).sum(1).flip(axes))
    handle.remove()
    coarse = torch.stack(maps).mean(dim=0).detach()
    fine = nn.functional.interpolate(coarse[:, None], (64, 64), mode="bicubic")[:, 0].numpy()
    np.testing.assert_allclose(found.maps, fine, atol=1e-6)


@pytest.mark.parametrize("name", ["mobilenetv4-small", "mobilenetv2"])
def test_a_frozen_base_is_explained_too(name: str) -> None:
    network = build(name, 2, Head(dense=(8,)), weights=None, seed=0, side=64).freeze_base().eval()
    found = explain_network(network, np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8))
    assert np.isfinite(found.maps).all()
    assert found.maps.any()


def test_what_cannot_be_explained(dense: CellNetwork) -> None:
    with pytest.raises(MarrowscopeError, match="take Grad-CAM"):
        explain_network(dense, spots(1, 0)[0], method="class activation")
    with pytest.raises(MarrowscopeError, match="48 x 48 px, found"):
        explain_network(dense, np.zeros((1, 50, 50, 3), np.uint8))
    assert explain_network(dense, np.zeros((0, SIDE, SIDE, 3), np.uint8)).maps.shape == (0, SIDE, SIDE)
