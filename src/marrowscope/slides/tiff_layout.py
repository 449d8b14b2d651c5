"""What lies where in a TIFF file: the slide among labels and macros, its spacing, and whether all of it is there."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from marrowscope.errors import SlideError
from marrowscope.geometry import Size, Spacing
from marrowscope.slides.spacing import from_resolution
from marrowscope.slides.tiff_colours import Colours

_JPEG = (6, 7, 34892, 33007)
_UM = {"m": 1e6, "cm": 1e4, "mm": 1e3, "µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "\\u00B5m": 1.0, "nm": 1e-3}

_MALFORMED = (
    tifffile.TiffFileError,
    OSError,
    struct.error,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
)
"""What tifffile raises when tags contradict each other: it takes most of them at their word."""


@dataclass(frozen=True, slots=True)
class TiffLevel:
    """One page: where its segments (tiles or strips) lie and how they become pixels.

    ``offsets`` and ``counts`` (bytes) run along the segments of a row, then rows, then planes. ``raw`` is the type of
    pixels that lie in the file as they are, row after row from ``offsets[0]``; None when they must be decoded.
    ``missing_codec`` names a compression that nothing installed decodes, else None.
    """

    size: Size
    segment: Size
    planes: int
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    decode: Callable[..., Any]
    decode_arguments: Mapping[str, Any]
    samples: int
    raw: np.dtype[Any] | None
    colours: Colours
    missing_codec: str | None

    @property
    def columns(self) -> int:
        return -(-self.size.width // self.segment.width)

    @property
    def rows(self) -> int:
        return -(-self.size.height // self.segment.height)


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """The largest picture in a TIFF file, finest level first."""

    levels: tuple[TiffLevel, ...]
    spacing: Spacing | None
    ome: bool
    subifds: bool
    """Levels hang below the first page, where OpenSlide does not look."""

    @property
    def missing_codec(self) -> str | None:
        """A compression that nothing installed decodes; None when all levels can be read."""
        return next((level.missing_codec for level in self.levels if level.missing_codec), None)


def read_layout(path: Path) -> TiffLayout:
    """Find the slide in a TIFF file. Raises ``SlideError`` when it is damaged or truncated or holds no picture.

    No picture are several planes or channels, floats, and colours that are neither RGB nor grey.
    """
    try:
        with tifffile.TiffFile(path) as file:
            return _layout(path, file)
    except _MALFORMED as error:
        raise SlideError(
            f"{path}: the TIFF is damaged or incomplete ({error}); copy it again from its source"
        ) from error


def _layout(path: Path, file: tifffile.TiffFile) -> TiffLayout:
    all_series: list[Any] = file.series
    if not all_series:
        raise ValueError("it holds no picture")
    index = int(np.argmax([series.keyframe.imagewidth * series.keyframe.imagelength for series in all_series]))
    series = all_series[index]
    first = series.keyframe
    if len(series.pages) != 1 or series.is_multifile:
        raise SlideError(
            f"{path}: {len(series.pages)} planes or channels ({series.axes} {series.shape}), expected one RGB picture; "
            "export a single plane as RGB"
        )
    pages = [level.keyframe for level in series.levels]
    if len(pages) == 1:
        others = sorted((s.keyframe for s in all_series if s is not series), key=lambda page: -page.imagewidth)
        pages += [page for page in others if _is_reduced(first, page)]
    ome = _ome_pixels(file, index)
    bits = int(ome.get("SignificantBits", 0)) or None
    for page in pages:
        _check_is_picture(path, page)
    levels = tuple(_level(page, bits) for page in pages)
    for level in levels:
        expected = level.columns * level.rows * level.planes
        if len(level.offsets) != expected or len(level.counts) != expected:
            raise ValueError(f"{len(level.offsets)} tiles or strips of {expected} are listed")
        lost = int(np.count_nonzero(level.offsets + level.counts > file.filehandle.size))
        if lost:
            raise ValueError(f"truncated: {lost} of {expected} tiles or strips lie beyond its end")
    return TiffLayout(levels, _spacing(file, first, ome), bool(file.is_ome), bool(first.subifds))


def _is_reduced(page: Any, other: Any) -> bool:
    """Whether ``other`` shows the same field in fewer pixels (a label or macro has another shape)."""
    factor = page.imagewidth / other.imagewidth
    return bool(factor > 1.5 and abs(page.imagelength / factor - other.imagelength) <= 1 + page.imagelength / 1000)


def _level(page: Any, bits: int | None) -> TiffLevel:
    size = Size(page.imagewidth, page.imagelength)
    segment = (
        Size(page.tilewidth, page.tilelength)
        if page.is_tiled
        else Size(size.width, min(page.rowsperstrip, size.height))
    )
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    raw = page.dtype.newbyteorder(page.parent.byteorder) if page.is_final and planes == 1 else None
    is_jpeg = page.compression in _JPEG
    decodable = page.compression in tifffile.TIFF.DECOMPRESSORS and page.predictor in tifffile.TIFF.UNPREDICTORS
    return TiffLevel(
        size,
        segment,
        planes,
        np.array(page.dataoffsets, np.int64),
        np.array(page.databytecounts, np.int64),
        page.decode,
        {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if is_jpeg else {},
        page.samplesperpixel,
        raw,
        Colours.of(page, bits),
        None if decodable else _name(page.compression),
    )


def _check_is_picture(path: Path, page: Any) -> None:
    colours = Colours.of(page)
    if page.dtype is None or page.dtype.kind != "u" or page.dtype.itemsize > 2:
        found = f"pixels are {page.dtype or page.bitspersample}, expected 8 or 16 bits"
    elif (
        not colours.known or page.samplesperpixel < colours.colours or (page.samplesperpixel == 2 and not colours.alpha)
    ):
        found = f"colours are stored as {page.samplesperpixel} x {_name(page.photometric)}, expected RGB or grey"
    else:
        return
    raise SlideError(f"{path}: {found}; export the slide as 8-bit RGB")


def _name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _ome_pixels(file: tifffile.TiffFile, index: int) -> Mapping[str, str]:
    """Attributes of the Pixels element of a picture; empty without OME-XML."""
    if not file.is_ome or not file.ome_metadata:
        return {}
    try:
        pixels = ElementTree.fromstring(file.ome_metadata).findall("{*}Image/{*}Pixels")
    except ElementTree.ParseError:
        return {}
    return pixels[index].attrib if index < len(pixels) else {}


def _spacing(file: tifffile.TiffFile, page: Any, ome: Mapping[str, str]) -> Spacing | None:
    if "PhysicalSizeX" in ome:
        x = float(ome["PhysicalSizeX"]) * _UM.get(ome.get("PhysicalSizeXUnit", "µm"), 0)
        y = float(ome.get("PhysicalSizeY", "0")) * _UM.get(ome.get("PhysicalSizeYUnit", "µm"), 0)
        if x > 0 and y > 0:
            return Spacing(x, y)
    x, y = (_ratio(page.tags.valueof(code)) for code in (282, 283))
    if file.is_imagej and str((file.imagej_metadata or {}).get("unit")) in ("um", "micron", "µm", "μm", "\\u00B5m"):
        return from_resolution(x * 1e4, y * 1e4, 3)
    return from_resolution(x, y, int(page.tags.valueof(296, default=2)))


def _ratio(value: Any) -> float:
    """A rational tag as a number; 0 when absent or divided by zero."""
    return value[0] / value[1] if value and value[1] else 0.0
