"""Outlines of regions over the slide as clear deep-zoom tiles."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import cv2
import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray
from shapely.geometry import MultiPolygon, Polygon

from marrowscope.geometry import Size
from marrowscope.review.pictures.drawing import Tile, casing_of
from marrowscope.review.pictures.encoding import encode_png
from marrowscope.review.pictures.grid import SIDE, TileGrid

_LINE, _CASING = 2, 5
"""Widths in tile pixels."""

_OPACITY = 0.8
"""Of the casing."""

_PAD = 8
"""What is drawn beyond a tile and cut off, tile pixels: lines are smoothed otherwise at the border of a picture."""

_SHIFT = 4
"""OpenCV takes positions in 16ths of a pixel."""

Rings = NDArray[np.object_]


class RegionOverlay:
    """Tiles of the outlines of ``regions`` (level-0 pixels), holes too, in ``colours (n, 3)`` uint8 RGB.

    ``size`` is that of the slide in level-0 pixels, ``max_zoom`` and ``side`` those of its tiles. A later region lies
    above an earlier one. Safe for several threads; other regions need another overlay. Raises ``ValueError`` when
    regions and colours differ in number.
    """

    def __init__(
        self,
        regions: Sequence[Polygon | MultiPolygon],
        colours: ArrayLike,
        size: Size,
        max_zoom: int,
        side: int = SIDE,
    ) -> None:
        self.grid = TileGrid(size, max_zoom, side)
        self._colours = np.array(colours, np.uint8).reshape(-1, 3)
        if len(self._colours) != len(regions):
            raise ValueError(f"{len(regions)} regions need as many colours, found {len(self._colours)}")
        polygons, of_region = shapely.get_parts(np.array(regions, object), return_index=True)
        rings, of_polygon = shapely.get_rings(polygons, return_index=True)
        coordinates, of_ring = shapely.get_coordinates(rings, return_index=True)
        # As lines, because rings would be cut as areas are.
        self._rings: Rings = np.asarray(shapely.linestrings(coordinates, indices=of_ring), object)
        self._region = of_region[of_polygon]
        self._simplified: dict[int, Rings] = {}
        self._lock = Lock()
        self._clear = encode_png(np.zeros((side, side, 4), np.uint8))

    def tile(self, z: int, x: int, y: int) -> bytes:
        """PNG with transparency, ``side x side`` pixels; raises ``NoTile`` where there is none."""
        picture = self.picture(z, x, y)
        return encode_png(picture) if picture.any() else self._clear

    def picture(self, z: int, x: int, y: int) -> Tile:
        """The pixels of a tile, RGBA ``(side, side, 4)``; raises as :meth:`tile` does."""
        self.grid.check(z, x, y)
        side, step, area = self.grid.side, self.grid.step(z), self.grid.box(z, x, y)
        margin = 4 * _PAD * step
        window = (area.x0 - margin, area.y0 - margin, area.x1 + margin, area.y1 + margin)
        rings = self._at(z)
        bounds = shapely.bounds(rings) * np.array([1, 1, -1, -1])
        near = (bounds <= np.array([window[2], window[3], -window[0], -window[1]])).all(axis=1)
        tile = np.zeros((side, side, 4), np.uint8)
        for region in np.unique(self._region[near]).tolist():
            lines = shapely.get_parts(shapely.clip_by_rect(rings[near & (self._region == region)], *window))
            points = [(shapely.get_coordinates(line) - (area.x0, area.y0)) / step + (_PAD - 0.5) for line in lines]
            paths = [np.rint(path * (1 << _SHIFT)).astype(np.int32) for path in points if len(path)]
            if paths:
                red, green, blue = self._colours[region].tolist()
                _draw(tile, paths, (red, green, blue))
        return tile

    def _at(self, z: int) -> Rings:
        """The rings without what zoom ``z`` cannot show."""
        with self._lock:
            if z not in self._simplified:
                self._simplified[z] = shapely.simplify(self._rings, self.grid.step(z) / 4)
            return self._simplified[z]


def _draw(tile: Tile, paths: list[NDArray[np.int32]], colour: tuple[int, int, int]) -> None:
    """One region over what is there: smoothed lines, the colour over its casing."""

    def cover(width: int) -> NDArray[np.float32]:
        mask = np.zeros((tile.shape[0] + 2 * _PAD, tile.shape[1] + 2 * _PAD), np.uint8)
        cv2.polylines(mask, paths, False, 255, width, cv2.LINE_AA, _SHIFT)
        return np.divide(mask[_PAD:-_PAD, _PAD:-_PAD, None], 255, dtype=np.float32)

    _over(tile, casing_of(*colour), cover(_CASING) * _OPACITY)
    _over(tile, colour, cover(_LINE))


def _over(tile: Tile, colour: tuple[int, int, int], cover: NDArray[np.float32]) -> None:
    """Lay ``colour`` over a tile that is not premultiplied (the rule "over" of Porter and Duff)."""
    below = tile[..., 3:].astype(np.float32) / 255 * (1 - cover)
    opacity = cover + below
    mixed = (np.array(colour, np.float32) * cover + tile[..., :3] * below) / np.maximum(opacity, 1e-6)
    tile[..., :3] = np.rint(mixed)
    tile[..., 3:] = np.rint(opacity * 255)
