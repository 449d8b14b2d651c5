"""Labelled tiles cut from a slide: frames, ownership, folders that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from marrowscope.annotations import (
    ANNOTATION_SCHEMA,
    Annotations,
    TilePart,
    TileWriter,
    cut_tiles,
    read_tiles,
    write_tiles,
)
from marrowscope.annotations.table import CORNERS, within
from marrowscope.annotations.tiles import TILE_SCHEMA
from marrowscope.errors import DataError, OutputError, SlideError, SpacingError
from marrowscope.geometry import Size, Spacing
from marrowscope.phantom import read_truth
from marrowscope.slides import MemorySlide, open_slide


def table(*rows: tuple[str, str, float, float, float, float]) -> Annotations:
    return Annotations(pl.DataFrame(list(rows), schema=ANNOTATION_SCHEMA, orient="row"))


def painted(width: int = 300, height: int = 200, spacing: float | None = 0.25) -> MemorySlide:
    """Red grows with x, green with y; blue is 7: order of the channels and place of a tile can be read off."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x % 256, y % 256, np.full_like(x, 7)], axis=-1).astype(np.uint8)
    return MemorySlide(picture, spacing, name="field")


def test_tiles_of_a_painted_slide(tmp_path: Path) -> None:
    cells = table(
        ("seam", "blast", 90, 10, 110, 30),  # centre at 100: owned by the right tile, half of it in the left
        ("left", "smudge", 20, 20, 40, 40),
        ("edge", "blast", 97, 60, 117, 80),  # 15 % in the left tile: not shown there
        ("low", "lymphocyte", 250, 150, 270, 170),
    )
    slide = painted()
    made = write_tiles(
        tmp_path / "tiles",
        spacing=0.25,
        side=100,
        classes=["blast", "lymphocyte"],
        tiles=cut_tiles(slide, slide.spacing, cells, side=100, patient="p", diagnosis="aml", cohort="first"),
        notes=["said"],
        sources=[{"slide": "field"}],
    )
    assert len(made) == 3
    assert made.tiles.rows() == [
        (0, "field", "p", "aml", "first", 0, 0, "pictures/field/0_0.png"),
        (1, "field", "p", "aml", "first", 100, 0, "pictures/field/100_0.png"),
        (2, "field", "p", "aml", "first", 200, 100, "pictures/field/200_100.png"),
    ]
    assert made.cells.rows() == [
        (0, "seam", "blast", 90, 10, 100, 30, 0.5, False),
        (0, "left", "smudge", 20, 20, 40, 40, 1, True),
        (1, "seam", "blast", 0, 10, 10, 30, 0.5, True),
        (1, "edge", "blast", 0, 60, 17, 80, pytest.approx(0.85), True),
        (2, "low", "lymphocyte", 50, 50, 70, 70, 1, True),
    ]
    assert made.picture(1)[5, 20].tolist() == [120, 5, 7]
    assert made.picture(2).shape == (100, 100, 3)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("spacing", [0.25, 0.2, 0.3])
def test_tiles_in_areas_of_complete_annotation(spacing: float, tmp_path: Path) -> None:
    """The areas end where tiles end; two lie side by side, the last reaches over the slide as its tile does."""
    side, edge = 60, 60 * spacing / 0.25  # level-0 pixels
    last = 299 // edge
    corners = [(u * edge, v * edge) for u in (0, 1, 2, last) for v in (0, 1)]
    wanted = table(*((f"{x} {y}", "blast", x + 2, y + 2, x + 9, y + 9) for x, y in corners))
    halves = shapely.box(0, 0, edge * 0.7, edge), shapely.box(edge * 0.7, 0, edge, edge)
    nearly, over = shapely.box(edge, 0, 2 * edge, edge - 0.1), shapely.box(last * edge, 0, 300, edge)
    given_areas = Annotations(wanted.cells, (*halves, nearly, over))
    parts = list(cut_tiles(painted(), None, given_areas, side=side, tile_spacing=spacing))
    assert [(part.u // side, part.v // side) for part in parts if part.complete] == [(0, 0), (last, 0)]
    options = {"spacing": spacing, "side": side, "classes": ["blast"]}
    made = write_tiles(tmp_path / "tiles", tiles=parts, **options)
    assert made.complete.tolist() == [part.complete for part in parts]
    assert made.tiles.columns == [*TILE_SCHEMA, "complete"]
    without = cut_tiles(painted(), None, wanted, side=side, tile_spacing=spacing)
    partial = write_tiles(tmp_path / "partial", tiles=without, **options)
    assert partial.tiles.equals(made.tiles.drop("complete"))  # as such tiles always were
    assert partial.cells.equals(made.cells)
    assert partial.complete.tolist() == [False] * len(parts)


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.floats(0, 280), st.floats(0, 180), st.floats(4, 60), st.floats(4, 60)), min_size=1, max_size=8
    ),
    st.sampled_from([32, 50, 64]),
    st.sampled_from([0.2, 0.25, 0.4]),
)
def test_every_cell_is_owned_once(boxes: list[tuple[float, float, float, float]], side: int, spacing: float) -> None:
    given_cells = table(*((f"{i}", "blast", x, y, x + w, y + h) for i, (x, y, w, h) in enumerate(boxes)))
    cells = within(given_cells, Size(300, 200))
    parts = list(cut_tiles(painted(), None, cells, side=side, tile_spacing=spacing))
    owned = pl.concat([part.cells.filter("owned") for part in parts])
    assert sorted(owned["id"]) == sorted(cells.cells["id"])
    assert all(part.cells["owned"].any() for part in parts)
    for part in parts:
        assert part.u % side == part.v % side == 0
        placed = part.cells.filter(pl.col("visible") == 1).join(cells.cells, on="id", suffix="_0")
        for corner, start in (("x0", part.u), ("y0", part.v), ("x1", part.u), ("y1", part.v)):
            back = (placed[corner] + start) * spacing / 0.25
            np.testing.assert_allclose(back, placed[f"{corner}_0"], atol=1e-9)


def test_phantom_cells_stand_on_their_pictures(phantom: Path) -> None:
    """Tiles at half the scale: nuclei are darker inside their boxes than the glass around."""
    truth = read_truth(phantom)
    marrow = truth.cells.filter("in_trail").head(40).with_row_index("id")
    cells = marrow.select(pl.col("id").cast(pl.String), "type", *CORNERS)
    with open_slide(phantom) as slide:
        parts = list(cut_tiles(slide, None, Annotations(cells), side=160, tile_spacing=0.5))
    assert sum(part.cells["owned"].sum() for part in parts) == 40
    darker = []
    for part in parts:
        for row in part.cells.filter(pl.col("visible") == 1).iter_rows(named=True):
            x0, y0, x1, y1 = (round(row[name]) for name in CORNERS)
            darker.append(part.picture[y0:y1, x0:x1].mean() < np.median(part.picture.mean(axis=2)))
    assert np.mean(darker) > 0.9


def test_refusals(tmp_path: Path) -> None:
    cells = table(("a", "blast", 10, 10, 20, 20))
    with pytest.raises(SpacingError, match="--spacing"):
        next(cut_tiles(painted(spacing=None), None, cells))
    with pytest.raises(SpacingError, match="spacing that is true"):
        next(cut_tiles(painted(), Spacing.square(0.5), cells))
    with pytest.raises(DataError, match="1 of 1 annotated cells lie outside"):
        next(cut_tiles(painted(), None, table(("a", "blast", 310, 10, 330, 30))))
    options = {"spacing": 0.25, "side": 64}
    with pytest.raises(DataError, match="taxonomy lacks: neutro"):
        write_tiles(tmp_path / "t", classes=["neutro"], tiles=[], **options)
    with pytest.raises(DataError, match="no slide has an annotated cell"):
        write_tiles(tmp_path / "t", classes=["blast"], tiles=[], **options)
    assert not list(tmp_path.iterdir())


def test_a_slide_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    cells = table(("a", "blast", 10, 10, 20, 20), ("b", "blast", 110, 10, 120, 20))
    slide = painted()

    def breaking() -> object:
        yield next(cut_tiles(slide, None, cells, side=64, name="broken"))
        raise SlideError("damaged")

    with TileWriter(tmp_path / "t", spacing=0.25, side=64, classes=["blast"]) as writer:
        assert writer.add(cut_tiles(slide, None, cells, side=64, name="one")) == 2
        with pytest.raises(SlideError):
            writer.add(breaking())
        with pytest.raises(DataError, match="given twice"):
            writer.add(cut_tiles(slide, None, cells, side=64, name="one"))
        assert writer.add(cut_tiles(slide, None, cells, side=64, name="two")) == 2
    made = read_tiles(tmp_path / "t")
    assert made.tiles["slide"].to_list() == ["one", "one", "two", "two"]
    assert sorted(path.name for path in (tmp_path / "t" / "pictures").iterdir()) == ["one", "two"]
    with pytest.raises(OutputError, match="--force"):
        write_tiles(tmp_path / "t", spacing=0.25, side=64, classes=["blast"], tiles=[])
    parts = list(cut_tiles(slide, None, cells, side=64))
    assert len(write_tiles(tmp_path / "t", spacing=0.25, side=64, classes=["blast"], tiles=parts[:1], force=True)) == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "precious.txt").write_text("")
    with pytest.raises(OutputError, match="there already"):
        write_tiles(tmp_path / "other", spacing=0.25, side=64, classes=["blast"], tiles=parts, force=True)


def test_cells_outside_their_tile_are_not_written(tmp_path: Path) -> None:
    (part,) = cut_tiles(painted(), None, table(("a", "blast", 10, 10, 20, 20)), side=64)
    out = TilePart("s", 0, 0, part.picture, part.cells.with_columns(pl.lit(65.0).alias("x1")))
    with pytest.raises(DataError, match="outside their tile"):
        write_tiles(tmp_path / "u", spacing=0.25, side=64, classes=["blast"], tiles=[out])
    assert not (tmp_path / "u").exists()
