"""The files of a count that the log stands on: their hashes are in the row that put the slide into its case.

Cells, differential, regions and the facts of the run are all that a report or a page shows of a count. The pack is told
by its own hash, the slide by a fingerprint of its file (:func:`marrowscope.runs.slide_identity`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from marrowscope.review.case import SlideOfCase
from marrowscope.review.counted import CountedSlide
from marrowscope.review.result_files import COUNTED_AGAIN, RESULT_FILES, not_as_reviewed, sha256_of_file


def place_of(folder: Path, root: Path) -> str:
    """How the log names a folder of results: inside of ``root`` from there on, else the whole path."""
    resolved, start = folder.resolve(), root.resolve()
    return resolved.relative_to(start).as_posix() if resolved.is_relative_to(start) else str(resolved)


def row_of_slide(number: int, counted: CountedSlide, root: Path) -> dict[str, Any]:
    """What the log holds of slide ``number`` of a case. Raises ``ReviewError`` when its folder cannot be read."""
    pack, cells = counted.run["pack"], len(counted.cells)
    files = {name: counted.sha256(name) for name in RESULT_FILES}
    return {
        "slide": number,
        "label": counted.label,
        "folder": place_of(counted.folder, root),
        "slide_sha256": counted.run["slide_sha256"],
        "pack": pack["name"],
        "pack_version": pack["version"],
        "pack_sha256": pack["sha256"],
        "cells": cells,
        "cells_sha256": files["cells.parquet"],
        "files": files,
    }


def fault_of(counted: CountedSlide, slide: SlideOfCase) -> str | None:
    """What differs between a folder as it was reviewed, and as it is now or was read, in words; None when nothing does.

    Of a slide that an earlier version put into its case the log knows the hash of the cells alone. Raises
    ``ReviewError`` when a file cannot be read.
    """
    for name, known in slide.results.items():
        if counted.files.get(name, known) != known or _sha256_now(counted, name) != known:
            return not_as_reviewed(name, slide.label)
    # What was read of run.json stays in memory: it says which slide and which pack are opened.
    if counted.run["slide_sha256"] != slide.slide_sha256:
        return f"run.json of {slide.label} names another slide than the log: {COUNTED_AGAIN}"
    if counted.run["pack"]["sha256"] != slide.pack_sha256:
        return f"run.json of {slide.label} names another pack than the log: {COUNTED_AGAIN}"
    return None


def _sha256_now(counted: CountedSlide, name: str) -> str:
    try:
        return sha256_of_file(counted.folder / name)
    except (OSError, ValueError) as error:
        raise counted.broken(name, error) from error
