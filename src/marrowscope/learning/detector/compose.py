"""Training tiles of blood: fields laid side by side, with single cells pasted close together as they lie in marrow.

The public fields are small (some 35 um) and hold one or two white cells among red ones; marrow is full of touching
nucleated cells. A crowded tile is a mosaic of fields at one random magnification; onto it go cells cut out of
single-cell pictures, alone or in clusters, turned, overlapping a little, with their edge softened, then the whole is
varied as one picture. A framed tile shows fields apart from each other, as pictures with borders that cut cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from marrowscope.learning.datasets.boxes import BoxPicture, resample
from marrowscope.learning.detector.augment import Variation, deepen, vary, vary_stain
from marrowscope.learning.detector.borders import OUTSIDE, seen_parts
from marrowscope.learning.detector.canvas import Boxes, Canvas, Patch, turned, turned_patch
from marrowscope.learning.detector.cutouts import CUTOUT_SPACING, Cutout, Cutouts
from marrowscope.learning.detector.scenery import crystallise, hollow, litter, speckle, veil

Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Composition:
    """What tiles are made of. Sides in pixels at the detector's spacing; shares are probabilities."""

    side: int = 256
    share_framed: float = 0.25
    gap: tuple[int, int] = (12, 40)  # between the pictures of a framed tile
    share_cropped: float = 0.6  # of those pictures, so that more cells are cut
    magnification: Range = (0.8, 1.35)
    size_of_cells: Range = (0.75, 1.65)  # on top: plasma cells are larger than anything in blood
    size_of_giants: Range = (1.7, 3.0)
    size_of_nuclei: Range = (0.7, 1.3)
    size_of_platelets: Range = (0.8, 2.6)  # giant ones are no cells either
    share_crowded: float = 0.6
    cells_when_crowded: tuple[int, int] = (8, 45)
    cells_when_sparse: tuple[int, int] = (0, 5)
    share_giants: float = 0.2  # tiles with one or two
    share_nuclei: float = 0.14  # pasted cells of which only the nucleus is left
    share_deepened: float = 0.12  # pasted cells that are dark, as pyknotic ones; of naked nuclei half
    deepened: Range = (1.2, 2.2)  # times the optical density
    share_touching: float = 0.4  # pasted cells laid against one that is there
    stretch: Range = (0.8, 1.25)
    stretch_of_nuclei: Range = (0.6, 1.7)  # squeezed ones lie at the edge of particles
    share_plasma: float = 0.5  # tiles whose mosaic is veiled by the granular, tinted plasma of marrow
    depth_of_plasma: Range = (0.05, 0.7)
    share_thick: float = 0.2  # tiles veiled again, cells included, as in thick parts
    depth_when_thick: Range = (0.05, 0.35)
    platelets: tuple[int, int] = (0, 8)
    piles: tuple[int, int] = (0, 5)  # red cells lie in rolls and heaps in the thick parts of marrow
    cells_of_a_pile: tuple[int, int] = (3, 14)
    specks: tuple[int, int] = (0, 12)
    share_crystals: float = 0.15
    share_littered: float = 0.45
    share_hollow: float = 0.25
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
        """One tile ``(side, side, 3)`` and the boxes ``(b, 4)`` of its nucleated cells, as far as they are seen."""
        magnification = rng.uniform(*self.composition.magnification)
        if rng.random() < self.composition.share_framed:
            return self._framed(rng, magnification)
        return self._crowded(rng, magnification)

    def _framed(self, rng: np.random.Generator, magnification: float) -> tuple[NDArray[np.uint8], Boxes]:
        c = self.composition
        pixels, outside, boxes = self._mosaic(rng, magnification, gap=int(rng.integers(*c.gap)))
        if rng.random() < c.share_plasma / 2:
            veil(pixels, rng, c.depth_of_plasma)
        pixels = vary(pixels, rng, c.variation)
        pixels[outside] = OUTSIDE
        return pixels, seen_parts(np.array(boxes, np.float32).reshape(-1, 4), (0, 0, c.side, c.side))

    def _crowded(self, rng: np.random.Generator, magnification: float) -> tuple[NDArray[np.uint8], Boxes]:
        c = self.composition
        pixels, _, boxes = self._mosaic(rng, magnification, gap=0)
        canvas = Canvas(pixels, boxes, c.largest_cover)
        if rng.random() < c.share_plasma:
            veil(pixels, rng, c.depth_of_plasma)
        for _ in range(rng.integers(*c.piles, endpoint=True)):
            self._pile(canvas, rng, magnification)
        for _ in range(rng.integers(*c.platelets, endpoint=True)):
            platelet = self._patch(self.cutouts.platelets, c.size_of_platelets, canvas, rng, magnification)
            canvas.paste(platelet, rng.uniform(0, c.side, 2), counts=False)
        background = pixels.copy()
        for _ in range(rng.integers(1, 4) if rng.random() < c.share_littered else 0):
            litter(background, rng)
        for _ in range(rng.integers(1, 4) if rng.random() < c.share_hollow else 0):
            hollow(background, rng, canvas.glass)
        canvas.paint(background)
        for _ in range(rng.integers(1, 3) if rng.random() < c.share_giants else 0):
            giant = self._patch(self.cutouts.cells, c.size_of_giants, canvas, rng, magnification)
            canvas.paste(giant, rng.uniform(0, c.side, 2), counts=True)
        crowded = rng.random() < c.share_crowded
        count = int(rng.integers(*(c.cells_when_crowded if crowded else c.cells_when_sparse)))
        for middle in _clustered(rng, count, c.side):
            cell = self._cell(canvas, rng, magnification)
            beside = canvas.beside(cell[1], rng) if rng.random() < c.share_touching else None
            canvas.paste(cell, middle if beside is None else beside, counts=True)
        if rng.random() < c.share_thick:
            veil(pixels, rng, c.depth_when_thick)
        speckle(pixels, rng, int(rng.integers(*c.specks, endpoint=True)))
        if rng.random() < c.share_crystals:
            crystallise(pixels, rng)
        return vary(pixels, rng, c.variation), canvas.boxes()

    def _mosaic(
        self, rng: np.random.Generator, magnification: float, gap: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_], list[Boxes]]:
        """Fields in rows until the tile is full, each turned at random, stained alike or each its own way.

        Pixels, what no field covers, and the boxes, each within its field.
        """
        side = self.composition.side
        tile = np.full((side, side, 3), OUTSIDE, np.uint8)
        outside = np.ones((side, side), np.bool_)
        boxes: list[Boxes] = []
        alike = rng.random() < 0.5
        bottom = -int(rng.integers(0, 30))
        while bottom < side:
            right, height, row = -int(rng.integers(0, 30)), side, []
            while right < side:
                picture, found = self._field(rng, magnification)
                if gap and rng.random() < self.composition.share_cropped:
                    picture, found = _cropped(picture, found, rng)
                if not alike:
                    picture = vary_stain(picture, rng, self.composition.own_stain)
                row.append((picture, found, right))
                right += picture.shape[1] + gap
                height = min(height, picture.shape[0])
            for picture, found, left in row:
                shown = picture if gap else picture[:height]
                window = _place(tile, shown, bottom, left)
                outside[window] = False
                boxes += list(
                    seen_parts(found, (0, 0, shown.shape[1], shown.shape[0]))
                    + np.array((left, bottom, left, bottom), np.float32)
                )
            bottom += max(len(picture) for picture, _, _ in row) + gap if gap else height
        return tile, outside, boxes

    def _field(self, rng: np.random.Generator, magnification: float) -> tuple[NDArray[np.uint8], Boxes]:
        chosen = self.fields[int(rng.integers(len(self.fields)))]
        factor = self.field_factor * magnification * rng.uniform(0.92, 1.08)
        pixels = resample(chosen.pixels, factor)
        boxes = chosen.boxes * np.float32(pixels.shape[1] / chosen.pixels.shape[1])
        return turned(pixels, boxes, int(rng.integers(8)))

    def _cell(self, canvas: Canvas, rng: np.random.Generator, magnification: float) -> Patch:
        """A nucleated cell to be pasted; now and then a naked nucleus, or one that is shrunken and dark."""
        c = self.composition
        naked = bool(self.cutouts.nuclei) and rng.random() < c.share_nuclei
        dark = rng.random() < (0.5 if naked else c.share_deepened)
        cutouts, sizes = (self.cutouts.nuclei, c.size_of_nuclei) if naked else (self.cutouts.cells, c.size_of_cells)
        deeper = rng.uniform(*c.deepened) if dark else 1.0
        stretch = _between(rng, c.stretch_of_nuclei if naked else c.stretch)
        return self._patch(cutouts, sizes, canvas, rng, magnification, deeper, stretch)

    def _patch(
        self,
        cutouts: Sequence[Cutout],
        sizes: Range,
        canvas: Canvas,
        rng: np.random.Generator,
        magnification: float,
        deeper: float = 1.0,
        stretch: float = 1.0,
    ) -> Patch:
        cutout = cutouts[int(rng.integers(len(cutouts)))]
        size = self.cutout_factor * magnification * _between(rng, sizes)
        pixels = deepen(cutout.pixels, deeper, cutout.glass) if deeper > 1 else cutout.pixels
        if rng.random() < 0.5:
            pixels = vary_stain(pixels, rng, self.composition.own_stain)
        else:
            pixels = np.clip(pixels * (canvas.glass / np.maximum(cutout.glass, 1)), 0, 255).astype(np.uint8)
        return turned_patch(cutout, pixels, size, rng.uniform(0, 360), stretch)

    def _pile(self, canvas: Canvas, rng: np.random.Generator, magnification: float) -> None:
        """A winding roll of one red cell again and again, in the tile's stain or another."""
        cutout = self.cutouts.red_cells[int(rng.integers(len(self.cutouts.red_cells)))]
        pixels = np.clip(cutout.pixels * (canvas.glass / np.maximum(cutout.glass, 1)), 0, 255).astype(np.uint8)
        if rng.random() < 0.5:
            pixels = vary_stain(cutout.pixels, rng, self.composition.variation)
        size = self.cutout_factor * magnification * rng.uniform(0.9, 1.2)
        step = size * cutout.mask.shape[1] * rng.uniform(0.25, 0.8)
        place, direction = rng.uniform(0, self.composition.side, 2), rng.uniform(0, 2 * np.pi)
        for _ in range(rng.integers(*self.composition.cells_of_a_pile)):
            canvas.paste(turned_patch(cutout, pixels, size, rng.uniform(0, 360)), place, counts=False)
            direction += rng.normal(0, 0.7)
            place = place + step * np.array((np.cos(direction), np.sin(direction)))


def _between(rng: np.random.Generator, factors: Range) -> float:
    """A factor between two: as often below as above their geometric mean."""
    return float(np.exp(rng.uniform(*np.log(factors))))


def _cropped(picture: NDArray[np.uint8], boxes: Boxes, rng: np.random.Generator) -> tuple[NDArray[np.uint8], Boxes]:
    """The picture without a strip of up to half its side along one or two of its borders."""
    height, width = picture.shape[:2]
    sides = rng.uniform(0, 0.5, 4) * (rng.random(4) < 0.4)
    sides[2:] *= sides[:2] == 0
    x0, y0 = int(sides[0] * width), int(sides[1] * height)
    x1, y1 = width - int(sides[2] * width), height - int(sides[3] * height)
    return picture[y0:y1, x0:x1], seen_parts(boxes, (x0, y0, x1, y1)) - np.array((x0, y0, x0, y0), np.float32)


def _place(tile: NDArray[np.uint8], picture: NDArray[np.uint8], top: int, left: int) -> tuple[slice, slice]:
    height, width = picture.shape[:2]
    window = np.s_[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    y, x = max(0, -top), max(0, -left)
    shown = tile[window].shape
    tile[window] = picture[y : y + shown[0], x : x + shown[1]]
    return window


def _clustered(rng: np.random.Generator, count: int, side: int) -> NDArray[np.float64]:
    """``count`` positions ``(count, 2)``: some anywhere, the others around a few middles."""
    anywhere = rng.uniform(0, side, (count, 2))
    middles = rng.uniform(0, side, (int(rng.integers(1, 4)), 2))
    near = middles[rng.integers(len(middles), size=count)] + rng.normal(0, rng.uniform(18, 60), (count, 2))
    return np.where(rng.random((count, 1)) < rng.uniform(0.2, 0.9), near, anywhere)
