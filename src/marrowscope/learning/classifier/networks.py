"""Networks that name cells. Both end alike, as the pack's contract asks: feature map -> average -> linear head.

Legend: ``n`` crops, ``s`` pixels a side (96 at 0.25 um/px), ``c`` channels and ``h = w`` cells of the feature map
(MobileNetV2: 1280 and s/32), ``k`` classes.

    crops (n, 3, s, s) in -1..1  ->  features  ->  (n, c, h, w)  ->  mean  ->  (n, c)  ->  head  ->  logits (n, k)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from marrowscope.errors import DataError
from marrowscope.learning.weights import Layer


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis so that it gives ``ceil(size / stride)`` values, as TensorFlow's "SAME" does.

    At stride 2 and even size the odd zero stands *after*: that is where a port with PyTorch's symmetric padding
    looks at pixels shifted by one and loses accuracy without failing.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


WITHOUT_COPIES = 32
"""Pixels a side of a map from which, while training, copies cost more than a larger kernel (a third of the layer)."""


class ConvolutionNorm(nn.Module):
    """Convolution with "SAME" padding, batch norm and, unless ``activation`` is None, the activation."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels_out)
        self.activation = activation

    def convolve(self, x: Tensor) -> Tensor:
        """The convolution alone."""
        kernel, stride, groups = self.convolution.kernel_size[0], self.convolution.stride[0], self.convolution.groups
        top, bottom = same_padding(x.shape[-2], kernel, stride)
        left, right = same_padding(x.shape[-1], kernel, stride)
        if top == bottom == left == right:  # symmetric: let the convolution pad, without a copy
            return functional.conv2d(x, self.convolution.weight, self.convolution.bias, stride, top, groups=groups)
        large = groups > 1 and x.shape[-1] >= WITHOUT_COPIES
        if self.training and large and top == left == 0 and bottom == right == 1:
            # The same sums with a zero before the kernel's first row and column, the convolution padding: the map is
            # not copied forth and back.
            weight = functional.pad(self.convolution.weight, (1, 0, 1, 0))
            return functional.conv2d(x, weight, self.convolution.bias, stride, 1, groups=groups)
        return self.convolution(functional.pad(x, (left, right, top, bottom)))  # type: ignore[no-any-return]  # torch types no call

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.convolve(x))
        return x if self.activation is None else self.activation(x)


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel by 3x3, project by 1x1 without activation (Sandler et al. 2018, Fig. 3b)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        expand = [ConvolutionNorm(channels_in, hidden, 1, activation=nn.ReLU6())] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand,
            ConvolutionNorm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6()),
            ConvolutionNorm(hidden, channels_out, 1),
        )
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.shortcut else self.layers(x)  # type: ignore[no-any-return]  # torch types no call of a module


class CellClassifier(nn.Module):
    """Features, global average, linear head."""

    def __init__(self, features: nn.Sequential, channels: int, classes: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, classes)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(n, k)`` and feature map ``(n, c, h, w)``."""
        feature_map = self.features(crops)
        return self.head(self.dropout(feature_map.mean((2, 3)))), feature_map


# expansion, channels, repeats, stride of the first (Sandler et al. 2018, Table 2)
_MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v2(classes: int) -> CellClassifier:
    """MobileNetV2 1.0 with TensorFlow's padding, ready for TensorFlow's weights (Sandler et al. 2018)."""
    blocks: list[nn.Module] = [ConvolutionNorm(3, 32, 3, 2, activation=nn.ReLU6())]
    width = 32
    for expansion, channels, repeats, first_stride in _MOBILENET_V2:
        for repeat in range(repeats):
            blocks.append(InvertedResidual(width, channels, first_stride if repeat == 0 else 1, expansion))
            width = channels
    blocks.append(ConvolutionNorm(width, 1280, 1, activation=nn.ReLU6()))
    return CellClassifier(nn.Sequential(*blocks), 1280, classes)


def small_network(classes: int) -> CellClassifier:
    """Seven plain convolutions to a 6 x 6 map of 256 channels: 0.3 M weights, for phantoms.

    Plain 3x3 convolutions, because on a CPU they do more arithmetic a second than depthwise ones.
    """
    widths = ((24, 2), (32, 2), (64, 2), (64, 1), (128, 2), (128, 1))
    blocks: list[nn.Module] = []
    width = 3
    for channels, stride in widths:
        blocks.append(ConvolutionNorm(width, channels, 3, stride, activation=nn.ReLU()))
        width = channels
    blocks.append(ConvolutionNorm(width, 256, 1, activation=nn.ReLU()))
    return CellClassifier(nn.Sequential(*blocks), 256, classes)


def load_folded(network: CellClassifier, layers: Sequence[Layer], with_head: bool = False) -> None:
    """Fill the features (and the head, ``with_head``) with layers whose batch norm is folded in.

    Each batch norm becomes the identity plus the layer's bias. Raises :class:`DataError` when the layers do not fit.
    """
    blocks = [module for module in network.features.modules() if isinstance(module, ConvolutionNorm)]
    wanted = len(blocks) + with_head
    if len(layers) < wanted:
        raise DataError(f"the weights hold {len(layers)} layers, the network needs {wanted}; give weights of its kind")
    with torch.no_grad():
        for block, layer in zip(blocks, layers, strict=False):
            if layer.weight.shape != tuple(block.convolution.weight.shape):
                raise DataError(
                    f"layer {layer.name} has shape {layer.weight.shape}, the network needs "
                    f"{tuple(block.convolution.weight.shape)}; give weights of the same network"
                )
            block.convolution.weight.copy_(torch.from_numpy(layer.weight))
            block.norm.reset_running_stats()
            block.norm.weight.fill_((1.0 + block.norm.eps) ** 0.5)
            block.norm.bias.copy_(torch.from_numpy(layer.bias))
        if with_head:
            head = layers[len(blocks)]
            network.head.weight.copy_(torch.from_numpy(head.weight.reshape(len(head.bias), -1)))
            network.head.bias.copy_(torch.from_numpy(head.bias))


def restore_batch_norm(network: CellClassifier, crops: Tensor) -> None:
    """Give folded batch norms the statistics of a batch, leaving what the network computes unchanged.

    With ``y = a z + b`` the present affine of a norm and ``m, v`` mean and variance of ``z`` over the batch, the
    norm ``(z - m) / sqrt(v + eps) * a sqrt(v + eps) + (a m + b)`` computes the same in evaluation, and nearly the
    same in training on such batches: that is what fine-tuning with batch norm needs. ``crops (n, 3, s, s)``.
    """
    network.eval()

    def restore(block: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        assert isinstance(block, ConvolutionNorm)
        norm, z = block.norm, block.convolve(arguments[0])
        assert norm.running_mean is not None
        assert norm.running_var is not None
        slope = norm.weight / (norm.running_var + norm.eps).sqrt()
        offset = norm.bias - slope * norm.running_mean
        mean, variance = z.mean((0, 2, 3)), z.var((0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(slope * (variance + norm.eps).sqrt())
        norm.bias.copy_(slope * mean + offset)

    blocks = [module for module in network.features.modules() if isinstance(module, ConvolutionNorm)]
    hooks = [block.register_forward_pre_hook(restore) for block in blocks]
    with torch.no_grad():
        network(crops)
    for hook in hooks:
        hook.remove()
