"""Sheets of cells: their order, and each picture against a read of its own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import polars as pl
import pytest

from marrowscope.cells.table import cell_schema
from marrowscope.errors import SpacingError
from marrowscope.geometry import Box, Size
from marrowscope.review.pictures import NoCell, SpriteSheets
from marrowscope.review.pictures.sprites import gallery_order
from marrowscope.slides import MemorySlide, Sampler
from marrowscope.taxonomy import CELL_TYPES

TYPES = ["lymphocyte", "blast", "artefact", "myelocyte"]


def slide(spacing: float | None = 0.25) -> MemorySlide:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (50, 70, 3), dtype=np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    return MemorySlide(picture, spacing, background=(1, 2, 3))


def cells(number: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-10, 1130, number), rng.uniform(-10, 810, number)
    columns = {
        "cell_id": rng.permutation(number) * 3,
        "x0": x - 20,
        "y0": y - 15,
        "x1": x + 20,
        "y1": y + 15,
        "type": rng.choice(TYPES, number),
        "certainty": rng.choice([0.2, 0.5, 0.9], number),
    }
    schema = cell_schema([])
    return pl.DataFrame(columns).select(
        *(pl.col(n).cast(t) if n in columns else pl.lit(None, t).alias(n) for n, t in schema.items())
    )


def test_types_in_the_order_of_the_taxonomy_then_the_least_certain_then_the_number() -> None:
    table = cells(300)
    ranks = list(CELL_TYPES)
    rows = sorted(table.iter_rows(named=True), key=lambda c: (ranks.index(c["type"]), c["certainty"], c["cell_id"]))
    order = gallery_order(table)
    assert table["cell_id"].to_numpy()[np.argsort(order)].tolist() == [row["cell_id"] for row in rows]
    shuffled = table.sample(fraction=1, shuffle=True, seed=1)
    assert dict(zip(shuffled["cell_id"], gallery_order(shuffled), strict=True)) == dict(
        zip(table["cell_id"], order, strict=True)
    )


def test_a_type_that_the_taxonomy_lacks_comes_last() -> None:
    table = cells(3).with_columns(type=pl.Series(["zzz", "other", "aaa"]))
    assert gallery_order(table).tolist() == [2, 0, 1]


@pytest.mark.parametrize(("spacing", "side"), [(0.25, 32), (0.5, 33), (0.3, 20)])
def test_each_picture_is_the_crop_around_its_cell(spacing: float, side: int) -> None:
    table, source = cells(150), slide()
    sprites = SpriteSheets(source, table, spacing, side)
    sampler = Sampler(source, spacing)
    assert sprites.sheets == 3
    sheets = [sprites.sheet_picture(k) for k in range(3)]
    assert sheets[0].shape == (8 * side, 8 * side, 3)
    for cell in table.iter_rows(named=True):
        centre = np.array([cell["x0"] + cell["x1"], cell["y0"] + cell["y1"]]) / 2
        u, v = np.floor(sampler.from_level0(centre) + 0.5).astype(int).tolist()
        sheet, row, column = sprites.position(cell["cell_id"])
        shown = sheets[sheet][row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert np.array_equal(shown, sampler.read(u - side // 2, v - side // 2, Size(side, side)))
    empty = 3 * 64 - 150
    assert (sheets[2].reshape(8, side, 8, side, 3).swapaxes(1, 2).reshape(64, -1, 3)[-empty:] == (1, 2, 3)).all()


def test_what_is_not_there_is_refused() -> None:
    sprites = SpriteSheets(slide(), cells(10), 0.25, 16)
    with pytest.raises(NoCell, match="cell 1:"):
        sprites.position(1)
    for k in (-1, 1):
        with pytest.raises(NoCell, match="there are 1"):
            sprites.sheet(k)
    nothing = SpriteSheets(slide(), cells(0), 0.25, 16)
    assert nothing.sheets == 0
    with pytest.raises(NoCell):
        nothing.position(0)
    with pytest.raises(SpacingError):
        SpriteSheets(slide(None), cells(1), 0.25, 16)


def test_threads_get_what_one_gets_and_a_sheet_is_made_once() -> None:
    table, source = cells(400), slide()
    alone, shared = SpriteSheets(source, table, 0.25, 24), SpriteSheets(source, table, 0.25, 24)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(shared.sheet, [*range(7)] * 3))
    assert found == [alone.sheet(k) for k in range(7)] * 3
    assert shared.sheet(3) is shared.sheet(3)


def test_one_large_picture_has_the_cell_in_the_middle_at_the_width_asked_for() -> None:
    picture = np.full((400, 400, 3), 255, np.uint8)
    picture[190:210, 290:310] = (200, 0, 0)  # 5 um at 0.25 um per pixel
    sprites = SpriteSheets(MemorySlide(picture, 0.25), cells(1), 0.25, 16)
    data = sprites.cell_picture(Box(290, 190, 310, 210), 20.0, 320)
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    assert seen.shape == (320, 320, 3)
    red = seen[..., 1] < 128
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    for places in (rows, columns):
        assert abs(len(places) - 80) <= 4
        assert abs(places.mean() - 160) <= 3
    assert abs(seen[160, 160] - (200, 0, 0)).max() < 12
    assert sprites.cell_picture(Box(290, 190, 310, 210), 20.0, 320) is data
    with pytest.raises(ValueError, match="positive"):
        sprites.cell_picture(Box(0, 0, 1, 1), 0.0, 10)
