"""A trained cascade, loaded again, and what it finds in pictures."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from marrowscope.detection.table import Detections
from marrowscope.errors import DataError
from marrowscope.learning.cascade.backbones import BackboneShape
from marrowscope.learning.cascade.boxes import clip
from marrowscope.learning.cascade.network import CascadeRCNN, CascadeShape
from marrowscope.learning.cascade.proposals import ProposalSettings

LEAST_SCORE = 0.02


def load_cascade(path: Path) -> CascadeRCNN:
    """The network of ``model.pt``, ready to look, on a GPU where there is one.

    Raises :class:`DataError` for anything else.
    """
    stored = read_model(path)
    shape = dict(stored["shape"])
    backbone, proposals = BackboneShape(**shape.pop("backbone")), ProposalSettings(**shape.pop("proposals"))
    network = CascadeRCNN(CascadeShape(backbone, proposals, **shape))
    network.load_state_dict(stored["weights"])
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def read_model(path: Path) -> dict[str, Any]:
    """What ``model.pt`` holds: weights, shape, recipe, facts. Raises :class:`DataError` for anything else."""
    try:
        stored: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; train one with: marrowscope train cascade") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{path} is no trained cascade ({error}); train it again") from error
    if not isinstance(stored, dict) or stored.get("format") != "marrowscope cascade 1":
        raise DataError(f"{path} is no trained cascade of this version; train it again")
    return stored


def predict(
    network: CascadeRCNN,
    pictures: Iterable[NDArray[np.uint8]],
    *,
    batch: int = 4,
    least_score: float = LEAST_SCORE,
) -> Iterator[Detections]:
    """Detections of each picture ``(h, w, 3)`` uint8 RGB, best first, in its pixels, with type probabilities.

    A picture of another size than the one before begins a new batch. Sides that are no multiple of the coarsest stride
    are padded with white.
    """
    device = next(network.parameters()).device
    stride = network.pyramid.strides[-1]
    for chosen in _batches(pictures, batch):
        height, width = chosen[0].shape[:2]
        padding = ((0, -height % stride), (0, -width % stride), (0, 0))
        tiles = np.stack([np.pad(picture, padding, constant_values=245) for picture in chosen])
        found = network.find(torch.from_numpy(tiles).permute(0, 3, 1, 2).contiguous().to(device))
        inside = clip(found.boxes, height, width)  # a cell at the border may reach into the padding
        for boxes, scores, probabilities in zip(inside, found.scores, found.probabilities, strict=True):
            kept = (scores >= least_score) & (boxes[:, 2:] > boxes[:, :2]).all(1)
            yield Detections(
                boxes[kept].double().cpu().numpy(),
                scores[kept].float().cpu().numpy(),
                probabilities[kept].float().cpu().numpy(),
            )


def _batches(pictures: Iterable[NDArray[np.uint8]], most: int) -> Iterator[list[NDArray[np.uint8]]]:
    """Pictures of one size that follow each other, at most ``most`` at a time, drawn as they are needed."""
    for _, alike in groupby(pictures, lambda picture: picture.shape):
        while chosen := list(islice(alike, most)):
            yield chosen
