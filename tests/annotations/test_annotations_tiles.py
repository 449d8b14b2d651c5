"""Annotations as a table, and a folder of labelled tiles read back: damage is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import shapely

from marrowscope.annotations import (
    ANNOTATION_SCHEMA,
    Annotations,
    cut_tiles,
    read_annotations,
    read_tiles,
    write_annotations,
    write_tiles,
)
from marrowscope.annotations.table import CORNERS, within
from marrowscope.errors import DataError
from marrowscope.geometry import Size
from marrowscope.slides import MemorySlide


def table(*rows: tuple[str, str, float, float, float, float]) -> Annotations:
    return Annotations(pl.DataFrame(list(rows), schema=ANNOTATION_SCHEMA, orient="row"))


def painted(width: int = 300, height: int = 200, spacing: float | None = 0.25) -> MemorySlide:
    """Red grows with x, green with y; blue is 7: order of the channels and place of a tile can be read off."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x % 256, y % 256, np.full_like(x, 7)], axis=-1).astype(np.uint8)
    return MemorySlide(picture, spacing, name="field")


def test_table_is_checked() -> None:
    for row, words in (
        (("a", "neutrofil", 0, 0, 5, 5), "taxonomy lacks: neutrofil"),
        (("a", "blast", 0, 0, 0, 5), "no area"),
        (("a", "blast", 0, 0, float("nan"), 5), "no number"),
    ):
        with pytest.raises(DataError, match=words):
            table(row)
    with pytest.raises(DataError, match="only once"):
        table(("a", "blast", 0, 0, 5, 5), ("a", "blast", 1, 0, 5, 5))
    with pytest.raises(DataError, match="need the columns"):
        Annotations(pl.DataFrame({"id": ["a"]}))


def test_table_on_disk(tmp_path: Path) -> None:
    area = shapely.box(0, 0, 90.5, 20)
    made = Annotations(table(("a", "blast", 0.125, 1, 5, 5)).cells, (area,), ("3 boxes were left out",))
    write_annotations(made, tmp_path / "a.parquet", slide={"name": "smear", "spacing": [0.25, 0.25]})
    stored = read_annotations(tmp_path / "a.parquet")
    assert stored.slide == {"name": "smear", "spacing": [0.25, 0.25]}
    assert stored.annotations.cells.equals(made.cells)
    assert stored.annotations.areas == (area,)
    assert stored.annotations.notes == made.notes
    made.cells.with_columns(pl.lit("blast").alias("truth")).write_parquet(tmp_path / "a.labels.parquet")
    assert read_annotations(tmp_path / "a.labels.parquet").annotations.cells.equals(made.cells)
    counted = made.cells.select(pl.lit(7).alias("cell_id"), pl.exclude("id"))
    counted.write_parquet(tmp_path / "cells.parquet")
    assert read_annotations(tmp_path / "cells.parquet").annotations.cells["id"].to_list() == ["cell-7"]
    counted.drop("x1").write_parquet(tmp_path / "cells.parquet")
    with pytest.raises(DataError, match="the columns x1 are missing"):
        read_annotations(tmp_path / "cells.parquet")
    (tmp_path / "none.parquet").write_bytes(b"PAR1 and nothing else")
    with pytest.raises(DataError, match="cannot be read as a Parquet table"):
        read_annotations(tmp_path / "none.parquet")


def test_what_is_outside_is_said() -> None:
    given = table(("in", "blast", 1, 1, 9, 9), ("over", "blast", -4, 90, 6, 104), ("out", "blast", 100, 0, 110, 9))
    found = within(Annotations(given.cells, (shapely.box(50, 50, 150, 150),)), Size(100, 100))
    assert found.cells["id"].to_list() == ["in", "over"]
    assert found.cells.select(CORNERS).row(1) == (0, 90, 6, 100)
    assert found.areas[0].bounds == (50, 50, 100, 100)
    assert found.notes == (
        "1 box wholly outside the slide was left out",
        "1 box partly outside the slide was clipped to it",
        "areas of complete annotation were clipped to the slide",
    )


def test_damage_is_seen(tmp_path: Path) -> None:
    parts = list(cut_tiles(painted(), None, table(("a", "blast", 10, 10, 20, 20)), side=64))
    with pytest.raises(DataError, match="holds no labelled tiles"):
        read_tiles(tmp_path)
    folder = tmp_path / "t"
    made = write_tiles(folder, spacing=0.25, side=64, classes=["blast"], tiles=parts)
    picture = folder / made.tiles["file"][0]
    picture.write_bytes(picture.read_bytes()[:40])
    with pytest.raises(DataError, match="cut the tiles again"):
        made.picture(0)
    picture.unlink()
    with pytest.raises(DataError, match="lacks the picture"):
        read_tiles(folder)
    text = (folder / "tiles.json").read_text()
    (folder / "tiles.json").write_text(text.replace('"schema_version": 1', '"schema_version": 9'))
    with pytest.raises(DataError, match="schema version 9"):
        read_tiles(folder)
    (folder / "tiles.json").write_text(text[:50])
    with pytest.raises(DataError, match="damaged"):
        read_tiles(folder)
