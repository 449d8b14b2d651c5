"""Cells of counting fields, one field at a time: read, detect, stitch, classify, flag.

This is the inner loop of every count. Threads read the tiles ahead while the models run; memory is bounded by a few
tiles, whatever the slide. All coordinates that leave this module are level-0 pixels.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from marrowscope.cells.classification import Classifier, Named
from marrowscope.cells.crops import cut_crops
from marrowscope.cells.quality import cut_by_border, looks_flagged
from marrowscope.detection.engine import Detector
from marrowscope.detection.stitching import Stitcher, stitch_field
from marrowscope.detection.table import Detections
from marrowscope.errors import MarrowscopeError
from marrowscope.geometry import Box, Spacing
from marrowscope.packs.loading import Pack
from marrowscope.regions.region import Region
from marrowscope.slides.protocol import Slide
from marrowscope.tiles.fields import CountingField
from marrowscope.tiles.grid import TileWindow, tile_windows
from marrowscope.tiles.reading import Tile, TileReader


@dataclass(frozen=True, slots=True)
class FieldCells:
    """The cells of one counting field.

    ``boxes (n, 4)`` level-0 pixels; ``scores (n,)``; ``probabilities (n, classes)``; ``flags`` maps each word of
    ``cells.table.FLAGS`` to ``(n,)`` truth values; ``crops (n, side, side, 3)`` RGB at the classifier's spacing;
    ``anomaly (n,)`` is 1 at the pack's threshold, None when the pack has no anomaly score.
    """

    field: CountingField
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    flags: dict[str, NDArray[np.bool_]]
    crops: NDArray[np.uint8]
    anomaly: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Tiling:
    """How fields are cut into tiles. None of this changes which cells are found; a test shows it.

    ``tile`` in pixels at the detector's spacing (None: as the pack says), ``origin`` of the grid likewise, ``batch``
    tiles a run of the detector, ``threads`` of the models (None: all cores), ``readers`` threads that read.
    """

    tile: int | None = None
    origin: tuple[int, int] = (0, 0)
    batch: int = 1
    threads: int | None = None
    readers: int = 2


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent in each step of the loop; ``read`` is the time that the models waited for pixels."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "detect", "stitch", "classify"), 0.0)
    )

    def add(self, step: str, since: float) -> float:
        now = perf_counter()
        self.seconds[step] += now - since
        return now


class CellFinder:
    """Finds and names the cells of one slide with one pack."""

    def __init__(self, slide: Slide, spacing: Spacing, pack: Pack, regions: Sequence[Region], tiling: Tiling) -> None:
        contract, detector = pack.contract, pack.contract.counts_with
        least = 2 * detector.margin + detector.stride
        if tiling.tile is not None and tiling.tile < least:
            raise MarrowscopeError(
                f"a tile of {tiling.tile} px has no core; --tile takes {least} or more with this pack"
            )
        if tiling.tile not in (None, detector.tile) and contract.classifier is None:
            raise MarrowscopeError(
                f"the pack {contract.name} names cells in its detector, which gives so many a tile: it takes tiles of "
                f"{detector.tile} px only; leave --tile out"
            )
        self._slide, self._pack, self._tiling = slide, pack, tiling
        self._detector = Detector(pack.detector, detector, threads=tiling.threads)
        self._classifier = None if contract.classifier is None else Classifier(pack, threads=tiling.threads)
        self.crop_spacing, self.crop = contract.cell_pictures
        self._reader = TileReader(slide, detector.spacing, self.crop_spacing, threads=tiling.readers)
        self._level0_per_pixel = np.array([detector.spacing / spacing.x, detector.spacing / spacing.y])
        self._regions = {region.name: region.polygon for region in regions}
        self._stitcher = Stitcher(detector.iou_threshold)
        self.stopwatch = Stopwatch()

    @property
    def upsampled(self) -> bool:
        """Whether the slide is coarser than the models need."""
        return self._reader.upsampled

    def remember(self, counting_field: CountingField, boxes: NDArray[np.float64]) -> None:
        """Cells of a field that was counted before (level-0 pixels), so that none is found again across its border."""
        self._stitcher.admit(counting_field.column, counting_field.row, boxes)

    def find(self, fields: Iterable[CountingField]) -> Generator[FieldCells]:
        """Cells of each field, in the order of the fields.

        Close the generator when enough is counted, and before the slide is closed: its threads read ahead.
        """
        planned = ((counting_field, window) for counting_field in fields for window in self._windows(counting_field))
        ahead: list[tuple[CountingField, TileWindow]] = []

        def windows() -> Iterator[TileWindow]:
            for item in planned:
                ahead.append(item)
                yield item[1]

        with closing(self._reader.stream(windows())) as tiles:
            yield from self._by_field(tiles, ahead)

    def _by_field(self, tiles: Iterator[Tile], ahead: list[tuple[CountingField, TileWindow]]) -> Iterator[FieldCells]:
        """Detect in batches; finish a field when its last tile is through. ``ahead`` says whose tiles come."""
        current: list[tuple[Tile, Detections]] = []
        owner: CountingField | None = None
        while True:
            started = perf_counter()
            batch = list(islice(tiles, self._tiling.batch))
            started = self.stopwatch.add("read", started)
            found = self._detector.detect(batch)
            self.stopwatch.add("detect", started)
            for tile, detections in zip(batch, found, strict=True):
                counting_field = ahead.pop(0)[0]
                if owner is not None and counting_field is not owner:
                    yield self._finish(owner, current)
                    current = []
                owner = counting_field
                current.append((tile, detections))
            if not batch:
                break
        if owner is not None:
            yield self._finish(owner, current)

    def _windows(self, counting_field: CountingField) -> list[TileWindow]:
        x0, y0, x1, y1 = counting_field.owned.bounds
        scale = self._level0_per_pixel
        needed = Box(x0 / scale[0], y0 / scale[1], x1 / scale[0], y1 / scale[1])
        contract, tiling = self._pack.contract.counts_with, self._tiling
        tile = contract.tile if tiling.tile is None else tiling.tile
        return tile_windows(needed, tile=tile, margin=contract.margin, stride=contract.stride, origin=tiling.origin)

    def _finish(self, counting_field: CountingField, parts: Sequence[tuple[Tile, Detections]]) -> FieldCells:
        """Stitch the tiles of a field, keep what the field owns, name the types, flag."""
        started = perf_counter()
        found, sources = stitch_field(
            [(tile.window, detections) for tile, detections in parts], self._pack.contract.counts_with.iou_threshold
        )
        scale = np.tile(self._level0_per_pixel, 2)
        owned = counting_field.owns(found.centres * self._level0_per_pixel)
        owned[owned] = self._stitcher.admit(counting_field.column, counting_field.row, found.boxes[owned] * scale)
        found, sources = found[owned], sources[owned]
        boxes = found.boxes * scale
        started = self.stopwatch.add("stitch", started)

        crops = np.empty((len(found), self.crop, self.crop, 3), np.uint8)
        for index, (tile, _) in enumerate(parts):
            here = sources == index
            if here.any():
                centres = found.centres[here] * tile.factor - np.array(tile.fine_corner)
                crops[here] = cut_crops(tile.fine, centres, self.crop, self._slide.background)
        if self._classifier is not None:
            named = self._classifier.classify(crops)
        elif found.probabilities is not None:
            named = Named(found.probabilities, None)
        else:
            named = Named(np.zeros((0, len(self._pack.contract.classes)), np.float32), None)
        flags = self._flags(counting_field, boxes, named, crops)
        self.stopwatch.add("classify", started)
        return FieldCells(counting_field, boxes, found.scores, named.probabilities, flags, crops, named.anomaly)

    def _flags(
        self,
        counting_field: CountingField,
        boxes: NDArray[np.float64],
        named: Named,
        crops: NDArray[np.uint8],
    ) -> dict[str, NDArray[np.bool_]]:
        bounds = self._slide.bounds
        cut = cut_by_border(boxes, self._regions[counting_field.region], (bounds.x0, bounds.y0, bounds.x1, bounds.y1))
        return {"cut": cut} | looks_flagged(crops, named.probabilities, named.anomaly, self._pack.contract)
