"""From a trained network to the files of a pack: ``classifier.onnx`` and ``linear_head.npz``.

The graph takes what a caller has (uint8 RGB crops, channels last) and does the rest itself, so that nobody can scale
pixels twice. Batch norm is folded into the convolutions before the export.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from marrowscope.learning.classifier.networks import CellClassifier, ConvolutionNorm
from marrowscope.learning.export import export_onnx

ONNX_NAME = "classifier.onnx"
HEAD_NAME = "linear_head.npz"


def normalised(crops: Tensor) -> Tensor:
    """uint8 RGB ``(n, s, s, 3)`` to float32 ``(n, 3, s, s)`` in -1..1."""
    return crops.permute(0, 3, 1, 2).float() * (1.0 / 127.5) - 1.0


class _Shipped(nn.Module):
    """The network as a pack ships it: uint8 RGB ``(n, s, s, 3)`` in; logits and feature map, both float32, out."""

    def __init__(self, network: CellClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(normalised(crops))  # type: ignore[no-any-return]


def folded(network: CellClassifier) -> CellClassifier:
    """A copy in evaluation mode whose batch norms are folded into the convolutions."""
    network = copy.deepcopy(network).cpu().eval()
    for block in network.modules():
        if isinstance(block, ConvolutionNorm):
            block.convolution = torch.nn.utils.fuse_conv_bn_eval(block.convolution, block.norm)
            block.norm = nn.Identity()  # type: ignore[assignment]
    return network


def export_classifier(network: CellClassifier, crop: int, folder: Path) -> tuple[Path, Path]:
    """Write ``classifier.onnx`` and ``linear_head.npz`` (``weight (k, c)``, ``bias (k,)``) for crops of ``crop`` px.

    Raises :class:`marrowscope.errors.DataError` when the graph gives other numbers than torch.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain = folded(network)
    example = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, crop, crop, 3), np.uint8))
    onnx = export_onnx(
        _Shipped(plain),
        example,
        folder / ONNX_NAME,
        input_name="crops",
        output_names=("logits", "feature_map"),
        dynamic_axes={0: "n"},
        tolerance=1e-4,
    )
    head = folder / HEAD_NAME
    partial = head.with_suffix(".partial.npz")
    np.savez(partial, weight=plain.head.weight.detach().numpy(), bias=plain.head.bias.detach().numpy())
    partial.replace(head)
    return onnx, head
