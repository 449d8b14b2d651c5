"""The slide as deep-zoom tiles, from its own pyramid."""

from __future__ import annotations

from marrowscope.geometry import Box, Size
from marrowscope.review.pictures.encoding import encode_jpeg
from marrowscope.review.pictures.grid import SIDE, TileGrid
from marrowscope.review.pictures.lattice import LevelLattice
from marrowscope.slides.cache import PictureCache
from marrowscope.slides.protocol import Picture, Slide


class SlideTiles:
    """Tiles of ``side`` pixels of a slide, in level-0 pixels (a pixel that is not square is shown as if it were).

    Each zoom is averaged from the coarsest level that is fine enough. Encoded tiles are kept in ``cache``, which
    several slides may share. Safe for several threads.
    """

    def __init__(self, slide: Slide, side: int = SIDE, cache: PictureCache[bytes] | None = None) -> None:
        self.grid = TileGrid.of(slide.size, side)
        self._lattice = LevelLattice(slide)
        self._own = object()  # in a shared cache; a tile that is kept there must not keep the slide
        self._cache = cache or PictureCache()

    @property
    def max_zoom(self) -> int:
        """The zoom of level 0; zoom 0 shows the whole slide in one tile."""
        return self.grid.max_zoom

    def tile(self, z: int, x: int, y: int) -> bytes:
        """JPEG of ``side x side`` pixels, filled with the background beyond the slide.

        Raises ``NoTile`` where there is none, ``SlideError`` where the file is damaged.
        """
        self.grid.check(z, x, y)
        return self._cache.get((self._own, z, x, y), lambda: encode_jpeg(self.picture(z, x, y)))

    def picture(self, z: int, x: int, y: int) -> Picture:
        """The pixels of a tile, RGB ``(side, side, 3)``; raises as :meth:`tile` does."""
        self.grid.check(z, x, y)
        side = self.grid.side
        return self._lattice.read(self.grid.step(z), x * side, y * side, Size(side, side))

    def region(self, box: Box, size: Size) -> Picture:
        """A part of the slide for a view of its own, RGB ``(height, width, 3)`` of ``size``.

        ``box`` (level-0 pixels) is shown whole and in the middle; where ``size`` has another shape, more of the slide
        is seen beside it. It lies right to half a pixel of the picture. Raises ``ValueError`` for an empty box or size,
        ``SlideError`` where the file is damaged.
        """
        if not (box.area and size.area):
            raise ValueError(f"a picture needs a box and a size that are not empty, found {box} and {size}")
        step = max(box.width / size.width, box.height / size.height)
        u, v = (round(centre / step - pixels / 2) for centre, pixels in zip(box.centre, size, strict=True))
        return self._lattice.read(step, u, v, size)
