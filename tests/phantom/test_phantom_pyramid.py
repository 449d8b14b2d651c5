"""The TIFF container: what OpenSlide makes of it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import tifffile

from marrowscope.geometry import Size, Spacing
from marrowscope.phantom.pyramid import TILE, PyramidWriter, cut_tiles, level_sizes, reduce


def _picture(size: Size) -> np.ndarray:
    y, x = np.mgrid[0 : size.height, 0 : size.width]
    return np.dstack([x * 255 // size.width, y * 255 // size.height, np.full_like(x, 90)]).astype(np.uint8)


def _write(path: Path, picture: np.ndarray, factor: int, spacing: float) -> None:
    size = Size(picture.shape[1], picture.shape[0])
    with path.open("wb") as file:
        writer = PyramidWriter(file, size, Spacing.square(spacing), factor, 95)
        for y in range(0, size.height, TILE * factor):
            strip = picture[y : y + TILE * factor]
            writer.add_rows(cut_tiles(strip, 95), reduce(strip, factor))
        writer.finish("test")


@pytest.mark.parametrize("size", [Size(1300, 1111), Size(512, 2500), Size(2048, 2048), Size(256, 256)])
@pytest.mark.parametrize("factor", [2, 4])
def test_openslide_reads_levels_pixels_and_spacing(tmp_path: Path, size: Size, factor: int) -> None:
    picture = _picture(size)
    path = tmp_path / "pyramid.tif"
    _write(path, picture, factor, 0.26)
    with openslide.OpenSlide(path) as slide:
        assert slide.level_dimensions == tuple(level_sizes(size, factor))
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.26, rel=1e-6)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.26, rel=1e-6)
        for level, dimensions in enumerate(slide.level_dimensions):
            seen = np.asarray(slide.read_region((0, 0), level, dimensions))[..., :3]
            ratio = factor**level
            whole = picture[: dimensions[1] * ratio, : dimensions[0] * ratio]
            wanted = cv2.resize(whole, dimensions, interpolation=cv2.INTER_AREA)
            assert np.abs(seen.astype(int) - wanted).mean() < 1.5
            assert np.percentile(np.abs(seen.astype(int) - wanted), 99) <= 6


def test_tags_are_those_of_a_tiled_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "pyramid.tif"
    _write(path, _picture(Size(1300, 1111)), 4, 0.25)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        first, second = file.pages[0], file.pages[1]
        assert first.tags["XResolution"].value == (400_000_000, 10_000)
        assert first.tags["ResolutionUnit"].value == 3
        assert (first.tilewidth, first.tilelength) == (TILE, TILE)
        assert first.compression == tifffile.COMPRESSION.JPEG
        assert first.tags["NewSubfileType"].value == 0
        assert second.tags["NewSubfileType"].value == 1
        assert first.description == "test"


def test_level_sizes_end_with_a_small_level() -> None:
    assert level_sizes(Size(20000, 20000), 4) == [(20000, 20000), (5000, 5000), (1250, 1250), (312, 312)]
    assert level_sizes(Size(600, 400), 2) == [(600, 400), (300, 200)]
    assert level_sizes(Size(300, 200), 2) == [(300, 200)]
