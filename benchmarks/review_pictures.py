"""What the pictures of the review workstation cost: slide tiles, sheets of cells, cells drawn over the slide.

    python benchmarks/review_pictures.py [SLIDE] [--tiles 60] [--pixels 20000] [--processor]

Without SLIDE a phantom of 20,000 x 20,000 pixels with JPEG tiles is rendered first (a minute) beside the temporary
files and kept for the next time. Median and 95th percentile in milliseconds, one request after the other, by the clock
or, with --processor, of processor time (all threads), which a busy machine changes less. "Uncached" is a tile that was
never asked for, of a slide opened afresh for each zoom. Overlays hold cells spread evenly over the slide; their tiles
are the same places as the slide's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import polars as pl

from marrowscope.geometry import Box, Size
from marrowscope.phantom import PhantomOptions, read_truth, render_phantom, truth_path
from marrowscope.review.pictures import CellOverlay, SlideTiles, SpriteSheets, TileGrid
from marrowscope.slides import Slide, open_slide
from marrowscope.taxonomy import CELL_TYPES

COLOURS = np.array([tuple(bytes.fromhex(kind.colour[1:])) for kind in CELL_TYPES.values()], np.uint8)
CELLS = (1_000, 20_000, 1_000_000)


def phantom(pixels: int) -> Path:
    path = Path(tempfile.gettempdir()) / "marrowscope-benchmarks" / f"review-{pixels}.tif"
    if not path.is_file():
        cells = max(1, int(12_000 * (pixels / 20_000) ** 2))
        render_phantom(path, PhantomOptions(cells=cells, seed=7, size=Size(pixels, pixels), density=2000))
    return path


clock = time.perf_counter


def timed(call: Callable[..., object], asked: Iterable[tuple]) -> np.ndarray:
    """Milliseconds of each call."""
    found = []
    for arguments in asked:
        started = clock()
        call(*arguments)
        found.append((clock() - started) * 1000)
    return np.array(found)


def words(times: np.ndarray) -> str:
    return f"{np.median(times):.1f} ({np.percentile(times, 95):.1f})"


def places(grid: TileGrid, z: int, number: int) -> list[tuple[int, int, int]]:
    columns, rows = grid.shape(z)
    chosen = np.random.default_rng(z).permutation(columns * rows)[:number]
    return [(z, int(place % columns), int(place // columns)) for place in chosen]


def slide_tiles(path: Path, spacing: float, number: int) -> None:
    print("\n| zoom | tiles | uncached, ms | cached, ms | kB |\n|---|---|---|---|---|")
    grid = TileGrid.of(open_slide(path, spacing).size)
    for z in range(grid.max_zoom + 1):
        tiles = SlideTiles(open_slide(path, spacing))
        asked = places(grid, z, number)
        fresh = timed(tiles.tile, asked)
        again = timed(tiles.tile, asked)
        size = np.mean([len(tiles.tile(*at)) for at in asked]) / 1000
        print(f"| {z} | {len(asked)} | {words(fresh)} | {words(again)} | {size:.0f} |")


def sheets(slide: Slide, cells: pl.DataFrame, spacing: float) -> None:
    for side in (64, 96):
        started = clock()
        sprites = SpriteSheets(slide, cells, spacing, side)
        made = (clock() - started) * 1000
        first = timed(sprites.sheet, [(0,)])
        others = timed(sprites.sheet, [(k,) for k in range(1, min(sprites.sheets, 30))])
        again = timed(sprites.sheet, [(k,) for k in range(min(sprites.sheets, 30))])
        print(
            f"| {side} px | {made:.0f} | {first[0]:.0f} | {words(others)} | {words(again)} "
            f"| {len(sprites.sheet(0)) / 1000:.0f} |"
        )


def random_cells(number: int, size: Size) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    centres = rng.random((number, 2)) * size
    sides = rng.uniform(40, 80, (number, 1))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), COLOURS[rng.integers(0, 16, number)]


def overlays(path: Path, spacing: float, number: int) -> None:
    """A million cells on 20,000 x 20,000 px are some 25 times as dense as marrow."""
    size = open_slide(path, spacing).size
    grid = TileGrid.of(size)
    made = {}
    print("\n| cells | construction, s | update of 100, ms | move of 100, ms | add 1, ms | nearest, ms | inside, ms |")
    print("|---|---|---|---|---|---|---|")
    for cells in CELLS:
        boxes, colours = random_cells(cells, size)
        started = clock()
        overlay = made[cells] = CellOverlay(boxes, colours, size, grid.max_zoom)
        built = clock() - started
        rng = np.random.default_rng(0)
        picks = [rng.choice(cells, 100, replace=False) for _ in range(20)]
        edits = timed(overlay.update, [(pick, colours[pick[::-1]]) for pick in picks])
        moves = timed(overlay.update, [(pick, None, boxes[pick[::-1]]) for pick in picks])
        adds = timed(overlay.add, [(boxes[pick[:1]] + 3, colours[pick[:1]]) for pick in picks])
        near = timed(overlay.nearest, [(*boxes[pick[0], :2], 40) for pick in picks])
        inside = timed(overlay.inside, [(Box(*boxes[pick[0]]),) for pick in picks])
        print(f"| {cells:,} | {built:.2f} | " + " | ".join(words(t) for t in (edits, moves, adds, near, inside)) + " |")
    print("\nOverlay tile alone, ms; and slide tile (uncached) plus overlay tile, ms\n")
    names = [f"{cells:,}" for cells in CELLS]
    print(f"| zoom | {' | '.join(names)} | {' | '.join('both, ' + name for name in names)} | million to thousand |")
    print("|---|" + "---|" * (2 * len(names) + 1))
    for z in range(grid.max_zoom + 1):
        tiles = SlideTiles(open_slide(path, spacing))
        asked = places(grid, z, number)
        slide = timed(tiles.tile, asked)
        alone = [timed(overlay.tile, asked) for overlay in made.values()]
        both = [slide + times for times in alone]
        ratio = np.median(both[-1]) / np.median(both[0])
        print(f"| {z} | {' | '.join(map(words, alone))} | {' | '.join(map(words, both))} | {ratio:.2f} |")


def as_dense_as_marrow(number: int) -> None:
    """Overlay tiles alone where more cells mean a larger slide, at 1,500 cells per mm2 and 0.25 um per pixel."""
    names = " | ".join(f"{cells:,}" for cells in CELLS)
    print(f"\nOverlay tiles at 1,500 cells per mm2, ms\n\n| level-0 pixels per pixel | {names} |\n|---|---|---|---|")
    made = []
    for cells in CELLS:
        side = int((cells / 1500) ** 0.5 * 4000)
        size = Size(side, side)
        made.append(CellOverlay(*random_cells(cells, size), size, TileGrid.of(size).max_zoom))
    for depth in range(made[-1].grid.max_zoom + 1):
        times = []
        for overlay in made:
            z = overlay.grid.max_zoom - depth
            times.append(words(timed(overlay.tile, places(overlay.grid, z, number))) if z >= 0 else "")
        print(f"| {2**depth} | {' | '.join(times)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", type=Path, nargs="?", help="a phantom with its truth beside it")
    parser.add_argument("--tiles", type=int, default=60, help="most tiles of a zoom")
    parser.add_argument("--pixels", type=int, default=20_000, help="side of the phantom that is rendered")
    parser.add_argument("--processor", action="store_true", help="processor time in place of the clock")
    options = parser.parse_args()
    global clock
    clock = time.process_time if options.processor else clock
    path = options.slide or phantom(options.pixels)
    truth = read_truth(truth_path(path))
    spacing = truth.spacing.x
    print(f"Phantom {path.name}, {truth.size.width:,} x {truth.size.height:,} px, {truth.cells.height:,} cells")
    slide_tiles(path, spacing, options.tiles)
    rng = np.random.default_rng(0)
    cells = truth.cells.with_columns(
        cell_id=np.arange(truth.cells.height), certainty=rng.random(truth.cells.height, np.float32)
    )
    print("\n| sheet of 64 | order, ms | first, ms | fresh, ms | cached, ms | kB |\n|---|---|---|---|---|---|")
    sheets(open_slide(path, spacing), cells, spacing)
    overlays(path, spacing, options.tiles)
    as_dense_as_marrow(options.tiles)


if __name__ == "__main__":
    main()
