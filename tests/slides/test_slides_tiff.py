from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from marrowscope.errors import SlideError, SpacingError
from marrowscope.geometry import Size, Spacing
from marrowscope.slides import open_slide

Noise = Callable[..., np.ndarray]


def _write_ome(path: Path, picture: np.ndarray, subifds: int = 2, **options: Any) -> Path:
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.25} | options.pop("metadata", {})
    options = {"tile": (128, 128), "photometric": "rgb", "compression": "zlib"} | options
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(picture, subifds=subifds, metadata=metadata, **options)
        for level in range(1, subifds + 1):
            small = picture[:: 2**level, :: 2**level]
            writer.write(small, subfiletype=1, **options)
    return path


@pytest.mark.parametrize("window", [(0, 0, 700, 500), (100, 130, 300, 200), (-20, 400, 90, 300), (127, 127, 2, 2)])
def test_ome_pyramids_in_subifds(tmp_path: Path, noise: Noise, window: tuple[int, int, int, int]) -> None:
    picture = noise(700, 500)
    slide = open_slide(_write_ome(tmp_path / "a.ome.tif", picture))
    assert (slide.reader, slide.properties["vendor"]) == ("tiff", "ome-tiff")
    assert slide.spacing == Spacing(0.2, 0.25)
    assert [level.size for level in slide.levels] == [Size(700, 500), Size(350, 250), Size(175, 125)]
    assert [level.downsample for level in slide.levels] == [(1, 1), (2, 2), (4, 4)]
    x, y, width, height = window
    for level in range(3):
        stored = np.full((3000, 3000, 3), 255, np.uint8)
        small = picture[:: 2**level, :: 2**level]
        stored[1000 : 1000 + small.shape[0], 1000 : 1000 + small.shape[1]] = small
        read = slide.read(level, x, y, Size(width, height))
        assert np.array_equal(read, stored[1000 + y : 1000 + y + height, 1000 + x : 1000 + x + width])


STORED: dict[str, dict[str, Any]] = {
    "plain": {},
    "rows": {"rowsperstrip": 7},
    "one zlib strip": {"compression": "zlib", "rowsperstrip": 90},
    "zlib strips with predictor": {"compression": "zlib", "rowsperstrip": 16, "predictor": True},
    "packbits": {"compression": "packbits", "rowsperstrip": 16},
    "planes": {"planarconfig": "separate", "compression": "zlib", "rowsperstrip": 32},
    "plain planes": {"planarconfig": "separate"},
    "big endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True, "compression": "zlib"},
}


@pytest.mark.parametrize("options", STORED.values(), ids=STORED.keys())
def test_striped_files(tmp_path: Path, noise: Noise, options: dict[str, Any]) -> None:
    picture = noise(120, 90)
    path = tmp_path / "a.tif"
    stored = np.moveaxis(picture, 2, 0) if options.get("planarconfig") == "separate" else picture
    tifffile.imwrite(path, stored, photometric="rgb", metadata=None, **options)
    slide = open_slide(path)
    assert slide.reader == "tiff"
    assert np.array_equal(slide.read(0, 0, 0, Size(120, 90)), picture)
    assert np.array_equal(slide.read(0, 30, 29, Size(41, 40)), picture[29:69, 30:71])


def test_pages_of_the_same_field_are_levels_and_labels_are_not(tmp_path: Path, noise: Noise) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for width, height in ((90, 120), (401, 300), (201, 150), (100, 75)):
            writer.write(noise(width, height), photometric="rgb", metadata=None)
    slide = open_slide(tmp_path / "a.tif")
    assert [level.size for level in slide.levels] == [Size(401, 300), Size(201, 150), Size(100, 75)]
    assert np.array_equal(slide.read(2, 0, 0, Size(100, 75)), noise(100, 75))


def test_grey_16_bit_and_alpha(tmp_path: Path, noise: Noise) -> None:
    grey = noise(60, 40)[..., 0]
    tifffile.imwrite(tmp_path / "grey.tif", grey)
    assert np.array_equal(open_slide(tmp_path / "grey.tif").read(0, 0, 0, Size(60, 40)), np.stack([grey] * 3, 2))
    tifffile.imwrite(tmp_path / "inverse.tif", grey, photometric="miniswhite")
    assert np.array_equal(
        open_slide(tmp_path / "inverse.tif").read(0, 0, 0, Size(60, 40)), np.stack([255 - grey] * 3, 2)
    )
    deep = noise(60, 40).astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb", byteorder=">", metadata=None)
    assert np.array_equal(open_slide(tmp_path / "deep.tif").read(0, 0, 0, Size(60, 40)), noise(60, 40))
    camera = noise(60, 40).astype(np.uint16) * 16 + 7
    path = _write_ome(tmp_path / "12.ome.tif", camera, 0, metadata={"SignificantBits": 12})
    assert np.array_equal(open_slide(path).read(0, 0, 0, Size(60, 40)), noise(60, 40))
    alpha = np.concatenate([noise(60, 40), np.zeros((40, 60, 1), np.uint8)], axis=2)
    alpha[:20, :, 3] = 255
    tifffile.imwrite(tmp_path / "alpha.tif", alpha, photometric="rgb", extrasamples=["UNASSALPHA"], metadata=None)
    read = open_slide(tmp_path / "alpha.tif").read(0, 0, 0, Size(60, 40))
    assert np.array_equal(read[:20], noise(60, 40)[:20])
    assert (read[20:] == 255).all()


def test_palettes(tmp_path: Path) -> None:
    colours = np.zeros((3, 256), np.uint16)
    colours[:, 7] = 257 * np.array([10, 20, 30])
    tifffile.imwrite(tmp_path / "a.tif", np.full((20, 30), 7, np.uint8), photometric="palette", colormap=colours)
    assert (open_slide(tmp_path / "a.tif").read(0, 0, 0, Size(30, 20)) == (10, 20, 30)).all()


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (np.zeros((30, 40, 3), np.float32), {"photometric": "rgb"}, "pixels are float32, expected 8 or 16 bits"),
        (np.zeros((5, 30, 40), np.uint8), {"photometric": "minisblack"}, "5 planes or channels .*expected one RGB"),
        (np.zeros((30, 40, 3), np.uint8), {"photometric": "cielab"}, "colours are stored as .*CIELAB, expected RGB"),
    ],
)
def test_pixels_that_are_no_picture(tmp_path: Path, pixels: np.ndarray, options: dict[str, Any], message: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    with pytest.raises(SlideError, match=f"a.tif: {message}.*; export"):
        open_slide(tmp_path / "a.tif")


def test_spacing_from_resolution_tags(tmp_path: Path, noise: Noise) -> None:
    picture = noise(40, 30)

    def spacing(**options: Any) -> Spacing | None:
        tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb", **options)
        return open_slide(tmp_path / "a.tif").spacing

    assert spacing(resolution=(40_000, 20_000), resolutionunit="CENTIMETER", metadata=None) == Spacing(0.25, 0.5)
    assert spacing(resolution=(25_400, 25_400), resolutionunit="INCH", metadata=None) == Spacing(1, 1)
    assert spacing(resolution=(300, 300), resolutionunit="INCH", metadata=None) is None
    assert spacing(resolution=(4, 4), resolutionunit="NONE", metadata=None) is None
    assert spacing(imagej=True, resolution=(4, 4), metadata={"unit": "um"}) == Spacing(0.25, 0.25)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"PhysicalSizeXUnit": "nm", "PhysicalSizeX": 250, "PhysicalSizeYUnit": "nm", "PhysicalSizeY": 250}, 0.25),
        ({"PhysicalSizeXUnit": "mm", "PhysicalSizeX": 0.001, "PhysicalSizeYUnit": "mm", "PhysicalSizeY": 0.001}, 1.0),
        ({"PhysicalSizeXUnit": "pixel", "PhysicalSizeX": 1, "PhysicalSizeYUnit": "pixel", "PhysicalSizeY": 1}, None),
    ],
)
def test_units_of_ome(tmp_path: Path, noise: Noise, metadata: dict[str, Any], expected: float | None) -> None:
    slide = open_slide(_write_ome(tmp_path / "a.ome.tif", noise(60, 50), 0, metadata=metadata))
    assert (slide.spacing and slide.spacing.x) == (expected and pytest.approx(expected))


def test_an_absurd_ome_spacing_is_refused_unless_overridden(tmp_path: Path, noise: Noise) -> None:
    path = _write_ome(tmp_path / "a.ome.tif", noise(60, 50), 0, metadata={"PhysicalSizeX": 250, "PhysicalSizeY": 250})
    with pytest.raises(SpacingError, match=r"250 um per pixel cannot be .*--spacing UM"):
        open_slide(path)
    assert open_slide(path, 0.25).spacing == Spacing(0.25, 0.25)


def test_threads_read_what_one_reads(tmp_path: Path, noise: Noise) -> None:
    slide = open_slide(_write_ome(tmp_path / "a.ome.tif", noise(900, 800)))
    windows = [(level, 40 * i, 35 * i, Size(200, 150)) for i in range(10) for level in (0, 1)] * 2
    alone = [slide.read(*window) for window in windows]
    with ThreadPoolExecutor(6) as pool:
        assert all(
            np.array_equal(a, b) for a, b in zip(alone, pool.map(lambda w: slide.read(*w), windows), strict=True)
        )


def _page(path: Path) -> tuple[tifffile.TiffPage, bytearray]:
    with tifffile.TiffFile(path) as file:
        return file.pages[0], bytearray(path.read_bytes())


def test_a_damaged_tile_is_named(tmp_path: Path, noise: Noise) -> None:
    path = _write_ome(tmp_path / "a.ome.tif", noise(400, 300), 0)
    page, data = _page(path)
    data[page.dataoffsets[5] : page.dataoffsets[5] + 50] = b"\x55" * 50
    path.write_bytes(data)
    slide = open_slide(path)
    assert np.array_equal(slide.read(0, 0, 0, Size(256, 128)), noise(400, 300)[:128, :256])
    with pytest.raises(SlideError, match=r"a\.ome\.tif: damaged at level 0, x 128, y 128 .*copy the slide again"):
        slide.read(0, 200, 200, Size(10, 10))


def test_a_missing_tile_is_named(tmp_path: Path, noise: Noise) -> None:
    path = _write_ome(tmp_path / "a.ome.tif", noise(400, 300), 0)
    page, data = _page(path)
    counts = page.tags["TileByteCounts"]
    width = 2 if counts.dtype == tifffile.DATATYPE.SHORT else 4
    data[counts.valueoffset : counts.valueoffset + width] = bytes(width)
    path.write_bytes(data)
    with pytest.raises(SlideError, match=r"damaged at level 0, x 0, y 0 .*a tile is missing"):
        open_slide(path).read(0, 0, 0, Size(10, 10))


def test_truncated_files_are_refused_at_once(tmp_path: Path, noise: Noise) -> None:
    whole = tmp_path / "whole.tif"
    tifffile.imwrite(whole, noise(400, 300), photometric="rgb", rowsperstrip=50, compression="zlib")
    data = whole.read_bytes()
    cut = tmp_path / "cut.tif"
    for length in (8, 60, 200, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:length])
        with pytest.raises(SlideError, match=r"cut\.tif: .*(truncated|damaged or incomplete).*copy it again"):
            open_slide(cut)


def test_a_truncated_scan_is_refused_at_once(jpeg_pyramid: Path, tmp_path: Path) -> None:
    data = jpeg_pyramid.read_bytes()
    (tmp_path / "cut.tif").write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(SlideError, match=r"truncated|incomplete"):
        open_slide(tmp_path / "cut.tif")


def test_a_closed_slide_says_so(tmp_path: Path, noise: Noise) -> None:
    tifffile.imwrite(tmp_path / "a.tif", noise(40, 30), photometric="rgb")
    slide = open_slide(tmp_path / "a.tif")
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        slide.read(0, 0, 0, Size(9, 9))


def _without_imagecodecs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tifffile does in the core installation: its own few codecs, looked up afresh."""
    from tifffile import _imagecodecs

    monkeypatch.setattr(tifffile.tifffile, "imagecodecs", _imagecodecs)
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", tifffile.tifffile.CompressionCodec(encode=False))


def test_compressions_that_need_a_package_name_it(
    tmp_path: Path, blobs: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("imagecodecs")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for side in (512, 256):
            writer.write(blobs(side, side), compression="jpeg2000", rowsperstrip=64, photometric="rgb", metadata=None)
    assert np.array_equal(open_slide(path).read(1, 0, 0, Size(256, 256)), blobs(256, 256))
    _without_imagecodecs(monkeypatch)
    with pytest.raises(
        SlideError, match=r"compression \(JPEG2000\) needs one more package: pip install 'marrowscope\[formats\]'"
    ):
        open_slide(path)


@pytest.mark.parametrize("compression", ["lzw", "jpeg"])
def test_single_fields_open_without_that_package(
    tmp_path: Path, blobs: Noise, monkeypatch: pytest.MonkeyPatch, compression: str
) -> None:
    pytest.importorskip("imagecodecs")
    picture = blobs(200, 150)
    tifffile.imwrite(
        tmp_path / "a.tif",
        picture,
        photometric="rgb",
        compression=compression,
        rowsperstrip=48,
        resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    _without_imagecodecs(monkeypatch)
    slide = open_slide(tmp_path / "a.tif")
    assert (slide.reader, slide.spacing) == ("tiff", Spacing(0.25, 0.25))
    assert cv2.absdiff(slide.read(0, 0, 0, Size(200, 150)), picture).mean() < 3


def test_ome_tiles_that_only_openslide_decodes(tmp_path: Path, blobs: Noise, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imagecodecs")
    path = _write_ome(tmp_path / "a.ome.tif", blobs(500, 400), compression="jpeg")
    assert open_slide(path).reader == "tiff"
    whole = open_slide(path).read(0, 0, 0, Size(500, 400))
    _without_imagecodecs(monkeypatch)
    slide = open_slide(path)
    assert (slide.reader, slide.spacing) == ("openslide", Spacing(0.2, 0.25))
    assert cv2.absdiff(slide.read(0, 0, 0, Size(500, 400)), whole).max() <= 2
