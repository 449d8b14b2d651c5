import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from marrowscope.errors import DataError
from marrowscope.learning.classifier.networks import (
    CellClassifier,
    ConvolutionNorm,
    load_folded,
    mobilenet_v2,
    restore_batch_norm,
    same_padding,
    small_network,
)
from marrowscope.learning.weights import Layer, read_layers

DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))
WEIGHTS = DATA.parent / "weights"


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [(224, 3, 2, (0, 1)), (225, 3, 2, (1, 1)), (96, 3, 1, (1, 1)), (96, 1, 1, (0, 0)), (7, 3, 2, (1, 1))],
)
def test_same_padding_is_that_of_tensorflow(size, kernel, stride, padding):
    assert same_padding(size, kernel, stride) == padding


def test_a_stride_of_two_over_an_even_size_looks_at_the_right_pixels():
    block = ConvolutionNorm(1, 1, 3, 2).eval()
    block.convolution.weight.data = torch.arange(9.0).reshape(1, 1, 3, 3)
    block.norm.weight.data.fill_((1 + block.norm.eps) ** 0.5)
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    # as tf.nn.conv2d(x, kernel, 2, "SAME"): windows start at pixels 0 and 2, zeros stand after the last pixel;
    # by hand, top right: 1 * 3 + 3 * 6 + 4 * 7 + 6 * 10 + 7 * 11
    expected = torch.tensor([[[[258.0, 186.0], [187.0, 113.0]]]])
    assert torch.allclose(block(x), expected)


@pytest.mark.parametrize("size", [16, 33, 34, 64])
def test_a_convolution_gives_the_same_where_it_learns_as_where_it_is_used(size):
    torch.manual_seed(0)
    block = ConvolutionNorm(4, 4, 3, 2, groups=4)
    x = torch.randn(2, 4, size, size)
    assert torch.allclose(block.train().convolve(x), block.eval().convolve(x), atol=1e-6)


def _random_layers(network: CellClassifier) -> list[Layer]:
    random = np.random.default_rng(0)
    blocks = [module for module in network.features.modules() if isinstance(module, ConvolutionNorm)]
    layers = []
    for number, block in enumerate(blocks):
        shape = tuple(block.convolution.weight.shape)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weight = random.normal(0, scale, shape).astype(np.float32)
        layers.append(Layer(f"{number:02d}", weight, random.normal(0, 0.1, shape[0]).astype(np.float32)))
    return layers


def test_restoring_batch_norm_changes_nothing_in_evaluation_and_little_in_training():
    torch.manual_seed(0)
    network = small_network(4)
    load_folded(network, _random_layers(network))
    crops = torch.rand(16, 3, 32, 32) * 2 - 1
    network.eval()
    with torch.no_grad():
        before = network(crops)[1]
        restore_batch_norm(network, crops)
        after = network(crops)[1]
        network.train()
        training = network(crops)[1]
    assert before.std() > 0.1
    assert torch.allclose(before, after, atol=1e-4)
    assert torch.allclose(before, training, atol=1e-3)


def test_batch_norm_not_restored_does_change_training():
    """The reason for restoring: with the identity as statistics, training sees other activations than evaluation."""
    network = small_network(4)
    load_folded(network, _random_layers(network))
    crops = torch.rand(16, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        assert not torch.allclose(network.eval()(crops)[1], network.train()(crops)[1], atol=0.1)


def test_weights_of_another_network_are_refused():
    network = small_network(4)
    layers = _random_layers(network)
    with pytest.raises(DataError, match="same network"):
        load_folded(network, layers[1:] + layers[:1])
    with pytest.raises(DataError, match="hold 3 layers"):
        load_folded(network, layers[:3])


def test_the_head_of_the_averaged_map_gives_the_logits():
    network = small_network(5).eval()
    with torch.no_grad():
        logits, feature_map = network(torch.rand(2, 3, 96, 96))
        again = network.head(feature_map.mean((2, 3)))
    assert feature_map.shape == (2, 256, 6, 6)
    assert torch.allclose(logits, again, atol=1e-6)


def test_mobilenet_has_the_layers_of_its_paper():
    network = mobilenet_v2(11)
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 52
    assert sum(p.numel() for p in network.features.parameters()) == 2_223_872  # torchvision's count, too
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 96, 96))[1].shape == (1, 1280, 3, 3)


@pytest.mark.realdata
@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="needs the ImageNet weights beside the data folder")
@pytest.mark.parametrize(
    ("photo", "name"),
    [
        ("bird.bmp", "chickadee"),
        ("cat.bmp", "Egyptian cat"),
        ("grace_hopper.bmp", "military uniform"),
        ("parrot.jpg", "macaw"),
        ("sunflower.bmp", "daisy"),
    ],
)
def test_the_port_names_known_photos(photo, name):
    network = mobilenet_v2(1001)
    load_folded(network, read_layers(WEIGHTS / "mobilenetv2_imagenet.npz"), with_head=True)
    picture = cv2.cvtColor(cv2.imread(str(WEIGHTS / "test_images" / photo)), cv2.COLOR_BGR2RGB)
    picture = cv2.resize(picture, (224, 224), interpolation=cv2.INTER_AREA)
    crop = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    labels = (WEIGHTS / "test_images" / "imagenet_labels.txt").read_text(encoding="utf-8").splitlines()
    with torch.no_grad():
        probabilities = network.eval()(crop)[0].softmax(1)[0]
    assert labels[int(probabilities.argmax())] == name
    assert float(probabilities.max()) > 0.6
