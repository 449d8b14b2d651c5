from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from marrowscope.errors import SlideError
from marrowscope.geometry import Size
from marrowscope.slides import MemorySlide, open_slide, overview
from marrowscope.slides.protocol import Picture

Noise = Callable[..., np.ndarray]


def test_a_small_slide_is_its_own_overview(noise: Noise) -> None:
    picture, downsample = overview(MemorySlide(noise(300, 200)))
    assert np.array_equal(picture, noise(300, 200))
    assert downsample == (1, 1)


@pytest.mark.parametrize("longest", [1, 99, 100, 101, 375, 750, 1499, 1500, 5000])
def test_sides_and_downsamples_agree(jpeg_pyramid: Path, longest: int) -> None:
    slide = open_slide(jpeg_pyramid)
    picture, (x, y) = overview(slide, longest)
    assert min(1500, longest) / 2 <= max(picture.shape[:2]) <= longest
    assert 0 <= picture.shape[1] * x - 1500 < x + 4
    assert 0 <= picture.shape[0] * y - 1100 < y + 4


def test_the_overview_shows_the_slide(jpeg_pyramid: Path, blobs: Noise) -> None:
    picture, _ = overview(open_slide(jpeg_pyramid), 1000)
    expected = cv2.resize(blobs(1500, 1100), (750, 550), interpolation=cv2.INTER_AREA)
    assert cv2.absdiff(picture, expected).mean() < 2


class _Watched(MemorySlide):
    """A slide that knows the largest window it was asked for."""

    largest = 0

    def read(self, level: int, x: int, y: int, size: Size) -> Picture:
        self.largest = max(self.largest, size.area)
        return super().read(level, x, y, size)


def test_without_small_levels_the_slide_is_read_piece_by_piece(noise: Noise) -> None:
    slide = _Watched(noise(9000, 300))
    slide.levels = slide.levels[:1]
    picture, downsample = overview(slide, 450)
    assert picture.shape == (15, 450, 3)
    assert downsample == (20, 20)
    assert slide.largest <= 4096 * 300
    blocks = noise(9000, 300).reshape(15, 20, 450, 20, 3).mean(axis=(1, 3))
    assert np.abs(picture - blocks).max() <= 0.5 + 1e-9


def test_incomplete_blocks_are_filled_with_background() -> None:
    picture, _ = overview(MemorySlide(np.zeros((10, 15, 3), np.uint8), background=(200, 100, 0)), 8)
    assert picture.shape == (5, 8, 3)
    assert picture[0, 7].tolist() == [100, 50, 0]


def test_damage_is_told(tmp_path: Path, noise: Noise) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(512, 512), tile=(256, 256), photometric="rgb", compression="zlib", metadata=None)
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[3]
    data = bytearray(path.read_bytes())
    data[offset : offset + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(SlideError, match="damaged at level 0"):
        overview(open_slide(path))


def test_an_overview_has_pixels() -> None:
    with pytest.raises(ValueError, match="at least one pixel"):
        overview(MemorySlide(np.zeros((10, 15, 3), np.uint8)), 0)
