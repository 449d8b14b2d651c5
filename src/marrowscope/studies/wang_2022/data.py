"""The tiles of the study, cut once from a cohort, and everything that is known of their cells.

``OUT/tiles/`` are labelled tiles; beside them lie ``truth.parquet`` (every cell of a phantom's tiles, labelled or not),
``readers.parquet`` (what each observer called the labelled cells), ``readings.parquet`` (blind readings) and, last,
``data.json``. Real tiles have none of the three tables: what needs them is "not run".
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray

from marrowscope.annotations import Annotations, LabelledTiles, TileWriter, cut_tiles, read_annotations, read_tiles
from marrowscope.annotations.cutting import VISIBLE
from marrowscope.errors import DataError, how_many
from marrowscope.files import whole_file, write_json
from marrowscope.phantom.cohort import Cohort, CohortSlide, read_cohort
from marrowscope.slides import Sampler, Slide, open_slide
from marrowscope.taxonomy import WANG_2022_TYPES

if TYPE_CHECKING:
    from marrowscope.options import Progress

CUTTING = ".cutting-tiles"
"""Marks a folder whose tiles were begun by a study."""

SIDE, SPACING = 640, 0.25
"""Tiles of Wang et al. 2022: pixels, um per pixel."""

CORNERS = ("x0", "y0", "x1", "y1")
TRUTH_SCHEMA: dict[str, pl.DataType] = {
    "tile": pl.Int64(),
    "type": pl.String(),
    **dict.fromkeys(CORNERS, pl.Float64()),
    "owned": pl.Boolean(),
}
"""Every cell of a tile in tile pixels, clipped to it; ``owned``: its centre lies inside."""


@dataclass(frozen=True)
class StudyData:
    """Tiles, labels and, for phantoms, the whole truth (``TRUTH_SCHEMA``), readers' names and blind readings.

    ``readers``: id, reader_1, reader_2; ``readings``: slide, cell, reader, occasion, type. ``words`` says what the data
    are, for every page that shows a number; ``slides`` are the slide files by name, where there are any.
    """

    tiles: LabelledTiles
    truth: pl.DataFrame | None
    readers: pl.DataFrame | None
    readings: pl.DataFrame | None
    words: str
    slides: dict[str, Path]

    @cached_property
    def identity(self) -> str:
        """Hash of the tables that describe the tiles."""
        told = hashlib.sha256()
        for name in ("tiles.json", "tiles.parquet", "cells.parquet"):
            told.update((self.tiles.folder / name).read_bytes())
        return told.hexdigest()[:16]

    def trained(self, least_slides: int) -> tuple[str, ...]:
        """The classes labelled on so many slides of the first cohort: the others are neither learnt nor measured."""
        rows = self.rows("first")
        slides = np.array(self.column("slide", rows))
        held = [len(np.unique(slides[self.counts[rows, k] > 0])) for k in range(len(self.tiles.classes))]
        return tuple(name for name, n in zip(self.tiles.classes, held, strict=True) if n >= least_slides)

    @cached_property
    def counts(self) -> NDArray[np.int64]:
        """Owned cells of each class in each tile, ``(tiles, classes)``."""
        table = np.zeros((len(self.tiles), len(self.tiles.classes)), np.int64)
        place = {name: column for column, name in enumerate(self.tiles.classes)}
        for tile, kind in self.tiles.cells.filter("owned").select("tile", "type").iter_rows():
            if kind in place:
                table[tile, place[kind]] += 1
        return table

    def rows(self, cohort: str) -> list[int]:
        """Numbers of the tiles of ``first`` or ``second``; tiles of no named cohort are of the first."""
        second = (self.tiles.tiles["cohort"] == "second").to_list()
        return [row for row, is_second in enumerate(second) if is_second == (cohort == "second")]

    def column(self, name: str, rows: Sequence[int]) -> list[str]:
        """Slide, patient or diagnosis of these tiles; a tile of no named patient stands for its slide's."""
        words = self.tiles.tiles[name].gather(list(rows)).to_list()
        if name == "patient":
            return [word or slide for word, slide in zip(words, self.column("slide", rows), strict=True)]
        return [str(word) for word in words]


def prepare_data(source: Path, output: Path, progress: Progress) -> StudyData:
    """Cut the tiles of a cohort into ``output``, or take a folder of real tiles; done once, then read back.

    Raises ``DataError`` when ``source`` is neither, or ``output`` was made from another one.
    """
    identity = source_identity(source)
    done = output / "data.json"
    if done.is_file():
        if json.loads(done.read_text(encoding="utf-8")).get("identity") != identity:
            raise DataError(f"{output} was made from other data: choose another folder with -o")
        return read_data(output)
    if (source / "cohort.json").is_file():
        facts = _from_cohort(read_cohort(source), output, progress)
    else:
        tiles = read_tiles(source)
        if set(tiles.classes) != set(WANG_2022_TYPES):
            unlike = sorted(set(tiles.classes) ^ set(WANG_2022_TYPES))
            raise DataError(
                f"the tiles in {source} are not cut for the sixteen types of this study (too many or too few: "
                f"{', '.join(unlike)}): cut them again with marrowscope annotations tiles --classes-from wang-2022"
            )
        facts = {"tiles": str(source.resolve()), "words": _words_of(tiles), "slides": {}}
    write_json(done, facts | {"identity": identity})
    return read_data(output)


def read_data(output: Path) -> StudyData:
    """Read what :func:`prepare_data` left. Raises ``DataError`` when there is nothing."""
    try:
        facts: dict[str, Any] = json.loads((output / "data.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{output} holds no study yet: begin with marrowscope study run") from None

    def table(name: str) -> pl.DataFrame | None:
        path = output / f"{name}.parquet"
        return pl.read_parquet(path) if path.is_file() else None

    return StudyData(
        read_tiles(Path(facts["tiles"]) if facts["tiles"] else output / "tiles"),
        table("truth"),
        table("readers"),
        table("readings"),
        facts["words"],
        {name: Path(path) for name, path in facts["slides"].items()},
    )


def source_identity(source: Path) -> str:
    """Hash of what tells one cohort or folder of tiles from another; raises as :func:`prepare_data` for neither."""
    for name in ("cohort.json", "tiles.json"):
        if (source / name).is_file():
            return hashlib.sha256((source / name).read_bytes()).hexdigest()
    raise DataError(
        f"{source} is neither a cohort nor a folder of tiles: make one with marrowscope phantom cohort wang-2022 "
        f"{source}, or cut tiles of your own slides with marrowscope annotations tiles"
    )


def _from_cohort(cohort: Cohort, output: Path, progress: Progress) -> dict[str, Any]:
    truths, readers, readings = [], [], []
    if (output / "tiles").exists() and not (output / CUTTING).is_file():
        raise DataError(f"{output / 'tiles'} is there and not of this study: choose another folder with -o")
    output.mkdir(parents=True, exist_ok=True)
    (output / CUTTING).touch()  # tiles of an interrupted cut are the study's own
    shutil.rmtree(output / "tiles", ignore_errors=True)
    with TileWriter(output / "tiles", spacing=SPACING, side=SIDE, classes=WANG_2022_TYPES) as writer:
        first = 0
        for number, entry in enumerate(cohort.slides):
            progress("cutting tiles", number / len(cohort.slides), entry.name)
            stored, labels = read_annotations(entry.files[2]).annotations, entry.labels()
            with open_slide(entry.path) as slide:
                added = _add_slide(writer, slide, entry, stored)
                truths.append(_truth_of_tiles(slide, entry, added, first))
            first += len(added)
            if {"reader_1", "reader_2"} <= set(labels.columns):
                readers.append(labels.select("id", "reader_1", "reader_2"))
            readings.append(entry.readings().select(pl.lit(entry.name).alias("slide"), pl.all()))
    for name, parts in (("truth", truths), ("readers", readers), ("readings", readings)):
        if parts:
            with whole_file(output / f"{name}.parquet") as beside:
                pl.concat(parts).write_parquet(beside)
    sizes = [len(cohort.of(which)) for which in ("first", "second")]
    return {
        "tiles": "",
        "words": (
            f"phantom smears of the cohort {cohort.name}, difficulty {cohort.difficulty} ({sizes[0]} of the first "
            f"cohort, {sizes[1]} of the second), labelled by two simulated observers: generated pictures, no patients"
        ),
        "slides": {entry.name: str(entry.path.resolve()) for entry in cohort.slides},
    }


def _add_slide(writer: TileWriter, slide: Slide, entry: CohortSlide, annotations: Annotations) -> list[tuple[int, int]]:
    corners = []

    def noted() -> Any:
        for part in cut_tiles(
            slide,
            None,
            annotations,
            side=SIDE,
            tile_spacing=SPACING,
            name=entry.name,
            patient=entry.name,
            diagnosis=entry.diagnosis,
            cohort=entry.cohort,
        ):
            corners.append((part.u, part.v))
            yield part

    writer.add(noted())
    return corners


def _truth_of_tiles(slide: Slide, entry: CohortSlide, corners: Sequence[tuple[int, int]], first: int) -> pl.DataFrame:
    """All true cells of these tiles (numbered from ``first``), shown as :func:`cut_tiles` shows labelled ones."""
    cells = entry.truth().cells
    boxes = Sampler(slide, SPACING).from_level0(cells.select(CORNERS).to_numpy().reshape(-1, 2, 2)).reshape(-1, 4)
    owner = np.floor((boxes[:, :2] + boxes[:, 2:]) / 2 / SIDE).astype(np.int64)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    tree = shapely.STRtree(shapely.box(boxes[:, 0], boxes[:, 1], boxes[:, 2], boxes[:, 3]))
    parts = []
    for number, (u, v) in enumerate(corners, start=first):
        near = np.sort(tree.query(shapely.box(u, v, u + SIDE, v + SIDE)))
        clipped = np.clip(boxes[near] - (u, v, u, v), 0, SIDE)
        owned = (owner[near] == (u // SIDE, v // SIDE)).all(axis=1)
        visible = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) / areas[near]
        shown = owned | (visible >= VISIBLE)
        parts.append(
            pl.DataFrame(
                {
                    "tile": np.full(int(shown.sum()), number),
                    "type": cells["type"].gather(near[shown]),
                    **{corner: clipped[shown, place] for place, corner in enumerate(CORNERS)},
                    "owned": owned[shown],
                },
                schema=TRUTH_SCHEMA,
            )
        )
    return pl.concat(parts) if parts else pl.DataFrame(schema=TRUTH_SCHEMA)


def _words_of(tiles: LabelledTiles) -> str:
    slides = how_many(tiles.tiles["slide"].n_unique(), "slide")
    return f"{how_many(len(tiles), 'labelled tile')} of {slides} in {tiles.folder.name}"
