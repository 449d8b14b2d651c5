"""Threads that read tiles while the model runs, in order, with a bounded number in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from marrowscope.geometry import Size
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.sampling import Sampler, shrink
from marrowscope.tiles.grid import TileWindow


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile in memory: ``picture`` at the detector's spacing, ``fine`` the same place at the classifier's.

    ``factor`` is the number of fine pixels per pixel of ``picture``; ``fine_corner`` is the corner of ``fine`` in
    lattice pixels of the classifier.
    """

    window: TileWindow
    picture: Picture
    fine: Picture
    factor: float
    fine_corner: tuple[int, int]


class TileReader:
    """Reads tiles of one slide at the spacings of a pack.

    Where the detector's spacing is a whole multiple of the classifier's, each tile is read once at the finer spacing
    and shrunk; else it is read twice.
    """

    def __init__(self, slide: Slide, detector_spacing: float, classifier_spacing: float, *, threads: int = 2) -> None:
        self.factor = detector_spacing / classifier_spacing
        whole = round(self.factor)
        self._shrink = whole if whole >= 1 and abs(self.factor - whole) < 1e-9 * whole else None
        self._fine = Sampler(slide, classifier_spacing)
        self._coarse = Sampler(slide, detector_spacing)
        self._threads = threads

    @property
    def upsampled(self) -> bool:
        """Whether the slide is coarser than the classifier's spacing, so that details are made up."""
        return self._fine.upsampled

    def read(self, window: TileWindow) -> Tile:
        """Read one tile. Raises ``SlideError`` where the file is damaged."""
        if self._shrink is not None:
            n = self._shrink
            u, v = window.u * n, window.v * n
            fine = self._fine.read(u, v, Size(window.size.width * n, window.size.height * n))
            return Tile(window, shrink(fine, n), fine, self.factor, (u, v))
        u, v = round(window.u * self.factor), round(window.v * self.factor)
        size = Size(round(window.size.width * self.factor) + 1, round(window.size.height * self.factor) + 1)
        coarse = self._coarse.read(window.u, window.v, window.size)
        return Tile(window, coarse, self._fine.read(u, v, size), self.factor, (u, v))

    def stream(self, windows: Iterable[TileWindow]) -> Generator[Tile]:
        """Tiles in the order asked for; never more than twice as many as there are threads in memory at once."""
        remaining = iter(windows)
        with ThreadPoolExecutor(self._threads, thread_name_prefix="tile") as pool:
            waiting: deque[Future[Tile]] = deque(
                pool.submit(self.read, window) for window in islice(remaining, 2 * self._threads)
            )
            try:
                while waiting:
                    tile = waiting.popleft().result()
                    for window in islice(remaining, 1):
                        waiting.append(pool.submit(self.read, window))
                    yield tile
            finally:
                for future in waiting:
                    future.cancel()
