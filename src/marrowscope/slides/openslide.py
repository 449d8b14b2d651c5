"""Slides that OpenSlide reads: SVS, NDPI, MRXS, SCN, BIF, DICOM, generic tiled TIFF and more."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from types import MappingProxyType

import cv2
import numpy as np
import openslide
from openslide import lowlevel

from marrowscope.errors import SlideError
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.slides.cache import PictureCache
from marrowscope.slides.levels import WHITE, from_blocks, pyramid, read_window
from marrowscope.slides.protocol import PHANTOM, PHANTOM_COMMENT, Closing, Level, Picture
from marrowscope.slides.spacing import as_spacing

GENERIC_TIFF = "generic-tiff"
"""OpenSlide's word for a tiled TIFF that no scanner's maker signed."""

_CACHE_BYTES = 64 << 20
_BLOCK = Size(512, 512)
_TOLD = {
    openslide.PROPERTY_NAME_VENDOR: "vendor",
    openslide.PROPERTY_NAME_OBJECTIVE_POWER: "objective",
    "aperio.ScanScope ID": "scanner",
    "dicom.ManufacturerModelName": "scanner",
    "hamamatsu.Product": "scanner",
    "leica.device-model": "scanner",
    "ventana.ScannerModel": "scanner",
}
"""What the report may know of a slide. All else stays in the file: descriptions, labels, barcodes and dates name
patients."""


class OpenSlideSlide(Closing):
    """A slide behind one OpenSlide handle, safe to read from several threads.

    ``holes`` says whether parts may be transparent on purpose (never scanned, alpha channel); where they may not,
    transparency is a missing tile. Raises ``SlideError`` when OpenSlide cannot open the file, ``SpacingError`` for an
    absurd spacing.
    """

    reader = "openslide"

    def __init__(
        self, path: Path, spacing: float | Spacing | None = None, *, name: str | None = None, holes: bool = True
    ) -> None:
        self.path = path
        self.name = path.stem if name is None else name
        self._handle = self._open()
        found = dict(self._handle.properties)
        sizes = [Size(*size) for size in self._handle.level_dimensions]
        self.levels: tuple[Level, ...] = pyramid(sizes, self.name)
        self.size = self.levels[0].size
        self.spacing = as_spacing(spacing if spacing is not None else _spacing(found), self.name)
        self.background = _background(found)
        self.bounds = _bounds(found, self.size)
        self.properties: Mapping[str, str] = MappingProxyType(
            {told: found[key].strip() for key, told in _TOLD.items() if found.get(key)}
        )
        if found.get(openslide.PROPERTY_NAME_COMMENT, "").startswith(PHANTOM_COMMENT):
            self.properties = MappingProxyType({**self.properties, PHANTOM: "yes"})
        self._holes = holes
        self._downsamples = self._handle.level_downsamples
        self._blocks: PictureCache[Picture] = PictureCache(_CACHE_BYTES // 2)
        self._reopening = Lock()

    def read(self, level: int, x: int, y: int, size: Size) -> Picture:
        """See :meth:`marrowscope.slides.protocol.Slide.read`."""

        def inside(x: int, y: int, width: int, height: int) -> Picture:
            if self._downsamples[level].is_integer():
                return self._read(level, x, y, width, height)
            return from_blocks(lambda column, row: self._block(level, column, row), x, y, Size(width, height), _BLOCK)

        return read_window(inside, self.levels[level].size, x, y, size, self.background)

    def close(self) -> None:
        """Release the file."""
        self._handle.close()

    def _open(self) -> openslide.OpenSlide:
        try:
            handle = openslide.OpenSlide(self.path)
        except (openslide.OpenSlideError, OSError) as error:
            raise SlideError(
                f"{self.path}: the slide is damaged or incomplete ({error}); copy it again from its source"
            ) from error
        handle.set_cache(openslide.OpenSlideCache(_CACHE_BYTES))
        return handle

    def _block(self, level: int, column: int, row: int) -> Picture:
        """One block of a level whose downsample is no whole number.

        OpenSlide takes positions in whole level-0 pixels, so most pixels of such a level can only be asked for with an
        error of up to half a level-0 pixel, and it blurs by that error. Blocks with fixed corners give every pixel the
        same error whatever the window.
        """
        x, y = column * _BLOCK.width, row * _BLOCK.height
        size = self.levels[level].size
        width, height = min(_BLOCK.width, size.width - x), min(_BLOCK.height, size.height - y)
        return self._blocks.get((level, column, row), lambda: self._read(level, x, y, width, height))

    def _read(self, level: int, x: int, y: int, width: int, height: int) -> Picture:
        handle = self._handle
        try:
            pixels = self._premultiplied(handle, level, x, y, width, height)
        except openslide.OpenSlideError:
            # A handle that met one bad tile refuses everything from then on, other threads' reads included: ask again
            # alone, and give the others a fresh handle.
            try:
                with self._open() as alone:
                    pixels = self._premultiplied(alone, level, x, y, width, height)
            except openslide.OpenSlideError as error:
                raise self._damaged(level, x, y, str(error)) from error
            finally:
                with self._reopening:
                    if self._handle is handle:
                        self._handle = self._open()
        except ctypes.ArgumentError as error:
            raise SlideError(f"{self.path}: the slide is closed; open it again to read from it") from error
        return self._over_background(pixels, level, x, y)

    def _premultiplied(
        self, handle: openslide.OpenSlide, level: int, x: int, y: int, width: int, height: int
    ) -> Picture:
        """Premultiplied BGRA. The public ``read_region`` goes through a Pillow image and takes a third longer."""
        pixels = np.empty((height, width, 4), np.uint8)
        downsample = self._downsamples[level]
        lowlevel._read_region(
            handle._osr,
            pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32)),
            round(x * downsample),
            round(y * downsample),
            level,
            width,
            height,
        )
        return pixels

    def _over_background(self, premultiplied: Picture, level: int, x: int, y: int) -> Picture:
        rgb: Picture = np.asarray(cv2.cvtColor(premultiplied, cv2.COLOR_BGRA2RGB), np.uint8)
        alpha = premultiplied[..., 3]
        lowest = alpha.min()
        if lowest == 255:
            return rgb
        if lowest == 0 and not self._holes:
            row, column = np.unravel_index(alpha.argmin(), alpha.shape)
            raise self._damaged(level, x + int(column), y + int(row), "a tile is missing")
        share = (255 - np.arange(256, dtype=np.uint16))[:, None] * np.array(self.background, np.uint16)
        shine_through = ((share + 127) // 255).astype(np.uint8)
        return np.asarray(cv2.add(rgb, shine_through[alpha]), np.uint8)

    def _damaged(self, level: int, x: int, y: int, what: str) -> SlideError:
        return SlideError(
            f"{self.path}: damaged at level {level}, x {x}, y {y} ({what}); copy the slide again from its source"
        )


def _spacing(found: Mapping[str, str]) -> Spacing | None:
    if found.get(openslide.PROPERTY_NAME_VENDOR) == GENERIC_TIFF:
        return None  # resolution tags that nobody need have meant: whoever opens the file decides
    x, y = _number(found, openslide.PROPERTY_NAME_MPP_X), _number(found, openslide.PROPERTY_NAME_MPP_Y)
    return Spacing(x, y) if x and y else None


def _number(found: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(found.get(key, ""))
    except ValueError:
        return None
    return value if 0 < value < float("inf") else None


def _background(found: Mapping[str, str]) -> tuple[int, int, int]:
    colour = found.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR)
    if colour is None:
        return WHITE
    red, green, blue = bytes.fromhex(colour)
    return red, green, blue


def _bounds(found: Mapping[str, str], size: Size) -> Box:
    keys = [f"openslide.bounds-{key}" for key in ("x", "y", "width", "height")]
    if not all(key in found for key in keys):
        return Box(0, 0, *size)
    x, y, width, height = (int(found[key]) for key in keys)
    return Box(x, y, x + width, y + height)
