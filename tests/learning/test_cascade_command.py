"""Which tiles ``marrowscope train cascade`` keeps apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from marrowscope.annotations.tiles import LabelledTiles, TilePart, write_tiles
from marrowscope.errors import DataError
from marrowscope.learning.cascade.command import hold_out


def of_slides(folder: Path, sizes: dict[str, int], types: dict[str, str] | None = None) -> LabelledTiles:
    """``sizes`` tiles of each slide with one cell each: a blast, or what ``types`` says."""
    parts = []
    for slide, size in sizes.items():
        for number in range(size):
            name = (types or {}).get(slide, "blast")
            cells = pl.DataFrame(
                {"id": "a", "type": name, "x0": 1.0, "y0": 1.0, "x1": 9.0, "y1": 9.0, "visible": 1.0, "owned": True}
            )
            parts.append(TilePart(slide, 16 * number, 0, np.full((16, 16, 3), 200, np.uint8), cells))
    classes = tuple(sorted({"blast", *(types or {}).values()}))
    return write_tiles(folder / "tiles", spacing=0.25, side=16, classes=classes, tiles=parts)


def test_a_slide_with_most_of_the_tiles_stays_for_learning(tmp_path: Path) -> None:
    tiles = of_slides(tmp_path, {"large": 80, "a": 10, "b": 10})
    for seed in range(12):
        train, test, unit = hold_out(tiles, 0.2, seed)
        assert (len(train), len(test), unit) == (80, 20, "slides")
        assert set(tiles.tiles["slide"].gather(test)) == {"a", "b"}
        assert sorted(train + test) == list(range(100))


@pytest.mark.parametrize(
    ("sizes", "share", "held"),
    [
        ({"a": 7, "b": 7, "c": 7}, 0.2, {7}),  # each is more than the share: one is held out
        ({"a": 30, "b": 10}, 0.1, {10}),  # none comes nearer to it: the smallest
        ({"a": 14, "b": 6}, 0.6, {6, 14}),  # as the share asks for more than half
        ({"a": 11, "b": 9}, 0.5, {9}),  # half stays
        ({"only": 10}, 0.25, {2}),
    ],
)
def test_what_is_held_out_comes_near_to_the_share(
    tmp_path: Path, sizes: dict[str, int], share: float, held: set[int]
) -> None:
    tiles = of_slides(tmp_path, sizes)
    assert {len(hold_out(tiles, share, seed)[1]) for seed in range(8)} <= held


def test_the_only_slide_with_a_type_is_learnt_from(tmp_path: Path) -> None:
    tiles = of_slides(tmp_path, {"a": 2, "b": 8, "c": 9}, {"a": "monocyte"})
    for seed in range(8):
        _, test, _ = hold_out(tiles, 0.1, seed)
        assert set(tiles.tiles["slide"].gather(test)) == {"b"}
    (tmp_path / "other").mkdir()
    alone = of_slides(tmp_path / "other", {"a": 2, "b": 8}, {"a": "monocyte"})
    with pytest.raises(DataError, match="the only one with some type"):
        hold_out(alone, 0.2, 0)
