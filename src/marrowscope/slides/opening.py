"""One door to every kind of slide."""

from __future__ import annotations

from pathlib import Path

import openslide

from marrowscope.errors import SlideError
from marrowscope.geometry import Spacing
from marrowscope.slides.openslide import OpenSlideSlide
from marrowscope.slides.picture import open_picture
from marrowscope.slides.protocol import Slide
from marrowscope.slides.tiff import open_tiff

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICTURE = (b"\x89PNG", b"\xff\xd8\xff", b"BM")


def open_slide(path: str | Path, spacing: float | Spacing | None = None) -> Slide:
    """Open a slide or a picture with the reader that suits it.

    ``spacing`` in um per level-0 pixel overrides what the file says. Without either the slide opens with
    ``spacing=None``; :func:`marrowscope.slides.spacing.require_spacing` then says what to do. Raises ``SlideError``
    (no such file, no slide, empty, unreadable, truncated) and ``SpacingError`` (absurd spacing).
    """
    path = Path(path)
    start = _start_of(path)
    if openslide.OpenSlide.detect_format(path) is not None:
        return OpenSlideSlide(path, spacing)
    if start in _TIFF:
        return open_tiff(path, spacing)
    if start.startswith(_PICTURE):
        return open_picture(path, spacing)
    raise SlideError(
        f"{path}: this is no slide that marrowscope knows; "
        "expected SVS, NDPI, MRXS, SCN, BIF, DICOM, TIFF, PNG, JPEG or BMP"
    )


def _start_of(path: Path) -> bytes:
    if not path.exists():
        raise SlideError(f"{path}: no such file")
    if path.is_dir():
        raise SlideError(f"{path}: this is a folder; name the slide file inside it")
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise SlideError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if not start:
        raise SlideError(f"{path}: the file is empty; copy it again from its source")
    return start
