"""Write a tiled JPEG pyramid as a BigTIFF, tile by tile, with bounded memory and without a JPEG library of TIFF's own.

tifffile can only write JPEG through imagecodecs, which is not part of the core; the container itself is simple
(BigTIFF, Adobe TIFF 6.0 with 64-bit offsets), so tiles are encoded by OpenCV and appended as they come, whatever
their level, and the directories follow at the end.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from math import ceil
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.geometry import Size, Spacing
from marrowscope.slides.protocol import Picture

TILE = 256
"""Side of a tile, pixels; one of the sizes that every reader takes."""

_SHORT, _LONG, _RATIONAL, _ASCII, _LONG8 = 3, 4, 5, 2, 16
_FORMATS = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}


def encode_tile(picture: Picture, quality: int) -> bytes:
    """One RGB tile as a whole JPEG stream (YCbCr, chroma halved both ways, which the directory states)."""
    parameters = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    ]
    encoded: NDArray[np.uint8] = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), parameters)[1]
    return encoded.tobytes()


def cut_tiles(picture: Picture, quality: int) -> list[list[bytes]]:
    """Rows of encoded tiles of a picture; tiles that stick out are filled by repeating the border."""
    height, width = picture.shape[:2]
    rows, columns = ceil(height / TILE), ceil(width / TILE)
    if (rows * TILE, columns * TILE) != (height, width):
        below, beside = rows * TILE - height, columns * TILE - width
        picture = np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_REPLICATE), np.uint8)
    return [
        [encode_tile(picture[y : y + TILE, x : x + TILE], quality) for x in range(0, columns * TILE, TILE)]
        for y in range(0, rows * TILE, TILE)
    ]


def level_sizes(size: Size, factor: int) -> list[Size]:
    """Sizes of the levels, finest first, until one fits into a few tiles."""
    sizes = [size]
    while max(sizes[-1]) > 2 * TILE and min(sizes[-1]) >= 2 * factor:
        sizes.append(Size(sizes[-1].width // factor, sizes[-1].height // factor))
    return sizes


class PyramidWriter:
    """Appends rows of tiles of level 0 and makes the coarser levels on the way.

    ``add_rows`` takes the encoded tile rows of the next strip of level 0 together with that strip already reduced by
    ``factor`` (done where the strip is rendered, in its thread). A strip is a multiple of ``TILE * factor`` rows,
    except the last. Memory: one strip of each coarser level.
    """

    def __init__(self, file: BinaryIO, size: Size, spacing: Spacing, factor: int, quality: int) -> None:
        self._file = file
        self._spacing = spacing
        self._factor = factor
        self._quality = quality
        self._sizes = level_sizes(size, factor)
        self._offsets: list[list[int]] = [[] for _ in self._sizes]
        self._counts: list[list[int]] = [[] for _ in self._sizes]
        self._waiting: list[list[Picture]] = [[] for _ in self._sizes]
        self._rows_done = [0] * len(self._sizes)
        self._position = 16
        file.write(bytes(16))

    def add_rows(self, tiles: Sequence[Sequence[bytes]], reduced: Picture | None) -> None:
        """Append tile rows of level 0; ``reduced`` is their picture at level 1 (None when there is no level 1)."""
        for row in tiles:
            self._append(0, row)
        if reduced is not None and len(self._sizes) > 1:
            self._add_pixels(1, reduced)

    def finish(self, description: str) -> None:
        """Flush the coarser levels and write the directories; the file is a TIFF only after this."""
        for level in range(1, len(self._sizes)):
            self._flush(level)
        self._write_directories(description)

    def _append(self, level: int, row: Sequence[bytes]) -> None:
        for tile in row:
            self._offsets[level].append(self._position)
            self._counts[level].append(len(tile))
            self._file.write(tile)
            self._position += len(tile)

    def _add_pixels(self, level: int, strip: Picture) -> None:
        size = self._sizes[level]
        strip = strip[: size.height - self._rows_done[level] - sum(len(s) for s in self._waiting[level]), : size.width]
        self._waiting[level].append(strip)
        if sum(len(s) for s in self._waiting[level]) >= TILE * self._factor:
            stacked = np.concatenate(self._waiting[level])
            whole = len(stacked) - len(stacked) % (TILE * self._factor)
            self._waiting[level] = [stacked[whole:]]
            self._emit(level, stacked[:whole])

    def _flush(self, level: int) -> None:
        stacked = np.concatenate(self._waiting[level])
        self._waiting[level] = []
        if len(stacked):
            self._emit(level, stacked)

    def _emit(self, level: int, strip: Picture) -> None:
        self._rows_done[level] += len(strip)
        for row in cut_tiles(strip, self._quality):
            self._append(level, row)
        if level + 1 < len(self._sizes):
            self._add_pixels(level + 1, reduce(strip, self._factor))

    def _write_directories(self, description: str) -> None:
        link = 8  # where the offset of the next directory is to be written
        for level, size in enumerate(self._sizes):
            data_start = self._position + (-self._position) % 8
            self._file.write(bytes(data_start - self._position))
            entries, data = self._directory(level, size, description, data_start)
            directory = data_start + len(data)
            self._file.write(data)
            self._file.write(struct.pack("<Q", len(entries)) + b"".join(entries) + bytes(8))
            self._position = directory + 8 + 20 * len(entries) + 8
            self._file.seek(link)
            self._file.write(struct.pack("<Q", directory))
            self._file.seek(self._position)
            link = self._position - 8
        self._file.seek(0)
        self._file.write(struct.pack("<2sHHH", b"II", 43, 8, 0))
        self._file.seek(self._position)

    def _directory(self, level: int, size: Size, description: str, start: int) -> tuple[list[bytes], bytes]:
        scale_x = self._sizes[0].width / size.width
        scale_y = self._sizes[0].height / size.height
        text = description.encode("ascii", "replace") + b"\0"
        fields: list[tuple[int, int, bytes, int]] = [
            _number(254, _LONG, [0 if level == 0 else 1]),
            _number(256, _LONG, [size.width]),
            _number(257, _LONG, [size.height]),
            _number(258, _SHORT, [8, 8, 8]),
            _number(259, _SHORT, [7]),  # JPEG
            _number(262, _SHORT, [6]),  # YCbCr
            (270, _ASCII, text, len(text)),
            _number(277, _SHORT, [3]),
            _resolution(282, self._spacing.x * scale_x),
            _resolution(283, self._spacing.y * scale_y),
            _number(284, _SHORT, [1]),
            _number(296, _SHORT, [3]),  # per centimetre
            _number(322, _SHORT, [TILE]),
            _number(323, _SHORT, [TILE]),
            _number(324, _LONG8, self._offsets[level]),
            _number(325, _LONG8, self._counts[level]),
            _number(530, _SHORT, [2, 2]),
        ]
        entries, data = [], b""
        for tag, kind, content, count in fields:
            if len(content) <= 8:
                value = content.ljust(8, b"\0")
            else:
                data += bytes(-len(data) % 8)
                value = struct.pack("<Q", start + len(data))
                data += content
            entries.append(struct.pack("<HHQ", tag, kind, count) + value)
        return entries, data + bytes(-len(data) % 8)


def reduce(picture: Picture, factor: int) -> Picture:
    """Mean over ``factor x factor`` pixels; rows and columns that do not fill a block are dropped."""
    height, width = (n // factor for n in picture.shape[:2])
    if not height or not width:
        return np.zeros((height, width, 3), np.uint8)
    whole = picture[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _number(tag: int, kind: int, values: Sequence[int]) -> tuple[int, int, bytes, int]:
    return tag, kind, struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values), len(values)


def _resolution(tag: int, um: float) -> tuple[int, int, bytes, int]:
    """Pixels per centimetre as a fraction with enough digits to give the spacing back."""
    denominator = 10_000
    return tag, _RATIONAL, struct.pack("<2I", round(10_000 / um * denominator), denominator), 1
