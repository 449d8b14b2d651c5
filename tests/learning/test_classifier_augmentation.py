import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.learning.classifier.augmentation import Augmentation, bare, beside, cut

PLAIN = Augmentation(
    zoom=(1.0, 1.0),
    shift=0.0,
    quarter_turns=1.0,
    density=0.0,
    stain=0.0,
    lamp=0.0,
    neutral_chance=0.0,
    haze_chance=0.0,
    blur_chance=0.0,
    sharpen_chance=0.0,
    noise_chance=0.0,
    jpeg_chance=0.0,
    bare_chance=0.0,
)


def _picture(side=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def _disc(side, radius, colour=(80, 40, 140), background=(250, 235, 215)):
    picture = np.empty((side, side, 3), np.uint8)
    picture[:] = background
    return cv2.circle(picture, (side // 2, side // 2), radius, colour, -1)


def test_a_crop_at_the_same_spacing_is_a_copy():
    picture = _picture()
    assert np.array_equal(cut(picture, 0.25, 0.25, 40), picture[10:50, 10:50])
    assert np.array_equal(cut(picture, 0.25, 0.25, 40, shift=(0.5, -0.25)), picture[9:49, 12:52])


@given(st.floats(0.1, 0.5), st.floats(0.1, 0.5), st.floats(0.0, 6.0), st.floats(0.8, 1.25))
def test_a_crop_keeps_the_size_in_um(from_spacing, spacing, angle, zoom):
    radius = 4.0
    side = round(40 / from_spacing)
    picture = _disc(side, round(radius / from_spacing))
    crop = cut(picture, from_spacing, spacing, round(24 / spacing), angle=angle, zoom=zoom)
    area = (crop[..., 1] < 140).sum() * spacing**2
    assert area == pytest.approx(np.pi * (radius * zoom) ** 2, rel=0.15)


def test_a_shift_moves_the_view_and_what_lies_outside_is_mirrored():
    picture = _disc(40, 8)
    crop = cut(picture, 0.25, 0.25, 40, shift=(2.5, 0.0))
    columns = np.flatnonzero((crop[..., 1] < 140).any(axis=0))
    assert columns.mean() == pytest.approx(20 - 10, abs=1)


def test_without_any_change_a_view_is_a_mirrored_quarter_turn():
    picture = _picture()
    plain = picture[10:50, 10:50].astype(int)
    turned = [np.rot90(side, k) for side in (plain, plain[:, ::-1]) for k in range(4)]
    seen = set()
    for seed in range(40):
        view = PLAIN.view(picture, 0.25, 0.25, 40, np.random.default_rng(seed)).astype(int)
        distances = [np.abs(view - candidate).max() for candidate in turned]
        assert min(distances) <= 1
        seen.add(int(np.argmin(distances)))
    assert seen == set(range(8))


def test_views_depend_on_the_generator_only():
    augmentation, picture = Augmentation(), _picture()
    first, again, other = (augmentation.view(picture, 0.2, 0.25, 32, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (32, 32, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_bare_cell_keeps_its_middle_only():
    view = bare(_disc(96, 48, colour=(10, 10, 10)), half_side=20)
    assert (view[48, 48] == 10).all()
    assert (view[30:66, 30:66] == 10).all()
    assert (view[:27] > 200).all()


def test_a_neighbour_lies_at_its_distance_and_never_brightens():
    view, neighbour = _disc(96, 10), _disc(96, 10, colour=(20, 20, 20))
    both = beside(view, neighbour, distance=30, angle=0.0)
    assert (both[48, 78] == 20).all()
    assert (both[48, 48] == view[48, 48]).all()
    assert (both <= view).all()
