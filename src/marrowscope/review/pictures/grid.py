"""Deep-zoom tiles: which square of the slide a tile shows.

Zoom ``max_zoom`` is level 0, one tile pixel for one level-0 pixel; each zoom below halves that, and at zoom 0 the whole
slide fits into one tile. Tile ``(z, x, y)`` covers level-0 pixels ``[x s, (x + 1) s) x [y s, (y + 1) s)`` with
``s = side * step(z)``.
"""

from __future__ import annotations

from dataclasses import dataclass

from marrowscope.errors import MarrowscopeError
from marrowscope.geometry import Box, Size

SIDE = 256
"""Side of a tile, pixels: what viewers expect unless told otherwise."""


class NoTile(MarrowscopeError, LookupError):
    """A tile was asked for that lies outside the slide or its zooms."""


def deepest_zoom(size: Size, side: int = SIDE) -> int:
    """The zoom of level 0: how often a slide of ``size`` level-0 pixels must be halved to fit into one tile."""
    return max(0, (-(-max(size) // side) - 1).bit_length())


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The tiles of a slide of ``size`` level-0 pixels. Raises ``ValueError`` for a size, side or zoom out of reason."""

    size: Size
    max_zoom: int
    side: int = SIDE

    def __post_init__(self) -> None:
        if min(self.size) < 1 or self.side < 1 or not 0 <= self.max_zoom <= 32:
            raise ValueError(f"a grid needs a size and side of 1 or more and a zoom of 0 to 32, found {self}")

    @classmethod
    def of(cls, size: Size, side: int = SIDE) -> TileGrid:
        """The grid whose zoom 0 is one tile."""
        return cls(size, deepest_zoom(size, side), side)

    def step(self, z: int) -> int:
        """Level-0 pixels that one tile pixel spans at zoom ``z``."""
        return 1 << (self.max_zoom - z)

    def shape(self, z: int) -> Size:
        """Columns and rows of tiles at zoom ``z``."""
        span = self.side * self.step(z)
        return Size(-(-self.size.width // span), -(-self.size.height // span))

    def check(self, z: int, x: int, y: int) -> None:
        """Raise :class:`NoTile` unless the tile exists."""
        if not 0 <= z <= self.max_zoom:
            raise NoTile(f"there is no zoom {z}; ask for 0 (the whole slide) to {self.max_zoom} (level 0)")
        columns, rows = self.shape(z)
        if not (0 <= x < columns and 0 <= y < rows):
            raise NoTile(f"there is no tile ({x}, {y}) at zoom {z}; it has {columns} x {rows} tiles, counted from 0")

    def box(self, z: int, x: int, y: int) -> Box:
        """What the tile shows, level-0 pixels; tiles at the right and lower border reach beyond the slide."""
        span = self.side * self.step(z)
        return Box(x * span, y * span, (x + 1) * span, (y + 1) * span)
