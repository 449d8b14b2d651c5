"""Where a run's files go, and how the next run knows what is already there.

``run.json`` is written last: a folder that has one is complete. Its fingerprint covers the slide file, the pack and
every option that changes a result, so a second run with the same question is answered from the folder.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marrowscope import __version__
from marrowscope.errors import OutputError, SlideError
from marrowscope.files import user_folder, whole_file

SCHEMA = 1


def slide_identity(path: Path) -> str:
    """Hash that tells one slide file from another: its size and its first and last 64 KiB.

    A slide of several files (a DICOM folder) is told by the names and sizes of its files. Moving or copying a slide
    leaves it the same slide; hashing all of a file of several GB would take longer than counting it.
    """
    try:
        if path.is_dir():
            told = repr([(file.name, file.stat().st_size) for file in sorted(path.iterdir())]).encode()
            return hashlib.sha256(told).hexdigest()
        size = path.stat().st_size
        with path.open("rb") as handle:
            head = handle.read(1 << 16)
            handle.seek(max(0, size - (1 << 16)))
            tail = handle.read(1 << 16)
    except OSError as error:
        raise SlideError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    return hashlib.sha256(str(size).encode() + head + tail).hexdigest()


def pictures_identity(images: Sequence[Path]) -> str:
    """Hash of pictures of single cells: where each lies and what it holds; of one that cannot be read where alone."""
    told = hashlib.sha256()
    for image in images:
        try:
            content = slide_identity(image)
        except SlideError:
            content = ""
        told.update(f"{image.as_posix()}\0{content}\n".encode(errors="surrogateescape"))
    return told.hexdigest()


def require_no_count(folder: Path) -> None:
    """Raise ``OutputError`` for the folder of a counted slide, or one with such: a review reads all that lies there."""
    inner = folder.iterdir() if folder.is_dir() else ()
    if counted := [path for path in (folder, *inner) if (path / "run.json").is_file()]:
        raise OutputError(
            f"{counted[0]} holds a count, which nothing else is mixed with: choose another folder with -o"
        )


def require_same(folder: Path, earlier: Mapping[str, Any], now: Mapping[str, Any], what: str) -> None:
    """Raise ``OutputError`` where ``folder`` holds the answer to another question than ``now``.

    Both hold ``fingerprint``, ``pack`` (name, sha256) and ``options``; ``what`` names the answer ("a table").
    """
    if earlier.get("fingerprint") == now["fingerprint"]:
        return
    was, pack = earlier.get("options", {}), earlier.get("pack", {})
    found = [f"{name} {was.get(name)}" for name, value in now["options"].items() if was.get(name) != value]
    if pack.get("sha256") != now["pack"]["sha256"]:
        found.insert(0, f"pack {pack.get('name', 'unknown')}, of other content")
    raise OutputError(
        f"{folder} holds {what} of an earlier run, made otherwise ({', '.join(found) or 'other pictures or version'}): "
        "choose another folder with -o, or replace it with --force"
    )


def fingerprint(slide_sha256: str, pack_sha256: str, options: Mapping[str, Any]) -> str:
    """Hash of the question: the slide, the pack, this program's version and the options that matter."""
    question = [SCHEMA, __version__, slide_sha256, pack_sha256, dict(sorted(options.items()))]
    return hashlib.sha256(json.dumps(question, default=str).encode()).hexdigest()


def read_run(folder: Path) -> dict[str, Any] | None:
    """The ``run.json`` of a finished run, or None. A damaged one counts as none, so the slide is counted again."""
    try:
        content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def slide_name(path: Path) -> str:
    """The name of a slide for people and folders: that of its file without the last ending, or of its folder."""
    path = path.resolve()
    return path.name if path.is_dir() else path.stem


def output_names(slides: Sequence[Path]) -> list[str]:
    """A folder name for each slide; slides that share a name get a hash of their place behind it."""
    names = [slide_name(slide) for slide in slides]
    return [
        name if names.count(name) == 1 else f"{name}-{hashlib.sha256(str(slide.resolve()).encode()).hexdigest()[:6]}"
        for slide, name in zip(slides, names, strict=True)
    ]


def pseudonym(name: str, key_file: Path | None = None) -> str:
    """A name that stands for ``name`` and tells nothing of it: HMAC-SHA256 with a key that only this user can read."""
    key_file = key_file or user_folder() / "pseudonym.key"
    if not key_file.exists():
        key_file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(key_file) as beside:
            beside.write_text(secrets.token_hex(32))
        key_file.chmod(0o600)
    key = key_file.read_text().strip().encode()
    return f"slide-{hmac.new(key, name.encode(), hashlib.sha256).hexdigest()[:12]}"
