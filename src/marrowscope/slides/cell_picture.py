"""Reading a picture of one cell, whatever way it was stored, for networks that take whole pictures.

Everything becomes 8-bit RGB: grey is tripled, CMYK and palettes are converted, what is transparent shows white, of
16 bits the upper eight are kept (the upper eight of twelve where no value exceeds 4,095), and of several frames the
first is read. Nothing is repaired: a file that ends before its picture does is unreadable.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION

from marrowscope.errors import DataError
from marrowscope.slides.protocol import Picture

LEAST_SIDE = 16
"""Pixels; a picture with a shorter side (1 x 1, a broken export) shows no cell."""

MOST_SIDE = 4096
"""Pixels; a picture with a longer side is a field or a slide, no cell, and is not decoded."""

Problem = Literal["unreadable", "too small", "giant"]


class UnusablePicture(DataError):
    """A file that is no picture of a cell; ``kind`` says why in two words, ``words`` in a clause without the name."""

    def __init__(self, file: Path, kind: Problem, words: str, advice: str) -> None:
        super().__init__(f"{file} {words}: {advice}")
        self.kind: Problem = kind
        self.words = words


def read_cell_picture(file: Path) -> Picture:
    """RGB ``(height, width, 3)``. Raises :class:`UnusablePicture`, a :class:`DataError`, for what cannot be used."""
    return read_frames(file)[0]


def read_frames(file: Path) -> tuple[Picture, int]:
    """Pixels of the first frame, and the number of frames in the file."""
    try:
        with Image.open(file) as picture:
            check_size(file, picture.width, picture.height)
            frames = int(getattr(picture, "n_frames", 1))
            if frames > 1:
                picture.seek(0)
            return _rgb(file, picture), frames
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _giant(file, "is larger than any cell") from error
    except FileNotFoundError as error:
        raise UnusablePicture(file, "unreadable", "is missing", "restore it, or drop its row from the table") from error
    except Exception as error:  # a decoder that is fed garbage raises whatever it stumbles over, TypeError too
        raise _unreadable(file, _words(file, error)) from error


def check_size(file: Path, width: int, height: int) -> None:
    """Raise :class:`UnusablePicture` for sides beyond :data:`LEAST_SIDE` and :data:`MOST_SIDE`."""
    if min(width, height) < LEAST_SIDE:
        words = f"has {width} x {height} pixels, too few to show a cell"
        raise UnusablePicture(file, "too small", words, f"give pictures of at least {LEAST_SIDE} pixels a side")
    if max(width, height) > MOST_SIDE:
        raise _giant(file, f"has {width:,} x {height:,} pixels, more than a picture of one cell")


def fitted(picture: Picture, side: int) -> Picture:
    """The whole picture at ``(side, side, 3)``, squeezed where it is not square, as networks of whole pictures see it.

    A pixel averages what it covers when the picture shrinks, and is bilinear when it grows.
    """
    if picture.shape[:2] == (side, side):
        return picture
    method = cv2.INTER_AREA if min(picture.shape[:2]) >= side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=method), np.uint8)


def _rgb(file: Path, picture: Image.Image) -> Picture:
    raw = " ".join(str(tile[-1]) for tile in getattr(picture, "tile", ()))
    inverted = getattr(picture, "tag_v2", {}).get(PHOTOMETRIC_INTERPRETATION) == 0  # a TIFF whose 0 is white
    if picture.mode.startswith("I;16") or ";16" in raw:
        deep = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if deep is None:
            raise _unreadable(file, "has 16 bits a channel and cannot be decoded")
        return _from_deep(np.asarray(deep), inverted)
    if picture.mode == "I":
        return _from_deep(np.asarray(picture).astype(np.int64).clip(0, 65535).astype(np.uint16), inverted)
    if picture.mode == "F":
        raise _unreadable(file, "holds floating-point numbers, whose black and white nobody can know")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return np.asarray(Image.alpha_composite(white, clear).convert("RGB"), np.uint8)
    return np.asarray(picture.convert("RGB"), np.uint8)


def _from_deep(deep: NDArray[np.uint16], inverted: bool) -> Picture:
    """8-bit RGB of grey ``(h, w)``, whose 0 is white if ``inverted``, BGR or BGRA ``(h, w, 3 or 4)``."""
    if deep.dtype != np.uint16:
        flat = deep.astype(np.float64)
    else:
        flat = deep.astype(np.float64) / (4095 if deep.max() <= 4095 else 65535) * 255
    if flat.ndim == 2:
        flat = (255 - flat if inverted else flat)[..., None].repeat(3, axis=2)
    if flat.shape[2] == 4:
        cover = flat[..., 3:] / 255
        flat = flat[..., :3] * cover + 255 * (1 - cover)
    return np.ascontiguousarray(np.rint(flat[..., 2::-1]).astype(np.uint8))


def _giant(file: Path, words: str) -> UnusablePicture:
    advice = f"give pictures of at most {MOST_SIDE:,} pixels a side, or count a slide with marrowscope count"
    return UnusablePicture(file, "giant", words, advice)


def _unreadable(file: Path, words: str) -> UnusablePicture:
    return UnusablePicture(file, "unreadable", words, "restore it from its source, or save it as an 8-bit PNG")


def _words(file: Path, error: Exception) -> str:
    with suppress(OSError, ValueError):
        if file.stat().st_size == 0:
            return "is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "is no picture"
    if "truncated" in str(error).lower():
        return "is truncated: the file ends before the picture does"
    return f"cannot be decoded ({getattr(error, 'strerror', None) or error})"
