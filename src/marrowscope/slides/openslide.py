"""Slides that OpenSlide reads: SVS, NDPI, MRXS, SCN, BIF, DICOM, generic tiled TIFF and more."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
import openslide
from openslide import lowlevel

from marrowscope.errors import SlideError
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.slides.levels import WHITE, pyramid, read_window
from marrowscope.slides.protocol import Level, Picture
from marrowscope.slides.spacing import as_spacing, from_resolution

_CACHE_BYTES = 64 << 20
_TOLD = {
    openslide.PROPERTY_NAME_VENDOR: "vendor",
    openslide.PROPERTY_NAME_OBJECTIVE_POWER: "objective",
    "aperio.ScanScope ID": "scanner",
    "hamamatsu.Product": "scanner",
    "leica.device-model": "scanner",
    "ventana.ScannerModel": "scanner",
    "dicom.ManufacturerModelName": "scanner",
}
"""What the report may know of a slide. All else stays in the file: descriptions, labels, barcodes and dates name
patients."""


class OpenSlideSlide:
    """A slide behind one OpenSlide handle, safe to read from several threads.

    Raises ``SlideError`` when OpenSlide cannot open the file, ``SpacingError`` for an absurd spacing.
    """

    reader = "openslide"

    def __init__(self, path: Path, spacing: float | Spacing | None = None) -> None:
        try:
            self._handle = openslide.OpenSlide(path)
        except (openslide.OpenSlideError, OSError) as error:
            raise SlideError(f"{path}: OpenSlide cannot open it ({error}); is the copy complete?") from error
        self._handle.set_cache(openslide.OpenSlideCache(_CACHE_BYTES))
        found = dict(self._handle.properties)
        self.path = path
        self.name = path.stem
        self.levels: tuple[Level, ...] = pyramid(Size(*size) for size in self._handle.level_dimensions)
        self.size = self.levels[0].size
        self.spacing = as_spacing(spacing if spacing is not None else _spacing(found), self.name)
        self.background = _background(found)
        self.bounds = _bounds(found, self.size)
        self.properties: Mapping[str, str] = MappingProxyType(
            {told: found[key].strip() for key, told in _TOLD.items() if found.get(key)}
        )

    def read(self, level: int, x: int, y: int, size: Size) -> Picture:
        """See :meth:`marrowscope.slides.protocol.Slide.read`."""
        return read_window(
            lambda x0, y0, width, height: self._read_inside(level, x0, y0, width, height),
            self.levels[level].size,
            x,
            y,
            size,
            self.background,
        )

    def close(self) -> None:
        """Release the file."""
        self._handle.close()

    def _read_inside(self, level: int, x: int, y: int, width: int, height: int) -> Picture:
        downsample = self._handle.level_downsamples[level]
        pixels = np.empty((height, width, 4), np.uint8)
        try:
            # The public read_region() goes through a Pillow image: three copies more, a third of the decoding time.
            lowlevel._read_region(
                self._handle._osr,
                pixels.ctypes.data_as(ctypes.POINTER(ctypes.c_uint32)),
                round(x * downsample),
                round(y * downsample),
                level,
                width,
                height,
            )
        except openslide.OpenSlideError as error:
            raise SlideError(
                f"{self.path}: damaged at level {level}, x {x}, y {y} ({error}); copy the slide again from its source"
            ) from error
        return _over(pixels, self.background)


def _over(premultiplied: Picture, background: tuple[int, int, int]) -> Picture:
    """Premultiplied BGRA over a background colour, as RGB."""
    rgb: Picture = np.asarray(cv2.cvtColor(premultiplied, cv2.COLOR_BGRA2RGB), np.uint8)
    alpha = premultiplied[..., 3]
    if alpha.min() == 255:
        return rgb
    share = (255 - np.arange(256, dtype=np.uint16))[:, None] * np.array(background, np.uint16)
    shine_through = ((share + 127) // 255).astype(np.uint8)
    return np.asarray(cv2.add(rgb, shine_through[alpha]), np.uint8)


def _spacing(found: Mapping[str, str]) -> Spacing | None:
    x, y = _number(found, openslide.PROPERTY_NAME_MPP_X), _number(found, openslide.PROPERTY_NAME_MPP_Y)
    if found.get(openslide.PROPERTY_NAME_VENDOR) == "generic-tiff":
        unit = {"inch": 2, "centimeter": 3}.get(found.get("tiff.ResolutionUnit", ""))
        return from_resolution(_number(found, "tiff.XResolution"), _number(found, "tiff.YResolution"), unit)
    return Spacing(x, y) if x and y else None


def _number(found: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(found.get(key, ""))
    except ValueError:
        return None
    return value if value > 0 else None


def _background(found: Mapping[str, str]) -> tuple[int, int, int]:
    colour = found.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR)
    if colour is None:
        return WHITE
    red, green, blue = bytes.fromhex(colour)
    return red, green, blue


def _bounds(found: Mapping[str, str], size: Size) -> Box:
    keys = ("x", "y", "width", "height")
    if not all(f"openslide.bounds-{key}" in found for key in keys):
        return Box(0, 0, *size)
    x, y, width, height = (int(found[f"openslide.bounds-{key}"]) for key in keys)
    return Box(x, y, x + width, y + height)
