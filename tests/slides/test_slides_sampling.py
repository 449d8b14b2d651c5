from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marrowscope.errors import SpacingError
from marrowscope.geometry import Size, Spacing
from marrowscope.slides import MemorySlide, Sampler, open_slide, sampling, shrink

Noise = Callable[..., np.ndarray]

SPACINGS = (0.2, 0.25, 0.2523, 0.33, 0.4, 0.5, 0.61, 0.75, 1.0, 1.7)
"""Upsampled, plain copy, nearly plain, between levels, whole and broken factors."""


@cache
def _slide(spacing: Spacing) -> MemorySlide:
    picture = np.random.default_rng(5).integers(0, 256, (1300, 1101, 3), dtype=np.uint8)
    return MemorySlide(picture, spacing, background=(10, 120, 240))


@cache
def _around(spacing: Spacing, um: float) -> np.ndarray:
    """The whole lattice with 64 pixels of background around it."""
    sampler = Sampler(_slide(spacing), um)
    return sampler.read(-64, -64, Size(sampler.size.width + 128, sampler.size.height + 128))


@given(
    spacing=st.sampled_from([Spacing(0.25, 0.25), Spacing(0.25, 0.21), Spacing(0.2512, 0.2498)]),
    um=st.sampled_from(SPACINGS),
    corner=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.builds(Size, st.integers(1, 90), st.integers(1, 90)),
)
@example(Spacing(0.25, 0.25), 0.5, (0.0, 0.0), Size(70, 70))
@example(Spacing(0.25, 0.21), 0.33, (1.0, 1.0), Size(1, 1))
@settings(deadline=None)  # the first read of a slide builds its pyramid
def test_a_lattice_pixel_is_the_same_in_every_tile(
    spacing: Spacing, um: float, corner: tuple[float, float], size: Size
) -> None:
    whole = _around(spacing, um)
    column = round(corner[0] * (whole.shape[1] - size.width))
    row = round(corner[1] * (whole.shape[0] - size.height))
    tile = Sampler(_slide(spacing), um).read(column - 64, row - 64, size)
    assert np.array_equal(tile, whole[row : row + size.height, column : column + size.width])


@pytest.mark.parametrize("um", SPACINGS)
def test_scanned_pixels_too(jpeg_pyramid: Path, um: float) -> None:
    sampler = Sampler(open_slide(jpeg_pyramid), um)
    whole = sampler.read(0, 0, sampler.size)
    for u, v in ((0, 0), (1, 3), (31, 64), (117, 90)):
        assert np.array_equal(sampler.read(u, v, Size(57, 61)), whole[v : v + 61, u : u + 57])


@pytest.mark.parametrize("um", SPACINGS)
@pytest.mark.parametrize("spacing", [Spacing(0.25, 0.25), Spacing(0.25, 0.21)])
def test_beyond_the_slide_is_background(spacing: Spacing, um: float) -> None:
    sampler = Sampler(_slide(spacing), um)
    far = sampler.size.width + sampler.size.height
    for u, v in ((-40, 0), (0, -40), (far, 0), (0, far), (-(10**6), 10**6)):
        assert (sampler.read(u, v, Size(30, 20)) == (10, 120, 240)).all()


def test_a_whole_factor_is_an_average_of_blocks() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (600, 900, 3), dtype=np.uint8)
    sampler = Sampler(MemorySlide(picture, 0.1), 0.3)
    blocks = picture.reshape(200, 3, 300, 3, 3).mean(axis=(1, 3))
    assert sampler.size == Size(300, 200)
    assert np.abs(sampler.read(0, 0, sampler.size) - blocks).max() <= 0.5 + 1e-9


def test_the_wanted_spacing_itself_is_a_plain_copy() -> None:
    slide = _slide(Spacing(0.25, 0.25))
    assert np.array_equal(Sampler(slide, 0.25).read(3, 4, Size(50, 60)), slide.read(0, 3, 4, Size(50, 60)))
    assert np.array_equal(Sampler(slide, 0.5).read(3, 4, Size(50, 60)), slide.read(1, 3, 4, Size(50, 60)))


@pytest.mark.parametrize("um", [0.11, 0.2, 0.2001, 0.26, 0.3, 0.37, 0.9, 1.3, 2.7])
@pytest.mark.parametrize("spacing", [Spacing(0.2, 0.2), Spacing(0.2, 0.26)])
def test_every_pixel_stands_where_its_coordinates_say(spacing: Spacing, um: float) -> None:
    """Waves keep their phase under any averaging: what is read tells where it was read."""
    waves = np.zeros((900, 900, 3), np.uint8)
    lengths = 12 * um / spacing.x, 12 * um / spacing.y  # twelve lattice pixels
    phase_x, phase_y = (2 * np.pi * (np.arange(900) + 0.5) / length for length in lengths)
    waves[..., 0] = np.rint(127 + 120 * np.sin(phase_x))
    waves[..., 1] = np.rint(127 + 120 * np.sin(phase_y))[:, None]
    sampler = Sampler(MemorySlide(waves, spacing), um)
    size = Size((sampler.size.width - 10) // 12 * 12, (sampler.size.height - 10) // 12 * 12)
    read = sampler.read(4, 3, size).astype(float)
    centres = sampler.to_level0(np.stack(np.meshgrid(4.5 + np.arange(size.width), 3.5 + np.arange(size.height)), 2))
    for axis in range(2):
        phase = 2 * np.pi * centres[..., axis] / lengths[axis]
        late = (read[..., axis] * np.cos(phase)).sum() / (read[..., axis] * np.sin(phase)).sum()
        assert abs(late * lengths[axis] / (2 * np.pi)) < 0.05  # level-0 pixels


def test_coordinates_go_both_ways() -> None:
    sampler = Sampler(_slide(Spacing(0.25, 0.2)), 0.5)
    assert sampler.to_level0([[0, 0], [10, 10]]).tolist() == [[0, 0], [20, 25]]
    points = np.random.default_rng(0).uniform(-100, 1e6, (50, 2))
    assert np.allclose(sampler.from_level0(sampler.to_level0(points)), points)


@pytest.mark.parametrize(
    ("um", "level", "upsampled"),
    [(0.1, 0, True), (0.2475, 0, True), (0.2476, 0, False), (0.49, 0, False), (0.498, 1, False), (1.2, 1, False)],
)
def test_the_level_just_finer_is_read(um: float, level: int, upsampled: bool) -> None:
    sampler = Sampler(_slide(Spacing(0.25, 0.25)), um)
    assert (sampler.level, sampler.upsampled) == (level, upsampled)


def test_the_lattice_covers_the_slide() -> None:
    slide = MemorySlide(np.zeros((100, 201, 3), np.uint8), 0.25)
    assert Sampler(slide, 0.25).size == Size(201, 100)
    assert Sampler(slide, 0.5).size == Size(101, 50)
    assert Sampler(slide, 0.3).size == Size(168, 84)


def test_large_reads_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = Sampler(_slide(Spacing(0.25, 0.21)), 0.33)
    at_once = sampler.read(-5, -5, Size(300, 280))
    monkeypatch.setattr(sampling, "_REMAP", 64)
    assert np.array_equal(sampler.read(-5, -5, Size(300, 280)), at_once)


def test_an_empty_read() -> None:
    assert Sampler(_slide(Spacing(0.25, 0.25)), 0.33).read(0, 0, Size(0, 5)).shape == (5, 0, 3)


def test_resampling_is_close_to_the_ideal(blobs: Noise) -> None:
    picture = blobs(1000, 800)
    for um in (0.27, 0.33, 0.41, 0.77):
        sampler = Sampler(MemorySlide(picture, 0.25), um)
        size = Size(int(1000 * 0.25 / um), int(800 * 0.25 / um))
        covered = picture[: round(size.height * um / 0.25), : round(size.width * um / 0.25)]
        ideal = cv2.resize(covered, size, interpolation=cv2.INTER_AREA)
        assert cv2.absdiff(sampler.read(0, 0, size), ideal).mean() < 2


def test_without_spacing_or_with_an_absurd_one() -> None:
    with pytest.raises(SpacingError, match="--spacing UM"):
        Sampler(MemorySlide(np.zeros((9, 9, 3), np.uint8)), 0.25)
    with pytest.raises(SpacingError, match="cannot be"):
        Sampler(_slide(Spacing(0.25, 0.25)), 0.0)


def test_shrink_averages_blocks(noise: Noise) -> None:
    picture = noise(60, 40)
    assert shrink(picture, 1) is picture
    for factor in (2, 4, 5):
        blocks = picture.reshape(40 // factor, factor, 60 // factor, factor, 3).mean(axis=(1, 3))
        assert np.abs(shrink(picture, factor) - blocks).max() <= 0.5 + 1e-9
    for factor in (0, 7):
        with pytest.raises(ValueError, match="multiples of the factor"):
            shrink(picture, factor)
