"""Training tiles of blood: fields laid side by side, with single cells pasted close together as they lie in marrow.

The public fields are small (some 35 um) and hold one or two white cells among red ones; marrow is full of touching
nucleated cells. A tile here is a mosaic of fields at one random magnification; onto it go cells cut out of
single-cell pictures, alone or in clusters, turned, overlapping a little, with their edge softened, then the whole is
varied as one picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.learning.datasets.boxes import BoxPicture, resample
from marrowscope.learning.detector.augment import Variation, vary, vary_stain
from marrowscope.learning.detector.cutouts import CUTOUT_SPACING, Cutout, Cutouts, glass_colour

Boxes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Composition:
    """What tiles are made of. Sides in pixels at the detector's spacing; shares are probabilities."""

    side: int = 256
    magnification: tuple[float, float] = (0.8, 1.35)
    size_of_cells: tuple[float, float] = (0.85, 1.45)  # on top: plasma cells are larger than anything in blood
    size_of_platelets: tuple[float, float] = (0.8, 1.1)
    share_crowded: float = 0.6
    cells_when_crowded: tuple[int, int] = (8, 45)
    cells_when_sparse: tuple[int, int] = (0, 5)
    share_plasma: float = 0.4  # tiles whose mosaic is veiled by the granular, tinted plasma of marrow
    platelets: tuple[int, int] = (0, 8)
    piles: tuple[int, int] = (0, 5)  # red cells lie in rolls and heaps in the thick parts of marrow
    cells_of_a_pile: tuple[int, int] = (3, 14)
    specks: tuple[int, int] = (0, 12)
    share_crystals: float = 0.15
    largest_cover: float = 0.35  # most of a cell that later cells may hide
    own_stain: Variation = field(default_factory=lambda: Variation(dye_scale=0.3, dye_leak=0.1, brightness=(0.9, 1.05)))
    variation: Variation = field(default_factory=Variation)


class TileComposer:
    """Makes training tiles of fields and cutouts. Fields have the spacing ``field_spacing``, tiles ``spacing``."""

    def __init__(
        self,
        fields: Sequence[BoxPicture],
        cutouts: Cutouts,
        composition: Composition,
        *,
        spacing: float,
        field_spacing: float,
    ) -> None:
        self.fields, self.cutouts = fields, cutouts
        self.composition = composition
        self.field_factor = field_spacing / spacing
        self.cutout_factor = CUTOUT_SPACING / spacing

    def __call__(self, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Boxes]:
        """One tile ``(side, side, 3)`` and the boxes ``(b, 4)`` of its nucleated cells."""
        c = self.composition
        magnification = rng.uniform(*c.magnification)
        canvas = _Canvas(*self._mosaic(rng, magnification), largest_cover=c.largest_cover)
        if rng.random() < c.share_plasma:
            _veil(canvas.pixels, rng)
        for _ in range(rng.integers(*c.piles, endpoint=True)):
            self._pile(canvas, rng, magnification)
        for _ in range(rng.integers(*c.platelets, endpoint=True)):
            self._paste(canvas, self.cutouts.platelets, rng, magnification, rng.uniform(0, c.side, 2), counts=False)
        crowded = rng.random() < c.share_crowded
        middles = _clustered(
            rng, int(rng.integers(*(c.cells_when_crowded if crowded else c.cells_when_sparse))), c.side
        )
        for middle in middles:
            self._paste(canvas, self.cutouts.cells, rng, magnification, middle, counts=True)
        _speckle(canvas.pixels, rng, int(rng.integers(*c.specks, endpoint=True)))
        if rng.random() < c.share_crystals:
            _crystallise(canvas.pixels, rng)
        return vary(canvas.pixels, rng, c.variation), canvas.boxes()

    def _mosaic(self, rng: np.random.Generator, magnification: float) -> tuple[NDArray[np.uint8], list[Boxes]]:
        """Fields in rows until the tile is full, each turned at random, stained alike or each its own way."""
        side = self.composition.side
        tile = np.zeros((side, side, 3), np.uint8)
        boxes: list[Boxes] = []
        alike = rng.random() < 0.5
        bottom = -int(rng.integers(0, 30))
        while bottom < side:
            right, height = -int(rng.integers(0, 30)), side
            while right < side:
                picture, found = self._field(rng, magnification)
                if not alike:
                    picture = vary_stain(picture, rng, self.composition.own_stain)
                _place(tile, picture, bottom, right)
                boxes += [box + np.array((right, bottom, right, bottom), np.float32) for box in found]
                right, height = right + picture.shape[1], min(height, picture.shape[0])
            tile[max(0, bottom + height) :] = 0
            boxes = [box for box in boxes if box[1] < bottom + height]
            for box in boxes:
                box[3] = min(box[3], bottom + height) if box[1] >= bottom else box[3]
            bottom += height
        return tile, [box for box in boxes if _is_seen(box, side)]

    def _field(self, rng: np.random.Generator, magnification: float) -> tuple[NDArray[np.uint8], Boxes]:
        chosen = self.fields[int(rng.integers(len(self.fields)))]
        factor = self.field_factor * magnification * rng.uniform(0.92, 1.08)
        pixels = resample(chosen.pixels, factor)
        boxes = chosen.boxes * np.float32(pixels.shape[1] / chosen.pixels.shape[1])
        return turned(pixels, boxes, int(rng.integers(8)))

    def _paste(
        self,
        canvas: _Canvas,
        cutouts: Sequence[Cutout],
        rng: np.random.Generator,
        magnification: float,
        middle: NDArray[np.float64],
        *,
        counts: bool,
    ) -> None:
        cutout = cutouts[int(rng.integers(len(cutouts)))]
        sizes = self.composition.size_of_cells if counts else self.composition.size_of_platelets
        size = self.cutout_factor * magnification * rng.uniform(*sizes)
        pixels = cutout.pixels
        if rng.random() < 0.5:
            pixels = vary_stain(pixels, rng, self.composition.own_stain)
        else:
            pixels = np.clip(pixels * (canvas.glass / np.maximum(cutout.glass, 1)), 0, 255).astype(np.uint8)
        canvas.paste(*_turned_cutout(pixels, cutout.mask, size, rng.uniform(0, 360)), middle, counts=counts)

    def _pile(self, canvas: _Canvas, rng: np.random.Generator, magnification: float) -> None:
        """A winding roll of one red cell again and again, in the tile's stain or another."""
        cutout = self.cutouts.red_cells[int(rng.integers(len(self.cutouts.red_cells)))]
        pixels = np.clip(cutout.pixels * (canvas.glass / np.maximum(cutout.glass, 1)), 0, 255).astype(np.uint8)
        if rng.random() < 0.5:
            pixels = vary_stain(cutout.pixels, rng, self.composition.variation)
        size = self.cutout_factor * magnification * rng.uniform(0.9, 1.2)
        step = size * cutout.mask.shape[1] * rng.uniform(0.25, 0.8)
        place, direction = rng.uniform(0, self.composition.side, 2), rng.uniform(0, 2 * np.pi)
        for _ in range(rng.integers(*self.composition.cells_of_a_pile)):
            canvas.paste(*_turned_cutout(pixels, cutout.mask, size, rng.uniform(0, 360)), place, counts=False)
            direction += rng.normal(0, 0.7)
            place = place + step * np.array((np.cos(direction), np.sin(direction)))


class _Canvas:
    """A tile in the making; ``owner (side, side)`` tells which cell each pixel shows, -1 for none."""

    def __init__(self, pixels: NDArray[np.uint8], boxes: list[Boxes], largest_cover: float) -> None:
        self.pixels = pixels
        self.glass = glass_colour(pixels)
        self._boxes = boxes
        self._largest_cover = largest_cover
        self._owner = np.full(pixels.shape[:2], -1)
        for number, (x0, y0, x1, y1) in enumerate(boxes):
            middle = (int((x0 + x1) / 2), int((y0 + y1) / 2))
            axes = (max(1, int((x1 - x0) / 2)), max(1, int((y1 - y0) / 2)))
            shape = cv2.ellipse(np.zeros(pixels.shape[:2], np.uint8), middle, axes, 0, 0, 360, 1, -1)
            self._owner[shape > 0] = number
        self._area = [max(1, int((self._owner == number).sum())) for number in range(len(boxes))]

    def paste(
        self, pixels: NDArray[np.uint8], mask: NDArray[np.float32], middle: NDArray[np.float64], *, counts: bool
    ) -> None:
        """Lay a cell over the tile unless it would hide too much of another; with its centre outside it is no box."""
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
        if not counts:
            return
        ys, xs = np.nonzero(mask > 0.5)
        box = np.array((x + xs.min(), y + ys.min(), x + xs.max() + 1, y + ys.max() + 1), np.float32)
        if not _is_seen(box, self.pixels.shape[0]):
            return
        self._owner[window][solid] = len(self._boxes)
        self._area.append(max(1, int((mask > 0.5).sum())))
        self._boxes.append(box)

    def _hidden(self, number: int, more: int) -> float:
        return 1 - (int((self._owner == number).sum()) - more) / self._area[number]

    def boxes(self) -> Boxes:
        return np.stack(self._boxes).astype(np.float32) if self._boxes else np.zeros((0, 4), np.float32)


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


def _turned_cutout(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8], size: float, degrees: float
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    height, width = mask.shape
    side = int(np.hypot(height, width) * size) + 4
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, size)
    turn[:, 2] += (side / 2 - width / 2, side / 2 - height / 2)
    shrunk = cv2.GaussianBlur(pixels, (0, 0), 0.45 / size) if size < 0.9 else pixels
    rotated = cv2.warpAffine(shrunk, turn, (side, side), borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.warpAffine(mask.astype(np.float32), turn, (side, side))
    return np.asarray(rotated, np.uint8), np.asarray(cv2.GaussianBlur(soft, (0, 0), 0.7), np.float32)


def _place(tile: NDArray[np.uint8], picture: NDArray[np.uint8], top: int, left: int) -> None:
    height, width = picture.shape[:2]
    window = tile[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    y, x = max(0, -top), max(0, -left)
    window[:] = picture[y : y + window.shape[0], x : x + window.shape[1]]


def _is_seen(box: Boxes, side: int) -> bool:
    """Whether the box's centre lies on the tile: the rule by which tiles own cells."""
    return bool(0 <= box[0] + box[2] < 2 * side and 0 <= box[1] + box[3] < 2 * side)


def _clustered(rng: np.random.Generator, count: int, side: int) -> NDArray[np.float64]:
    """``count`` positions ``(count, 2)``: some anywhere, the others around a few middles."""
    anywhere = rng.uniform(0, side, (count, 2))
    middles = rng.uniform(0, side, (int(rng.integers(1, 4)), 2))
    near = middles[rng.integers(len(middles), size=count)] + rng.normal(0, rng.uniform(18, 60), (count, 2))
    return np.where(rng.random((count, 1)) < rng.uniform(0.2, 0.9), near, anywhere)


def _veil(pixels: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Tint the glass like plasma: a cloudy, granular colour that darkens what lies beneath it."""
    side = pixels.shape[0]
    clouds = sum(
        cv2.resize(rng.normal(0, 1, (n, n)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC) * weight
        for n, weight in ((4, 0.5), (16, 0.3), (64, 0.3), (128, 0.4))
    )
    depth = np.clip(0.5 + 0.5 * np.asarray(clouds), 0, None)[:, :, None] * rng.uniform(0.05, 0.5)
    dye = rng.uniform([0.4, 0.6, 0.05], [1.1, 1.2, 0.7])
    pixels[:] = np.clip(pixels * np.exp(-depth * dye), 0, 255).astype(np.uint8)


def _speckle(pixels: NDArray[np.uint8], rng: np.random.Generator, count: int) -> None:
    """Stain precipitate and debris: small dark or purple dots and streaks, never as large as a nucleus."""
    for _ in range(count):
        middle = tuple(int(v) for v in rng.integers(0, pixels.shape[0], 2))
        axes = (int(rng.integers(1, 4)), int(rng.integers(1, 3)))
        colour = tuple(float(v) for v in rng.uniform([40, 10, 60], [150, 90, 170]))
        spot = cv2.ellipse(pixels.copy(), middle, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        pixels[:] = spot


def _crystallise(pixels: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """A star of dark needles, as dried dye leaves."""
    middle = rng.uniform(0, pixels.shape[0], 2)
    colour = tuple(float(v) for v in rng.uniform([20, 15, 30], [90, 70, 100]))
    for direction in rng.uniform(0, 2 * np.pi, int(rng.integers(5, 25))):
        place = middle + rng.normal(0, 2, 2)
        for _ in range(rng.integers(1, 5)):
            direction += rng.normal(0, 0.4)
            end = place + rng.uniform(1, 6) * np.array((np.cos(direction), np.sin(direction)))
            (x0, y0), (x1, y1) = place.round().astype(int).tolist(), end.round().astype(int).tolist()
            cv2.line(pixels, (x0, y0), (x1, y1), colour, int(rng.integers(1, 3)), cv2.LINE_AA)
            place = end
