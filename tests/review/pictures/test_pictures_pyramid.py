"""Tiles of slides: against plain means of level 0, at borders, and in bounded memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from marrowscope.errors import SlideError
from marrowscope.geometry import Box, Size
from marrowscope.review.pictures import NoTile, SlideTiles, TileGrid
from marrowscope.review.pictures.lattice import LevelLattice
from marrowscope.slides import Level, MemorySlide, Picture
from marrowscope.slides.cache import PictureCache
from marrowscope.slides.levels import read_window

BACKGROUND = (240, 230, 250)


class Watched(MemorySlide):
    """Has only the levels wanted, and remembers what is read."""

    def __init__(self, picture: Picture, levels: tuple[int, ...] = (0,)) -> None:
        super().__init__(picture, background=BACKGROUND)
        self._kept = levels
        self.levels: tuple[Level, ...] = tuple(self.levels[level] for level in levels)
        self.reads: list[Size] = []

    def read(self, level: int, x: int, y: int, size: Size) -> Picture:
        self.reads.append(size)
        picture = self._picture(self._kept[level])
        return read_window(
            lambda x0, y0, width, height: picture[y0 : y0 + height, x0 : x0 + width].copy(),
            self.levels[level].size,
            x,
            y,
            size,
            self.background,
        )


def blobs(width: int, height: int, seed: int = 0) -> Picture:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return np.ascontiguousarray(noise.repeat(8, axis=0).repeat(8, axis=1)[:height, :width])


def plain_tile(picture: Picture, step: int, x: int, y: int, side: int) -> NDArray[np.float64]:
    """Means of level 0 with the background around it."""
    span = step * side
    tile = np.empty((side, side, 3))
    tile[:] = BACKGROUND
    part = picture[y * span : (y + 1) * span, x * span : (x + 1) * span]
    rows, columns = (-(-pixels // step) for pixels in part.shape[:2])
    area = np.empty((rows * step, columns * step, 3), np.uint8)
    area[:] = BACKGROUND
    area[: part.shape[0], : part.shape[1]] = part
    tile[:rows, :columns] = area.reshape(rows, step, columns, step, 3).mean(axis=(1, 3))
    return tile


@pytest.mark.parametrize(
    ("size", "zoom"),
    [((1, 1), 0), ((256, 256), 0), ((257, 10), 1), ((512, 512), 1), ((513, 1), 2), ((20_000, 20_000), 7)],
)
def test_zoom_0_is_one_tile_and_the_deepest_is_level_0(size: tuple[int, int], zoom: int) -> None:
    grid = TileGrid.of(Size(*size))
    assert grid.max_zoom == zoom
    assert grid.shape(0) == (1, 1)
    assert grid.step(zoom) == 1
    assert grid.box(zoom, 0, 0) == Box(0, 0, 256, 256)


@pytest.mark.parametrize("levels", [(0,), (0, 1), (0, 2)])
def test_tiles_are_means_of_level_0_with_background_beyond(levels: tuple[int, ...]) -> None:
    picture = blobs(4400, 300)[:, :2300]
    slide = Watched(picture, levels)
    tiles = SlideTiles(slide, side=64)
    for z in range(tiles.max_zoom + 1):
        columns, rows = tiles.grid.shape(z)
        step = tiles.grid.step(z)
        for x, y in {(0, 0), (columns - 1, rows - 1), (columns // 2, rows // 2)}:
            expected = plain_tile(picture, step, x, y, 64)
            seen = tiles.picture(z, x, y).astype(float)
            covered = (
                slice(0, max(1, min(64, (300 - y * 64 * step) // step))),
                slice(0, max(1, min(64, (2300 - x * 64 * step) // step))),
            )
            # A level rounds once, and a level that rounds its size up repeats its border: inside it is exact.
            assert np.abs(seen - expected)[covered].max() <= len(levels) + 0.51, (z, x, y)
            assert (seen[-(-(300 - y * 64 * step) // step) + 1 :] == BACKGROUND).all()


def test_the_deepest_zoom_is_level_0_untouched() -> None:
    picture = blobs(300, 200)
    tiles = SlideTiles(MemorySlide(picture, background=BACKGROUND))
    assert np.array_equal(tiles.picture(1, 0, 0)[:200], picture[:, :256])
    assert np.array_equal(tiles.picture(1, 1, 0)[:200, :44], picture[:, 256:])
    assert (tiles.picture(1, 1, 0)[:, 44:] == BACKGROUND).all()


def test_tiles_meet_without_a_seam_where_a_level_fits_no_zoom() -> None:
    """A level 3 times as coarse: zooms are interpolated, but not tile by tile."""
    picture = blobs(1500, 1500)
    slide = Watched(picture, (0, 1))
    third = np.asarray(cv2.resize(picture, (500, 500), interpolation=cv2.INTER_AREA))
    slide._pictures = [picture, third]
    slide.levels = (slide.levels[0], Level(Size(500, 500), (3.0, 3.0)))
    tiles = SlideTiles(slide, side=100)
    z = tiles.max_zoom - 2
    whole = LevelLattice(slide).read(4, 0, 0, Size(400, 400))
    for x in range(4):
        for y in range(4):
            part = whole[y * 100 : y * 100 + 100, x * 100 : x * 100 + 100]
            assert np.array_equal(tiles.picture(z, x, y), part)


def test_a_slide_without_small_levels_is_decoded_once_and_in_pieces() -> None:
    picture = np.asarray(cv2.resize(blobs(240, 200)[::8, ::8], (3000, 2600), interpolation=cv2.INTER_LINEAR))
    slide = Watched(picture)
    lattice = LevelLattice(slide, longest=512)
    far = lattice.read(8, 0, 0, Size(128, 128))
    assert np.abs(far - plain_tile(picture, 8, 0, 0, 128)).max() < 12  # an overview of every sixth pixel stands in
    seen = len(slide.reads)
    lattice.read(32, 0, 0, Size(128, 128))
    lattice.read(8, 128, 128, Size(128, 128))
    assert len(slide.reads) == seen
    near = lattice.read(5, 0, 0, Size(128, 128))
    assert len(slide.reads) > seen  # the overview is too coarse for this one
    assert np.abs(near - plain_tile(picture, 5, 0, 0, 128)).max() <= 0.51


def test_no_read_is_larger_than_a_piece() -> None:
    picture = blobs(3000, 2600)
    slide = Watched(picture)
    lattice = LevelLattice(slide, longest=16)  # so coarse that it helps no zoom
    seen = lattice.read(50, 0, 0, Size(52, 52))
    assert np.abs(seen - plain_tile(picture, 50, 0, 0, 52)).max() <= 0.51
    assert max(max(size) for size in slide.reads) <= 2048


@pytest.mark.parametrize("at", [(-1, 0, 0), (4, 0, 0), (1, 2, 0), (1, 0, 1), (0, -1, 0), (0, 0, -1)])
def test_a_tile_outside_is_refused(at: tuple[int, int, int]) -> None:
    tiles = SlideTiles(MemorySlide(blobs(2000, 1000)))
    with pytest.raises(NoTile, match="there is no"):
        tiles.tile(*at)
    with pytest.raises(LookupError):
        tiles.picture(*at)


def test_a_tile_is_a_jpeg_of_its_pixels_and_is_read_once() -> None:
    slide = Watched(np.full((300, 300, 3), (200, 40, 60), np.uint8))
    tiles = SlideTiles(slide)
    first = tiles.tile(0, 0, 0)
    reads = len(slide.reads)
    assert tiles.tile(0, 0, 0) is first
    assert len(slide.reads) == reads
    seen = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.abs(seen[8:140, 8:140].astype(int) - (200, 40, 60)).max() < 6
    assert np.abs(seen[160:, 160:].astype(int) - BACKGROUND).max() < 6


def test_a_damaged_place_is_an_error_each_time() -> None:
    class Damaged(MemorySlide):
        def read(self, level: int, x: int, y: int, size: Size) -> Picture:
            raise SlideError("damaged")

    tiles = SlideTiles(Damaged(blobs(100, 100)))
    for _ in range(2):
        with pytest.raises(SlideError):
            tiles.tile(0, 0, 0)


def test_threads_get_what_one_gets() -> None:
    slide = Watched(blobs(1500, 1300))
    alone, shared = SlideTiles(slide, side=128), SlideTiles(slide, side=128, cache=PictureCache(20_000))
    asked = [(z, x, y) for z in range(4) for x in range(alone.grid.shape(z)[0]) for y in range(alone.grid.shape(z)[1])]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda at: shared.tile(*at), asked * 2))
    assert found == [alone.tile(*at) for at in asked] * 2


def test_a_region_is_shown_whole_in_the_middle() -> None:
    picture = blobs(600, 500)
    tiles = SlideTiles(MemorySlide(picture, background=BACKGROUND))
    assert np.array_equal(tiles.region(Box(100, 50, 180, 90), Size(80, 40)), picture[50:90, 100:180])
    wide = tiles.region(Box(100, 50, 140, 90), Size(80, 40))
    assert np.array_equal(wide, picture[50:90, 80:160])
    corner = tiles.region(Box(-20, -20, 20, 20), Size(40, 40))
    assert (corner[:20] == BACKGROUND).all()
    assert np.array_equal(corner[20:, 20:], picture[:20, :20])
    assert tiles.region(Box(10.2, 10.2, 20.4, 20.4), Size(33, 57)).shape == (57, 33, 3)
    with pytest.raises(ValueError, match="not empty"):
        tiles.region(Box(5, 5, 5, 9), Size(10, 10))
