"""Feature pyramids on the backbones of timm: ResNet-101 as in the paper, ResNet-18/50 or a MobileNet by the same call.

Legend of shapes: ``n`` pictures, ``h w`` their sides (multiples of the coarsest stride), ``c`` channels of the pyramid.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import timm
import torch
from safetensors.torch import load_file
from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from marrowscope.errors import DataError
from marrowscope.learning.hub import download_state
from marrowscope.learning.weights import HUB, read_layers

ENDINGS = (".safetensors", ".pth", ".npz")


@dataclass(frozen=True, slots=True)
class BackboneShape:
    """``name`` of a timm network; ``strides`` of its maps that the pyramid takes; ``channels`` of the pyramid.

    One coarser level is added by pooling. ``frozen_norm`` keeps the statistics of batch norm as they were loaded, and
    ``frozen_to`` all layers up to the map of that stride (0: none): right only for a network that starts from weights.
    """

    name: str
    strides: tuple[int, ...] = (8, 16)
    channels: int = 96
    frozen_norm: bool = False
    frozen_to: int = 0


class Pyramid(nn.Module):
    """Normalised pictures ``(n, 3, h, w)`` to maps ``(n, c, h / s, w / s)``, the finest first, one for each of
    :attr:`strides`. Raises :class:`DataError` for a network that timm does not know or that has no map of a stride.
    """

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        info = _create(shape.name).feature_info
        reductions = cast("list[int]", info.reduction())
        missing = [stride for stride in shape.strides if stride not in reductions]
        if missing:
            raise DataError(f"{shape.name} has no maps of stride {missing}; it has {sorted(set(reductions))}")
        places = tuple(len(reductions) - 1 - reductions[::-1].index(stride) for stride in shape.strides)
        self.body = _create(shape.name, out_indices=places)
        self.frozen_norm = shape.frozen_norm
        widths = cast("list[int]", self.body.feature_info.channels())
        self.neck = FeaturePyramidNetwork(widths, shape.channels, extra_blocks=LastLevelMaxPool())
        self.strides: tuple[int, ...] = (*shape.strides, 2 * shape.strides[-1])
        self.channels = shape.channels
        if self.frozen_norm:
            self.body = freeze_batch_norm_2d(self.body)  # type: ignore[no-untyped-call]  # timm has no type here
        if shape.frozen_to:
            _freeze_to(self.body, cast("list[str]", info.module_name()), reductions, shape.frozen_to)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        maps: Sequence[Tensor] = self.body(pictures)
        named = OrderedDict((str(number), value) for number, value in enumerate(maps))
        return list(self.neck(named).values())


def _create(name: str, **settings: Any) -> Any:
    try:
        return timm.create_model(name, features_only=True, pretrained=False, **settings)
    except (RuntimeError, ValueError) as error:
        what = f"timm has no network {name!r} that gives feature maps ({error})"
        raise DataError(f"{what}; see timm.list_models()") from error


def _freeze_to(body: nn.Module, modules: Sequence[str], reductions: Sequence[int], stride: int) -> None:
    """No layer that stands before the end of the last module with a map of at most ``stride`` learns."""
    places = [place for place, found in enumerate(reductions) if found <= stride]
    if not places:
        raise DataError(f"there is no map of stride {stride} or finer to freeze the layers up to; found {reductions}")
    module = modules[places[-1]]
    parameters = list(body.named_parameters())
    prefixes = (f"{module}.", f"{module.replace('.', '_')}.")
    last = max(number for number, (name, _) in enumerate(parameters) if name.startswith(prefixes))
    for _, parameter in parameters[: last + 1]:
        parameter.requires_grad_(False)


def load_start_weights(pyramid: Pyramid, name: str, weights: Path | str) -> None:
    """Fill the backbone from a file, or from the hub.

    ``.safetensors`` and ``.pth``: a state dict of timm's ``name``. ``.npz``: layers in the order of the network with
    batch norm folded in (:mod:`marrowscope.learning.weights`); a TensorFlow release pads on one side where timm pads on
    both, which moves its maps by some pixels and changes nothing else. A folder is searched for ``NAME`` with one of
    these endings.

    The classifier's layers, which a pyramid has not, are left out; everything that it has must be there in the right
    shape. Raises :class:`DataError` for an unreadable file, for weights of another network, and for a hub that cannot
    be reached.
    """
    body: nn.Module = pyramid.body
    weights = _resolved(name, weights)
    if str(weights) == HUB:
        found = _from_hub(name)
    elif Path(weights).suffix == ".npz":
        found = _from_layers(body, Path(weights), name)
    else:
        found = read_state(Path(weights))
    wanted = body.state_dict()
    # Networks that are cut into stages by timm's feature extractor name their layers with _ in place of the first dots.
    renamed = {key: found.get(key, found.get(_undivided(key, found), None)) for key in wanted}
    missing = [key for key, value in renamed.items() if value is None and not key.endswith("num_batches_tracked")]
    other = [key for key, value in renamed.items() if value is not None and value.shape != wanted[key].shape]
    if missing or other:
        what = f"lack {missing[0]!r} and {len(missing) - 1} more" if missing else f"have another shape of {other[0]!r}"
        raise DataError(f"the weights in {weights} {what}: they are not of timm's {name}; give its own with --weights")
    body.load_state_dict({key: value for key, value in renamed.items() if value is not None}, strict=False)


def check_start_weights(shape: BackboneShape, weights: Path | str) -> None:
    """Raise :class:`DataError` as :func:`load_start_weights` would: before anything else takes time."""
    load_start_weights(Pyramid(shape), shape.name, weights)


Colour = tuple[float, float, float]

RGB_MEAN: Colour = (123.675, 116.28, 103.53)
RGB_SPREAD: Colour = (58.395, 57.12, 57.375)
"""Of ImageNet, as timm's networks expect it, RGB 0..255."""


def expected_colours(name: str, weights: Path | str) -> tuple[Colour, Colour]:
    """Mean and spread of RGB 0..255 with which the start weights of the network ``name`` were learnt.

    ImageNet's for those of timm, -1..1 for folded layers of a TensorFlow release (``.npz``); of a folder, the file that
    :func:`load_start_weights` takes decides. Raises :class:`DataError` when it holds none for this network.
    """
    folded = Path(_resolved(name, weights)).suffix == ".npz"
    return ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)) if folded else (RGB_MEAN, RGB_SPREAD)


def _resolved(name: str, weights: Path | str) -> Path | str:
    """``weights``, or the file for the network ``name`` where it is a folder."""
    folder = Path(weights)
    if not folder.is_dir():
        return weights
    for ending in ENDINGS:
        if (path := folder / f"{name}{ending}").is_file():
            return path
    raise DataError(f"{folder} holds no weights of {name}: put {name}.safetensors, .pth or .npz there")


def _undivided(key: str, found: dict[str, Tensor]) -> str:
    head, _, rest = key.partition(".")
    return f"{head.replace('_', '.')}.{rest}" if head not in found else key


def _from_hub(name: str) -> dict[str, Tensor]:
    try:
        return download_state(name)
    except Exception as error:  # the hub's client raises whatever its transport raises
        raise DataError(
            f"the weights of {name} cannot be downloaded ({type(error).__name__}); fetch them elsewhere and give the "
            "file with --weights FILE, or train from random initialisation: --recipe scratch"
        ) from error


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a .safetensors or .pth file. Raises :class:`DataError` when it holds none."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; give a state dict of the backbone with --weights FILE") from None
    except Exception as error:  # unpickling bytes that are no pickle raises whatever these bytes make it do
        what = f"{path} holds no weights that can be read ({type(error).__name__})"
        raise DataError(f"{what}; give a .safetensors or .pth file of tensors") from error
    if isinstance(loaded, dict) and isinstance(loaded.get("state_dict"), dict):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise DataError(f"{path} holds no state dict; save one with torch.save(network.state_dict(), FILE)")
    return loaded


def _from_layers(body: nn.Module, path: Path, name: str) -> dict[str, Tensor]:
    """A state dict in which each norm adds its layer's bias and does nothing else."""
    convolutions = [(key, part) for key, part in body.named_modules() if isinstance(part, nn.Conv2d)]
    norms = [(key, part) for key, part in body.named_modules() if hasattr(part, "running_var")]
    layers = read_layers(path)
    if len(layers) < len(convolutions) or len(norms) != len(convolutions):
        raise DataError(
            f"{path} holds {len(layers)} layers, timm's {name} has {len(convolutions)} convolutions and {len(norms)} "
            "norms: folded layers need one norm to each convolution; give a state dict with --weights FILE.pth"
        )
    found: dict[str, Tensor] = {}
    for (of_convolution, _), (of_norm, norm), layer in zip(convolutions, norms, layers, strict=False):
        bias = torch.from_numpy(layer.bias)
        found |= {
            f"{of_convolution}.weight": torch.from_numpy(layer.weight),
            f"{of_norm}.weight": torch.full_like(bias, (1.0 + float(norm.eps)) ** 0.5),
            f"{of_norm}.bias": bias,
            f"{of_norm}.running_mean": torch.zeros_like(bias),
            f"{of_norm}.running_var": torch.ones_like(bias),
        }
    return found


def parameter_count(network: nn.Module) -> int:
    """How many numbers training can change."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
