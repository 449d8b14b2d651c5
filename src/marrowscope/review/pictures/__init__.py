"""Pictures of the review workstation: tiles of slides, sheets of cells, cells and regions drawn over the slide.

No web, no database: values in, bytes out. Everything here may be called from several threads.
"""

from marrowscope.review.pictures.encoding import encode_jpeg, encode_png
from marrowscope.review.pictures.grid import NoTile, TileGrid
from marrowscope.review.pictures.outlines import RegionOverlay
from marrowscope.review.pictures.overlay import CellOverlay
from marrowscope.review.pictures.pyramid import SlideTiles
from marrowscope.review.pictures.sprites import NoCell, SheetPlace, SpriteSheets

__all__ = [
    "CellOverlay",
    "NoCell",
    "NoTile",
    "RegionOverlay",
    "SheetPlace",
    "SlideTiles",
    "SpriteSheets",
    "TileGrid",
    "encode_jpeg",
    "encode_png",
]
