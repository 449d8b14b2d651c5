from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import tifffile

from marrowscope.errors import SlideError
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.slides import open_slide
from marrowscope.slides.openslide import OpenSlideSlide, _background, _bounds, _spacing

APERIO = "Aperio Image Library v12\r\n1500x1100 [0,0 1500x1100] (256x256) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2527"
PATIENT = "|Patient = Doe Jane 1961|Filename = 12345|ScanScope ID = SS7001|Barcode = X-9|User = drsmith"


def test_a_tiled_pyramid_is_read_by_openslide(jpeg_pyramid: Path, blobs: Callable[..., np.ndarray]) -> None:
    slide = open_slide(jpeg_pyramid)
    assert (slide.reader, slide.name, slide.path) == ("openslide", "pyramid", jpeg_pyramid)
    assert slide.size == Size(1500, 1100)
    assert [level.downsample for level in slide.levels] == [(1, 1), (2, 2), (4, 4)]
    assert slide.spacing is not None
    assert (slide.spacing.x, slide.spacing.y) == pytest.approx((0.25, 0.25))
    assert slide.bounds == Box(0, 0, 1500, 1100)
    difference = cv2.absdiff(slide.read(0, 300, 200, Size(700, 600)), blobs(1500, 1100)[200:800, 300:1000])
    assert difference.mean() < 2
    slide.close()


def test_pixels_equal_those_of_the_public_interface(jpeg_pyramid: Path) -> None:
    ours = open_slide(jpeg_pyramid).read(1, 37, 41, Size(300, 280))
    theirs = openslide.OpenSlide(jpeg_pyramid).read_region((74, 82), 1, (300, 280)).convert("RGB")
    assert np.array_equal(ours, np.asarray(theirs))


def test_outside_is_background(jpeg_pyramid: Path) -> None:
    slide = open_slide(jpeg_pyramid)
    corner = slide.read(0, -10, -20, Size(50, 60))
    assert (corner[:20] == 255).all()
    assert (corner[:, :10] == 255).all()
    assert np.array_equal(corner[20:, 10:], slide.read(0, 0, 0, Size(40, 40)))
    assert (slide.read(2, 5000, 5000, Size(9, 9)) == 255).all()


def test_the_callers_spacing_wins(jpeg_pyramid: Path) -> None:
    assert open_slide(jpeg_pyramid, 0.5).spacing == Spacing(0.5, 0.5)
    assert open_slide(jpeg_pyramid, Spacing(0.5, 0.4)).spacing == Spacing(0.5, 0.4)


def test_without_resolution_there_is_no_spacing(
    tmp_path: Path, write_jpeg_pyramid: Callable[..., Path], blobs: Callable[..., np.ndarray]
) -> None:
    assert open_slide(write_jpeg_pyramid(tmp_path / "a.tif", blobs(300, 300), um=None)).spacing is None
    assert open_slide(write_jpeg_pyramid(tmp_path / "b.tif", blobs(300, 300), um=1e4 / (72 / 2.54))).spacing is None


def test_threads_read_what_one_reads(jpeg_pyramid: Path) -> None:
    slide = open_slide(jpeg_pyramid)
    windows = [(level, 90 * i, 70 * i, Size(256, 200)) for i in range(12) for level in (0, 1, 2)] * 3
    alone = [slide.read(*window) for window in windows]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda window: slide.read(*window), windows))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_level_pixel_is_the_same_in_every_window(tmp_path: Path, noise: Callable[..., np.ndarray]) -> None:
    """OpenSlide itself shifts and blurs levels whose downsample is no whole number, differently in each window."""
    path = tmp_path / "odd.tif"
    with tifffile.TiffWriter(path) as writer:
        for level, picture in enumerate((noise(2403, 2111), noise(801, 703, 1), noise(600, 527, 2))):
            writer.write(picture, tile=(256, 256), compression="zlib", subfiletype=1 if level else 0, metadata=None)
    slide = open_slide(path)
    assert slide.reader == "openslide"
    for level in (1, 2):
        size = slide.levels[level].size
        whole = slide.read(level, 0, 0, size)
        for x, y in ((1, 0), (10, 3), (301, 200), (size.width - 80, size.height - 70)):
            assert np.array_equal(slide.read(level, x, y, Size(80, 70)), whole[y : y + 70, x : x + 80])
        assert cv2.absdiff(whole, noise(*size, level)).mean() < 40  # unrelated noise differs by 85


def _spoil(path: Path, out: Path, tile: int, data: bytes) -> Path:
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[tile]
    spoilt = bytearray(path.read_bytes())
    spoilt[offset : offset + len(data)] = data
    out.write_bytes(spoilt)
    return out


def test_a_damaged_tile_is_named_and_harms_no_other(jpeg_pyramid: Path, tmp_path: Path) -> None:
    slide = open_slide(_spoil(jpeg_pyramid, tmp_path / "spoilt.tif", 1, b"\x55" * 1000))
    good = open_slide(jpeg_pyramid).read(0, 600, 300, Size(200, 200))
    with pytest.raises(SlideError, match=r"spoilt\.tif: damaged at level 0, x 256, y 0 .*copy the slide again"):
        slide.read(0, 256, 0, Size(100, 100))
    assert np.array_equal(slide.read(0, 600, 300, Size(200, 200)), good)


def test_damage_met_by_one_thread_stops_no_other(jpeg_pyramid: Path, tmp_path: Path) -> None:
    slide = open_slide(_spoil(jpeg_pyramid, tmp_path / "spoilt.tif", 1, b"\x55" * 1000))

    def read(i: int) -> str:
        x = 260 if i % 4 == 0 else 700
        try:
            return str(slide.read(0, x, 8 * i % 200, Size(50, 50)).shape)
        except SlideError:
            return "damaged"

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(read, range(40)))
    assert outcomes == ["damaged" if i % 4 == 0 else "(50, 50, 3)" for i in range(40)]


def test_a_missing_tile_is_no_white_glass(jpeg_pyramid: Path, tmp_path: Path) -> None:
    with tifffile.TiffFile(jpeg_pyramid) as file:
        counts = file.pages[1].tags["TileByteCounts"]
    spoilt = bytearray(jpeg_pyramid.read_bytes())
    width = 2 if counts.dtype == tifffile.DATATYPE.SHORT else 4
    spoilt[counts.valueoffset + width : counts.valueoffset + 2 * width] = bytes(width)
    (tmp_path / "hole.tif").write_bytes(spoilt)
    slide = open_slide(tmp_path / "hole.tif")
    assert slide.read(1, 0, 0, Size(256, 256)).shape == (256, 256, 3)
    with pytest.raises(SlideError, match=r"damaged at level 1, x 256, y 10 \(a tile is missing\)"):
        slide.read(1, 200, 10, Size(100, 100))


def test_a_closed_slide_says_so(jpeg_pyramid: Path) -> None:
    slide = open_slide(jpeg_pyramid)
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        slide.read(0, 0, 0, Size(9, 9))


def test_properties_name_no_patient(
    tmp_path: Path, write_jpeg_pyramid: Callable[..., Path], blobs: Callable[..., np.ndarray]
) -> None:
    path = write_jpeg_pyramid(tmp_path / "a.svs", blobs(600, 500), um=None, description=APERIO + PATIENT)
    slide = open_slide(path)
    assert dict(slide.properties) == {"vendor": "aperio", "objective": "40", "scanner": "SS7001"}
    assert slide.spacing == Spacing(0.2527, 0.2527)
    with pytest.raises(TypeError):
        slide.properties["vendor"] = "x"  # type: ignore[index]


def test_transparency_shows_the_background(tmp_path: Path, noise: Callable[..., np.ndarray]) -> None:
    picture = noise(300, 260)
    alpha = np.full((260, 300, 1), 255, np.uint8)
    alpha[:100] = 0
    alpha[100:200] = 128
    rgba = np.concatenate([picture, alpha], axis=2)
    tifffile.imwrite(
        tmp_path / "a.tif",
        rgba,
        tile=(128, 128),
        photometric="rgb",
        extrasamples=["UNASSALPHA"],
        metadata=None,
        compression="zlib",
    )
    slide = open_slide(tmp_path / "a.tif")
    assert slide.reader == "openslide"
    read = slide.read(0, 0, 0, Size(300, 260))
    assert (read[:100] == 255).all()
    assert np.array_equal(read[200:], picture[200:])
    mixed = (picture[100:200].astype(float) * 128 + 255 * 127) / 255
    assert np.abs(read[100:200] - mixed).max() <= 1.5


def test_premultiplied_pixels_are_laid_over_any_background(jpeg_pyramid: Path) -> None:
    slide = OpenSlideSlide(jpeg_pyramid)
    slide.background = (200, 100, 50)
    bgra = np.array([[[0, 0, 0, 0], [10, 20, 30, 128], [1, 2, 3, 255]]], np.uint8)
    assert slide._over_background(bgra, 0, 0, 0).tolist() == [[[200, 100, 50], [130, 70, 35], [3, 2, 1]]]


def test_properties_of_openslide_are_understood() -> None:
    assert _background({"openslide.background-color": "FFE0C0"}) == (255, 224, 192)
    assert _background({}) == (255, 255, 255)
    found = {f"openslide.bounds-{key}": value for key, value in [("x", "10"), ("y", "20"), ("width", "30")]}
    assert _bounds(found, Size(99, 99)) == Box(0, 0, 99, 99)
    found["openslide.bounds-height"] = "40"
    assert _bounds(found, Size(99, 99)) == Box(10, 20, 40, 60)
    assert _bounds({}, Size(99, 98)) == Box(0, 0, 99, 98)
    assert _spacing({"openslide.mpp-x": "0.25", "openslide.mpp-y": "0.26"}) == Spacing(0.25, 0.26)
    for wrong in ({}, {"openslide.mpp-x": "0.25"}, {"openslide.mpp-x": "-1", "openslide.mpp-y": "nan"}):
        assert _spacing(wrong) is None
