"""How well an exported detector finds the labelled cells of pictures: run through ONNX Runtime, as a count runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from marrowscope.evaluation.detection import (
    LabelledPicture,
    Ranking,
    average_precision,
    rank_predictions,
)
from marrowscope.evaluation.intervals import Proportion, bootstrap_interval
from marrowscope.learning.detector.borders import OUTSIDE
from marrowscope.learning.detector.network import STRIDE
from marrowscope.packs.metrics import Evaluation, Measured

BORDER = 16
"""Pixels of nothing around a picture (:data:`~marrowscope.learning.detector.borders.OUTSIDE`), as in training."""

IOU_OF_ONE_CELL = 0.5
LOWEST_SCORE = 0.02

AS_GOOD_AS_BEST = 0.002
"""Thresholds whose F1 is within so much of the best are equally good."""


@dataclass(frozen=True, slots=True)
class LabelledField:
    """A picture ``(h, w, 3)`` uint8 RGB at the detector's spacing; its cells: ``boxes (n, 4)``, ``ignored (m, 4)``."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    ignored: NDArray[np.float32]


def find_cells(
    session: onnxruntime.InferenceSession, pixels: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Boxes ``(n, 4)``, clipped to the picture, and scores ``(n,)`` of the cells whose centre lies in a picture."""
    height, width = pixels.shape[:2]
    right, below = (BORDER + (-(side + 2 * BORDER)) % STRIDE for side in (width, height))
    padded = cv2.copyMakeBorder(
        pixels, BORDER, below, BORDER, right, cv2.BORDER_CONSTANT, value=(OUTSIDE, OUTSIDE, OUTSIDE)
    )
    boxes, scores = (output[0] for output in session.run(["boxes", "scores"], {"tiles": padded[None]}))
    boxes = boxes.astype(np.float64) - BORDER
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((centres >= 0) & (centres < (width, height))).all(axis=1) & (scores >= LOWEST_SCORE)
    boxes, scores = boxes[inside], scores[inside]
    boxes = np.clip(boxes, 0, np.tile((width, height), 2))
    kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores.astype(np.float64)), IOU_OF_ONE_CELL).numpy()
    return boxes[kept], scores[kept]


def measure(model: Path, fields: Sequence[LabelledField], threads: int = 2) -> list[Ranking]:
    """Predictions of each picture, ranked and matched to its labels at IoU 0.5."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    rankings = []
    for field in fields:
        boxes, scores = find_cells(session, field.pixels)
        rankings.append(rank_predictions([LabelledPicture(boxes, scores, field.boxes, field.ignored)]))
    return rankings


def pooled(rankings: Sequence[Ranking]) -> Ranking:
    """One ranking of all pictures."""
    scores = np.concatenate([ranking.scores for ranking in rankings])
    right = np.concatenate([ranking.right for ranking in rankings])
    order = np.argsort(-scores, kind="stable")
    return Ranking(scores[order], right[order], sum(ranking.n_truth for ranking in rankings))


def choose_threshold(rankings: Sequence[Ranking]) -> float:
    """The middle of the thresholds whose F1 is as good as the best; for validation pictures only.

    Where cells stand out clearly, F1 is flat over a wide range, and its highest point says nothing about new pictures.
    """
    whole = pooled(rankings)
    thresholds = np.arange(0.05, 0.96, 0.01)
    kept = np.array([whole.scores >= threshold for threshold in thresholds])
    f1 = 2 * (kept & whole.right).sum(axis=1) / (kept.sum(axis=1) + whole.n_truth)
    return round(float(thresholds[f1 >= f1.max() - AS_GOOD_AS_BEST].mean()), 2)


def evaluate(data: str, rankings: Sequence[Ranking], threshold: float, *, seed: int = 0) -> Evaluation:
    """AP50, precision and recall at the threshold; 95 % intervals by bootstrap over pictures."""

    def precision(chosen: Ranking) -> float:
        kept = chosen.right[chosen.scores >= threshold]
        return Proportion(int(kept.sum()), len(kept)).value

    def recall(chosen: Ranking) -> float:
        return Proportion(int(chosen.right[chosen.scores >= threshold].sum()), chosen.n_truth).value

    def measured(name: str, statistic: Callable[[Ranking], float]) -> Measured:
        low, high = bootstrap_interval(
            lambda drawn: statistic(pooled([rankings[i] for i in drawn])), len(rankings), seed=seed
        )
        return Measured(name=name, value=round(statistic(whole), 4), low=round(low, 4), high=round(high, 4))

    whole = pooled(rankings)
    results = measured("AP50", average_precision), measured("precision", precision), measured("recall", recall)
    return Evaluation(data=data, n=f"{whole.n_truth:,} cells in {len(rankings):,} pictures", measured=results)
