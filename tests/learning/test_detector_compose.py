"""Training tiles: symmetries, stain, mosaics with pasted cells, and cutting cells out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.learning.datasets.boxes import BoxPicture
from marrowscope.learning.datasets.cells import PBC_SPACING
from marrowscope.learning.detector.augment import Variation, deepen, vary, vary_stain
from marrowscope.learning.detector.borders import LEAST_SEEN, OUTSIDE, seen_parts
from marrowscope.learning.detector.canvas import Canvas, turned, turned_patch
from marrowscope.learning.detector.compose import Composition, TileComposer
from marrowscope.learning.detector.cutouts import (
    CUTOUT_SPACING,
    Cutout,
    Cutouts,
    cut_out,
    cut_red_cells,
    median_of_brightest,
    naked_nucleus,
)
from marrowscope.learning.detector.scenery import hollow, litter

GLASS, RED, CYTOPLASM, NUCLEUS = (250, 228, 205), (205, 165, 160), (190, 190, 225), (90, 45, 130)


def _blood(width: int, height: int, spacing: float, cell: tuple[float, float] | None) -> np.ndarray:
    """Flat red cells on glass and, with its centre at ``cell`` um, a white cell of 12 um with a nucleus of 8 um."""
    picture = np.full((height, width, 3), GLASS, np.uint8)
    for x in np.arange(4, width * spacing, 9.0):
        for y in np.arange(4, height * spacing, 9.0):
            if cell is None or np.hypot(x - cell[0], y - cell[1]) > 10.5:
                cv2.circle(picture, (int(x / spacing), int(y / spacing)), int(3.6 / spacing), RED, -1)
    if cell is not None:
        middle = (int(cell[0] / spacing), int(cell[1] / spacing))
        cv2.circle(picture, middle, int(6 / spacing), CYTOPLASM, -1)
        cv2.circle(picture, middle, int(4 / spacing), NUCLEUS, -1)
    noise = np.random.default_rng(0).normal(0, 3, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def _composer(composition: Composition) -> TileComposer:
    pixels = _blood(96, 72, 0.5, (20.0, 16.0))
    boxes = np.array([[28, 20, 52, 44]], np.float32)
    red = np.array([[57, 1, 71, 15], [75, 55, 89, 69], [30, 30, 44, 44], [90, 60, 96, 70]], np.float32)
    field = BoxPicture("made", "field", "train", pixels, boxes, red)
    cutout = cut_out(_blood(180, 180, PBC_SPACING, (18.0, 18.0)))
    assert cutout is not None
    red_cells = cut_red_cells([field], 0.5, 5, np.random.default_rng(0))
    assert len(red_cells) == 2, "neither one that touches the white cell nor one that is cut"
    nucleus = naked_nucleus(cutout)
    assert nucleus is not None
    cutouts = Cutouts([cutout], [cutout], red_cells, [nucleus])
    return TileComposer([field], cutouts, composition, spacing=0.5, field_spacing=0.5)


@pytest.fixture(scope="module")
def composer() -> TileComposer:
    return _composer(Composition(share_framed=0.0))


def test_a_cell_is_cut_out_with_its_cytoplasm() -> None:
    cutout = cut_out(_blood(180, 180, PBC_SPACING, (18.0, 18.0)))
    assert cutout is not None
    ys, xs = np.nonzero(cutout.mask)
    assert np.ptp(xs) * 0.33 == pytest.approx(12, abs=1.0)
    assert np.ptp(ys) * 0.33 == pytest.approx(12, abs=1.0)
    assert cutout.glass == pytest.approx(np.array(GLASS), abs=6)


def test_red_cells_alone_give_no_cutout_of_a_nucleus() -> None:
    """Otsu always finds something darker; what it finds among red cells must not be in the middle."""
    picture = np.full((180, 180, 3), GLASS, np.uint8)
    cv2.circle(picture, (30, 30), 18, RED, -1)
    assert cut_out(picture) is None


def test_glass_is_the_bright_part() -> None:
    assert median_of_brightest(_blood(96, 72, 0.5, None)) == pytest.approx(np.array(GLASS), abs=8)


@given(st.integers(0, 7), st.integers(1, 30), st.integers(1, 20))
def test_boxes_turn_with_their_picture(turn: int, x0: int, y0: int) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[y0 : y0 + 7, x0 : x0 + 11] = 255
    pixels, boxes = turned(picture, np.array([[x0, y0, x0 + 11, y0 + 7]], np.float32), turn)
    ys, xs = np.nonzero(pixels[..., 0])
    assert boxes[0].tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def test_tiles_depend_on_their_generator_alone_and_hold_cells(composer: TileComposer) -> None:
    first, boxes = composer(np.random.default_rng(5))
    again, same = composer(np.random.default_rng(5))
    other, _ = composer(np.random.default_rng(6))
    assert first.shape == (256, 256, 3)
    assert np.array_equal(first, again)
    assert np.array_equal(boxes, same)
    assert not np.array_equal(first, other)
    assert len(boxes) > 3
    assert (boxes[:, 2:] - boxes[:, :2] >= LEAST_SEEN).all()
    assert ((boxes >= 0) & (boxes <= 256)).all()


def test_no_cell_hides_most_of_another(composer: TileComposer) -> None:
    for seed in range(8):
        _, boxes = composer(np.random.default_rng(seed))
        for number, box in enumerate(boxes):
            later = boxes[number + 1 :]
            sides = np.minimum(box[2:], later[:, 2:]) - np.maximum(box[:2], later[:, :2])
            overlap = np.clip(sides, 0, None).prod(axis=1)
            area = (box[2:] - box[:2]).prod()
            assert (overlap < 0.75 * area).all()


def test_a_framed_tile_shows_pictures_apart_and_the_cells_as_far_as_they_are_seen() -> None:
    framed = _composer(Composition(share_framed=1.0, share_cropped=1.0))
    inner_borders = 0
    for seed in range(6):
        pixels, boxes = framed(np.random.default_rng(seed))
        outside = (pixels == OUTSIDE).all(axis=2)
        assert 0.1 < outside.mean() < 0.7
        assert len(boxes) > 0
        for x0, y0, x1, y1 in boxes.round().astype(int):
            assert outside[y0:y1, x0:x1].mean() < 0.15, "a box ends where its picture ends"
            beside = outside[y0:y1, min(x1 + 2, 255)].mean() + outside[min(y1 + 2, 255), x0:x1].mean()
            inner_borders += x1 < 250 and y1 < 250 and beside > 0.9
    assert inner_borders > 0, "some cells are cut by a picture's border"


def test_the_seen_part_of_a_cell_ends_at_the_window_and_slivers_are_left_out() -> None:
    whole, cut, sliver, beyond, small = (
        (20, 20, 40, 40),
        (-10, 30, 8, 50),
        (96, 10, 120, 30),
        (101, 0, 120, 20),
        (50, 50, 53, 53),
    )
    seen = seen_parts(np.array([whole, cut, sliver, beyond, small], np.float32), (0, 0, 100, 100))
    assert seen.tolist() == [[20, 20, 40, 40], [0, 30, 8, 50], [50, 50, 53, 53]]


def test_a_naked_nucleus_is_the_nucleus_and_a_lobed_one_is_none() -> None:
    cell = cut_out(_blood(180, 180, PBC_SPACING, (18.0, 18.0)))
    assert cell is not None
    nucleus = naked_nucleus(cell)
    assert nucleus is not None
    assert nucleus.mask.sum() * CUTOUT_SPACING**2 == pytest.approx(np.pi * 4**2, rel=0.12)
    lobed = np.full((60, 60, 3), CYTOPLASM, np.uint8)
    cv2.circle(lobed, (20, 30), 10, NUCLEUS, -1)
    cv2.circle(lobed, (40, 30), 10, NUCLEUS, -1)
    cv2.line(lobed, (20, 30), (40, 30), NUCLEUS, 3)
    assert naked_nucleus(Cutout(lobed, np.ones((60, 60), np.uint8), np.array(GLASS, np.float32))) is None


def test_a_cell_laid_beside_another_touches_it() -> None:
    cutout = cut_out(_blood(180, 180, PBC_SPACING, (18.0, 18.0)))
    assert cutout is not None
    patch = turned_patch(cutout, cutout.pixels, 0.66, 0.0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        canvas = Canvas(np.full((256, 256, 3), GLASS, np.uint8), [], 0.35)
        assert canvas.beside(patch[1], rng) is None
        canvas.paste(patch, np.array((128.0, 128.0)), counts=True)
        place = canvas.beside(patch[1], rng)
        assert place is not None
        canvas.paste(patch, place, counts=True)
        first, second = canvas.boxes()
        distance = np.hypot(*((first[:2] + first[2:]) / 2 - (second[:2] + second[2:]) / 2))
        side = np.mean(first[2:] - first[:2])
        assert 0.7 * side < distance < 1.1 * side


@given(st.floats(0.6, 1.7), st.floats(0, 360))
def test_a_stretched_cell_keeps_its_area_and_stays_on_its_patch(stretch: float, degrees: float) -> None:
    cutout = Cutout(np.full((40, 40, 3), 100, np.uint8), np.zeros((40, 40), np.uint8), np.array(GLASS, np.float32))
    cv2.circle(cutout.mask, (20, 20), 18, 1, -1)
    _, opacity = turned_patch(cutout, cutout.pixels, 1.0, degrees, stretch)
    assert (opacity > 0.5).sum() == pytest.approx(cutout.mask.sum(), rel=0.05)
    ys, xs = np.nonzero(opacity > 0.5)
    assert min(xs.min(), ys.min(), opacity.shape[1] - 1 - xs.max(), opacity.shape[0] - 1 - ys.max()) > 0


def test_background_is_painted_around_cells_and_not_over_them() -> None:
    pixels = np.full((256, 256, 3), GLASS, np.uint8)
    canvas = Canvas(pixels, [np.array([100, 100, 140, 140], np.float32)], 0.35)
    painted = pixels.copy()
    for seed in range(30):
        litter(painted, np.random.default_rng(seed))
        hollow(painted, np.random.default_rng(seed), canvas.glass)
    assert (painted != GLASS).any(axis=2)[110:130, 110:130].any()
    canvas.paint(painted)
    assert (canvas.pixels[110:130, 110:130] == GLASS).all()
    assert (canvas.pixels != GLASS).any()


def test_a_deepened_cell_is_darker_on_the_same_glass() -> None:
    glass = np.array(GLASS, np.float32)
    picture = np.array([[GLASS, NUCLEUS]], np.uint8)
    deeper = deepen(picture, 2.0, glass)
    assert np.abs(deeper[0, 0].astype(int) - GLASS).max() <= 1
    assert deeper[0, 1] == pytest.approx(np.array(NUCLEUS) ** 2 / glass, abs=1)


def test_another_stain_changes_colours_and_keeps_geometry() -> None:
    picture = _blood(96, 72, 0.5, (20.0, 16.0))
    changed = vary_stain(picture, np.random.default_rng(1), Variation())
    assert changed.shape == picture.shape
    assert np.abs(changed.astype(int) - picture).mean() > 3
    order = np.corrcoef(changed.mean(axis=2).ravel(), picture.mean(axis=2).ravel())[0, 1]
    assert order > 0.9


def test_no_variation_is_nearly_no_change() -> None:
    still = Variation(0.0, 0.0, 0.0, (1.0, 1.0), (1.0, 1.0), (0.0, 0.0), (0.0, 0.0), (99, 100), 0.0)
    picture = _blood(96, 72, 0.5, (20.0, 16.0))
    assert np.abs(vary(picture, np.random.default_rng(0), still).astype(int) - picture).mean() < 3
