"""A trained cascade as the detector of a pack: one ONNX graph, RoIAlign and suppression inside, any number of tiles of
any size, checked against torch before it is kept.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from torchvision.ops import box_iou

from marrowscope.errors import DataError, how_many
from marrowscope.files import whole_file
from marrowscope.learning.cascade.network import CascadeRCNN
from marrowscope.learning.export import OPSET

BOX_TOLERANCE = 0.5
"""Pixels that a box of the graph may lie away from torch's."""

SCORE_TOLERANCE = 1e-3
COMPARED_FROM = 0.05
"""Detections with a lower score are not compared: what is kept of them hangs on ties."""

FAR = 1e6
"""More pixels than any tile has."""

TIED_OVERLAP = 0.5
"""IoU from which one of two boxes is dropped, as the shape of a cascade says."""

TIED_SHARE = 0.05
"""Objects of a tile of which torch and the graph may keep different ones, where two with one score overlap."""

Found = Sequence[NDArray[np.float32]]

OUTPUTS = ("boxes", "scores", "probabilities")


class TileCascade(nn.Module):
    """The graph: uint8 RGB tiles ``(n, h, w, 3)`` to ``boxes (n, k, 4)``, ``scores (n, k)``, ``probabilities``."""

    def __init__(self, network: CascadeRCNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        found: tuple[Tensor, Tensor, Tensor] = self.network(tiles.permute(0, 3, 1, 2))
        return found


def export_cascade(network: CascadeRCNN, tiles: NDArray[np.uint8], path: Path) -> Path:
    """Write the graph to ``path``, whole or not at all, after comparing it with torch on ``tiles (n, h, w, 3)``.

    At least two tiles are needed; they are compared together, alone, and cut to half their height. Raises
    :class:`DataError` where a detection of the one has no equal in the other.
    """
    if len(tiles) < 2:
        raise DataError(f"at least two tiles are needed to compare the export on, found {len(tiles)}")
    module = TileCascade(network.eval().cpu().float())
    axes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}
    example = torch.from_numpy(tiles[:2].copy())
    with warnings.catch_warnings(), empty_lists_unsaid(), torch.inference_mode():
        warnings.simplefilter("ignore")  # torch's own deprecations, none of which a caller can act on
        program = torch.onnx.export(
            module,
            (example,),
            input_names=["tiles"],
            output_names=list(OUTPUTS),
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=(axes,),
            verbose=False,
        )
    assert program is not None
    stride = network.pyramid.strides[-1]
    half = tiles.shape[1] // 2 // stride * stride
    with whole_file(path) as beside:
        program.save(beside, external_data=False)
        session = onnxruntime.InferenceSession(beside, providers=["CPUExecutionProvider"])
        for chosen in (tiles, tiles[:1], tiles[:2, :half]):
            compare(session, module, chosen)
    return path


@contextmanager
def empty_lists_unsaid() -> Iterator[None]:
    """Keep one line of onnx_ir off the terminal: an empty list, such as the shape of a number, was taken for integers.

    So it is, and the graph is compared with torch afterwards. Everything else that it says is heard.
    """
    speaker = logging.getLogger("onnx_ir._convenience")

    def heard(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Attribute type is ambiguous because it is an empty sequence")

    speaker.addFilter(heard)
    try:
        yield
    finally:
        speaker.removeFilter(heard)


def compare(session: onnxruntime.InferenceSession, module: nn.Module, tiles: NDArray[np.uint8]) -> tuple[float, float]:
    """Largest difference of boxes (pixels) and of scores and probabilities between ONNX Runtime and torch.

    Raises as :func:`differences` does.
    """
    ours = session.run(list(OUTPUTS), {"tiles": np.ascontiguousarray(tiles)})
    with torch.inference_mode():
        theirs = [value.numpy() for value in module(torch.from_numpy(np.ascontiguousarray(tiles)))]
    return differences(ours, theirs)


def differences(ours: Found, theirs: Found) -> tuple[float, float]:
    """Largest difference of boxes (pixels) and of scores and probabilities of two findings in the same ``n`` tiles.

    Each is ``boxes (n, k, 4)``, ``scores (n, k)``, ``probabilities (n, k, t)``. Detections are paired one to one by
    place, for the order of equal scores is nobody's promise. One that scores within the tolerance of the least score
    may lack a partner: the other may have dropped it. So may a few (:data:`TIED_SHARE`) that suppression dropped for
    an overlapping one with the same score: which of the two stays hangs on the seventh digit. Raises
    :class:`DataError` when another one lacks a partner, and for a difference beyond the tolerance.
    """
    of_boxes = of_scores = 0.0
    for number in range(len(ours[0])):
        a, b = _without_ties(*(_kept([value[number] for value in found]) for found in (ours, theirs)))
        away = np.abs(a[0][:, None] - b[0][None]).max(2)
        # One that is sure to be in both outweighs any distance, so that the doubtful ones are what is left over.
        sure = [found[1] >= COMPARED_FROM + SCORE_TOLERANCE for found in (a, b)]
        worth = FAR * (sure[0][:, None].astype(float) + sure[1][None])
        one, other = linear_sum_assignment(away.clip(max=FAR / 2) - worth)
        of_a, of_b = (int(found.sum() - found[rows].sum()) for found, rows in zip(sure, (one, other), strict=True))
        if of_a or of_b:
            raise DataError(
                f"the ONNX graph finds {how_many(len(a[1]), 'object')} in tile {number}, torch {len(b[1])}: "
                "the export is not the model"
            )
        # Two doubtful ones may be two different objects, of which each has dropped the other's.
        told = sure[0][one] | sure[1][other] | (away[one, other] <= BOX_TOLERANCE)
        one, other = one[told], other[told]
        if len(one):
            of_boxes = max(of_boxes, float(away[one, other].max()))
            of_scores = max(
                of_scores, *(float(np.abs(x[one] - y[other]).max()) for x, y in zip(a[1:], b[1:], strict=True))
            )
    if of_boxes > BOX_TOLERANCE or of_scores > SCORE_TOLERANCE:
        raise DataError(
            f"the ONNX graph and torch differ by {of_boxes:.3g} px in boxes and {of_scores:.3g} in scores, allowed are "
            f"{BOX_TOLERANCE} and {SCORE_TOLERANCE}"
        )
    return of_boxes, of_scores


def _without_ties(a: list[NDArray[np.float32]], b: list[NDArray[np.float32]]) -> list[list[NDArray[np.float32]]]:
    """Both without what only one has because the other kept an overlapping one with the same score; if they are few."""
    away = np.abs(a[0][:, None] - b[0][None]).max(2) > BOX_TOLERANCE
    overlaps = box_iou(torch.from_numpy(a[0]), torch.from_numpy(b[0])).numpy() > TIED_OVERLAP
    tied = overlaps & (np.abs(a[1][:, None] - b[1][None]) <= SCORE_TOLERANCE)
    lone = [away.all(1) & tied.any(1), away.all(0) & tied.any(0)]
    few = TIED_SHARE * max(len(a[1]), len(b[1]))
    return [
        [value[~alone] for value in found] if alone.sum() <= few else found
        for found, alone in zip((a, b), lone, strict=True)
    ]


def _kept(found: Found) -> list[NDArray[np.float32]]:
    keep = found[1] >= COMPARED_FROM - SCORE_TOLERANCE
    return [value[keep] for value in found]
