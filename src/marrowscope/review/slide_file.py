"""The file of a counted slide: found where it lay or in folders that were named, and watched while it is open.

A file may be moved while the review runs. That is told in words, and the slide is open again when its file is back.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from time import monotonic

from marrowscope.errors import SlideError
from marrowscope.review.database import ReviewError
from marrowscope.review.unnamed import without_folders
from marrowscope.runs import slide_identity
from marrowscope.slides import Slide, open_slide

PAUSE = 1.0
"""Seconds for which a file that was not found is not sought again: a page asks for dozens of pictures at once."""

_Stamp = tuple[int, int, int, int]


class SlideGone(ReviewError):
    """The file of a slide is not there, or another one lies in its place; cells can be read all the same."""


class SlideFile:
    """The file of the slide ``label`` with the hash ``sha256`` (:func:`marrowscope.runs.slide_identity`).

    ``told``: where it lay when it was counted, None when nobody kept that; ``folders``: where else it is sought;
    ``spacing``: the one that was given, None for that of the file; ``named``: whether errors tell these places, whose
    names may be those of patients. Safe for several threads.
    """

    def __init__(
        self,
        label: str,
        sha256: str,
        told: Path | None,
        folders: Sequence[Path] = (),
        spacing: float | None = None,
        *,
        named: bool = True,
    ) -> None:
        self._named = named
        self._label, self._sha256, self._spacing = label, sha256, spacing
        self._told, self._folders = told, tuple(folders)
        self._lock = Lock()
        self._slide: Slide | None = None
        self._path: Path | None = None
        self._stamp: _Stamp | None = None
        self._missed: tuple[float, SlideGone] | None = None
        self._known: dict[Path, tuple[_Stamp, str]] = {}

    def open(self) -> Slide:
        """The open slide; another object once its file was away or changed. Raises ``SlideGone``."""
        with self._lock:
            # An open file can be read after it was deleted, but not by everybody and not for long: who looks is told.
            if self._slide is not None and self._path is not None and _stamp(self._path) != self._stamp:
                self._slide = None  # not closed: another thread may be reading
            if self._slide is None:
                self._slide = self._find()
            return self._slide

    def _find(self) -> Slide:
        if self._missed is not None and monotonic() - self._missed[0] < PAUSE:
            raise self._missed[1]
        why = ""
        for path in (*([self._told] if self._told else []), *_files(self._folders)):
            stamp = _stamp(path)
            try:
                if stamp is not None and self._identity(path, stamp) == self._sha256:
                    slide = open_slide(path, self._spacing)
                    self._path, self._stamp, self._missed = path, stamp, None
                    return slide
            except SlideError as fault:
                why = str(fault) if path == self._told else why
        error = SlideGone(self._words(why))
        self._missed = monotonic(), error
        raise error

    def _identity(self, path: Path, stamp: _Stamp) -> str:
        """The hash of a file, taken again only when the file changed: a folder may hold thousands.

        Raises ``SlideError`` for one that cannot be read, and forgets that: it may be able to be read later.
        """
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = self._known[path] = stamp, slide_identity(path)
        return known[1]

    def _words(self, why: str) -> str:
        """``why``: what keeps the file from being read that lies where the slide lay; empty where it is another one."""
        if why:
            return f"the slide of {self._label} cannot be read: {why if self._named else without_folders(why)}"
        places = []
        if self._told is not None:
            there = ", where another file lies now" if _stamp(self._told) is not None else ""
            places.append(f"{self._told if self._named else 'the place where it was counted'}{there}")
        if self._named:
            places += [f"the folder {folder}" for folder in self._folders]
        elif self._folders:
            places.append("the server's folders of slides")
        sought = f" It was sought at {'; '.join(places)}." if places else ""
        back = "Put it back, or" if self._named else "Ask an admin to put it back, or to"
        return (
            f"the slide of {self._label} was moved or deleted.{sought} {back} start the review again with "
            "--slides FOLDER, the folder where it lies now"
        )


def _stamp(path: Path) -> _Stamp | None:
    """What changes when a file is exchanged, moved away or moved back; None when there is none."""
    try:
        told = path.stat()
    except (OSError, ValueError):
        return None
    return told.st_dev, told.st_ino, told.st_size, told.st_ctime_ns


def _files(folders: Sequence[Path]) -> list[Path]:
    """Everything in the folders, and the folders themselves (a DICOM slide is one)."""
    found: list[Path] = []
    for folder in folders:
        found.append(folder)
        try:
            found += sorted(folder.iterdir())
        except OSError:
            continue
    return found
