"""The tiles that cover a counting field: pure coordinates.

All numbers are lattice pixels of the detector. Tile origins are multiples of the network's stride, counted from the
slide's origin: together with the margin this makes a detection independent of the tile that it was found in.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from marrowscope.geometry import Box, Size


@dataclass(frozen=True, slots=True)
class TileWindow:
    """One square to read: its corner and size (margin included), and its core, the part that it owns."""

    u: int
    v: int
    size: Size
    core: Box


def tile_windows(
    field: Box, *, tile: int, margin: int, stride: int, origin: tuple[int, int] = (0, 0)
) -> list[TileWindow]:
    """Cover ``field`` (lattice pixels, fractions allowed) with tiles.

    Cores of ``tile - 2 margin`` pixels form a grid that is anchored at ``origin`` (the slide's corner by default; its
    value must not change any count, and a test shows it). Each core is clipped to the field, and its tile shrinks with
    it, up to whole strides: nothing is read twice without need. Raises ``ValueError`` when no core is left.
    """
    core = (tile - 2 * margin) // stride * stride
    if core <= 0:
        raise ValueError(f"a tile of {tile} px leaves no core inside margins of {margin} px; use a larger tile")
    u0, v0 = (floor(value / stride) * stride for value in origin)
    windows = []
    for y in _starts(field.y0, field.y1, v0, core):
        for x in _starts(field.x0, field.x1, u0, core):
            clipped = Box(max(x, field.x0), max(y, field.y0), min(x + core, field.x1), min(y + core, field.y1))
            left, top = floor(clipped.x0 / stride) * stride, floor(clipped.y0 / stride) * stride
            right, bottom = ceil(clipped.x1 / stride) * stride, ceil(clipped.y1 / stride) * stride
            size = Size(right - left + 2 * margin, bottom - top + 2 * margin)
            windows.append(TileWindow(left - margin, top - margin, size, clipped))
    return windows


def _starts(low: float, high: float, origin: int, core: int) -> range:
    first = floor((low - origin) / core) * core + origin
    return range(first, ceil(high), core)
