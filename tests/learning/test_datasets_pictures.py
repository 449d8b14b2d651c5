"""Every way to store a picture gives the same 8-bit RGB; what is no picture of a cell says why."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cell_sets import UnusablePicture, read_cell_picture

SIDE = 20
ORANGE = (200, 100, 50)


def plain(colour: tuple[int, ...] | int, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (SIDE, SIDE), colour)


def deep(values: tuple[int, ...]) -> np.ndarray:
    """16 bits a channel, in OpenCV's order (BGR or BGRA)."""
    return np.full((SIDE, SIDE, len(values)), values, np.uint16).squeeze()


def pillow(picture: Image.Image, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        picture.save(folder / name)
        return folder / name

    return write


def opencv(pixels: np.ndarray, name: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        assert cv2.imwrite(str(folder / name), pixels)
        return folder / name

    return write


def see_through_palette(folder: Path) -> Path:
    picture = plain(0, "P")
    picture.putpalette([200, 100, 50, 0, 0, 0])
    picture.putpixel((0, 0), 1)
    picture.save(folder / "palette.png", transparency=1)
    return folder / "palette.png"


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (pillow(plain(ORANGE), "a.png"), ORANGE),
        (pillow(plain(ORANGE), "a.bmp"), ORANGE),
        (pillow(plain(90, "L"), "grey.png"), (90, 90, 90)),
        (pillow(plain(90, "L"), "grey.jpg"), (90, 90, 90)),
        (pillow(plain(1, "1"), "bilevel.png"), (255, 255, 255)),
        (pillow(plain((55, 155, 205, 0), "CMYK"), "cmyk.tif"), ORANGE),
        (pillow(plain((*ORANGE, 255), "RGBA"), "solid.png"), ORANGE),
        (pillow(plain((0, 0, 0, 0), "RGBA"), "clear.png"), (255, 255, 255)),
        (pillow(plain((100, 128), "LA"), "half.png"), (177, 177, 177)),
        (see_through_palette, ORANGE),
        (opencv(deep((90 * 257,)), "deep.png"), (90, 90, 90)),
        (opencv(deep((50 * 257, 100 * 257, 200 * 257)), "deep.tif"), ORANGE),
        (opencv(deep((50 * 257, 100 * 257, 200 * 257)), "deep-rgb.png"), ORANGE),
        (opencv(deep((50 * 257, 100 * 257, 200 * 257, 0)), "deep-clear.png"), (255, 255, 255)),
        (opencv(deep((803, 1606, 3212)), "twelve.tif"), ORANGE),
    ],
    ids=lambda value: getattr(value, "__qualname__", str(value)),
)
def test_all_become_rgb(tmp_path: Path, write: Callable[[Path], Path], expected: tuple[int, int, int]) -> None:
    pixels = read_cell_picture(write(tmp_path))
    assert pixels.shape == (SIDE, SIDE, 3)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[5, 5].astype(int), expected, atol=1)


def broken_tiff(file: Path) -> Path:
    """A TIFF that says that a second frame follows, of which there is nothing: Pillow stumbles with a TypeError."""
    plain(ORANGE).save(file)
    whole = bytearray(file.read_bytes())
    after = 10 + 12 * int.from_bytes(whole[8:10], "little")
    whole[after : after + 4] = len(whole).to_bytes(4, "little")
    file.write_bytes(whole + bytes(8))
    return file


@pytest.mark.parametrize("values", [(60000, 22), (4000, 6)], ids=["sixteen", "twelve"])
def test_a_deep_tiff_whose_zero_is_white_is_turned_over(tmp_path: Path, values: tuple[int, int]) -> None:
    stored, seen = values
    picture = Image.fromarray(deep((stored,)))
    picture.save(tmp_path / "white.tif", tiffinfo={262: 0})
    picture.save(tmp_path / "black.tif", tiffinfo={262: 1})
    assert read_cell_picture(tmp_path / "white.tif")[0, 0].tolist() == [seen] * 3
    assert read_cell_picture(tmp_path / "black.tif")[0, 0].tolist() == [255 - seen] * 3


def test_whatever_a_decoder_raises_means_unreadable(tmp_path: Path) -> None:
    file = broken_tiff(tmp_path / "broken.tif")
    with Image.open(file) as picture, pytest.raises(TypeError, match="Missing dimensions"):
        _ = picture.n_frames
    with pytest.raises(UnusablePicture, match=r"broken.tif cannot be decoded \(Missing dimensions\)") as told:
        read_cell_picture(file)
    assert told.value.kind == "unreadable"


@given(st.sampled_from(["png", "jpg", "tif", "bmp", "gif", "webp"]), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow's words on what it skips over
def test_garbage_is_read_or_refused(ending: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    packed = BytesIO()
    noise = Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    noise.save(packed, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()))
    broken = bytearray(packed.getvalue())
    for place in random.integers(-150, 150, 3):  # where headers are: at the beginning, of TIFF at the end
        broken[place] = random.integers(0, 256)
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"broken.{ending}"
        file.write_bytes(broken)
        with suppress(UnusablePicture):
            assert read_cell_picture(file).dtype == np.uint8


def test_what_shines_through_a_palette_is_white(tmp_path: Path) -> None:
    assert read_cell_picture(see_through_palette(tmp_path))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("write", "kind", "words"),
    [
        (pillow(Image.new("RGB", (1, 1)), "dot.png"), "too small", "1 x 1 pixels"),
        (pillow(Image.new("L", (20, 5000)), "long.png"), "giant", "20 x 5,000 pixels"),
        (pillow(Image.new("F", (SIDE, SIDE)), "float.tif"), "unreadable", "floating-point"),
        (lambda folder: folder / "lost.png", "unreadable", "is missing"),
    ],
    ids=["dot", "long", "float", "lost"],
)
def test_what_is_no_picture_of_a_cell_says_why(
    tmp_path: Path, write: Callable[[Path], Path], kind: str, words: str
) -> None:
    with pytest.raises(DataError, match=words) as told:
        read_cell_picture(write(tmp_path))
    assert isinstance(told.value, UnusablePicture)
    assert told.value.kind == kind


@pytest.mark.parametrize("name", ["cut.png", "cut.jpg", "cut.tif"])
def test_a_file_that_ends_too_early_is_unreadable(tmp_path: Path, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UnusablePicture, match=name) as told:
        read_cell_picture(tmp_path / name)
    assert told.value.kind == "unreadable"
