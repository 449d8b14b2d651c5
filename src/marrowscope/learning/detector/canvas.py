"""A training tile in the making: cells are laid over it, and their boxes kept."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.learning.detector.borders import seen_parts
from marrowscope.learning.detector.cutouts import Cutout, median_of_brightest

Boxes = NDArray[np.float32]
Patch = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""A cell ready to be laid on a tile: pixels ``(s, s, 3)`` and opacity ``(s, s)`` in 0..1."""


class Canvas:
    """``pixels (side, side, 3)`` uint8 RGB and the boxes on it; ``glass (3,)`` is the colour of its empty parts."""

    def __init__(self, pixels: NDArray[np.uint8], boxes: list[Boxes], largest_cover: float) -> None:
        self.pixels = pixels
        self.glass = median_of_brightest(pixels)
        self._boxes = boxes
        self._largest_cover = largest_cover
        self._owner = np.full(pixels.shape[:2], -1)  # the cell that each pixel shows, -1 for none
        for number, (x0, y0, x1, y1) in enumerate(boxes):
            middle = (int((x0 + x1) / 2), int((y0 + y1) / 2))
            axes = (max(1, int((x1 - x0) / 2)), max(1, int((y1 - y0) / 2)))
            shape = cv2.ellipse(np.zeros(pixels.shape[:2], np.uint8), middle, axes, 0, 0, 360, 1, -1)
            self._owner[shape > 0] = number
        self._area = [max(1, int((self._owner == number).sum())) for number in range(len(boxes))]

    def paste(self, patch: Patch, middle: NDArray[np.float64], *, counts: bool) -> None:
        """Lay a cell over the tile unless it would hide too much of another; one that ``counts`` gets a box."""
        pixels, mask = patch
        height, width = mask.shape
        x, y = int(middle[0] - width / 2), int(middle[1] - height / 2)
        window = np.s_[max(0, y) : max(0, y + height), max(0, x) : max(0, x + width)]
        shown = self._owner[window].shape
        if 0 in shown:
            return
        inner = np.s_[max(0, -y) : max(0, -y) + shown[0], max(0, -x) : max(0, -x) + shown[1]]
        alpha = mask[inner]
        solid = alpha > 0.5
        for number, hidden in zip(*np.unique(self._owner[window][solid], return_counts=True), strict=True):
            if number >= 0 and self._hidden(number, int(hidden)) > self._largest_cover:
                return
        view = self.pixels[window]
        view[:] = (view * (1 - alpha[..., None]) + pixels[inner] * alpha[..., None]).astype(np.uint8)
        if not counts or not solid.any():
            return
        ys, xs = np.nonzero(mask > 0.5)
        self._owner[window][solid] = len(self._boxes)
        self._area.append(max(1, int(solid.sum())))
        self._boxes.append(np.array((x + xs.min(), y + ys.min(), x + xs.max() + 1, y + ys.max() + 1), np.float32))

    def paint(self, painted: NDArray[np.uint8]) -> None:
        """Take the pixels of ``painted`` wherever no nucleated cell lies."""
        free = self._owner < 0
        self.pixels[free] = painted[free]

    def beside(self, mask: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float64] | None:
        """A place ``(2,)`` where a cell of opacity ``mask`` touches one on the tile; None on an empty tile."""
        if not self._boxes:
            return None
        x0, y0, x1, y1 = self._boxes[int(rng.integers(len(self._boxes)))].tolist()
        direction = rng.uniform(0, 2 * np.pi)
        own = np.sqrt((mask > 0.5).sum() / np.pi)
        reach = np.array(((x1 - x0) / 2 + own, (y1 - y0) / 2 + own)) * rng.uniform(0.75, 1.02)
        return np.array(((x0 + x1) / 2, (y0 + y1) / 2)) + reach * (np.cos(direction), np.sin(direction))

    def _hidden(self, number: int, more: int) -> float:
        return 1 - (int((self._owner == number).sum()) - more) / self._area[number]

    def boxes(self) -> Boxes:
        """The parts of the cells' boxes that are on the tile."""
        side = self.pixels.shape[0]
        return seen_parts(np.array(self._boxes, np.float32).reshape(-1, 4), (0, 0, side, side))


def turned_patch(cutout: Cutout, pixels: NDArray[np.uint8], size: float, degrees: float, stretch: float = 1.0) -> Patch:
    """A cutout in new colours (``pixels``), ``size`` times as large, ``stretch`` times as long as wide, turned."""
    height, width = cutout.mask.shape
    side = int(np.hypot(height, width) * size * max(stretch, 1 / stretch) ** 0.5) + 4
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, size)
    turn[0] *= stretch**0.5
    turn[1] /= stretch**0.5
    turn[:, 2] += np.array((side / 2, side / 2)) - turn @ np.array((width / 2, height / 2, 1))
    shrunk = cv2.GaussianBlur(pixels, (0, 0), 0.45 / size) if size < 0.9 else pixels
    rotated = cv2.warpAffine(shrunk, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.warpAffine(cutout.mask.astype(np.float32), turn, (side, side))
    return np.asarray(rotated, np.uint8), np.asarray(cv2.GaussianBlur(soft, (0, 0), 0.7), np.float32)


def turned(pixels: NDArray[np.uint8], boxes: Boxes, turn: int) -> tuple[NDArray[np.uint8], Boxes]:
    """One of the eight symmetries of the square (``turn`` 0..7): quarter turns, then mirrored."""
    for _ in range(turn % 4):
        width = pixels.shape[1]
        pixels = np.rot90(pixels)
        boxes = np.stack((boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]), 1)
    if turn >= 4:
        width = pixels.shape[1]
        pixels = pixels[:, ::-1]
        boxes = np.stack((width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]), 1)
    return np.ascontiguousarray(pixels), boxes
