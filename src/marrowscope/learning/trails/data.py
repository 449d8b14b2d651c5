"""Overviews with the boxes of their objects, and what training makes of them.

Legend of shapes: pictures ``(s, s, 3)`` uint8 RGB, boxes ``(b, 4)`` in their pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.cascade.data import Example
from marrowscope.learning.cascade.labels import Target
from marrowscope.learning.trails.objects import object_boxes
from marrowscope.phantom.truth import read_truth
from marrowscope.regions.overviews import SIDE, square_overview
from marrowscope.slides import Slide, open_slide, require_spacing

Boxes = NDArray[np.float32]
Picture = NDArray[np.uint8]

LEAST_SIDE = 6.0
"""Pixels that a box of a shrunk overview has at least on each side; smaller ones are no longer asked for."""


@dataclass(frozen=True, slots=True)
class LabelledOverview:
    """One slide as the model sees it. ``glass``: the colour that fills what is no slide; ``mm2``: of one pixel."""

    name: str
    picture: Picture
    boxes: Boxes
    glass: tuple[int, int, int]
    mm2: float


def read_labelled(path: Path, side: int = SIDE, name: str = "") -> LabelledOverview:
    """The overview of a phantom with the objects of its truth: none where it has no particle and no trail.

    Raises ``DataError`` for a slide without its truth, ``SlideError`` and ``SpacingError`` for a slide that cannot be
    used.
    """
    truth = read_truth(path)
    with open_slide(path) as slide:
        return labelled_overview(slide, object_boxes(truth), side, name or path.stem)


def labelled_overview(slide: Slide, boxes: NDArray[np.float64], side: int, name: str) -> LabelledOverview:
    """The overview of an open slide with boxes ``(n, 4)`` given in level-0 pixels. Raises as :func:`read_labelled`."""
    seen = square_overview(slide, side)
    mm2 = require_spacing(slide).area_mm2(float(seen.scale.prod()))
    return LabelledOverview(name, seen.picture, seen.from_level0(boxes).astype(np.float32), slide.background, mm2)


class OverviewExamples(Dataset[Example]):
    """``count`` pictures ``(3, s, s)`` with their targets, made from these overviews in turn.

    With the chance ``mosaics`` a picture shows four slides, each in a quarter, so that a model learns small and many
    objects where every slide has one; otherwise one slide, shrunk to between ``smallest`` and its full size and put
    anywhere. Then ``augmentation`` turns it and changes its colours. Draw ``i`` is the same for the same ``seed``.
    """

    def __init__(
        self,
        overviews: Sequence[LabelledOverview],
        count: int,
        augmentation: Augmentation,
        *,
        mosaics: float,
        smallest: float,
        seed: int,
    ) -> None:
        self.overviews, self.count, self.augmentation = list(overviews), count, augmentation
        self.mosaics, self.smallest, self.seed = mosaics, smallest, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, draw: int) -> Example:
        rng = np.random.default_rng((self.seed, draw))
        first = self.overviews[self._place(draw)]
        side = len(first.picture)
        canvas = np.empty_like(first.picture)
        canvas[:] = first.glass
        if rng.random() < self.mosaics:
            half = side // 2
            others = [self.overviews[i] for i in rng.integers(len(self.overviews), size=3)]
            corners = [(0, 0), (half, 0), (0, half), (half, half)]
            parts = [
                _put(canvas, one, *corner, rng.uniform(self.smallest, 1.0) * half)
                for one, corner in zip((first, *others), corners, strict=True)
            ]
        else:
            size = side * rng.uniform(self.smallest, 1.0)
            x, y = rng.uniform(0, side - size, size=2)
            parts = [_put(canvas, first, int(x), int(y), size)]
        boxes = np.concatenate(parts)
        boxes = boxes[(boxes[:, 2:] - boxes[:, :2]).min(axis=1) >= LEAST_SIDE]
        picture, boxes = self.augmentation(canvas, boxes, rng)
        return torch.from_numpy(picture.transpose(2, 0, 1).copy()), Target(
            torch.from_numpy(boxes), torch.zeros(len(boxes), dtype=torch.long), torch.zeros((0, 4))
        )

    def _place(self, draw: int) -> int:
        """Every overview once a round, each round in another order."""
        rounds, place = divmod(draw, len(self.overviews))
        return int(np.random.default_rng((self.seed, 31, rounds)).permutation(len(self.overviews))[place])


def _put(canvas: Picture, one: LabelledOverview, x: int, y: int, size: float) -> Boxes:
    """Lay an overview, shrunk to ``size`` pixels, with its corner at ``x, y``; the boxes as they now lie ``(b, 4)``."""
    pixels = round(size)
    shrunk = cv2.resize(one.picture, (pixels, pixels), interpolation=cv2.INTER_AREA)
    canvas[y : y + pixels, x : x + pixels] = shrunk
    boxes: Boxes = one.boxes * np.float32(pixels / len(one.picture)) + np.array([x, y, x, y], np.float32)
    return boxes
