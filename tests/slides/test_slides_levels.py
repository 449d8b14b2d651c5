from collections.abc import Callable

import numpy as np
import pytest

from marrowscope.errors import SlideError
from marrowscope.geometry import Size
from marrowscope.slides.levels import LONGEST_SIDE, from_blocks, pyramid, read_window


def test_sizes_rounded_up_or_down_give_whole_downsamples() -> None:
    levels = pyramid([Size(2503, 4001), Size(1252, 2000), Size(625, 1001), Size(157, 250)], "a")
    assert [level.downsample for level in levels] == [(1, 1), (2, 2), (4, 4), (16, 16)]


def test_a_downsample_that_is_no_whole_number_is_kept() -> None:
    assert pyramid([Size(3000, 3000), Size(2000, 1200)], "a")[1].downsample == (1.5, 2.5)


@pytest.mark.parametrize("size", [Size(0, 10), Size(10, -1), Size(LONGEST_SIDE + 1, 10)])
def test_absurd_sizes_are_refused(size: Size) -> None:
    with pytest.raises(SlideError, match=r"smear-7: a size of .* cannot be a scanned smear"):
        pyramid([size], "smear-7")


def test_the_largest_slides_are_no_absurd_size() -> None:
    assert pyramid([Size(250_000, 480_000)], "a")[0].size == Size(250_000, 480_000)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (-5, 3), (15, -2), (-100, 0), (3, 400), (18, 10)])
def test_a_window_shows_background_outside(x: int, y: int, noise: Callable[..., np.ndarray]) -> None:
    level = noise(20, 12)
    window = read_window(
        lambda x, y, width, height: level[y : y + height, x : x + width], Size(20, 12), x, y, Size(9, 8), (1, 2, 3)
    )
    for row in range(8):
        for column in range(9):
            inside = 0 <= x + column < 20 and 0 <= y + row < 12
            assert tuple(window[row, column]) == (tuple(level[y + row, x + column]) if inside else (1, 2, 3))


def test_an_empty_window_reads_nothing() -> None:
    assert read_window(lambda *_: pytest.fail("read"), Size(9, 9), 1, 1, Size(0, 4), (0, 0, 0)).shape == (4, 0, 3)
    with pytest.raises(ValueError, match="zero or more"):
        read_window(lambda *_: pytest.fail("read"), Size(9, 9), 1, 1, Size(-1, 4), (0, 0, 0))


def test_blocks_join_into_any_window(noise: Callable[..., np.ndarray]) -> None:
    level = noise(50, 40)
    asked = set()

    def block(column: int, row: int) -> np.ndarray:
        asked.add((column, row))
        return level[row * 16 : row * 16 + 16, column * 8 : column * 8 + 8]

    window = from_blocks(block, 9, 15, Size(30, 20), Size(8, 16))
    assert np.array_equal(window, level[15:35, 9:39])
    assert asked == {(column, row) for column in (1, 2, 3, 4) for row in (0, 1, 2)}
