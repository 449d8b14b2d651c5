"""Labelled tiles: what training takes, cut from slides, as a folder on disk; this module reads it.

Frames: a tile is the square ``[u, u + side) x [v, v + side)`` of lattice pixels of its slide at ``spacing`` um; corners
are multiples of ``side``, so tiles of one slide never overlap and every cell is owned by exactly one. Boxes are in
*tile pixels*: lattice pixels from the tile's corner.

On disk: ``pictures/SLIDE/u_v.png``, ``tiles.parquet``, ``cells.parquet`` and ``tiles.json``, as
:mod:`marrowscope.annotations.cutting` writes them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.annotations.table import CORNERS
from marrowscope.errors import DataError
from marrowscope.taxonomy import CELL_TYPES

SCHEMA = "marrowscope.annotations.tiles"
SCHEMA_VERSION = 1

TILE_SCHEMA: dict[str, pl.DataType] = {
    "tile": pl.Int64(),
    "slide": pl.String(),
    "patient": pl.String(),
    "diagnosis": pl.String(),
    "cohort": pl.String(),
    "u": pl.Int64(),
    "v": pl.Int64(),
    "file": pl.String(),
}
"""One row a tile, ``tile`` its number; ``u, v`` lattice pixels of its corner; words are "" where nobody knows."""

COMPLETE = "complete"
"""A further column, Boolean, only where it holds a true: in these tiles every cell is labelled."""

TILE_CELL_SCHEMA: dict[str, pl.DataType] = {
    "tile": pl.Int64(),
    "id": pl.String(),
    "type": pl.String(),
    "x0": pl.Float64(),
    "y0": pl.Float64(),
    "x1": pl.Float64(),
    "y1": pl.Float64(),
    "visible": pl.Float64(),
    "owned": pl.Boolean(),
}
"""One row a cell of a tile: box clipped to the tile, share of it inside, whether its centre is inside (half-open)."""


@dataclass(frozen=True, slots=True)
class LabelledTiles:
    """Tiles with their cells, pictures on disk.

    ``tiles`` follow :data:`TILE_SCHEMA`, with or without :data:`COMPLETE`, ``cells`` :data:`TILE_CELL_SCHEMA`.
    ``classes`` are the types to train; a cell of another type stays in ``cells``: training neither rewards nor punishes
    it.
    """

    folder: Path
    spacing: float
    side: int
    classes: tuple[str, ...]
    tiles: pl.DataFrame
    cells: pl.DataFrame

    def __len__(self) -> int:
        return self.tiles.height

    @property
    def complete(self) -> NDArray[np.bool_]:
        """In which tiles ``(n,)`` every cell is labelled; of the others nobody knows."""
        if COMPLETE not in self.tiles.columns:
            return np.zeros(len(self), np.bool_)
        return self.tiles[COMPLETE].to_numpy().astype(np.bool_)

    def picture(self, tile: int) -> NDArray[np.uint8]:
        """Picture of one tile, ``(side, side, 3)`` RGB. Raises ``DataError`` when it cannot be read."""
        path = self.folder / self.tiles["file"][tile]
        try:
            found = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        except (OSError, cv2.error) as error:
            raise DataError(f"{path} cannot be read ({error}); cut the tiles again") from error
        if found is None or found.shape != (self.side, self.side, 3):
            what = "no picture" if found is None else f"a picture of {found.shape[1]} x {found.shape[0]} px"
            raise DataError(f"{path} is {what}, expected {self.side} x {self.side} px; cut the tiles again")
        return np.ascontiguousarray(found[..., ::-1], np.uint8)


def read_tiles(folder: Path) -> LabelledTiles:
    """Read a folder of labelled tiles; pictures stay on disk.

    Raises ``DataError`` when it is no such folder, of a newer schema, damaged, or lacks a picture.
    """
    again = "cut the tiles again with `marrowscope annotations tiles`"
    try:
        document = json.loads((folder / "tiles.json").read_text(encoding="utf-8"))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise DataError(f"{folder / 'tiles.json'} is not about labelled tiles; {again}")
        if document["schema_version"] != SCHEMA_VERSION:
            found = document["schema_version"]
            raise DataError(f"{folder} has schema version {found}, this program reads {SCHEMA_VERSION}; {again}")
        tiles, cells = pl.read_parquet(folder / "tiles.parquet"), pl.read_parquet(folder / "cells.parquet")
        classes = tuple(map(str, document["classes"]))
        read = LabelledTiles(folder, float(document["spacing"]), int(document["side"]), classes, tiles, cells)
        check_tables(tiles, cells, read.side)
    except FileNotFoundError as error:
        if (folder / "tiles.json").is_file():
            raise DataError(f"the tiles in {folder} are not whole: {error.filename} is missing; {again}") from error
        found = "it has no tiles.json" if folder.is_dir() else "there is no such folder"
        raise DataError(
            f"{folder} holds no labelled tiles, {found}: cut some with `marrowscope annotations tiles SLIDES "
            f"--annotations LABELS -o {folder}`, or give the folder that it wrote"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"the tiles in {folder} are damaged ({error}); {again}") from error
    unknown = set(classes) - set(CELL_TYPES)
    if unknown or not classes:
        raise DataError(f"the tiles in {folder} name classes that the taxonomy lacks: {', '.join(unknown)}; {again}")
    for file in tiles["file"]:
        if ".." in Path(file).parts or Path(file).is_absolute() or not (folder / file).is_file():
            raise DataError(f"{folder} lacks the picture {file}; {again}")
    return read


def check_tables(tiles: pl.DataFrame, cells: pl.DataFrame, side: int) -> None:
    """Raise ``DataError`` where the tables of tiles contradict their schema or each other."""
    of_tiles = TILE_SCHEMA | ({COMPLETE: pl.Boolean()} if COMPLETE in tiles.columns else {})
    for what, table, schema in (("tiles", tiles, of_tiles), ("cells", cells, TILE_CELL_SCHEMA)):
        if table.schema != pl.Schema(schema):
            raise DataError(f"the table of {what} must have {schema}, found {dict(table.schema)}; cut the tiles again")
    if tiles["tile"].to_list() != list(range(tiles.height)):
        raise DataError("the tiles are not numbered 0, 1, 2, ...; cut the tiles again")
    inside = pl.all_horizontal(pl.col(name).is_between(0, side) for name in CORNERS)
    solid = (pl.col("x1") > pl.col("x0")) & (pl.col("y1") > pl.col("y0"))
    known = pl.col("tile").is_between(0, tiles.height - 1) & pl.col("type").is_in(list(CELL_TYPES))
    if (bad := cells.filter(~(inside & solid & known).fill_null(False))).height:
        raise DataError(
            f"{bad.height} cells lie outside their tile, have no area or no known type, the first: {bad.row(0)}; "
            "cut the tiles again"
        )
