"""Networks that name cells: those of the four papers and those that one would compare with today, all of one form.

Legend: ``n`` pictures, ``s`` pixels a side, ``c`` channels and ``h w`` sides of the feature map, ``k`` classes.

    pictures (n, s, s, 3) 0..255 -> normalise -> base -> map (n, c, h, w) -> head -> logits (n, k)

Normalisation is a part of the network, with the mean and spread that its start weights were learnt with, and exists
nowhere else: rescaling before a network that rescales itself is what two of the papers did.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

import timm
import torch
from timm.models import group_parameters
from timm.models.mobilenetv3 import MobileNetV3
from timm.models.vgg import VGG
from torch import Tensor, nn

from marrowscope.errors import DataError
from marrowscope.learning.classifier.networks import mobilenet_v2
from marrowscope.learning.transfer.heads import CellHead, Head
from marrowscope.learning.transfer.names import NAMES

SHAH, MEEM, SENTHILKUMAR, VEERASAGAR = "shah-2025", "meem-2023", "senthilkumar-2023", "veerasagar-2025"


@dataclass(frozen=True, slots=True)
class Network:
    """``timm_id`` with the tag of its start weights, None for our own; ``side``: pixels that those were learnt at.

    ``hub_id``: where timm's hub has the start weights, None where they come from a file only; ``papers`` name it.
    """

    key: str
    timm_id: str | None
    side: int
    title: str
    papers: tuple[str, ...] = ()
    hub_id: str | None = None
    kind: Literal["cnn", "vit"] = "cnn"

    @property
    def name(self) -> str:
        """As pages write it."""
        return NAMES[self.key]

    @property
    def patch(self) -> int:
        """Pixels a side of a transformer's patches, of which a picture holds whole ones; 1 for the others."""
        return int(str(self.timm_id).split("_patch")[1][:2]) if self.kind == "vit" else 1


def _of_timm(
    key: str, timm_id: str, side: int, title: str, *papers: str, hub: str | None = None, vit: bool = False
) -> Network:
    return Network(key, timm_id, side, title, papers, hub or f"timm/{timm_id}", "vit" if vit else "cnn")


_ALL = (
    Network("sequential-cnn", None, 180, "three convolutions of 16, 32, 64 filters", (SHAH,)),
    _of_timm("convnext-tiny", "convnext_tiny.fb_in1k", 224, "ConvNeXt Tiny", SHAH),
    _of_timm("convnext-small", "convnext_small.fb_in1k", 224, "ConvNeXt Small", SHAH),
    _of_timm("densenet121", "densenet121.tv_in1k", 224, "DenseNet-121", SHAH),
    _of_timm("efficientnet-b0", "tf_efficientnet_b0.in1k", 224, "EfficientNet B0", SENTHILKUMAR, VEERASAGAR),
    _of_timm("efficientnet-b5", "tf_efficientnet_b5.in1k", 456, "EfficientNet B5", SHAH),
    _of_timm("resnet50", "resnet50.tv_in1k", 224, "ResNet-50", SHAH, SENTHILKUMAR),
    _of_timm("vgg16", "vgg16.tv_in1k", 224, "VGG-16", SHAH, SENTHILKUMAR, VEERASAGAR),
    _of_timm("xception", "legacy_xception.tf_in1k", 299, "Xception", SHAH),
    _of_timm("inception-resnet-v2", "inception_resnet_v2.tf_in1k", 299, "Inception-ResNet v2", MEEM),
    Network("mobilenetv2", None, 224, "MobileNetV2 1.0 with TensorFlow's padding"),
    _of_timm("mobilenetv4-small", "mobilenetv4_conv_small.e2400_r224_in1k", 224, "MobileNetV4 conv small"),
    _of_timm("efficientnetv2-b0", "tf_efficientnetv2_b0.in1k", 192, "EfficientNetV2 B0"),
    _of_timm("efficientnetv2-s", "tf_efficientnetv2_s.in1k", 300, "EfficientNetV2 S"),
    _of_timm("vit-small", "vit_small_patch16_224.augreg_in21k_ft_in1k", 224, "ViT small, patches of 16", vit=True),
    _of_timm(
        "dinobloom-s",
        "vit_small_patch14_dinov2.lvd142m",
        224,
        "DinoBloom S (Koch et al. 2024), ViT small",
        hub="1aurent/vit_small_patch14_224.dinobloom",
        vit=True,
    ),
    _of_timm(
        "dinobloom-b",
        "vit_base_patch14_dinov2.lvd142m",
        224,
        "DinoBloom B (Koch et al. 2024), ViT base",
        hub="1aurent/vit_base_patch14_224.dinobloom",
        vit=True,
    ),
)
NETWORKS: dict[str, Network] = {network.key: network for network in _ALL}


def find_network(name: str) -> Network:
    """The network of this key. Raises :class:`DataError` that lists the keys."""
    try:
        return NETWORKS[name]
    except KeyError:
        raise DataError(f"there is no network {name!r}; the networks are: {', '.join(NETWORKS)}") from None


class Normalise(nn.Module):
    """RGB 0..255, uint8 or float ``(n, s, s, 3)``, to ``(n, 3, s, s)`` with the mean and spread of the network."""

    def __init__(self, mean: tuple[float, ...], spread: tuple[float, ...]) -> None:
        super().__init__()
        self.scale: Tensor
        self.shift: Tensor
        deviation = torch.tensor(spread).reshape(1, 3, 1, 1)
        self.register_buffer("scale", 1 / (255 * deviation))
        self.register_buffer("shift", -torch.tensor(mean).reshape(1, 3, 1, 1) / deviation)

    def forward(self, pictures: Tensor) -> Tensor:
        planes = pictures.permute(0, 3, 1, 2).to(self.scale.dtype, memory_format=torch.channels_last)
        return torch.addcmul(self.shift, planes, self.scale)


class CellNetwork(nn.Module):
    """Normalisation, base and head as one module: pictures ``(n, s, s, 3)`` 0..255 RGB to logits ``(n, k)``."""

    def __init__(self, key: str, classes: int, head: Head, side: int) -> None:
        super().__init__()
        self.network, self.key, self.side, self.classes = find_network(key), key, side, classes
        self.normalise = Normalise(*_colours(self.network))
        self.base = _base(key, self.network, side)
        self.end = nn.Identity()
        self.frozen = False
        channels, height, width = self.map_shape()
        self.head = CellHead(head, channels, height * width, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.logits_and_map(pictures)[0]

    def logits_and_map(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits ``(n, k)`` and the feature map ``(n, c, h, w)`` that the head saw (of a transformer: its patches)."""
        feature_map, token = self._mapped(self.normalise(pictures))
        logits: Tensor = self.head(feature_map, token)
        return logits, feature_map

    def features(self, pictures: Tensor) -> Tensor:
        """The feature map ``(n, c, h, w)``."""
        return self._mapped(self.normalise(pictures))[0]

    def cam_layer(self) -> nn.Module:
        """The layer that Grad-CAM looks at: for a CNN its output is the feature map ``(n, c, h, w)``.

        For a transformer it is the first norm of the last block with tokens ``(n, t, c)`` (what follows it is only the
        class token's business): :meth:`to_map` lays them out.
        """
        blocks = cast("nn.Sequential", self.base.blocks)[-1] if self.network.kind == "vit" else None
        return self.end if blocks is None else cast("nn.Module", blocks.norm1)

    def to_map(self, tokens: Tensor) -> Tensor:
        """Tokens ``(n, t, c)`` of a transformer as a map ``(n, c, h, w)``, without the class token; a map as it is."""
        if self.network.kind == "cnn":
            return tokens
        patches = tokens[:, cast(int, self.base.num_prefix_tokens) :]
        rows = self.side // self.network.patch
        return patches.transpose(1, 2).reshape(len(tokens), -1, rows, rows)

    def freeze_base(self, frozen: bool = True) -> Self:
        """Whether only the head learns; the base then keeps its batch norm statistics, too, and drops nothing."""
        self.frozen = frozen
        self.base.requires_grad_(not frozen)
        return self.train(self.training)

    def free_last(self, stages: int) -> Self:
        """Let the head and the last ``stages`` of the base learn; those before are frozen as in :meth:`freeze_base`.

        Raises :class:`DataError` for more stages than there are.
        """
        found = self.stages()
        if not 0 <= stages <= len(found):
            raise DataError(f"{self.network.name} has {len(found)} stages; {stages} of them cannot learn")
        self.freeze_base(stages < len(found))
        learnt = {name for stage in found[len(found) - stages :] for name in stage}
        for name, weights in self.base.named_parameters():
            weights.requires_grad_(name in learnt)
        return self.train(self.training)

    def stages(self) -> list[list[str]]:
        """Names of the base's weights by depth, the stem first: timm's coarse groups, else the layers of a sequence.

        A norm that stands alone behind the last block belongs to that block.
        """
        if self.network.timm_id:
            groups = list(group_parameters(self.base, cast(Any, self.base).group_matcher(coarse=True)).values())
        else:
            parts = self.base.named_children()
            groups = [[f"{number}.{name}" for name, _ in part.named_parameters()] for number, part in parts]
        found: list[list[str]] = []
        for names in filter(None, groups):
            if found and all(self.base.get_parameter(name).ndim <= 1 for name in names):
                found[-1] += names
            else:
                found.append(list(names))
        return found

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if self.frozen:
            _hold(self.base)
        return self

    def spec(self) -> dict[str, Any]:
        """What :func:`from_spec` builds the same network from."""
        return {"network": self.key, "classes": self.classes, "head": asdict(self.head.shape), "side": self.side}

    def _mapped(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.network.kind == "vit":
            tokens: Tensor = cast(Any, self.base).forward_features(x)
            return self.end(self.to_map(tokens)), tokens[:, 0]
        x = cast(Any, self.base).forward_features(x) if self.network.timm_id else self.base(x)
        norm = getattr(getattr(self.base, "head", None), "norm", None)
        # ConvNeXt's last norm stands behind the pool in timm and before it, at each place, in Keras: so it is here,
        # and the map is what a linear head averages.
        return self.end(x if norm is None else norm(x)), None

    def map_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the map, found without computing it."""
        try:
            with torch.no_grad():
                shadow = copy.deepcopy(self).to("meta").eval()
                found = shadow._mapped(torch.zeros(1, 3, self.side, self.side, device="meta"))[0].shape
        except (RuntimeError, AssertionError) as error:
            raise DataError(
                f"pictures of {self.side} px are too small for {self.network.name} ({str(error).splitlines()[0]}); its "
                f"start weights were learnt at {self.network.side} px: give a larger side"
            ) from error
        return found[1], found[2], found[3]


def _hold(module: nn.Module) -> None:
    """Put what has weights of which none learns into evaluation mode."""
    weights = list(module.parameters())
    if weights and not any(part.requires_grad for part in weights):
        module.eval()
        return
    for part in module.children():
        _hold(part)


def build(
    name: str, classes: int, head: Head, *, weights: str | Path | None, seed: int, side: int | None = None
) -> CellNetwork:
    """A network of :data:`NETWORKS` for pictures of ``side`` px (default: its own), its head random by ``seed``.

    ``weights``: None for a random base, ``"hub"`` for those of its hub, or a file
    (:func:`marrowscope.learning.transfer.start.load_start`). Raises :class:`DataError` for an unknown network, a side
    that it cannot take, weights of another network, and a hub that cannot be reached.
    """
    from marrowscope.learning.transfer.start import load_start

    network = find_network(name)
    side = side or network.side
    if side % network.patch:
        near = max(1, round(side / network.patch)) * network.patch
        raise DataError(f"{network.name} takes whole patches of {network.patch} px, not {side}: give {near} px")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = CellNetwork(name, classes, head, side)
    if weights is not None:
        load_start(built, weights)
    return built


def from_spec(spec: dict[str, Any]) -> CellNetwork:
    """A network of the form that :meth:`CellNetwork.spec` told, with random weights."""
    head = {**spec["head"], "dense": tuple(spec["head"]["dense"])}
    return build(spec["network"], spec["classes"], Head(**head), weights=None, seed=0, side=spec["side"])


def _base(key: str, network: Network, side: int) -> nn.Module:
    """The layers up to the feature map; what a network of timm has behind it is gone."""
    if key == "mobilenetv2":
        features = mobilenet_v2(1).features
        for part in features.modules():
            if isinstance(part, nn.ReLU6):
                part.inplace = True  # a seventh faster
        return features
    if network.timm_id is None:
        return _sequential_cnn()
    size: dict[str, Any] = {"img_size": side} if network.kind == "vit" else {}
    base: nn.Module = timm.create_model(network.timm_id, pretrained=False, num_classes=0, global_pool="", **size)
    # What these two have between map and classifier would sit unused, or (VGG) hold 120 of its 138 M weights.
    for unused in {VGG: ("pre_logits",), MobileNetV3: ("conv_head", "norm_head", "act2")}.get(type(base), ()):
        setattr(base, unused, nn.Identity())
    return base


def _sequential_cnn() -> nn.Module:
    """``shah-2025``: three convolutions with ReLU, each followed by max-pooling; kernel and padding are ours (3, same).

    Its dropout and dense layer are the head's.
    """
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)


def _colours(network: Network) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and spread of RGB 0..1: timm's own; 0..1 for the sequential CNN, -1..1 for MobileNetV2 of TensorFlow."""
    if network.timm_id is None:
        return ((0.5,) * 3, (0.5,) * 3) if network.key == "mobilenetv2" else ((0.0,) * 3, (1.0,) * 3)
    found = timm.models.get_pretrained_cfg(network.timm_id)
    assert found is not None  # a test holds the table of networks against timm's
    return tuple(found.mean), tuple(found.std)
