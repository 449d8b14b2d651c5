"""Cells as pictures: sheets of 8 x 8 for the gallery, and single larger ones.

The order of the gallery: types in the order of the taxonomy, in each the least certain cells first, then by number.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.errors import MarrowscopeError
from marrowscope.geometry import Box, Size
from marrowscope.review.pictures.encoding import encode_jpeg
from marrowscope.slides.cache import PictureCache
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.sampling import Sampler
from marrowscope.taxonomy import CELL_TYPES

ACROSS = 8
"""Cells in a row of a sheet, and rows."""

SHEET = ACROSS * ACROSS

_THREADS = 2
_BAND = 256
"""Height of the bands in which cells are read, level-0 pixels: about a row of the file's tiles."""


class NoCell(MarrowscopeError, LookupError):
    """A picture was asked for of a cell or a sheet that is not there."""


class SheetPlace(NamedTuple):
    """Where a cell is shown: number of the sheet, row and column in it, all from 0."""

    sheet: int
    row: int
    column: int


def gallery_order(cells: pl.DataFrame) -> NDArray[np.int64]:
    """Rank of each row of ``cells`` (schema ``cells.table``) in the gallery, ``(n,)``.

    Types that the taxonomy lacks come last, by name.
    """
    names = sorted(cells["type"].unique().to_list(), key=lambda name: (name not in CELL_TYPES, name))
    types = dict.fromkeys((*CELL_TYPES, *names))
    rank = cells["type"].replace_strict(list(types), list(range(len(types))), return_dtype=pl.Int64).to_numpy()
    ordered = np.lexsort((cells["cell_id"].to_numpy(), cells["certainty"].to_numpy(), rank))
    order = np.empty(cells.height, np.int64)
    order[ordered] = np.arange(cells.height)
    return order


class SpriteSheets:
    """Sheets of the pictures of ``cells`` (schema ``cells.table``), ``side`` pixels at ``spacing`` um per pixel each.

    A cell's picture is the crop that the gallery of a report shows. The order is that of the table given, whatever is
    corrected later: a viewer that sorts anew asks where each cell is. ``order`` is the rank of each row. Encoded sheets
    are kept in ``cache``, which several slides may share. Safe for several threads. Raises ``SpacingError`` when the
    slide has no spacing.
    """

    def __init__(
        self,
        slide: Slide,
        cells: pl.DataFrame,
        spacing: float,
        side: int,
        cache: PictureCache[bytes] | None = None,
    ) -> None:
        self._slide = slide
        self._sampler = Sampler(slide, spacing)
        self._side = side
        self._own = object()  # in a shared cache; a sheet that is kept there must not keep the slide
        self._cache = cache or PictureCache()
        self.order = gallery_order(cells)
        self._rows = np.argsort(self.order)
        ids = cells["cell_id"].to_numpy()
        self._by_id = np.argsort(ids)
        self._ids = ids[self._by_id]
        self._centres = cells.select((pl.col("x0") + pl.col("x1")) / 2, (pl.col("y0") + pl.col("y1")) / 2).to_numpy()

    @property
    def sheets(self) -> int:
        """Number of sheets; the last may be filled in part."""
        return -(-len(self.order) // SHEET)

    def position(self, cell_id: int) -> SheetPlace:
        """Where a cell is shown; raises ``NoCell`` for an unknown one (an added cell is on no sheet)."""
        place = int(np.searchsorted(self._ids, cell_id))
        if place == len(self._ids) or self._ids[place] != cell_id:
            raise NoCell(f"no sheet shows cell {cell_id}: the table of cells does not hold it")
        sheet, rest = divmod(int(self.order[self._by_id[place]]), SHEET)
        return SheetPlace(sheet, *divmod(rest, ACROSS))

    def sheet(self, k: int) -> bytes:
        """JPEG of sheet ``k``, ``8 side x 8 side`` pixels; places without a cell have the slide's background.

        Raises ``NoCell`` when there is no such sheet, ``SlideError`` where the file is damaged.
        """
        if not 0 <= k < self.sheets:
            raise NoCell(f"there is no sheet {k}; there are {self.sheets}, counted from 0")
        return self._cache.get((self._own, k), lambda: encode_jpeg(self.sheet_picture(k)))

    def sheet_picture(self, k: int) -> Picture:
        """The pixels of sheet ``k``, RGB ``(8 side, 8 side, 3)``."""
        side = self._side
        picture = np.empty((ACROSS * side, ACROSS * side, 3), np.uint8)
        picture[:] = self._slide.background
        rows = self._rows[k * SHEET : (k + 1) * SHEET]
        centres = self._centres[rows]
        corners = np.floor(self._sampler.from_level0(centres) + 0.5).astype(np.int64) - side // 2
        # Neighbours one after the other and in the same thread: each tile of the file is decoded once.
        near = np.lexsort((centres[:, 0], centres[:, 1] // _BAND))

        def read(places: NDArray[np.int64]) -> None:
            for place in places:
                top, left = (side * at for at in divmod(int(place), ACROSS))
                u, v = corners[place].tolist()
                picture[top : top + side, left : left + side] = self._sampler.read(u, v, Size(side, side))

        with ThreadPoolExecutor(_THREADS) as threads:
            list(threads.map(read, np.array_split(near, _THREADS)))
        return picture

    def cell_picture(self, box: Box, um: float, pixels: int) -> bytes:
        """JPEG of ``pixels x pixels`` around the middle of ``box`` (level-0 pixels), ``um`` wide and high.

        Raises ``ValueError`` for sizes that are not positive, ``SpacingError`` where they make an absurd spacing,
        ``SlideError`` where the file is damaged.
        """
        if not (um > 0 and pixels > 0):
            raise ValueError(f"a picture needs a positive size, found {um} um and {pixels} pixels")

        def make() -> bytes:
            sampler = Sampler(self._slide, um / pixels)
            u, v = np.floor(sampler.from_level0(box.centre) + 0.5).astype(int).tolist()
            return encode_jpeg(sampler.read(u - pixels // 2, v - pixels // 2, Size(pixels, pixels)))

        return self._cache.get((self._own, box, um, pixels), make)
