"""What a job of the study does, in its own process: learn a fold and find the cells of its held-out tiles.

``model.pt`` and ``detections.parquet`` (``tile, x0, y0, x1, y1`` in tile pixels, ``score``, ``p_TYPE`` ...) stay in the
job's folder. The part that learns is passed in (:class:`Learner`), so that the rest can be tried without a network.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from shapely import box, intersects

from marrowscope.annotations import LabelledTiles, read_tiles
from marrowscope.detection.corner_distance import stitch_by_corners
from marrowscope.detection.table import Detections
from marrowscope.files import whole_file
from marrowscope.geometry import Size
from marrowscope.regions import find_regions
from marrowscope.slides import Sampler, open_slide, require_spacing
from marrowscope.studies.wang_2022.data import CORNERS, SIDE, SPACING

Picture = NDArray[np.uint8]
Count = Callable[[Sequence[Picture]], list[Detections]]
"""Pictures to what is found in each, as of :meth:`Learner.predict`."""

MODEL = "model.pt"
"""What a learner leaves in the folder of its job."""

AT_ONCE = 64
"""Tiles in memory while a slide is timed."""

COUNT_SCORE = 0.5
"""Score from which a detection is counted as a cell."""


class Learner(Protocol):
    """Training and prediction of detectors; instances are pickled and sent into the processes of the jobs."""

    def question(self, recipe: str) -> Mapping[str, Any]:
        """All values of a named recipe, for fingerprints. Raises ``DataError`` for an unknown name."""

    def train(
        self,
        recipe: str,
        tiles: LabelledTiles,
        rows: Sequence[int],
        folder: Path,
        *,
        weights: Path | None,
        threads: int,
    ) -> Path:
        """Learn the classes of ``tiles`` from these rows, going on where ``folder`` has a checkpoint; its ``MODEL``."""

    def predict(self, model: Path, pictures: Iterable[Picture], *, threads: int) -> list[Detections]:
        """Detections of each ``(side, side, 3)`` RGB picture in its pixels, with probabilities ``(n, classes)``."""

    def counter(self, model: Path, examples: Sequence[Picture], folder: Path, *, threads: int) -> Count:
        """The model as a pack runs it, made in ``folder``; ``examples``: two pictures or more, to check it on."""


def learn_fold(
    folder: Path,
    *,
    tiles: Path,
    learner: Learner,
    recipe: str,
    classes: tuple[str, ...],
    train: Sequence[int],
    test: Sequence[int],
    second: Sequence[int],
    weights: Path | None,
    threads: int,
) -> Mapping[str, Any]:
    """Train ``classes`` on ``train``, then write the detections of the tiles ``test`` and ``second``."""
    started, labelled = perf_counter(), read_tiles(tiles)
    learnt = replace(labelled, classes=classes)
    model = learner.train(recipe, learnt, train, folder, weights=weights, threads=threads)
    trained, rows = perf_counter(), [*test, *second]
    found = learner.predict(model, (labelled.picture(row) for row in rows), threads=threads)
    table = detection_table(rows, found, classes, labelled.classes)
    with whole_file(folder / "detections.parquet") as beside:
        table.write_parquet(beside)
    return {
        "trained_on": len(train),
        "tested_on": len(test),
        "second": len(second),
        "train_seconds": round(trained - started, 2),
        "predict_seconds": round(perf_counter() - trained, 2),
        "detections": table.height,
    }


def detection_table(
    rows: Sequence[int], found: Sequence[Detections], classes: Sequence[str], columns: Sequence[str]
) -> pl.DataFrame:
    """Detections of these tiles as one table; ``columns`` that are none of the ``classes`` have probability 0.

    Raises ``ValueError`` when detections lack the probabilities of ``classes``.
    """
    parts = []
    for row, one in zip(rows, found, strict=True):
        if len(one) and (one.probabilities is None or one.probabilities.shape[1] != len(classes)):
            raise ValueError(f"tile {row}: expected probabilities of {len(classes)} classes")
        given = {} if one.probabilities is None else dict(zip(classes, one.probabilities.T, strict=False))
        parts.append(
            pl.DataFrame(
                {
                    "tile": np.full(len(one), row, np.int64),
                    **{corner: one.boxes[:, place] for place, corner in enumerate(CORNERS)},
                    "score": one.scores,
                    **{f"p_{name}": given.get(name, np.zeros(len(one), np.float32)) for name in columns},
                },
                schema={
                    "tile": pl.Int64(),
                    **dict.fromkeys(CORNERS, pl.Float64()),
                    "score": pl.Float32(),
                    **{f"p_{name}": pl.Float32() for name in columns},
                },
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame()


def time_slides(
    folder: Path, *, slides: Mapping[str, str], learner: Learner, model: Path, threads: int
) -> Mapping[str, Any]:
    """Time each slide as the paper does: reading its regions, finding and naming the cells, stitching.

    Regions come from the classical finder; tiles of 640 px that touch one are read and searched, ``AT_ONCE`` at a
    time, by the model as a pack runs it. Making the pack's model and its first run are not counted. Phantoms are all
    about equally large, and the time for 500 cells needs many sizes: ``part`` is where a clock stood after the first
    n-th of the first slide, two n-ths of the second and so on, of n slides.
    """
    timed = []
    count: Count | None = None
    for number, (name, path) in enumerate(slides.items(), start=1):
        started = perf_counter()
        with open_slide(path) as slide:
            finding = find_regions(slide, require_spacing(slide))
            regions_seconds = perf_counter() - started
            sampler = Sampler(slide, SPACING)
            tiles = list(_tiles_of([region.polygon for region in finding.regions], sampler))
            if not tiles:
                continue
            part = max(1, round(len(tiles) * number / len(slides)))
            read_seconds = cells_seconds = 0.0
            placed: dict[tuple[int, int], Detections] = {}
            clocks = []
            for some in _chunks(tiles, part):
                began = perf_counter()
                pictures = [sampler.read(column * SIDE, row * SIDE, Size(SIDE, SIDE)) for column, row in some]
                read_seconds += perf_counter() - began
                if count is None:
                    count = learner.counter(model, pictures[:2], folder, threads=threads)
                    count(pictures[:1])
                began = perf_counter()
                for (column, row), one in zip(some, count(pictures), strict=True):
                    shifted = one.boxes + np.tile([column * SIDE, row * SIDE], 2)
                    placed[column, row] = Detections(shifted, one.scores)
                cells_seconds += perf_counter() - began
                if len(placed) in {part, len(tiles)}:
                    began = perf_counter()
                    cells = int((stitch_by_corners(placed).scores >= COUNT_SCORE).sum())
                    clocks.append((cells, perf_counter() - began, cells_seconds))
        (of_part, *_, (cells, stitch_seconds, _)) = (clocks[0], *clocks)
        timed.append(
            {
                "slide": name,
                "regions_seconds": round(regions_seconds, 3),
                "transfer_seconds": round(read_seconds, 3),
                "cells_seconds": round(cells_seconds, 3),
                "stitch_seconds": round(stitch_seconds, 3),
                "tiles": len(tiles),
                "cells": cells,
                "part": {"cells": of_part[0], "seconds": round(regions_seconds + sum(of_part[1:]), 3)},
            }
        )
    return {"slides": timed, "processor": processor(), "threads": threads}


def _chunks(tiles: Sequence[tuple[int, int]], part: int) -> Iterator[Sequence[tuple[int, int]]]:
    """At most ``AT_ONCE`` tiles at a time, with a cut after the first ``part`` of them."""
    for first, last in ((0, part), (part, len(tiles))):
        for start in range(first, last, AT_ONCE):
            yield tiles[start : min(start + AT_ONCE, last)]


def _tiles_of(polygons: Sequence[Any], sampler: Sampler) -> Iterator[tuple[int, int]]:
    """Column and row of every tile that touches one of these polygons (level-0 pixels), row by row."""
    corner = sampler.to_level0(np.array([SIDE, SIDE]))
    wanted = set()
    for polygon in polygons:
        x0, y0, x1, y1 = polygon.bounds
        for row in range(int(y0 // corner[1]), int(y1 // corner[1]) + 1):
            for column in range(int(x0 // corner[0]), int(x1 // corner[0]) + 1):
                left, top = column * corner[0], row * corner[1]
                if intersects(polygon, box(left, top, left + corner[0], top + corner[1])):
                    wanted.add((row, column))
    yield from ((column, row) for row, column in sorted(wanted))


def processor() -> str:
    """The processor in words, for the table of times."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
