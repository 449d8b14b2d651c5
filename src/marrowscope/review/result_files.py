"""The files of a count that the log stands on, told by their hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from marrowscope.review.chain import canonical

RESULT_FILES = ("cells.parquet", "run.json", "differential.json", "regions.geojson")
"""What the review reads of a folder of results."""

PLACES = ("file", "pack_folder")
"""Of ``run.json``: where slide and pack lay. They may move, and are told by hashes of their own."""

COUNTED_AGAIN = "its folder was counted again or changed; bring it back from a backup"


def sha256_of(name: str, content: bytes) -> str:
    """The hash of a result file; of ``run.json`` that of its canonical JSON without :data:`PLACES`.

    Raises ``ValueError`` for a ``run.json`` that is none.
    """
    if name == "run.json":
        told = json.loads(content)
        if not isinstance(told, dict):
            raise ValueError("it holds no table")
        content = canonical({key: value for key, value in told.items() if key not in PLACES}).encode()
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """As :func:`sha256_of`, of a file as it is now, which is not kept in memory. Raises ``OSError`` too."""
    if path.name == "run.json":
        return sha256_of(path.name, path.read_bytes())
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def not_as_reviewed(name: str, label: str) -> str:
    """What is said of a file of the slide ``label`` that is not the one that the log knows."""
    if name == "cells.parquet":
        return f"the cells of {label} are not those that were reviewed: {COUNTED_AGAIN}"
    return f"{name} of {label} is not the one that was reviewed: {COUNTED_AGAIN}"
