import numpy as np

from marrowscope.geometry import Box
from marrowscope.slides.memory import MemorySlide
from marrowscope.tiles import TileReader, tile_windows


def noise_slide() -> MemorySlide:
    picture = np.random.default_rng(0).integers(0, 255, (700, 900, 3), np.uint8)
    return MemorySlide(picture, 0.25)


def test_tiles_come_in_order_and_show_the_slide() -> None:
    slide = noise_slide()
    windows = tile_windows(Box(0, 0, 400, 300), tile=160, margin=16, stride=16)
    tiles = list(TileReader(slide, 0.5, 0.25, threads=3).stream(windows))
    assert [tile.window for tile in tiles] == windows
    picture = slide.read(0, 0, 0, slide.size)
    for tile in tiles:
        u, v = tile.window.u * 2, tile.window.v * 2
        assert tile.factor == 2
        assert tile.fine.shape[:2] == (tile.picture.shape[0] * 2, tile.picture.shape[1] * 2)
        inside = tile.fine[max(0, -v) : 700 - v, max(0, -u) : 900 - u]
        expected = picture[max(0, v) : v + tile.fine.shape[0], max(0, u) : u + tile.fine.shape[1]]
        assert np.array_equal(inside, expected)


def test_spacings_that_do_not_divide_are_read_twice_and_still_meet() -> None:
    slide = noise_slide()
    window = tile_windows(Box(40, 40, 100, 100), tile=160, margin=16, stride=16)[0]
    tile = TileReader(slide, 0.5, 0.3).read(window)
    assert tile.picture.shape[:2] == (window.size.height, window.size.width)
    assert tile.factor == 0.5 / 0.3
    assert tile.fine.shape[0] >= window.size.height * tile.factor


def test_a_reader_that_is_left_early_stops_reading() -> None:
    slide = noise_slide()
    windows = tile_windows(Box(0, 0, 400, 300), tile=160, margin=16, stride=16)
    asked: list[int] = []

    def counted():
        for window in windows:
            asked.append(1)
            yield window

    stream = TileReader(slide, 0.5, 0.25, threads=1).stream(counted())
    next(stream)
    stream.close()
    assert len(asked) <= 3 < len(windows)
