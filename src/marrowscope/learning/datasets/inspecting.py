"""One look at every picture file: can it be decoded to its end, how large is it, what is it a copy of."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from marrowscope.learning.datasets.sketches import Sketch, sketch

FULL_SIDE = 1024
"""JPEG files with a longer side are decoded at a half, quarter or eighth, still at least this long."""

MOST_PIXELS = 50_000_000
"""A larger picture is a slide, not a field or a cell; it is not looked into."""

FLATTEST = 1.5
"""Standard deviation of the grey values (0..255) below which a picture shows nothing."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a look at a file gave: the ``problem`` that forbids its use, or ``digest`` of its pixels and ``sketch``.

    ``size`` is width and height, 0 where they could not be read.
    """

    problem: str | None
    size: tuple[int, int] = (0, 0)
    digest: bytes = b""
    sketch: Sketch | None = None


def inspect_all(files: Sequence[Path], progress: Callable[[float], None] = lambda share: None) -> list[Inspected]:
    """Inspect every file in turn; ``progress`` is told the share done, 0..1."""
    inspected = []
    for number, path in enumerate(files):
        inspected.append(inspect_picture(path))
        progress((number + 1) / len(files))
    return inspected


def inspect_picture(path: Path) -> Inspected:
    """Decode one picture to its end. Nothing is raised for a bad file: its problem is the answer."""
    try:
        pixels, size = read_reduced(path)
    except Exception as error:  # noqa: BLE001 - a decoder that is fed garbage raises whatever it stumbles over
        return Inspected(_words(path, error))
    if float(cv2.meanStdDev(pixels)[1].mean()) < FLATTEST:
        return Inspected("shows nothing: all pixels are alike", size)
    return Inspected(
        None,
        size,
        hashlib.blake2b(pixels.tobytes(), digest_size=16, key=repr(size).encode()).digest(),
        sketch(pixels, size),
    )


def read_reduced(path: Path, least_side: int = FULL_SIDE) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """RGB pixels, and the true width and height; large JPEG files come at a half, quarter or eighth.

    Raises what Pillow raises for files that are broken, and ``ValueError`` for pictures of more than
    :data:`MOST_PIXELS`.
    """
    with Image.open(path) as picture:
        size = picture.size
        if size[0] * size[1] > MOST_PIXELS:
            raise ValueError(f"has {size[0]} x {size[1]} pixels: a slide, no field; count it with marrowscope count")
        if max(size) > least_side:
            picture.draft("RGB", (round(size[0] * least_side / max(size)), round(size[1] * least_side / max(size))))
        return np.asarray(picture.convert("RGB"), np.uint8), size


def _words(path: Path, error: Exception) -> str:
    with suppress(OSError):  # a link that leads nowhere
        if path.stat().st_size == 0:
            return "is empty (0 bytes)"
    if isinstance(error, UnidentifiedImageError):
        return "is no picture"
    if "truncated" in str(error).lower():
        return "is truncated: the file ends before the picture does"
    words = getattr(error, "strerror", None) or str(error)
    return words if isinstance(error, ValueError) else f"cannot be decoded ({words})"
