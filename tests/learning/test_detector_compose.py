"""Training tiles: symmetries, stain, mosaics with pasted cells, and cutting cells out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.learning.datasets.boxes import BoxPicture
from marrowscope.learning.datasets.twins import thumbnail
from marrowscope.learning.detector.augment import Variation, vary, vary_stain
from marrowscope.learning.detector.compose import Composition, TileComposer, turned
from marrowscope.learning.detector.cutouts import PBC_SPACING, Cutouts, cut_out, cut_red_cells, glass_colour

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


@pytest.fixture(scope="module")
def composer() -> TileComposer:
    pixels = _blood(96, 72, 0.5, (20.0, 16.0))
    boxes = np.array([[28, 20, 52, 44]], np.float32)
    red = np.array([[57, 1, 71, 15], [75, 55, 89, 69], [30, 30, 44, 44], [90, 60, 96, 70]], np.float32)
    field = BoxPicture("made", "field", "train", pixels, boxes, red, thumbnail(pixels))
    cutout = cut_out(_blood(180, 180, PBC_SPACING, (18.0, 18.0)))
    assert cutout is not None
    red_cells = cut_red_cells([field], 0.5, 5, np.random.default_rng(0))
    assert len(red_cells) == 2, "neither one that touches the white cell nor one that is cut"
    cutouts = Cutouts([cutout], [cutout], red_cells)
    return TileComposer([field], cutouts, Composition(), spacing=0.5, field_spacing=0.5)


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
    assert glass_colour(_blood(96, 72, 0.5, None)) == pytest.approx(np.array(GLASS), abs=8)


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
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    assert ((centres >= 0) & (centres < 256)).all()


def test_no_cell_hides_most_of_another(composer: TileComposer) -> None:
    for seed in range(8):
        _, boxes = composer(np.random.default_rng(seed))
        for number, box in enumerate(boxes):
            later = boxes[number + 1 :]
            sides = np.minimum(box[2:], later[:, 2:]) - np.maximum(box[:2], later[:, :2])
            overlap = np.clip(sides, 0, None).prod(axis=1)
            area = (box[2:] - box[:2]).prod()
            assert (overlap < 0.75 * area).all()


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
