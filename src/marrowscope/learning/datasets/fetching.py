"""Large files from the net: a download goes on where it was broken off, and is verified before it gets its name."""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from marrowscope import __version__
from marrowscope.errors import DataError, OutputError

Progress = Callable[[float, str], None]
"""Share done, 0..1, and words such as ``120 of 280 MB``."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""

_CHUNK = 1 << 20
_TRIES = 3


class NoConnection(DataError):
    """The address cannot be reached at all, or answers that it has no such file."""


def download(url: str, path: Path, checksum: str | None, progress: Progress = lambda share, words: None) -> None:
    """Fetch ``url`` to ``path``, by way of ``path.part``, which stays when the connection breaks and is gone on with.

    ``checksum``: ``sha256:...`` or ``md5:...`` of the file, None where none is of record. Raises :class:`NoConnection`,
    :class:`DataError` for a broken connection or another checksum, ``OutputError`` where it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(_TRIES):
            before = _size(part)
            if _go_on(url, part, progress):
                break
            if attempt == _TRIES - 1 or _size(part) == before:
                raise DataError(
                    f"the connection to {urlsplit(url).hostname} broke off after {_size(part):,} bytes of {path.name}; "
                    "they are kept: run the same command again to go on"
                )
        verify(part, checksum, progress)
        part.replace(path)
    except OSError as error:
        words = error.strerror or str(error)
        raise OutputError(f"cannot write {part} ({words}): free space or choose another folder with -o") from error


def verify(path: Path, checksum: str | None, progress: Progress = lambda share, words: None) -> None:
    """Hold a file against its checksum; one that differs is removed. Raises :class:`DataError`."""
    if checksum is None:
        return
    kind, expected = checksum.split(":")
    progress(1.0, "verifying")
    with path.open("rb") as handle:
        found = hashlib.file_digest(handle, kind).hexdigest()
    if found != expected:
        path.unlink()
        raise DataError(
            f"{path.name.removesuffix('.part')} is not the file of record: its {kind} is {found}, expected {expected}. "
            "It was removed: run the same command again; if that does not help, fetch it by hand from its page"
        )


def _go_on(url: str, part: Path, progress: Progress) -> bool:
    """Append what is missing; True when all is there, False when the connection broke."""
    have = _size(part)
    headers = {"User-Agent": f"marrowscope/{__version__}"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            whole = re.search(r"/(\d+)$", error.headers.get("Content-Range") or "")
            if error.code == 416 and whole and int(whole[1]) == have:
                return True
            if error.code == 416:  # more is here than the file has: not its beginning
                part.unlink()
                return _go_on(url, part, progress)
        raise NoConnection(f"{url} answers {error.code} ({error.reason})") from error
    except (urllib.error.URLError, TimeoutError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise NoConnection(f"no connection to {urlsplit(url).hostname} ({reason})") from error
    with answer:
        return _receive(answer, part, have if answer.status == 206 else 0, progress)


def _receive(answer: HTTPResponse, part: Path, have: int, progress: Progress) -> bool:
    told = answer.headers.get("Content-Length")
    total = have + int(told) if told else None
    with part.open("r+b" if have else "wb") as handle:
        handle.seek(have)
        handle.truncate()
        while True:
            try:
                chunk = answer.read(_CHUNK)
            except (OSError, HTTPException):
                return False
            if not chunk:
                return total is None or have == total
            handle.write(chunk)
            have += len(chunk)
            progress(have / total if total else 0.0, _words(have, total))


def _words(have: int, total: int | None) -> str:
    return f"{have / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total else f"{have / 1e6:,.0f} MB"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
