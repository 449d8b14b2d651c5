"""Where in its picture the evidence for a cell's type lies, by the gradients or the head of a network of torch.

Legend: ``n`` pictures of ``s`` pixels a side, ``k`` classes, feature map ``A (n, c, h, w)``, maps ``(n, s, s)``.

* Grad-CAM (Selvaraju et al., ICCV 2017, as Captum computes it) weighs the channels of the map that
  :meth:`CellNetwork.cam_layer` gives by the mean of the logit's gradient over places: ``sum_c mean_hw(dy_k/dA_c) A_c``.
  For a transformer the map is the tokens of its patches laid out.
* CAM (Zhou et al., CVPR 2016) takes the weights of a linear head on the averaged map instead, for which both agree
  but for a factor. It needs no gradient, and is what a pack does without torch.

Both keep what speaks against a type (the papers cut it off): whoever draws a map leaves that blank. A map is averaged
over the picture and its three mirror images, as networks that pad on one side more look beside their places
(docs/methods/explanations.md). Exported packs: :mod:`marrowscope.cells.explain`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from numpy.typing import NDArray
from torch import Tensor, nn

from marrowscope.errors import MarrowscopeError
from marrowscope.learning.transfer.networks import CellNetwork

Method = Literal["Grad-CAM", "class activation"]
Floats = NDArray[np.float32]

BATCH = 16
"""Pictures at once: what the gradients of the largest networks leave room for."""

_MIRRORS: tuple[tuple[int, ...], ...] = ((), (1,), (2,), (1, 2))
"""Axes of pictures ``(n, s, s, 3)`` and of maps ``(n, h, w)`` that are turned round."""


@dataclass(frozen=True, slots=True)
class NetworkExplanation:
    """As :class:`marrowscope.cells.explain.Explanation`, field by field, so that its sheet shows either.

    ``types`` and ``others`` ``(n,)`` are the type explained and the most probable other; ``probabilities (n, k)`` are
    the softmax of the logits; ``contrast`` is why the type and not the other.
    """

    method: Method
    types: NDArray[np.intp]
    others: NDArray[np.intp]
    probabilities: Floats
    maps: Floats
    other_maps: Floats
    contrast: Floats


def explain_network(
    network: CellNetwork,
    pictures: NDArray[np.uint8],
    types: NDArray[np.intp] | None = None,
    *,
    method: Method | None = None,
) -> NetworkExplanation:
    """Explain the types of ``pictures (n, s, s, 3)``, RGB as the network is fed.

    ``types (n,)`` are indices of classes; None takes the most probable. ``method`` None takes class activation where
    the head is linear, else Grad-CAM. Raises ``MarrowscopeError`` for class activation with another head, and for
    pictures of another side.
    """
    _check(network, pictures)
    linear = network.head.shape.is_linear
    method = method or ("class activation" if linear else "Grad-CAM")
    if method == "class activation" and not linear:
        raise MarrowscopeError(
            f"the head of this {network.network.name} is not linear in the averaged map, so that class activation "
            "would explain something else; take Grad-CAM"
        )
    one = _grad_cam if method == "Grad-CAM" else _class_activation
    with _evaluated(network) as device:
        parts = [
            _explained(network, torch.from_numpy(pictures[start : start + BATCH]).to(device), types, start, one)
            for start in range(0, len(pictures), BATCH)
        ]
    if not parts:
        none, nothing = np.zeros((0, network.side, network.side), np.float32), np.zeros(0, np.intp)
        return NetworkExplanation(
            method, nothing, nothing, np.zeros((0, network.classes), np.float32), none, none, none
        )
    first, second, probabilities, maps, other_maps = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return NetworkExplanation(method, first, second, probabilities, maps, other_maps, maps - other_maps)


def grad_cam(network: CellNetwork, pictures: NDArray[np.uint8], types: NDArray[np.intp]) -> Floats:
    """Maps ``(n, s, s)`` by Grad-CAM of the evidence for one type a picture, ``types (n,)``, and for no other.

    ``pictures (n, s, s, 3)``, RGB as the network is fed. Raises ``MarrowscopeError`` for pictures of another side.
    """
    _check(network, pictures)
    maps = np.empty(pictures.shape[:3], np.float32)
    with _evaluated(network) as device:
        for start in range(0, len(pictures), BATCH):
            rows = slice(start, start + BATCH)
            wanted = torch.as_tensor(types[rows], device=device)
            maps[rows] = _upright(network, torch.from_numpy(pictures[rows]).to(device), wanted, _grad_cam).cpu().numpy()
    return maps


def shuffled(network: CellNetwork, *, head_only: bool = False, seed: int = 0) -> CellNetwork:
    """A copy with the weights of every layer, or of its head, in random order; biases and norms stay.

    What such a network still explains as before is the picture and not what was learnt (Adebayo et al., NeurIPS 2018).
    """
    other, generator = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in (other.head if head_only else other).parameters():
            if weight.ndim > 1:
                order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
                weight.copy_(weight.flatten()[order].reshape(weight.shape))
    return other


def _check(network: CellNetwork, pictures: NDArray[np.uint8]) -> None:
    if pictures.ndim != 4 or pictures.shape[1:] != (network.side, network.side, 3):
        raise MarrowscopeError(
            f"{network.network.name} was built for pictures of {network.side} x {network.side} px, found "
            f"{pictures.shape[1:]}; resize them first"
        )


@contextmanager
def _evaluated(network: CellNetwork) -> Iterator[torch.device]:
    """The network as it is used, not as it is trained, and where it is."""
    was_training = network.training
    network.eval()
    try:
        yield next(network.parameters()).device
    finally:
        network.train(was_training)


_Maker = Callable[[CellNetwork, Tensor, Tensor], Tensor]
"""From pictures float ``(n, s, s, 3)`` and types ``(n,)`` to maps ``(n, h, w)``."""


def _explained(
    network: CellNetwork, pictures: Tensor, types: NDArray[np.intp] | None, start: int, one: _Maker
) -> tuple[NDArray[Any], ...]:
    with torch.no_grad():
        probabilities = network(pictures).softmax(dim=1)
    rows = torch.arange(len(pictures), device=pictures.device)
    chosen = probabilities.argmax(dim=1)
    if types is not None:
        chosen = torch.as_tensor(types[start : start + len(pictures)], device=pictures.device)
    rest = probabilities.clone()
    rest[rows, chosen] = -1
    others = rest.argmax(dim=1)
    maps = [_upright(network, pictures, wanted, one) for wanted in (chosen, others)]
    return (
        chosen.cpu().numpy().astype(np.intp),
        others.cpu().numpy().astype(np.intp),
        probabilities.cpu().numpy().astype(np.float32),
        *(found.cpu().numpy().astype(np.float32) for found in maps),
    )


def _upright(network: CellNetwork, pictures: Tensor, types: Tensor, one: _Maker) -> Tensor:
    """The mean of the maps of a picture and its mirror images, turned back, at the size of the picture."""
    turned = [one(network, pictures.flip(axes).float(), types).detach().flip(axes) for axes in _MIRRORS]
    coarse = torch.stack(turned).mean(dim=0)[:, None]
    sides = (network.side, network.side)
    return cast(Tensor, LayerAttribution.interpolate(coarse, sides, "bicubic"))[:, 0]


def _class_activation(network: CellNetwork, pictures: Tensor, types: Tensor) -> Tensor:
    with torch.no_grad():
        weight = network.head.linear.weight[types]
        return torch.einsum("nc,nchw->nhw", weight, network.features(pictures))


def _grad_cam(network: CellNetwork, pictures: Tensor, types: Tensor) -> Tensor:
    with _place(network) as place:
        # Gradients must reach the map also where the layers below it are frozen.
        found = LayerGradCam(network, place).attribute(pictures.requires_grad_(), target=types)
    return cast(Tensor, found)[:, 0]


@contextmanager
def _place(network: CellNetwork) -> Iterator[nn.Module]:
    """A module whose output is the map ``(n, c, h, w)``: of a transformer, what is made of its tokens on their way."""
    layer = network.cam_layer()
    if network.network.kind == "cnn":
        yield layer
        return
    place, before = nn.Identity(), cast(int, network.base.num_prefix_tokens)

    def through(_: nn.Module, __: object, tokens: Tensor) -> Tensor:
        patches = place(network.to_map(tokens)).flatten(2).transpose(1, 2)
        return torch.cat([tokens[:, :before], patches], dim=1)

    handle = layer.register_forward_hook(through)
    try:
        yield place
    finally:
        handle.remove()
