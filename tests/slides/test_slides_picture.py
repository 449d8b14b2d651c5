from collections.abc import Callable
from pathlib import Path
from struct import pack
from zlib import compress, crc32

import cv2
import numpy as np
import pytest
from PIL import Image

from marrowscope.errors import SlideError
from marrowscope.geometry import Size
from marrowscope.slides import open_slide

Noise = Callable[..., np.ndarray]


@pytest.mark.parametrize("ending", ["png", "bmp", "PNG"])
def test_pictures_open_as_slides(tmp_path: Path, noise: Noise, ending: str) -> None:
    path = tmp_path / f"field.{ending}"
    cv2.imwrite(str(path), noise(70, 50)[..., ::-1])
    slide = open_slide(path, 0.05)
    assert (slide.reader, slide.name, slide.path, slide.size) == ("picture", "field", path, Size(70, 50))
    assert slide.spacing is not None
    assert slide.spacing.x == 0.05
    assert np.array_equal(slide.read(0, 0, 0, Size(70, 50)), noise(70, 50))


def test_a_jpeg_and_its_dpi(tmp_path: Path, blobs: Noise) -> None:
    Image.fromarray(blobs(300, 200)).save(tmp_path / "a.jpg", quality=95, dpi=(101_600, 101_600))
    slide = open_slide(tmp_path / "a.jpg")
    assert slide.spacing is None
    assert cv2.absdiff(slide.read(0, 0, 0, Size(300, 200)), blobs(300, 200)).mean() < 2


def test_exif_orientation_is_ignored(tmp_path: Path, blobs: Noise) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    Image.fromarray(blobs(300, 200)).save(tmp_path / "a.jpg", quality=95, exif=exif)
    assert open_slide(tmp_path / "a.jpg").size == Size(300, 200)


def test_grey_cmyk_palette_alpha_and_16_bit(tmp_path: Path, blobs: Noise) -> None:
    picture = Image.fromarray(blobs(60, 40))

    def read(name: str) -> np.ndarray:
        return open_slide(tmp_path / name).read(0, 0, 0, Size(60, 40))

    picture.convert("L").save(tmp_path / "grey.png")
    assert np.array_equal(read("grey.png"), np.asarray(picture.convert("L").convert("RGB")))
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    assert cv2.absdiff(read("cmyk.jpg"), np.asarray(picture)).mean() < 3
    picture.quantize(64).save(tmp_path / "palette.png")
    assert np.array_equal(read("palette.png"), np.asarray(picture.quantize(64).convert("RGB")))
    picture.putalpha(Image.fromarray(np.tile(np.array([0, 255], np.uint8), (40, 30))))
    picture.save(tmp_path / "alpha.png")
    assert (read("alpha.png")[:, ::2] == 255).all()
    assert np.array_equal(read("alpha.png")[:, 1::2], blobs(60, 40)[:, 1::2])
    deep = blobs(60, 40).astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., 0])
    assert np.array_equal(read("deep.png")[..., 1], blobs(60, 40)[..., 0])
    cv2.imwrite(str(tmp_path / "deep-rgb.png"), deep[..., ::-1])
    assert cv2.absdiff(read("deep-rgb.png"), blobs(60, 40)).max() <= 1


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_damaged_pictures_are_refused(tmp_path: Path, noise: Noise, ending: str) -> None:
    whole, cut = tmp_path / f"whole.{ending}", tmp_path / f"cut.{ending}"
    cv2.imwrite(str(whole), noise(200, 150))
    data = whole.read_bytes()
    for length in (20, len(data) // 2, len(data) - 200):
        cut.write_bytes(data[:length])
        fault = "(truncated|damaged)" if length == 20 else "truncated"  # a head that is cut may be anything
        with pytest.raises(SlideError, match=rf"cut\.{ending}: the picture is {fault}.*copy it again"):
            open_slide(cut)


def test_decompression_bombs_are_refused(tmp_path: Path) -> None:
    content = b""
    for kind, data in ((b"IHDR", pack(">IIBBBBB", 60_000, 50_000, 8, 2, 0, 0, 0)), (b"IDAT", compress(bytes(9000)))):
        content += pack(">I", len(data)) + kind + data + pack(">I", crc32(kind + data))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with pytest.raises(SlideError, match=r"bomb\.png: more than 178 million pixels .*vips tiffsave"):
        open_slide(tmp_path / "bomb.png")
