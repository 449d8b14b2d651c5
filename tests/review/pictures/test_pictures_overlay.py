"""Cells over the slide: against a plain drawing of all cells, after edits as built anew, and from several threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from marrowscope.geometry import Box, Size
from marrowscope.review.pictures import CellOverlay, NoTile, TileGrid
from marrowscope.review.pictures.density import DensityPyramid, bins_of_tile
from marrowscope.review.pictures.drawing import OUTLINED, casing_of

SIZE = Size(1800, 1300)
SIDE = 64
GRID = TileGrid.of(SIZE, SIDE)
COLOURS = np.array([(200, 30, 30), (250, 240, 120), (20, 60, 200)], np.uint8)


def made(number: int, seed: int = 0, spread: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Cells all over the slide, a few beyond its borders and a few that are very large."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.03, 1.03, (number, 2)) * SIZE * spread
    half = rng.uniform(4, 40, (number, 2)) / 2
    half[:: max(1, number // 3)] *= 12
    return np.concatenate([centres - half, centres + half], axis=1), COLOURS[rng.integers(0, 3, number)]


def overlay(boxes: NDArray[np.float64], colours: NDArray[np.uint8], most_bins: int = 3000) -> CellOverlay:
    return CellOverlay(boxes, colours, SIZE, GRID.max_zoom, SIDE, most_bins)


def plain_marks(boxes: NDArray[np.float64], colours: NDArray[np.uint8], z: int, pad: int = 400) -> NDArray[np.uint8]:
    """All cells on one canvas of the whole slide, one pixel at a time, with ``pad`` pixels around it."""
    step, (columns, rows) = GRID.step(z), GRID.shape(z)
    canvas = np.zeros((rows * SIDE + 2 * pad, columns * SIDE + 2 * pad, 4), np.uint8)

    def ring(box: list[int], inset: int, paint: tuple[int, ...]) -> None:
        x0, x1 = sorted((box[0] + inset + pad, box[2] - inset + pad))
        y0, y1 = sorted((box[1] + inset + pad, box[3] - inset + pad))
        canvas[[y0, y1], x0 : x1 + 1] = paint
        canvas[y0 : y1 + 1, x0] = canvas[y0 : y1 + 1, x1] = paint

    def disc(box: NDArray[np.float64], reach: int, paint: tuple[int, ...]) -> None:
        x, y = (int(np.floor((low + high) / 2 / step)) + pad for low, high in (box[[0, 2]], box[[1, 3]]))
        for dx in range(-reach, reach + 1):
            for dy in range(-reach, reach + 1):
                if abs(dx) + abs(dy) < 4:
                    canvas[y + dy, x + dx] = paint

    def marks(index: int, insets: tuple[int, int], reach: int, paint: tuple[int, ...], dots: bool) -> None:
        box = boxes[index]
        edges = [*np.floor(box[:2] / step).astype(int), *(np.ceil(box[2:] / step).astype(int) - 1)]
        if max(box[2] - box[0], box[3] - box[1]) < OUTLINED * step:
            if dots:
                disc(box, reach, paint)
        elif not dots:
            for inset in insets:
                ring(edges, inset, paint)

    cells = sorted(range(len(boxes)), key=lambda i: colours[i].tolist())
    casings = [casing_of(*colours[i].tolist()) for i in range(len(boxes))]
    for casing in ((255, 255, 255), (32, 32, 32)):
        for dots in (False, True):
            for index in cells:
                if casings[index] == casing:
                    marks(index, (-1, 2), 2, (*casing, 200), dots)
    for dots in (False, True):
        for index in cells:
            marks(index, (0, 1), 1, (*colours[index].tolist(), 255), dots)
    return canvas[pad:-pad, pad:-pad]


def plain_bins(boxes: NDArray[np.float64], colours: NDArray[np.uint8], z: int, x: int, y: int) -> NDArray[np.int64]:
    span = 4 * GRID.step(z)
    bins = np.zeros((SIDE // 4, SIDE // 4, 4), np.int64)
    for box, colour in zip(boxes, colours, strict=True):
        column = min(max((box[0] + box[2]) / 2 // span, 0), -(-SIZE.width // span) - 1) - x * SIDE // 4
        row = min(max((box[1] + box[3]) / 2 // span, 0), -(-SIZE.height // span) - 1) - y * SIDE // 4
        if 0 <= row < SIDE // 4 and 0 <= column < SIDE // 4:
            bins[int(row), int(column)] += (1, *colour.tolist())
    return bins


def places(z: int) -> list[tuple[int, int, int]]:
    return [(z, x, y) for y in range(GRID.shape(z)[1]) for x in range(GRID.shape(z)[0])]


@pytest.mark.parametrize("z", range(GRID.max_zoom + 1))
def test_every_tile_is_its_part_of_a_plain_drawing_of_all_cells(z: int) -> None:
    boxes, colours = made(60)
    cells, expected = overlay(boxes, colours), plain_marks(boxes, colours, z)
    for _, x, y in places(z):
        part = expected[y * SIDE : (y + 1) * SIDE, x * SIDE : (x + 1) * SIDE]
        assert np.array_equal(cells.picture(z, x, y), part), (z, x, y)


@pytest.mark.parametrize("most_bins", [200, 100_000])
def test_crowded_tiles_show_number_and_mean_colour(most_bins: int) -> None:
    """The same whether the pyramid holds the zoom or its cells are counted as it is drawn."""
    boxes, colours = made(2500, spread=0.5)
    cells = overlay(boxes, colours, most_bins)
    for at in [(0, 0, 0), (1, 0, 0), (2, 0, 0), (2, 1, 1), (GRID.max_zoom - 2, 0, 0)]:
        bins = plain_bins(boxes, colours, *at)
        if bins[..., 0].sum() <= 512:
            continue
        seen = cells.picture(*at)[::4, ::4]
        assert np.array_equal(cells.picture(*at), seen.repeat(4, axis=0).repeat(4, axis=1))
        number = bins[..., 0]
        assert np.array_equal(seen[..., 3] > 0, number > 0)
        assert np.array_equal(seen[number > 0][:, :3], (bins[..., 1:] // np.maximum(number, 1)[..., None])[number > 0])
        rising = np.argsort(number, axis=None)
        assert (np.diff(seen[..., 3].ravel()[rising].astype(int)) >= 0).all()
    assert plain_bins(boxes, colours, 1, 0, 0)[..., 0].sum() > 512


def test_both_ways_to_count_agree_with_a_plain_one() -> None:
    boxes, colours = made(400)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    pyramid = DensityPyramid(GRID, centres, colours)
    assert pyramid.finest >= 3
    for z in range(pyramid.finest + 1):
        for at in places(z)[:: 1 + 3 * z]:
            expected = plain_bins(boxes, colours, *at)
            assert np.array_equal(pyramid.bins(*at), expected), at
            assert np.array_equal(bins_of_tile(GRID, *at, centres, colours), expected), at


def test_boxes_that_hide_each_other_become_dots() -> None:
    boxes = np.tile([[100.0, 100.0, 160.0, 160.0]], (5, 1)) + np.arange(5)[:, None]
    z = GRID.max_zoom
    few = overlay(boxes[:1], COLOURS[[0]]).picture(z, 1, 1)
    many = overlay(np.tile(boxes, (8, 1)), COLOURS[[0] * 40]).picture(z, 1, 1)
    assert few[36, 50, 3] == 255
    assert many[36, 50, 3] == 0


def test_a_png_shows_the_picture_and_an_empty_tile_is_clear() -> None:
    boxes, colours = made(700, spread=0.6)
    cells = overlay(boxes, colours)
    for at in [
        (0, 0, 0),
        (3, 0, 0),
        (GRID.max_zoom, 3, 3),
        (GRID.max_zoom, *(n - 1 for n in GRID.shape(GRID.max_zoom))),
    ]:
        seen = cv2.imdecode(np.frombuffer(cells.tile(*at), np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(seen[..., [2, 1, 0, 3]], cells.picture(*at))
    none = overlay(np.zeros((0, 4)), np.zeros((0, 3)))
    assert not none.picture(0, 0, 0).any()
    assert none.tile(0, 0, 0) == none.tile(GRID.max_zoom, 0, 0)
    with pytest.raises(NoTile):
        none.tile(0, 1, 0)


def test_more_colours_than_a_palette_holds() -> None:
    boxes, _ = made(400)
    colours = np.stack([np.arange(400) % 200, np.arange(400) // 2, np.full(400, 9)], axis=1).astype(np.uint8)
    cells, expected = overlay(boxes, colours), plain_marks(boxes, colours, 0)
    assert np.array_equal(cells.picture(0, 0, 0), expected)
    seen = cv2.imdecode(np.frombuffer(cells.tile(0, 0, 0), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(seen[..., [2, 1, 0, 3]], expected)


edits = st.lists(
    st.tuples(
        st.sampled_from(["colour", "move", "hide", "show", "add", "all"]),
        st.integers(0, 2**32 - 1),
        st.integers(1, 25),
    ),
    max_size=6,
)


@settings(max_examples=25)
@given(edits, st.sampled_from([0, 5, 80, 700]), st.sampled_from([0.2, 1.0]))
def test_after_edits_all_is_as_built_anew(changes: list[tuple[str, int, int]], number: int, spread: float) -> None:
    boxes, colours = made(number, 1, spread)
    hidden = np.zeros(number, bool)
    cells = overlay(boxes, colours)
    for kind, seed, count in changes:
        rng = np.random.default_rng(seed)
        picks = rng.permutation(len(boxes))[:count]
        other_boxes, other_colours = made(len(picks), seed, spread)
        if kind == "add":
            more, tints = made(count, seed, spread)
            assert cells.add(more, tints).tolist() == [*range(len(boxes), len(boxes) + count)]
            boxes, colours = np.concatenate([boxes, more]), np.concatenate([colours, tints])
            hidden = np.concatenate([hidden, np.zeros(count, bool)])
        if kind in ("colour", "all"):
            colours[picks] = other_colours
            cells.update(picks, colours=other_colours)
        if kind in ("move", "all"):
            boxes[picks] = other_boxes
            cells.update(picks, boxes=other_boxes)
        if kind in ("hide", "show", "all"):
            hidden[picks] = kind != "show"
            cells.update(picks, hidden=hidden[picks])
    anew = overlay(boxes[~hidden], colours[~hidden])
    for z in (0, 1, 2, 4, GRID.max_zoom):
        for at in places(z)[:: 1 + z * z]:
            assert np.array_equal(cells.picture(*at), anew.picture(*at)), at
    shown = np.flatnonzero(~hidden)
    for box in (Box(0, 0, 300, 200), Box(-500, -500, 5000, 5000), Box(900, 650, 901, 1300)):
        assert np.array_equal(cells.inside(box), shown[anew.inside(box)])


def test_a_cell_that_moves_again_and_home_is_found_once() -> None:
    boxes, colours = made(40)
    cells = overlay(boxes, colours)
    new = cells.add(boxes[:2] + 300, colours[:2])
    everywhere, moving = Box(-9000, -9000, 9000, 9000), [0, 1, 2, *new.tolist()]
    for shift in (700.0, -500.0, 0.0, 400.0):
        cells.update(moving, boxes=boxes[:5] + shift)
        assert cells.inside(everywhere).tolist() == list(range(42))


def test_an_edit_of_many_sorts_anew() -> None:
    boxes, colours = made(3000)
    cells = overlay(boxes, colours)
    cells.update([3, 4], boxes=boxes[[40, 50]])
    cells.update(np.arange(3000), boxes=boxes[::-1])
    anew = overlay(boxes[::-1], colours)
    for at in [at for z in (0, 2, 4) for at in places(z)]:
        assert np.array_equal(cells.picture(*at), anew.picture(*at)), at


def test_nearest_and_inside_against_all_distances() -> None:
    boxes, colours = made(500)
    boxes[77] = boxes[33]  # of equals the lowest
    cells = overlay(boxes, colours)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    rng = np.random.default_rng(5)
    cells.update([1, 2, 3], hidden=[True] * 3)
    centres[1:4] = np.inf
    for x, y in [*rng.uniform(-50, 1900, (60, 2)), *centres[30:40]]:
        distance = np.hypot(centres[:, 0] - x, centres[:, 1] - y)
        for within in (0.0, 30.0, 400.0):
            expected = int(distance.argmin()) if distance.min() <= within else None
            assert cells.nearest(x, y, within) == expected
        box = Box(x, y, x + 200, y + 90)
        owned = (centres >= (x, y)).all(axis=1) & (centres < (x + 200, y + 90)).all(axis=1)
        assert cells.inside(box).tolist() == np.flatnonzero(owned).tolist()
    assert cells.nearest(*centres[33], 1.0) == 33


def test_wrong_arrays_change_nothing() -> None:
    boxes, colours = made(20)
    cells = overlay(boxes, colours)
    before = cells.picture(0, 0, 0)
    with pytest.raises(IndexError, match="there are 20 cells"):
        cells.update([20], colours=[[1, 2, 3]])
    with pytest.raises(IndexError):
        cells.update([-1], hidden=[True])
    with pytest.raises(ValueError, match="twice"):
        cells.update([1, 1], hidden=[True, False])
    with pytest.raises(ValueError, match="hidden"):
        cells.update([1, 2], hidden=[True])
    with pytest.raises(ValueError, match="x0 <= x1"):
        cells.update([1], boxes=[[5, 5, 4, 9]])
    with pytest.raises(ValueError, match="expected boxes"):
        cells.add(boxes[:2], colours[:1])
    assert np.array_equal(cells.picture(0, 0, 0), before)
    assert len(cells) == 20
    assert np.array_equal(boxes, made(20)[0])


def test_a_tile_shows_the_cells_before_an_edit_or_after_it() -> None:
    """Cells jump between two states while four threads draw; counts, colours and places always belong together."""
    one, colours = made(900, 1, 0.4)
    two, _ = made(900, 2, 0.4)
    asked = [(0, 0, 0), (1, 0, 0), (3, 1, 1), (GRID.max_zoom, 4, 3)]
    known = [
        {overlay(boxes, tints).picture(*at).tobytes() for boxes, tints in ((one, colours), (two, colours[::-1]))}
        for at in asked
    ]
    assert [len(pictures) for pictures in known] == [2] * 4
    cells = overlay(one, colours)
    everything = np.arange(900)

    def draw(turn: int) -> bool:
        return cells.picture(*asked[turn % 4]).tobytes() in known[turn % 4]

    with ThreadPoolExecutor(5) as threads:
        drawn = [threads.submit(draw, turn) for turn in range(200)]
        for turn in range(60):
            boxes, tints = ((two, colours[::-1]), (one, colours))[turn % 2]
            cells.update(everything, colours=tints, boxes=boxes)
        assert all(found.result() for found in drawn)
