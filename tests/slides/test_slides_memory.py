from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from marrowscope.errors import SlideError, SpacingError
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.slides import MemorySlide, Slide, require_spacing


def test_a_memory_slide_is_a_slide(noise: Callable[..., np.ndarray]) -> None:
    slide = MemorySlide(noise(70, 50), 0.25, name="field")
    assert isinstance(slide, Slide)
    assert (slide.name, slide.path, slide.reader, slide.size) == ("field", None, "memory", Size(70, 50))
    assert slide.spacing == Spacing(0.25, 0.25)
    assert slide.bounds == Box(0, 0, 70, 50)
    slide.close()


def test_reading_gives_pixels_and_background(noise: Callable[..., np.ndarray]) -> None:
    picture = noise(70, 50)
    slide = MemorySlide(picture, background=(9, 8, 7))
    assert np.array_equal(slide.read(0, 10, 20, Size(30, 25)), picture[20:45, 10:40])
    beyond = slide.read(0, 60, -1, Size(20, 2))
    assert (beyond[0] == (9, 8, 7)).all()
    assert np.array_equal(beyond[1, :10], picture[0, 60:])
    assert (beyond[1, 10:] == (9, 8, 7)).all()


def test_what_is_read_is_a_copy(noise: Callable[..., np.ndarray]) -> None:
    picture = noise(70, 50)
    before = picture.copy()
    MemorySlide(picture).read(0, 0, 0, Size(70, 50))[:] = 0
    assert np.array_equal(picture, before)


def test_each_level_averages_the_one_before() -> None:
    picture = np.zeros((2100, 2101, 3), np.uint8)
    picture[0:2, 0:2] = 100
    picture[0, 2:4] = 50
    picture[:, 2100] = 200
    slide = MemorySlide(picture)
    assert [level.size for level in slide.levels] == [Size(2101, 2100), Size(1051, 1050), Size(526, 525)]
    assert [level.downsample for level in slide.levels] == [(1, 1), (2, 2), (4, 4)]
    half = slide.read(1, 0, 0, Size(1051, 1050))
    assert half[0, 0, 0] == 100
    assert half[0, 1, 0] == 25
    assert half[5, 1050, 0] == 200  # the odd column stands alone, not mixed with black
    assert slide.read(2, 0, 0, Size(1, 1))[0, 0, 0] == 31


def test_threads_agree_on_lazy_levels(noise: Callable[..., np.ndarray]) -> None:
    slide = MemorySlide(noise(4000, 1500))
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda _: slide.read(2, 100, 100, Size(300, 200)), range(16)))
    assert all(np.array_equal(read[0], other) for other in read)


@pytest.mark.parametrize(
    "picture",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_other_pictures_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(SlideError, match="must be uint8 RGB"):
        MemorySlide(picture)


def test_a_slide_without_spacing_says_what_to_type() -> None:
    with pytest.raises(SpacingError, match=r"field: .*--spacing UM"):
        require_spacing(MemorySlide(np.zeros((4, 4, 3), np.uint8), name="field"))


@pytest.mark.parametrize("um", [0.0, -1.0, 0.009, 10.1, float("nan"), float("inf"), 250.0])
def test_absurd_spacings_are_refused(um: float) -> None:
    with pytest.raises(SpacingError, match=r"expected 0\.01 to 10.*--spacing UM"):
        MemorySlide(np.zeros((4, 4, 3), np.uint8), um)


def test_an_absurd_spacing_along_one_axis_is_refused() -> None:
    with pytest.raises(SpacingError, match="11 um"):
        MemorySlide(np.zeros((4, 4, 3), np.uint8), Spacing(0.25, 11))
