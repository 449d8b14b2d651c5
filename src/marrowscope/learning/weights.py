"""Reading start weights: an npz with one weight and one bias a layer, named ``NN_KIND.weight`` and ``NN_KIND.bias``.

The layers stand in the order of the network, batch norm is folded into them (no running statistics), and
convolutions are stored ``(out, in / groups, height, width)``.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import DataError

HUB = "hub"
"""In place of a weights file: timm's own, downloaded from its hub where the network allows."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of a network: ``weight`` as stored, ``bias (out,)``, both float32."""

    name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def read_layers(path: Path) -> tuple[Layer, ...]:
    """The layers of a weights file in network order. Raises :class:`DataError` when the file is no such file."""
    try:
        with np.load(path) as stored:
            arrays = {name: np.asarray(stored[name], np.float32) for name in stored.files}
    except FileNotFoundError:
        raise DataError(f"{path} is missing; give the file with the start weights with --weights FILE.npz") from None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not a readable npz file of weights ({error}); download it again") from error
    names = sorted(name.removesuffix(".weight") for name in arrays if name.endswith(".weight"))
    lost = [name for name in names if f"{name}.bias" not in arrays]
    if not names or lost:
        found = f"no bias for {', '.join(lost)}" if lost else f"only {', '.join(sorted(arrays)) or 'nothing'}"
        raise DataError(f"{path} holds {found}; expected pairs NN_KIND.weight and NN_KIND.bias")
    return tuple(Layer(name, arrays[f"{name}.weight"], arrays[f"{name}.bias"]) for name in names)
