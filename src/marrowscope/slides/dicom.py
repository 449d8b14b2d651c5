"""The header of a DICOM slide: what an annotation of it must refer to. Its pixels are read by OpenSlide."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from marrowscope.errors import MarrowscopeError, SlideError

if TYPE_CHECKING:
    from pydicom import Dataset

WHOLE_SLIDE_IMAGE = "1.2.840.10008.5.1.4.1.1.77.1.6"

NEEDS = "reading the header of a DICOM slide needs more: pip install 'marrowscope[department]'"


def base_header(path: Path) -> Dataset:
    """All but the pixels of the largest level of a DICOM slide, in whose total pixel matrix level-0 pixels count.

    ``path`` is any file of the slide, or its folder. Raises ``SlideError`` when it is no DICOM slide or not a single
    one, and ``MarrowscopeError`` when pydicom is not installed.
    """
    headers = [header for file in _files(path) if (header := _header(file)) is not None]
    if not path.is_dir():
        chosen = _header(path)
        series = None if chosen is None else chosen.get("SeriesInstanceUID")
        headers = [header for header in headers if header.get("SeriesInstanceUID") == series]
    levels = [header for header in headers if _is_volume(header)]
    if not levels:
        raise SlideError(
            f"{path}: this is no DICOM slide, and annotations in DICOM can only refer to one; for other slides use "
            "cells.geojson.gz"
        )
    if len({header.get("SeriesInstanceUID") for header in levels}) > 1:
        raise SlideError(f"{path}: this folder holds more than one DICOM slide; name a file of the one wanted")
    return max(levels, key=lambda header: int(header.TotalPixelMatrixColumns) * int(header.TotalPixelMatrixRows))


def _files(path: Path) -> Iterator[Path]:
    """The files that may belong to the slide: those of its folder."""
    if not path.exists():
        raise SlideError(f"{path}: no such file")
    folder = path if path.is_dir() else path.parent
    yield from (file for file in sorted(folder.iterdir()) if file.is_file())


def _header(file: Path) -> Dataset | None:
    """The header of a whole-slide image; None for any other file."""
    try:
        from pydicom import dcmread
        from pydicom.errors import InvalidDicomError
    except ModuleNotFoundError as error:
        raise MarrowscopeError(NEEDS) from error
    try:
        header = dcmread(file, stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    return header if header.get("SOPClassUID") == WHOLE_SLIDE_IMAGE else None


def _is_volume(header: Dataset) -> bool:
    """Whether it is a level of the pyramid: not its label, not its overview."""
    flavour = list(header.get("ImageType") or [])
    return "VOLUME" in flavour and "TotalPixelMatrixColumns" in header and "TotalPixelMatrixRows" in header
