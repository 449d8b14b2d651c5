"""OME-TIFF, striped and other TIFF files, tile by tile through tifffile."""

from __future__ import annotations

import logging
import struct
import zlib
from collections.abc import Mapping
from lzma import LZMAError
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any
from weakref import finalize

import numpy as np
import tifffile
from numpy.typing import NDArray

from marrowscope.errors import SlideError
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.slides.cache import PictureCache
from marrowscope.slides.levels import WHITE, from_blocks, pyramid, read_window
from marrowscope.slides.protocol import Closing, Level, Picture
from marrowscope.slides.spacing import as_spacing
from marrowscope.slides.tiff_layout import TiffLayout, TiffLevel

_DAMAGE = (ValueError, RuntimeError, OSError, IndexError, struct.error, zlib.error, LZMAError, tifffile.TiffFileError)
"""What tifffile and the codecs raise on damaged data (imagecodecs' errors are RuntimeErrors)."""

_LARGEST_SEGMENT = 100_000_000


logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it logs is raised as a SlideError, in words


class TiffSlide(Closing):
    """A TIFF file as a slide, safe to read from several threads; only the tiles or strips of a window are decoded.

    Raises ``SlideError`` when it needs a codec that is not installed, ``SpacingError`` for an absurd spacing.
    """

    reader = "tiff"
    background = WHITE

    def __init__(self, path: Path, layout: TiffLayout, spacing: float | Spacing | None = None) -> None:
        if layout.missing_codec:
            raise SlideError(
                f"{path}: its compression ({layout.missing_codec}) needs one more package: "
                "pip install 'marrowscope[formats]'"
            )
        self.path = path
        self.name = path.stem
        self.levels: tuple[Level, ...] = pyramid((level.size for level in layout.levels), self.name)
        self.size = self.levels[0].size
        self.bounds = Box(0, 0, *self.size)
        self.spacing = as_spacing(spacing if spacing is not None else layout.spacing, self.name)
        self.properties: Mapping[str, str] = MappingProxyType({"vendor": "ome-tiff" if layout.ome else "tiff"})
        self._levels = layout.levels
        for level in layout.levels:
            if level.raw is None and level.segment.area > _LARGEST_SEGMENT:
                raise SlideError(
                    f"{path}: all of it is one compressed strip of {level.segment.area / 1e6:.0f} million pixels; "
                    "convert it to a tiled TIFF, for example: vips tiffsave IN OUT.tif --tile --pyramid"
                )
        self._cache: PictureCache[Picture] = PictureCache()
        self._file = path.open("rb")
        finalize(self, self._file.close)
        self._seeking = Lock()

    def read(self, level: int, x: int, y: int, size: Size) -> Picture:
        """See :meth:`marrowscope.slides.protocol.Slide.read`."""
        if self._file.closed:
            raise SlideError(f"{self.path}: the slide is closed; open it again to read from it")
        stored = self._levels[level]

        def segment(column: int, row: int) -> Picture:
            return self._cache.get((level, column, row), lambda: self._segment(level, column, row))

        def inside(x: int, y: int, width: int, height: int) -> Picture:
            if stored.raw is not None:
                return self._raw(level, x, y, Size(width, height))
            return from_blocks(segment, x, y, Size(width, height), stored.segment)

        return read_window(inside, stored.size, x, y, size, self.background)

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def _segment(self, level: int, column: int, row: int) -> Picture:
        """One decoded tile or strip, RGB."""
        stored = self._levels[level]
        first = row * stored.columns + column
        try:
            planes = [
                self._decode(stored, first + plane * stored.columns * stored.rows) for plane in range(stored.planes)
            ]
            return stored.colours.to_rgb(np.concatenate(planes, axis=2) if len(planes) > 1 else planes[0])
        except _DAMAGE as error:
            raise self._damaged(level, column * stored.segment.width, row * stored.segment.height, error) from error
        except ImportError as error:
            raise SlideError(
                f"{self.path}: its compression needs one more package ({error}): pip install 'marrowscope[formats]'"
            ) from error

    def _decode(self, stored: TiffLevel, index: int) -> NDArray[Any]:
        """Samples ``(height, width, n)`` of one segment."""
        count = int(stored.counts[index])
        if not count:
            raise ValueError("a tile is missing")
        data = self._bytes(int(stored.offsets[index]), count)
        values: NDArray[Any] = stored.decode(data, index, **stored.decode_arguments)[0]
        return values.reshape(values.shape[1:])  # without its depth of one

    def _raw(self, level: int, x: int, y: int, size: Size) -> Picture:
        """A window of uncompressed pixels, read row by row: a memory map would crash when a network drive goes away."""
        stored = self._levels[level]
        assert stored.raw is not None
        pixel = stored.samples * stored.raw.itemsize
        first = int(stored.offsets[0]) + x * pixel
        try:
            rows = [
                self._bytes(first + row * stored.size.width * pixel, size.width * pixel)
                for row in range(y, y + size.height)
            ]
            values = np.frombuffer(b"".join(rows), stored.raw).reshape(size.height, size.width, stored.samples)
        except _DAMAGE as error:
            raise self._damaged(level, x, y, error) from error
        return stored.colours.to_rgb(values)

    def _bytes(self, offset: int, count: int) -> bytes:
        with self._seeking:
            self._file.seek(offset)
            return self._file.read(count)

    def _damaged(self, level: int, x: int, y: int, error: Exception) -> SlideError:
        return SlideError(
            f"{self.path}: damaged at level {level}, x {x}, y {y} ({error}); copy the slide again from its source"
        )
