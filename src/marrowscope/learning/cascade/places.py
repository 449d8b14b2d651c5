"""Where a training may write: an earlier one is neither begun again nor written over unasked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from marrowscope.errors import OutputError
from marrowscope.packs.metrics import METRICS_FILE

OTHERWISE = "train anew with --force, or into another folder with -o"

FILES = ("model.pt", "detector.onnx", METRICS_FILE)
"""What a finished training leaves, in the order in which it is written."""


def require_place(
    output: Path, files: Sequence[str], *, resume: bool = False, force: bool = False, can_resume: bool = False
) -> None:
    """Raise ``OutputError`` where ``output`` cannot be written, or holds a training and neither option is given.

    ``files`` are what a finished training leaves there, the model first and ``metrics.json`` last; a training that is
    not finished and ``can_resume`` has a checkpoint in ``work`` or a model that was not measured. One that was broken
    off before its first checkpoint has nothing of worth and is no obstacle.
    """
    if resume and force:
        raise OutputError("--resume goes on with a training, --force begins it anew: give one of the two")
    nearest = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        what = "may not be written to" if nearest.is_dir() else "is a file"
        raise OutputError(f"{nearest} {what}: give another folder for the model with -o")
    if resume or force:
        return
    there = [name for name in files if (output / name).exists()]
    halfway = any((output / "work").glob("*.ckpt")) or (there[:1] == [files[0]] and METRICS_FILE not in there)
    if can_resume and halfway:
        raise OutputError(f"{output} holds a training that is not finished: go on with --resume, {OTHERWISE}")
    if there:
        raise OutputError(f"{output} holds a training already ({', '.join(there)}): {OTHERWISE}")


def nothing_to_resume(output: Path, files: Sequence[str]) -> str | None:
    """A line where ``--resume`` finds neither a checkpoint nor a model in ``output`` and begins anew; else None."""
    if any((output / "work").glob("*.ckpt")) or any((output / name).exists() for name in files):
        return None
    return f"note: nothing was trained in {output} yet, so that --resume begins at the beginning"


def go_on_words(output: Path) -> str:
    """What to type after an interrupt: a cascade's checkpoint, or its finished model, is gone on with."""
    if any((output / "work").glob("*.ckpt")) or (output / FILES[0]).is_file():
        return "Type the same with --resume to go on."
    return "There was no checkpoint yet: type the same again, it begins anew."
