"""Looking at many pictures of single cells for what forbids their use, each once: what was seen is remembered.

Reading itself is :mod:`marrowscope.slides.cell_picture`.
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

import polars as pl
from PIL import Image

from marrowscope.errors import OutputError
from marrowscope.files import user_folder, whole_file
from marrowscope.learning.datasets.cells import SUFFIXES
from marrowscope.slides.cell_picture import LEAST_SIDE, MOST_SIDE, UnusablePicture, read_frames

PICTURES = SUFFIXES | {".gif", ".webp"}
"""How the names of pictures end, in small letters."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a file gave: ``problem`` ("" for none) in ``words``, or size, frames and digest of the pixels."""

    problem: str
    words: str
    width: int
    height: int
    frames: int
    digest: str


def is_picture_file(path: Path) -> bool:
    """A file, or a link that leads nowhere: what can be looked at, or said to be missing, but no folder or pipe."""
    return path.is_file() or (path.is_symlink() and not path.exists())


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
        pixels, frames = read_frames(file)
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
    except (OSError, ValueError):  # not there, or a name that none can have
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
