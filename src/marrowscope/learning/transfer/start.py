"""Start weights of a network: from its hub, or from a file, and never those of another network."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor

from marrowscope.errors import DataError
from marrowscope.learning.cascade.backbones import read_state
from marrowscope.learning.classifier.networks import CellClassifier, load_folded, restore_batch_norm
from marrowscope.learning.hub import download_state
from marrowscope.learning.transfer.networks import CellNetwork
from marrowscope.learning.weights import HUB, read_layers

CLASSIFIERS = ("classifier.", "fc.", "head.", "head_dist.", "last_linear.", "classif.", "mask_token")
"""How the layers behind the map are named in the releases that timm reads."""


def load_start(network: CellNetwork, weights: str | Path) -> None:
    """Fill the base; the head stays random.

    ``weights``: ``"hub"``; a state dict of timm's network (``.safetensors``, ``.pth``, ``.bin``), whose classifier is
    left out; ``model.pt`` of a training of the same network here; for MobileNetV2 an ``.npz`` with folded batch norms
    (:mod:`marrowscope.learning.weights`). Raises :class:`DataError` for a hub that cannot be reached, an unreadable
    file and weights of another network: every layer of the base must be there in its shape, and no layer more.
    """
    path = Path(weights)
    if str(weights) == HUB:
        found = _from_hub(network)
    elif path.suffix == ".npz":
        if network.key != "mobilenetv2":
            raise DataError(
                f"{path} holds folded layers, which are read for mobilenetv2 only; give a state dict of timm's "
                f"{network.network.timm_id} (.safetensors or .pth) with --weights"
            )
        load_folded(_as_classifier(network), read_layers(path))
        return
    else:
        found = read_state(path)
    if any(name.startswith("base.") for name in found):  # a model of ours
        found = {name.removeprefix("base."): value for name, value in found.items() if name.startswith("base.")}
    _fill(network, found, weights)


def describe_start(weights: str | Path | None, network: CellNetwork) -> str:
    """For tables: ``random``, ``hub ID``, or the file's name with its sha256."""
    if weights is None:
        return "random"
    if str(weights) == HUB:
        return f"hub {network.network.hub_id}"
    return f"{Path(weights).name}, sha256 {hashlib.sha256(Path(weights).read_bytes()).hexdigest()}"


def restore_folded(network: CellNetwork, pictures: Tensor) -> None:
    """Give a MobileNetV2 that was loaded from folded layers its batch norms back: statistics of ``pictures``.

    What it computes in evaluation stays as it is. Source: :func:`..classifier.networks.restore_batch_norm`.
    """
    restore_batch_norm(_as_classifier(network), network.normalise(pictures))


def _as_classifier(network: CellNetwork) -> CellClassifier:
    return CellClassifier(cast(torch.nn.Sequential, network.base), 1280, 1)


def _from_hub(network: CellNetwork) -> dict[str, Tensor]:
    known = network.network
    if known.hub_id is None or known.timm_id is None:
        raise DataError(f"no hub holds weights of {known.name}; give a file with --weights FILE, or leave it out")
    name = known.timm_id if known.hub_id == f"timm/{known.timm_id}" else f"hf-hub:{known.hub_id}"
    try:
        return download_state(name)
    except Exception as error:  # the hub's client raises whatever its transport raises
        raise DataError(
            f"the weights of {known.name} ({known.hub_id}) cannot be downloaded ({type(error).__name__}); fetch them "
            "elsewhere and give the file with --weights FILE, or leave --weights out to start from random weights"
        ) from error


def _fill(network: CellNetwork, found: dict[str, Tensor], weights: str | Path) -> None:
    known, wanted = network.network, network.base.state_dict()
    if network.network.kind == "vit" and "pos_embed" in found:  # learnt at another side: places are interpolated
        found = checkpoint_filter_fn(found, cast(Any, network.base))
    missing = [key for key in wanted if key not in found and not key.endswith("num_batches_tracked")]
    shaped = [key for key in wanted if key in found and found[key].shape != wanted[key].shape]
    surplus = sorted(
        key for key in found.keys() - wanted.keys() - _of_whole(network) if not key.startswith(CLASSIFIERS)
    )
    if missing or shaped or surplus:
        what = (
            f"lack {missing[0]!r} and {len(missing) - 1} more of its {len(wanted)} layers"
            if missing
            else f"have another shape of {shaped[0]!r} ({tuple(found[shaped[0]].shape)})"
            if shaped
            else f"hold {surplus[0]!r} and {len(surplus) - 1} more that it has not"
        )
        source = known.timm_id or known.name
        raise DataError(f"the weights in {weights} {what}: they are not of {source}; give its own with --weights")
    network.base.load_state_dict({key: found[key] for key in wanted if key in found}, strict=False)


def _of_whole(network: CellNetwork) -> set[str]:
    """Names of all layers of the whole network, classifier included."""
    if network.network.timm_id is None:
        return set()
    with torch.device("meta"):
        whole = timm.create_model(network.network.timm_id, pretrained=False)
    return set(whole.state_dict())
