"""From a trained network to the files of a pack: ``classifier.onnx`` and ``linear_head.npz``.

The graph takes what a caller has (uint8 RGB crops, channels last) and does the rest itself, so that nobody can scale
pixels twice. Batch norm is folded into the convolutions before the export.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from marrowscope.learning.classifier.networks import CellClassifier, ConvolutionNorm
from marrowscope.learning.export import export_onnx

ONNX_NAME = "classifier.onnx"
HEAD_NAME = "linear_head.npz"

LAYERS = "layers"
"""Output with the features that the anomaly score compares, ``(n, c)``: averages of several layers."""

DEPTHS = (10 / 18, 13 / 18, 16 / 18)
"""Depths of those layers, 1 being the feature map: in MobileNetV2 the last ones of three stages."""


def normalised(crops: Tensor) -> Tensor:
    """uint8 RGB ``(n, s, s, 3)`` to float32 ``(n, 3, s, s)`` in -1..1."""
    return crops.permute(0, 3, 1, 2).float() * (1.0 / 127.5) - 1.0


class _Shipped(nn.Module):
    """The network as a pack ships it: uint8 RGB ``(n, s, s, 3)`` in; logits, feature map and layers, float32, out."""

    def __init__(self, network: CellClassifier, compared: Sequence[int]) -> None:
        super().__init__()
        self.network, self.compared = network, tuple(compared)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, averages = normalised(crops), []
        for index, layer in enumerate(self.network.features):
            x = layer(x)
            if index in self.compared:
                averages.append(x.mean((2, 3)))
        return self.network.head(x.mean((2, 3))), x, torch.cat(averages, 1)


def compared_layers(network: CellClassifier) -> list[int]:
    """The layers at :data:`DEPTHS`.

    The feature map itself keeps little more than what tells the known classes apart, the first layers know only colour
    and edges.
    """
    return [round(depth * (len(network.features) - 1)) for depth in DEPTHS]


def folded(network: CellClassifier) -> CellClassifier:
    """A copy in evaluation mode whose batch norms are folded into the convolutions."""
    network = copy.deepcopy(network).cpu().eval()
    for block in network.modules():
        if isinstance(block, ConvolutionNorm):
            block.convolution = torch.nn.utils.fuse_conv_bn_eval(block.convolution, block.norm)
            block.norm = nn.Identity()  # type: ignore[assignment]  # folded away, where the class says: a batch norm
    return network


def export_classifier(network: CellClassifier, crop: int, folder: Path) -> tuple[Path, Path]:
    """Write ``classifier.onnx`` and ``linear_head.npz`` (``weight (k, c)``, ``bias (k,)``) for crops of ``crop`` px.

    Raises :class:`marrowscope.errors.DataError` when the graph gives other numbers than torch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain = folded(network)
    example = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, crop, crop, 3), np.uint8))
    onnx = export_onnx(
        _Shipped(plain, compared_layers(plain)),
        example,
        folder / ONNX_NAME,
        input_name="crops",
        output_names=("logits", "feature_map", LAYERS),
        dynamic_axes={0: "n"},
        tolerance=1e-4,
    )
    head = folder / HEAD_NAME
    partial = head.with_suffix(".partial.npz")
    np.savez(partial, weight=plain.head.weight.detach().numpy(), bias=plain.head.bias.detach().numpy())
    partial.replace(head)
    return onnx, head
