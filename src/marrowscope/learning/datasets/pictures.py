"""Reading a picture of one cell, whatever way it was stored, and looking at many for what forbids their use.

Everything becomes 8-bit RGB: grey is tripled, CMYK and palettes are converted, what is transparent shows white, of
16 bits the upper eight are kept (the upper eight of twelve where no value exceeds 4,095), and of several frames the
first is read. Nothing is repaired: a file that ends before its picture does is unreadable.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from marrowscope.errors import DataError, OutputError
from marrowscope.files import user_folder, whole_file
from marrowscope.learning.datasets.cells import SUFFIXES

PICTURES = SUFFIXES | {".gif", ".webp"}
"""How the names of pictures end, in small letters."""

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


def read_cell_picture(file: Path) -> NDArray[np.uint8]:
    """RGB ``(height, width, 3)``. Raises :class:`UnusablePicture`, a :class:`DataError`, for what cannot be used."""
    return _read(file)[0]


def _read(file: Path) -> tuple[NDArray[np.uint8], int]:
    """Pixels, and the number of frames in the file."""
    try:
        with Image.open(file) as picture:
            _check_size(file, picture.width, picture.height)
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
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # Pillow's ways to say "broken"
        raise _unreadable(file, _words(file, error)) from error


def _rgb(file: Path, picture: Image.Image) -> NDArray[np.uint8]:
    raw = " ".join(str(tile[-1]) for tile in getattr(picture, "tile", ()))
    if picture.mode.startswith("I;16") or ";16" in raw:
        deep = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if deep is None:
            raise _unreadable(file, "has 16 bits a channel and cannot be decoded")
        return _from_deep(np.asarray(deep))
    if picture.mode == "I":
        return _from_deep(np.asarray(picture).astype(np.int64).clip(0, 65535).astype(np.uint16))
    if picture.mode == "F":
        raise _unreadable(file, "holds floating-point numbers, whose black and white nobody can know")
    if picture.has_transparency_data:
        clear = picture.convert("RGBA")
        white = Image.new("RGBA", clear.size, "white")
        return np.asarray(Image.alpha_composite(white, clear).convert("RGB"), np.uint8)
    return np.asarray(picture.convert("RGB"), np.uint8)


def _from_deep(deep: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """8-bit RGB of grey ``(h, w)``, BGR or BGRA ``(h, w, 3 or 4)``."""
    if deep.dtype != np.uint16:
        flat = deep.astype(np.float64)
    else:
        flat = deep.astype(np.float64) / (4095 if deep.max() <= 4095 else 65535) * 255
    if flat.ndim == 2:
        flat = flat[..., None].repeat(3, axis=2)
    if flat.shape[2] == 4:
        cover = flat[..., 3:] / 255
        flat = flat[..., :3] * cover + 255 * (1 - cover)
    return np.ascontiguousarray(np.rint(flat[..., 2::-1]).astype(np.uint8))


def _check_size(file: Path, width: int, height: int) -> None:
    if min(width, height) < LEAST_SIDE:
        words = f"has {width} x {height} pixels, too few to show a cell"
        raise UnusablePicture(file, "too small", words, f"give pictures of at least {LEAST_SIDE} pixels a side")
    if max(width, height) > MOST_SIDE:
        raise _giant(file, f"has {width:,} x {height:,} pixels, more than a picture of one cell")


def _giant(file: Path, words: str) -> UnusablePicture:
    advice = f"give pictures of at most {MOST_SIDE:,} pixels a side, or count a slide with marrowscope count"
    return UnusablePicture(file, "giant", words, advice)


def _unreadable(file: Path, words: str) -> UnusablePicture:
    return UnusablePicture(file, "unreadable", words, "restore it from its source, or save it as an 8-bit PNG")


def _words(file: Path, error: Exception) -> str:
    with suppress(OSError):
        if file.stat().st_size == 0:
            return "is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "is no picture"
    if "truncated" in str(error).lower():
        return "is cut off: the file ends before the picture does"
    return f"cannot be decoded ({error})"


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a file gave: ``problem`` ("" for none) in ``words``, or size, frames and digest of the pixels."""

    problem: str
    words: str
    width: int
    height: int
    frames: int
    digest: str


def look_at(files: Sequence[Path], progress: Callable[[float], None] = lambda share: None) -> list[Look]:
    """Decode every file to its end, once: what was seen is remembered until a file's size or time changes.

    ``progress`` is told the share done, 0..1. Nothing is raised for a bad file: its problem is the answer.
    """
    if not files:
        return []
    store = _store(files)
    known = _remembered(store)
    marks = [_mark(file) for file in files]
    looks = [known.get(mark) for mark in marks]
    unseen = [index for index, look in enumerate(looks) if look is None]
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for done, (index, look) in enumerate(zip(unseen, pool.map(_look, [files[i] for i in unseen]), strict=True)):
            looks[index] = look
            progress((done + 1) / len(unseen))
    answers = [look for look in looks if look is not None]
    if unseen:
        _remember(store, known | dict(zip(marks, answers, strict=True)))
    return answers


def _look(file: Path) -> Look:
    try:
        pixels, frames = _read(file)
    except UnusablePicture as error:
        return Look(error.kind, error.words, 0, 0, 0, "")
    height, width = pixels.shape[:2]
    digest = hashlib.blake2b(pixels.tobytes(), digest_size=16, key=f"{width} x {height}".encode()).hexdigest()
    return Look("", "", width, height, frames, digest)


_Mark = tuple[str, int, int]
"""Path, bytes and time of a file."""

_COLUMNS = {
    "file": pl.String, "bytes": pl.Int64, "time": pl.Int64, "problem": pl.String, "words": pl.String,
    "width": pl.Int64, "height": pl.Int64, "frames": pl.Int64, "digest": pl.String,
}  # fmt: skip


def _mark(file: Path) -> _Mark:
    try:
        about = file.stat()
    except OSError:
        return str(file), -1, -1
    return str(file), about.st_size, about.st_mtime_ns


def _store(files: Sequence[Path]) -> Path:
    """Where looks at the pictures of a folder are remembered. Other limits are other looks."""
    home = os.path.commonpath([str(file.parent.absolute()) for file in files])
    name = hashlib.blake2b(f"{home} {LEAST_SIDE} {MOST_SIDE} 1".encode(), digest_size=12).hexdigest()
    return user_folder() / "looks" / f"{name}.parquet"


def _remembered(store: Path) -> dict[_Mark, Look]:
    try:
        table = pl.read_parquet(store, columns=list(_COLUMNS))
    except (OSError, pl.exceptions.PolarsError):  # none yet, or no longer readable: look again
        return {}
    return {(row[0], row[1], row[2]): Look(*row[3:]) for row in table.iter_rows()}


def _remember(store: Path, looks: dict[_Mark, Look]) -> None:
    rows = [(*mark, *astuple(look)) for mark, look in looks.items() if mark[1] >= 0]
    with suppress(OutputError), whole_file(store) as beside:  # a home that cannot be written costs time, nothing else
        pl.DataFrame(rows, schema=_COLUMNS, orient="row").write_parquet(beside)
