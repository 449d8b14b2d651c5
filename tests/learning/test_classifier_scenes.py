import cv2
import numpy as np
import pytest

from marrowscope.learning.classifier.augmentation import Augmentation
from marrowscope.learning.classifier.data import Cells, Views, with_masks
from marrowscope.learning.classifier.scenes import among_others, bare, beside, crowded, glass_colour, on_glass
from marrowscope.learning.datasets.masks import cell_mask


def _disc(side, radius, colour=(80, 40, 140), glass=(250, 235, 215)):
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = glass
    return cv2.circle(picture, (side // 2, side // 2), radius, colour, -1)


def _mask(side, radius):
    return cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), radius, 1, -1)


def test_the_glass_colour_is_that_of_the_empty_slide():
    assert np.allclose(glass_colour(_disc(96, 20)) - 1, (250, 235, 215))


def test_a_bare_cell_keeps_its_middle_only():
    view = bare(_disc(96, 48, colour=(10, 10, 10)), half_side=20)
    assert (view[48, 48] == 10).all()
    assert (view[30:66, 30:66] == 10).all()
    assert (view[:27] > 200).all()


def test_a_neighbour_lies_at_its_distance_never_brightens_and_takes_the_glass_over():
    view, neighbour = _disc(96, 10), _disc(96, 10, colour=(20, 20, 20), glass=(125, 235, 215))
    both = beside(view, neighbour, distance=30, angle=0.0)
    assert np.abs(both[48, 78].astype(int) - (40, 20, 20)).max() <= 1
    assert (both[48, 48] == view[48, 48]).all()
    assert (both <= view).all()
    assert np.abs(both[10, 10].astype(int) - view[10, 10]).max() <= 1


def test_on_glass_only_the_cell_is_left():
    picture = cv2.circle(_disc(96, 15), (15, 15), 8, (200, 90, 90), -1)
    alone = on_glass(picture, _mask(96, 15))
    assert np.abs(alone[48, 48].astype(int) - picture[48, 48]).max() <= 1
    assert np.abs(alone[15, 15].astype(int) - (251, 236, 216)).max() <= 1


def test_among_others_the_cell_stays_and_the_surroundings_are_the_others_at_its_own_glass():
    picture = _disc(96, 15)
    other = cv2.circle(_disc(96, 20, colour=(10, 10, 10), glass=(125, 200, 250)), (15, 15), 8, (60, 90, 90), -1)
    scene = among_others(picture, _mask(96, 15), other, _mask(96, 20), np.random.default_rng(0)).astype(int)
    assert np.abs(scene[48, 48] - picture[48, 48]).max() <= 1
    assert np.abs(scene[90, 90] - (251, 236, 216)).max() <= 1  # glass of the cell's picture
    assert np.abs(scene[48, 48 + 19] - (251, 236, 216)).max() <= 8  # the other cell's place is empty
    assert scene[15, 15].sum() < 0.9 * scene[90, 90].sum()  # what lay beside the other cell


def test_a_crowd_stands_behind_the_cell_and_touches_it():
    picture, mask = _disc(120, 15), _mask(120, 15)
    for seed in range(10):
        others = (_disc(120, 12, colour=(20, 120, 20)), _mask(120, 12))
        scene = crowded(picture, mask, lambda others=others: others, np.random.default_rng(seed)).astype(int)
        assert np.abs(scene[60, 60] - picture[60, 60]).max() <= 1
        green = (scene[..., 1] > scene[..., 0] + 30) & (mask == 0)
        assert green.sum() > 0.5 * np.pi * 12**2
        ring = cv2.dilate(mask, np.ones((17, 17), np.uint8)) > 0
        assert (green & ring).any()


@pytest.mark.parametrize("spacing", [0.2, 0.3])
def test_the_mask_of_a_cell_covers_nucleus_and_cytoplasm_and_nothing_else(spacing):
    side, centre = round(36 / spacing), round(18 / spacing)
    picture = np.random.default_rng(0).normal((246, 232, 214), 2, (side, side, 3)).clip(0, 255).astype(np.uint8)
    cv2.circle(picture, (round(6 / spacing), round(6 / spacing)), round(3.6 / spacing), (226, 180, 170), -1)
    cv2.circle(picture, (centre, centre), round(7 / spacing), (190, 190, 225), -1)
    cv2.circle(picture, (centre, centre), round(4.5 / spacing), (90, 50, 140), -1)
    truth = np.hypot(*(np.mgrid[:side, :side] - centre)) < 7 / spacing
    mask = cell_mask(picture, spacing) > 0
    assert (mask & truth).sum() / (mask | truth).sum() > 0.85


def test_a_picture_without_a_nucleus_in_its_middle_has_an_empty_mask():
    picture = np.full((180, 180, 3), 240, np.uint8)
    cv2.circle(picture, (20, 20), 15, (90, 50, 140), -1)
    assert not cell_mask(picture, 0.2).any()


def test_views_move_cells_only_where_the_mask_is_known():
    pictures = np.stack([_disc(120, 20), _disc(120, 20), np.full((120, 120, 3), 250, np.uint8)])
    cells = Cells(pictures, np.array([0, 1, 1]), 0.25)
    known = with_masks(cells)
    assert known.masks.any((1, 2)).tolist() == [True, True, False]
    views = Views(known, Augmentation(swap_chance=1.0, crowd_chance=1.0), 64, 0.25, seed=0)
    assert views.masked.tolist() == [0, 1]
    for index in range(3):
        view, label = views[(index, 0, index)]
        assert view.shape == (64, 64, 3)
        assert label == cells.labels[index]
    again, _ = views[(0, 0, 0)]
    assert np.array_equal(again, views[(0, 0, 0)][0])
