import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.learning.classifier.augmentation import Augmentation, cut

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


def test_a_strong_view_changes_the_glass_and_a_grey_one_has_no_colour():
    picture = _disc(60, 12)
    strong = dataclasses.replace(PLAIN, strong_chance=1.0)
    glass = np.array([strong.view(picture, 0.25, 0.25, 40, np.random.default_rng(seed))[0, 0] for seed in range(30)])
    assert (glass.std(axis=0) > 8).all()
    grey = dataclasses.replace(PLAIN, neutral_chance=1.0, grey_chance=1.0)
    view = grey.view(picture, 0.25, 0.25, 40, np.random.default_rng(0)).astype(int)
    assert np.ptp(view, axis=2).max() <= 1
    assert view[20, 20, 0] < view[0, 0, 0] - 50


def test_a_coarse_view_has_lost_detail_and_kept_its_size():
    coarse = dataclasses.replace(PLAIN, coarse_chance=1.0)
    picture = _picture()
    view = coarse.view(picture, 0.25, 0.25, 40, np.random.default_rng(1))
    assert view.shape == (40, 40, 3)
    assert view.std() < 0.8 * picture.std()
