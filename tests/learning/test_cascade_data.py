"""What training draws: tiles turned with their boxes, other colours, rare types more often, the same after a break."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from marrowscope.annotations.cutting import TilePart, write_tiles
from marrowscope.annotations.tiles import LabelledTiles
from marrowscope.errors import DataError
from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.cascade.data import RareFirst, TileExamples, frequencies, repeat_factors, together

SIDE = 64
CLASSES = ("blast", "lymphocyte", "monocyte")
Cell = tuple[str, float, float, float, float, float]


def labelled(folder: Path, tiles: list[list[Cell]], classes: tuple[str, ...] = CLASSES) -> LabelledTiles:
    """Bright tiles on which each cell ``(type, x0, y0, x1, y1, visible)`` is a dark rectangle."""
    parts = []
    for number, cells in enumerate(tiles):
        picture = np.full((SIDE, SIDE, 3), 230, np.uint8)
        for _, x0, y0, x1, y1, _ in cells:
            picture[int(y0) : int(y1), int(x0) : int(x1)] = (110, 50, 140)
        table = pl.DataFrame(
            [
                {"id": str(i), "type": c[0], "x0": c[1], "y0": c[2], "x1": c[3], "y1": c[4], "visible": c[5]}
                for i, c in enumerate(cells)
            ],
            schema={
                "id": pl.String,
                "type": pl.String,
                **dict.fromkeys(("x0", "y0", "x1", "y1", "visible"), pl.Float64),
            },
        ).with_columns(owned=pl.col("visible") >= 0.5)
        parts.append(TilePart("smear", SIDE * number, 0, picture, table))
    return write_tiles(folder / "tiles", spacing=0.25, side=SIDE, classes=classes, tiles=parts)


@pytest.fixture
def tiles(tmp_path: Path) -> LabelledTiles:
    """Types by tile: blast 4 of 4, lymphocyte 2 of 4, monocyte 1 of 4; a smudge and a sliver of a blast."""
    blast: Cell = ("blast", 4, 6, 24, 20, 1.0)
    return labelled(
        tmp_path,
        [
            [blast, ("lymphocyte", 30, 30, 44, 50, 1.0)],
            [blast, ("lymphocyte", 30, 30, 44, 50, 0.8), ("monocyte", 40, 2, 60, 22, 1.0)],
            [blast, ("smudge", 30, 30, 50, 60, 1.0), ("blast", 58, 30, 64, 50, 0.3)],
            [blast],
        ],
    )


@pytest.mark.parametrize("seed", range(12))
def test_boxes_turn_with_the_picture(seed: int) -> None:
    picture = np.full((SIDE, SIDE, 3), 230, np.uint8)
    picture[6:20, 4:34] = 40
    boxes = np.array([[4, 6, 34, 20]], np.float32)
    turned, moved = Augmentation(turns=True)(picture, boxes, np.random.default_rng(seed))
    ys, xs = np.nonzero(turned[:, :, 0] < 100)
    assert [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] == moved[0].tolist()


def test_all_eight_symmetries_are_drawn() -> None:
    picture, box = np.zeros((SIDE, SIDE, 3), np.uint8), np.array([[4, 6, 34, 20]], np.float32)
    seen = {tuple(Augmentation()(picture, box, np.random.default_rng(seed))[1][0].tolist()) for seed in range(100)}
    assert len(seen) == 8


COLOURS = (
    Augmentation(False, contrast=0.2),
    Augmentation(False, saturation=0.2),
    Augmentation(False, brightness=0.1),
    Augmentation(False, stain=0.15),
    Augmentation(False, focus=1.0),
)


@pytest.mark.parametrize("change", COLOURS)
def test_colours_move_nothing(change: Augmentation) -> None:
    picture = np.full((SIDE, SIDE, 3), (225, 205, 215), np.uint8)
    picture[10:30, 20:50] = (110, 50, 140)
    boxes = np.array([[20, 10, 50, 30]], np.float32)
    for seed in range(5):
        changed, same = change(picture, boxes, np.random.default_rng(seed))
        assert np.array_equal(same, boxes)
        assert not np.array_equal(changed, picture)
        grey = changed.astype(float).mean(2)
        edges = np.abs(np.diff(grey[20])), np.abs(np.diff(grey[:, 35]))
        assert sorted(np.argsort(edges[0])[-2:]) == [19, 49]
        assert sorted(np.argsort(edges[1])[-2:]) == [9, 29]


def test_a_change_of_one_colour_by_hand() -> None:
    """Saturation 0 would be grey, contrast turns round 128, brightness multiplies what comes out."""
    picture = np.full((2, 2, 3), (200, 100, 50), np.uint8)
    for change, expected in (
        (Augmentation(False, saturation=0.5), lambda f: 124.2 + f * (np.array((200, 100, 50)) - 124.2)),
        (Augmentation(False, contrast=0.5), lambda f: 128 + f * (np.array((200, 100, 50)) - 128)),
        (Augmentation(False, brightness=0.2), lambda f: f * np.array((200, 100, 50))),
    ):
        drawn = 1 + np.array(
            [
                np.random.default_rng(4).uniform(-1, 1, 3)[place] * reach
                for place, reach in enumerate((change.contrast, change.saturation, change.brightness))
            ]
        )
        factor = drawn[np.argmax(np.abs(drawn - 1))]
        changed, _ = change(picture, np.zeros((0, 4), np.float32), np.random.default_rng(4))
        np.testing.assert_allclose(changed[0, 0], np.clip(expected(factor), 0, 255), atol=1.01)


def test_the_same_seed_gives_the_same_tile() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    change = Augmentation(True, 0.2, 0.2, 0.1, 0.15, 0.5)
    boxes = np.array([[1, 2, 30, 40]], np.float32)
    first, second, other = (change(picture, boxes, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])
    assert np.array_equal(Augmentation(False)(picture, boxes, rng)[0], picture)


def test_types_are_counted_where_their_centre_is(tiles: LabelledTiles) -> None:
    assert frequencies(tiles, [0, 1, 2, 3]).tolist() == [4, 2, 1]  # the sliver belongs to another tile
    assert frequencies(tiles, [3]).tolist() == [1, 0, 0]


def test_repeat_factors_by_hand(tiles: LabelledTiles) -> None:
    """Shares of the tiles: blast 1, lymphocyte 1/2, monocyte 1/4; sqrt(0.8 / share), at least 1."""
    factors = repeat_factors(tiles, [0, 1, 2, 3], 0.8)
    np.testing.assert_allclose(factors, [(0.8 / 0.5) ** 0.5, (0.8 / 0.25) ** 0.5, 1, 1])
    assert repeat_factors(tiles, [3, 1], 0.8).tolist() == pytest.approx([1, (0.8 / 0.5) ** 0.5])
    assert repeat_factors(tiles, [0, 1, 2, 3], 0.0).tolist() == [1, 1, 1, 1]


def test_draws_follow_the_factors_and_go_on_after_a_break() -> None:
    factors = np.array([1.0, 1.5, 3.0])
    draws = RareFirst(factors, 5500, seed=3).order()
    times = np.bincount(draws % 3)
    np.testing.assert_allclose(times / times[0], factors, rtol=0.05)
    for row in range(3):  # a draw says how often its tile came before
        assert (draws[draws % 3 == row] // 3).tolist() == list(range(times[row]))
    resumed = list(RareFirst(factors, 5500, seed=3, start=1234))
    assert resumed == draws[1234:].tolist()
    assert draws.tolist() != RareFirst(factors, 5500, seed=4).order().tolist()
    assert len(RareFirst(factors, 5500, seed=3, start=1234)) == 5500


def test_an_example_holds_what_is_learnt_and_what_is_ignored(tiles: LabelledTiles) -> None:
    examples = TileExamples(tiles, [1, 2], Augmentation(False), seed=0)
    picture, target = examples[1]
    assert picture.dtype == torch.uint8
    assert picture[:, 7, 5].tolist() == [110, 50, 140]
    assert target.boxes.tolist() == [[4, 6, 24, 20]]
    assert target.types.tolist() == [0]
    assert target.ignored.tolist() == [[30, 30, 50, 60], [58, 30, 64, 50]]  # a smudge, and less than 0.4 of a blast
    assert examples[0][1].types.tolist() == [0, 1, 2]
    batch, targets = together([examples[0], examples[1]])
    assert batch.shape == (2, 3, SIDE, SIDE)
    assert [len(target.boxes) for target in targets] == [3, 1]


def test_an_example_says_whether_its_tile_is_complete(tiles: LabelledTiles) -> None:
    known = replace(tiles, tiles=tiles.tiles.with_columns(complete=pl.Series([False, True, False, True])))
    for given, expected in ((tiles, [False, False, False]), (known, [True, False, True])):
        examples = TileExamples(given, [3, 2, 1], Augmentation(), seed=0)
        assert [examples[draw][1].complete for draw in range(3)] == expected
        assert examples[0][1].to(torch.device("cpu")).complete is expected[0]


def test_a_tile_drawn_again_is_changed_otherwise(tiles: LabelledTiles) -> None:
    examples = TileExamples(tiles, [0, 1], Augmentation(brightness=0.3), seed=0)
    assert torch.equal(examples[0][0], examples[0][0])
    assert not torch.equal(examples[0][0], examples[2][0])


def test_a_class_without_a_cell_is_an_error(tiles: LabelledTiles) -> None:
    with pytest.raises(
        DataError, match=r"hold no monocyte; .* held out, monocyte \(1 cell\): .*--held-out"
    ) as held_out:
        TileExamples(tiles, [0, 2, 3], Augmentation(), seed=0)
    assert "--classes-from" not in str(held_out.value)
    wanted = replace(tiles, classes=(*CLASSES, "basophil"))
    with pytest.raises(
        DataError, match=r"hold no basophil; no tile at all holds basophil: .*--classes-from file"
    ) as absent:
        TileExamples(wanted, [0, 1, 2, 3], Augmentation(), seed=0)
    assert "held out" not in str(absent.value)
