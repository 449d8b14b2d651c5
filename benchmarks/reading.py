"""Reading speed: the sampler against plain OpenSlide, one and two threads, in million lattice pixels a second.

    python benchmarks/reading.py SLIDE [--spacing UM] [--side 1024] [--reads 48] [--repeats 5]

Tiles lie on a shuffled grid, so that the decoder's cache helps nobody; every repetition opens the slide afresh. The
first column is processor time with one thread, which a busy machine hardly changes; the others are best speeds by the
clock, with the median in brackets.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openslide

from marrowscope.geometry import Size
from marrowscope.slides import Sampler, open_slide, require_spacing

Read = Callable[[int, int], object]
"""Reads the tile in a column and row of the grid."""


def plain_openslide(path: Path, side: int) -> Read:
    slide = openslide.OpenSlide(path)
    return lambda column, row: np.asarray(
        slide.read_region((column * side, row * side), 0, (side, side)).convert("RGB")
    )


def level0(path: Path, um: float, side: int) -> Read:
    slide = open_slide(path, um)
    return lambda column, row: slide.read(0, column * side, row * side, Size(side, side))


def sampler(path: Path, um: float, factor: float, side: int) -> Read:
    """``side`` is that of the level-0 window; the lattice tile is smaller by ``factor``."""
    sampler = Sampler(open_slide(path, um), um * factor)
    tile = int(side / factor)
    return lambda column, row: sampler.read(column * tile, row * tile, Size(tile, tile))


def seconds(make: Callable[[], Read], tiles: list[tuple[int, int]], threads: int) -> tuple[float, float]:
    """Seconds by the clock and of processor time."""
    read = make()
    with ThreadPoolExecutor(threads) as pool:
        started, busy = time.perf_counter(), time.process_time()
        for _ in pool.map(lambda tile: read(*tile), tiles):
            pass
        return time.perf_counter() - started, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--spacing", type=float, help="um per pixel where the slide does not say")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--reads", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    path, side = options.slide, options.side
    slide = open_slide(path, options.spacing)
    um = require_spacing(slide).mean
    grid = [(column, row) for row in range(slide.size.height // side) for column in range(slide.size.width // side)]
    order = np.random.default_rng(0).permutation(len(grid))[: options.reads]
    tiles = [grid[i] for i in order]
    ways: list[tuple[str, float, Callable[[], Read]]] = [
        ("OpenSlide read_region, as RGB", 1, lambda: plain_openslide(path, side)),
        ("Slide.read, level 0", 1, lambda: level0(path, um, side)),
        (f"Sampler, {um:.4g} um (plain copy)", 1, lambda: sampler(path, um, 1, side)),
        (f"Sampler, {1.2 * um:.4g} um (interpolated)", 1.2, lambda: sampler(path, um, 1.2, side)),
        (f"Sampler, {3 * um:.4g} um", 3, lambda: sampler(path, um, 3, side)),
    ]
    print(f"{path.name}: {slide.size.width} x {slide.size.height} px, {len(tiles)} windows of {side} x {side} px")
    print(f"{'level-0 pixels':40}{'CPU ms / million':>18}{'million/s, 1 thread':>22}{'2 threads':>16}")
    for name, factor, make in ways:
        pixels = len(tiles) * (int(side / factor) * factor) ** 2 / 1e6
        one = [seconds(make, tiles, 1) for _ in range(options.repeats)]
        two = [seconds(make, tiles, 2) for _ in range(options.repeats)]
        cpu = min(busy for _, busy in one) / pixels * 1e3
        clocks = [[pixels / clock for clock, _ in runs] for runs in (one, two)]
        best, best_of_two = (f"{max(speeds):.0f} ({statistics.median(speeds):.0f})" for speeds in clocks)
        print(f"{name:40}{cpu:>18.1f}{best:>22}{best_of_two:>16}")


if __name__ == "__main__":
    main()
