"""Where to read: counting fields, the tiles that cover them, and threads that fetch them."""

from marrowscope.tiles.fields import CountingField, plan_fields
from marrowscope.tiles.grid import TileWindow, tile_windows
from marrowscope.tiles.reading import Tile, TileReader

__all__ = ["CountingField", "Tile", "TileReader", "TileWindow", "plan_fields", "tile_windows"]
