"""Cutting labelled tiles from slides, and writing them: the folder that :mod:`marrowscope.annotations.tiles` reads.

A folder of tiles appears whole or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
import polars as pl
import shapely
from numpy.typing import NDArray

from marrowscope.annotations.table import CORNERS, Annotations
from marrowscope.annotations.tiles import (
    COMPLETE,
    SCHEMA,
    SCHEMA_VERSION,
    TILE_CELL_SCHEMA,
    TILE_SCHEMA,
    LabelledTiles,
    check_tables,
    read_tiles,
)
from marrowscope.errors import DataError, OutputError, SpacingError
from marrowscope.files import write_json
from marrowscope.geometry import Size, Spacing
from marrowscope.slides import Sampler, Slide, require_spacing
from marrowscope.taxonomy import CELL_TYPES

VISIBLE = 0.2
"""A cell with less of its box inside a tile is not shown with it."""

SLIVER = 1e-6
"""What rounding may leave of a tile outside an area that ends with it, as a share."""


@dataclass(frozen=True, slots=True)
class TilePart:
    """One tile on its way to disk.

    ``picture`` is ``(side, side, 3)`` uint8 RGB; ``cells`` have the columns of :data:`TILE_CELL_SCHEMA` but ``tile``;
    ``complete``: every cell that the tile shows is among them.
    """

    slide: str
    u: int
    v: int
    picture: NDArray[np.uint8]
    cells: pl.DataFrame
    patient: str = ""
    diagnosis: str = ""
    cohort: str = ""
    complete: bool = False


def cut_tiles(
    slide: Slide,
    spacing: Spacing | None,
    annotations: Annotations,
    *,
    side: int = 640,
    tile_spacing: float = 0.25,
    name: str | None = None,
    patient: str = "",
    diagnosis: str = "",
    cohort: str = "",
) -> Iterator[TilePart]:
    """The tiles of a slide that own at least one annotated cell, row by row, read one at a time.

    A tile shows every cell with at least :data:`VISIBLE` of its box inside. It is complete when what it shows of the
    slide lies in the areas of complete annotation, together. ``spacing`` is the slide's (None: what it says of itself),
    ``name`` what the tiles call the slide. Raises ``SpacingError`` when the slide has no spacing or ``spacing`` is
    another one, ``DataError`` when a cell's centre is outside the slide, ``SlideError`` where the file is damaged.
    """
    own = require_spacing(slide)
    if spacing is not None and spacing != own:
        raise SpacingError(
            f"{slide.name} was opened with {own.x:g} x {own.y:g} um per pixel, its tiles were asked for with "
            f"{spacing.x:g} x {spacing.y:g}: open the slide with the spacing that is true"
        )
    sampler = Sampler(slide, tile_spacing)
    cells = annotations.cells
    boxes = sampler.from_level0(cells.select(CORNERS).to_numpy().reshape(-1, 2, 2)).reshape(-1, 4)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    extent = sampler.from_level0(np.array(slide.size, np.float64))
    if outside := int(((centres < 0) | (centres >= extent)).any(axis=1).sum()):
        raise DataError(
            f"{slide.name}: {outside} of {len(cells)} annotated cells lie outside the slide "
            f"({slide.size.width} x {slide.size.height} px); do the annotations belong to another slide?"
        )
    owner = np.floor(centres / side).astype(np.int64)
    corners = np.unique(owner[:, ::-1], axis=0)[:, ::-1]  # by rows
    tree = shapely.STRtree([shapely.box(x0, y0, x1, y1) for x0, y0, x1, y1 in boxes.tolist()])
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    labelled = shapely.transform(shapely.union_all(annotations.areas), sampler.from_level0)
    for column, row in corners.tolist():
        u, v = column * side, row * side
        near = np.sort(tree.query(shapely.box(u, v, u + side, v + side)))
        clipped = np.clip(boxes[near] - (u, v, u, v), 0, side)
        visible = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) / areas[near]
        owned = (owner[near] == (column, row)).all(axis=1)
        shown = owned | (visible >= VISIBLE)
        near, clipped = near[shown], clipped[shown]
        table = pl.DataFrame(
            {
                "id": cells["id"].gather(near),
                "type": cells["type"].gather(near),
                **{corner: clipped[:, place] for place, corner in enumerate(CORNERS)},
                "visible": np.minimum(visible[shown], 1.0),
                "owned": owned[shown],
            }
        )
        glass = shapely.box(u, v, *np.minimum((u + side, v + side), extent))
        complete = glass.difference(labelled).area <= SLIVER * glass.area
        picture = sampler.read(u, v, Size(side, side))
        yield TilePart(name or slide.name, u, v, picture, table, patient, diagnosis, cohort, complete)


class NoTilesError(DataError):
    """There is nothing to write: no slide gave a tile."""


class TileWriter:
    """Writes a folder of labelled tiles slide by slide, beside its place; it takes its place when the block ends well.

    Raises ``OutputError`` when ``folder`` is taken (unless ``force``, and then only by tiles) or cannot be written, and
    ``DataError`` when the block ends without a tile.
    """

    def __init__(self, folder: Path, *, spacing: float, side: int, classes: Sequence[str], force: bool = False) -> None:
        if unknown := [name for name in classes if name not in CELL_TYPES]:
            raise DataError(f"classes that the taxonomy lacks: {', '.join(unknown)}; known: {', '.join(CELL_TYPES)}")
        if not classes or len(set(classes)) != len(classes):
            raise DataError(f"the classes to train must be named, each once; found {list(classes)}")
        self.notes: list[str] = []
        self.sources: list[Mapping[str, Any]] = []
        self._folder, self._spacing, self._side, self._classes = folder, spacing, side, tuple(classes)
        self._force = force
        self._tiles: list[dict[str, Any]] = []
        self._cells: list[pl.DataFrame] = []

    def add(self, parts: Iterable[TilePart]) -> int:
        """Write the tiles of one slide, all or none; their number."""
        tiles: list[dict[str, Any]] = []
        cells: list[pl.DataFrame] = []
        folders: set[Path] = set()
        taken = {row["file"] for row in self._tiles}
        try:
            for part in parts:
                number = len(self._tiles) + len(tiles)
                file = self._file(part)
                if file in taken:
                    raise DataError(f"the tile {file} was given twice; name each slide once, by a name of its own")
                taken.add(file)
                path = self._beside / file
                if not path.parent.exists():
                    folders.add(path.parent)
                _write_picture(part.picture, path)
                words = {"slide": part.slide, "patient": part.patient, "diagnosis": part.diagnosis}
                words |= {"cohort": part.cohort}
                tiles.append({"tile": number, **words, "u": part.u, "v": part.v, "file": file, COMPLETE: part.complete})
                cells.append(part.cells.select(pl.lit(number, pl.Int64).alias("tile"), pl.all()))
            self._tiles += tiles
            self._cells += [table.select(*TILE_CELL_SCHEMA) for table in cells]
        except BaseException:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return len(tiles)

    def _file(self, part: TilePart) -> str:
        if part.picture.shape != (self._side, self._side, 3) or part.picture.dtype != np.uint8:
            raise ValueError(f"a tile must be uint8 ({self._side}, {self._side}, 3), found {part.picture.shape}")
        if part.slide in ("", ".", "..") or set(part.slide) & set("/\\"):
            raise DataError(f"{part.slide!r} cannot be the name of a folder of pictures; name the slide otherwise")
        return f"pictures/{part.slide}/{part.u}_{part.v}.png"

    def __enter__(self) -> Self:
        if self._folder.exists():
            holds_tiles = (self._folder / "tiles.json").is_file()
            if not self._folder.is_dir() or (any(self._folder.iterdir()) and not (self._force and holds_tiles)):
                how = ", or replace them with --force" if holds_tiles else ""
                raise OutputError(f"{self._folder} is there already; choose another folder with -o{how}")
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            self._beside = Path(mkdtemp(dir=self._folder.parent, prefix=f".{self._folder.name}."))
        except OSError as error:
            raise OutputError(f"cannot write {self._folder} ({error.strerror}); choose another with -o") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if kind is None:
                self._finish()
        except OSError as failed:
            raise OutputError(f"cannot write {self._folder} ({failed.strerror}); free space") from failed
        finally:
            shutil.rmtree(self._beside, ignore_errors=True)

    def _finish(self) -> None:
        if not self._tiles:
            raise NoTilesError(f"no tile to write to {self._folder}: no slide has an annotated cell")
        tiles = pl.DataFrame(self._tiles, schema={**TILE_SCHEMA, COMPLETE: pl.Boolean()})
        if not tiles[COMPLETE].any():  # as such tiles always were: what was trained on them stays theirs
            tiles = tiles.drop(COMPLETE)
        cells = pl.concat(self._cells)
        check_tables(tiles, cells, self._side)
        tiles.write_parquet(self._beside / "tiles.parquet")
        cells.write_parquet(self._beside / "cells.parquet")
        owned = cells.filter("owned")
        by_type = dict(owned.group_by("type").len().sort("type").iter_rows())
        document = {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "spacing": self._spacing,
            "side": self._side,
            "classes": list(self._classes),
            "counts": {
                "tiles": tiles.height,
                "slides": tiles["slide"].n_unique(),
                "cells": owned.height,
                "by_type": {name: by_type[name] for name in CELL_TYPES if name in by_type},
            },
            "notes": self.notes,
            "sources": self.sources,
        }
        write_json(self._beside / "tiles.json", document)
        self._beside.chmod(0o777 & ~_umask())
        if not self._folder.exists():
            self._beside.replace(self._folder)
            return
        old = self._folder.replace(self._beside.with_name(f"{self._beside.name}.old"))
        try:
            self._beside.replace(self._folder)
        except OSError:
            old.replace(self._folder)
            raise
        shutil.rmtree(old)


def write_tiles(
    folder: Path,
    *,
    spacing: float,
    side: int,
    classes: Sequence[str],
    tiles: Iterable[TilePart],
    notes: Sequence[str] = (),
    sources: Sequence[Mapping[str, Any]] = (),
    force: bool = False,
) -> LabelledTiles:
    """Write labelled tiles, whole or not at all, and read them back; errors as of :class:`TileWriter`."""
    with TileWriter(folder, spacing=spacing, side=side, classes=classes, force=force) as writer:
        writer.add(tiles)
        writer.notes += notes
        writer.sources += sources
    return read_tiles(folder)


def _write_picture(picture: NDArray[np.uint8], path: Path) -> None:
    encoded = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_PNG_COMPRESSION, 3])[1]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded.tobytes())
    except OSError as error:
        raise OutputError(f"cannot write {path} ({error.strerror}): free space or choose another with -o") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
