"""The files of a count that the log stands on: their hashes are in the row that put the slide into its case.

Cells, differential, regions and the facts of the run are all that a report or a page shows of a count. The pack is told
by its own hash, the slide by a fingerprint of its file (:func:`marrowscope.runs.slide_identity`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from marrowscope.review.case import SlideOfCase
from marrowscope.review.chain import canonical
from marrowscope.review.counted import CountedSlide
from marrowscope.review.database import ReviewError

RESULT_FILES = ("cells.parquet", "run.json", "differential.json", "regions.geojson")
"""What the review reads of a folder of results."""

PLACES = ("file", "pack_folder")
"""Of ``run.json``: where slide and pack lay. They may move, and are told by hashes of their own."""

COUNTED_AGAIN = "its folder was counted again or changed; bring it back from a backup"


def place_of(folder: Path, root: Path) -> str:
    """How the log names a folder of results: inside of ``root`` from there on, else the whole path."""
    resolved, start = folder.resolve(), root.resolve()
    return resolved.relative_to(start).as_posix() if resolved.is_relative_to(start) else str(resolved)


def row_of_slide(number: int, counted: CountedSlide, root: Path) -> dict[str, Any]:
    """What the log holds of slide ``number`` of a case. Raises ``ReviewError`` when its folder cannot be read."""
    pack = counted.run["pack"]
    files = {name: _sha256(counted, name) for name in RESULT_FILES}
    return {
        "slide": number,
        "label": counted.label,
        "folder": place_of(counted.folder, root),
        "slide_sha256": counted.run["slide_sha256"],
        "pack": pack["name"],
        "pack_version": pack["version"],
        "pack_sha256": pack["sha256"],
        "cells": len(counted.cells),
        "cells_sha256": files["cells.parquet"],
        "files": files,
    }


def fault_of(counted: CountedSlide, slide: SlideOfCase) -> str | None:
    """What differs between a folder of results as it is now and as it was reviewed, in words; None when nothing does.

    Of a slide that an earlier version put into its case the log knows the hash of the cells alone. Raises
    ``ReviewError`` when a file cannot be read.
    """
    for name, known in {"cells.parquet": slide.cells_sha256, **slide.files}.items():
        if _sha256(counted, name) != known:
            if name == "cells.parquet":
                return f"the cells of {slide.label} are not those that were reviewed: {COUNTED_AGAIN}"
            return f"{name} of {slide.label} is not the one that was reviewed: {COUNTED_AGAIN}"
    # What was read of run.json stays in memory: it says which slide and which pack are opened.
    if counted.run["slide_sha256"] != slide.slide_sha256:
        return f"run.json of {slide.label} names another slide than the log: {COUNTED_AGAIN}"
    if counted.run["pack"]["sha256"] != slide.pack_sha256:
        return f"run.json of {slide.label} names another pack than the log: {COUNTED_AGAIN}"
    return None


def changed_file(folder: Path, slide: SlideOfCase, names: tuple[str, ...]) -> str | None:
    """The first of these files that is not the one that was reviewed; of those that cannot be read nothing is said."""
    for name in names:
        try:
            found = sha256_of(folder / name)
        except (OSError, ValueError):
            continue
        if found != slide.files.get(name, found):
            return name
    return None


def sha256_of(path: Path) -> str:
    """The hash of a result file; of ``run.json`` that of its canonical JSON without :data:`PLACES`.

    Raises ``OSError``, and ``ValueError`` for a ``run.json`` that is none.
    """
    if path.name == "run.json":
        told = json.loads(path.read_bytes())
        if not isinstance(told, dict):
            raise ValueError("it holds no table")
        kept = {name: value for name, value in told.items() if name not in PLACES}
        return hashlib.sha256(canonical(kept).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256(counted: CountedSlide, name: str) -> str:
    try:
        return sha256_of(counted.folder / name)
    except (OSError, ValueError) as error:
        raise ReviewError(
            f"{name} of {counted.label} cannot be read ({error}): bring the folder back from a backup, or count the "
            "slide again into another folder"
        ) from error
