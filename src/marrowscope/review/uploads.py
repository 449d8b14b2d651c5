"""Slides that come through the browser: streamed to disk, looked at, and given their place or removed."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage
from uuid import uuid4

import anyio

from marrowscope.errors import MarrowscopeError, OutputError, SlideError
from marrowscope.review.database import ReviewError
from marrowscope.slides import open_slide

FOLDER = "slides"
"""The folder of uploaded slides in the folder of results."""

LARGEST_BYTES = 20 * 10**9
"""Of one uploaded slide, unless the server was told otherwise."""

MOST_BYTES = 500 * 10**9
"""Of all uploaded slides together, unless the server was told otherwise."""

LEFT_FREE = 2 * 10**9
"""Of the disk: the review's database and the counts must have room to write."""

_INCOMING = ".incoming-"
_NOT_SAFE = re.compile(r"[^\w.()+-]+")


class TooLarge(ReviewError):
    """A file is larger than the server takes."""


class NoRoom(ReviewError):
    """The uploaded slides take all that they may, or the disk is nearly full."""


def safe_name(name: str) -> str:
    """A name for a file of one folder: that of ``name``, without folders and signs that a disk or a shell may misread.

    Raises ``ReviewError`` when nothing is left.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    kept = _NOT_SAFE.sub("_", last).lstrip(".-").strip("_")
    stem, dot, ending = kept.rpartition(".")
    if not stem or not dot or not ending:
        raise ReviewError("the file has no name with an ending, such as smear.svs: rename it, then upload it again")
    return f"{stem[:120]}.{ending[:12]}"


class Uploads:
    """Takes uploads into ``root/slides``. What an earlier server left half-done is removed.

    ``largest`` bytes of one slide, ``most`` of all slides of the folder and those on their way together; ``left_free``
    bytes of the disk are not touched.
    """

    def __init__(
        self, root: Path, largest: int = LARGEST_BYTES, most: int = MOST_BYTES, left_free: int = LEFT_FREE
    ) -> None:
        self.folder = root / FOLDER
        self.largest = largest
        self.most = most
        self.left_free = left_free
        self._coming: dict[Path, tuple[int, int]] = {}
        """Of each upload on its way what it will take as far as is known, and what it has taken."""
        self._kept = 0
        """Bytes of the slides that are here, looked up whenever an upload begins."""
        for left in self.folder.glob(f"{_INCOMING}*"):
            left.unlink(missing_ok=True)

    async def take(self, name: str, chunks: AsyncIterator[bytes], announced: int | None = None) -> Path:
        """Write what comes, look whether it is a slide, and keep it under its name (``name-2`` if that is taken).

        ``announced`` is the length that the browser told. Raises ``TooLarge``, ``NoRoom``, ``SlideError`` for what is
        no slide, ``OutputError`` for a disk that fails, ``ReviewError`` for a name that is none; then, and when the
        browser goes away, nothing stays.
        """
        kept = safe_name(name)
        if announced is not None and announced > self.largest:
            raise TooLarge(self._too_large(kept))
        # The ending stays at the end: readers know a file by it.
        beside = self.folder / f"{_INCOMING}{uuid4().hex[:8]}-{kept}"
        whole = False
        try:
            await self._write(beside, chunks, kept, announced or 0)
            await anyio.to_thread.run_sync(_look, beside, kept)
            path = _free(self.folder / kept)
            beside.rename(path)
            whole = True
            self._kept += path.stat().st_size
            return path
        except OSError as error:
            raise OutputError(
                f"{kept} could not be kept ({error.strerror or type(error).__name__}): free space, then try again"
            ) from error
        finally:
            if not whole:
                beside.unlink(missing_ok=True)
            self._coming.pop(beside, None)

    def without_folder(self, words: str) -> str:
        """Words about an uploaded slide, which people know by its name and not by where the server keeps it."""
        return words.replace(f"{self.folder.resolve()}{os.sep}", "").replace(f"{self.folder}{os.sep}", "")

    @contextmanager
    def unnamed(self) -> Iterator[None]:
        """Errors that leave the block name no folder of this server."""
        try:
            yield
        except MarrowscopeError as error:
            told = self.without_folder(str(error))
            if told == str(error):
                raise
            raise type(error)(told) from error

    async def _write(self, path: Path, chunks: AsyncIterator[bytes], name: str, announced: int) -> None:
        self.folder.mkdir(exist_ok=True)
        written = 0
        self._coming[path] = announced, 0
        self._kept = sum(file.stat().st_size for file in self.folder.iterdir() if file not in self._coming)
        self._refuse_full(name)
        async with await anyio.open_file(path, "xb") as file:
            async for chunk in chunks:
                written += len(chunk)
                if written > self.largest:
                    raise TooLarge(self._too_large(name))
                self._coming[path] = max(announced, written), written
                if written > announced:  # nobody told, or it was not true
                    self._refuse_full(name)
                await file.write(chunk)

    def _refuse_full(self, name: str) -> None:
        """Raise ``NoRoom`` when the slides that are here and those on their way are too much."""
        expected = sum(all_of_it for all_of_it, _ in self._coming.values())
        if self._kept + expected > self.most:
            raise NoRoom(
                f"there is no room for {name}: the uploaded slides may take {self.most / 1e9:g} GB together and take "
                f"{self._kept / 1e9:.1f} GB. Ask an admin to move some to another folder (--slides), or to start the "
                "review with a higher --all-uploads"
            )
        missing = sum(all_of_it - there for all_of_it, there in self._coming.values())
        if disk_usage(self.folder).free - missing < self.left_free:
            raise NoRoom(
                f"there is no room for {name}: the disk of the review is nearly full, and {self.left_free / 1e9:g} GB "
                "of it are kept free. Ask an admin to free some space"
            )

    def _too_large(self, name: str) -> str:
        return (
            f"{name} is larger than {self.largest / 1e9:g} GB: copy it to the server and add it by its path, or ask an "
            "admin to start the review with a higher --largest-upload"
        )


def _look(path: Path, name: str) -> None:
    try:
        with open_slide(path, 1.0):  # a spacing, if the file has none, is asked for when it is counted
            pass
    except MarrowscopeError as error:
        words = str(error).replace(str(path), name).replace(path.name, name).replace(path.stem, Path(name).stem)
        raise SlideError(words) from error


def _free(path: Path) -> Path:
    """``path``, or with a number behind its name where it is taken."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free
