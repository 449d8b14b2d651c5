"""The phantom as a slide file: a tiled JPEG pyramid with its truth beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import polars as pl
from shapely.affinity import scale
from shapely.geometry import Polygon

from marrowscope.errors import OutputError
from marrowscope.geometry import Size, Spacing
from marrowscope.phantom.options import PhantomOptions
from marrowscope.phantom.painter import paint
from marrowscope.phantom.pool import CellPool, Palette
from marrowscope.phantom.pyramid import PyramidWriter, cut_tiles, level_sizes, reduce
from marrowscope.phantom.scanners import SCANNERS
from marrowscope.phantom.scatter import boxes_of
from marrowscope.phantom.scene import BLOCK, Scene
from marrowscope.phantom.smear import Smear, make_smear
from marrowscope.phantom.stains import make_stain
from marrowscope.phantom.truth import CELL_SCHEMA, Truth, truth_path, write_truth
from marrowscope.slides.protocol import PHANTOM_COMMENT, Picture
from marrowscope.taxonomy import PHANTOM_TYPES

Progress = Callable[[int, int], None]
"""Called with blocks done and blocks in all."""

NOTE = "Cells inside particles lie upon each other, are drawn indistinct and are not listed."


def render_phantom(
    path: Path | str, options: PhantomOptions, progress: Progress | None = None, *, threads: int = 2
) -> Truth:
    """Render a phantom to ``path`` (a tiled pyramidal TIFF with spacing) and its truth beside it.

    The same options give the same bytes, whatever the number of threads. Memory is bounded by a few blocks and one
    strip of each coarser level. Both files appear whole or not at all. Raises ``PhantomError`` for options that
    cannot be drawn and ``OutputError`` when the files cannot be written.
    """
    pool = CellPool(options.seed, options.spacing, options.difficulty)
    return render_smear(Path(path), make_smear(options, pool), pool, options, progress, threads=threads)


def render_smear(
    path: Path,
    smear: Smear,
    pool: CellPool,
    options: PhantomOptions,
    progress: Progress | None = None,
    *,
    threads: int = 2,
) -> Truth:
    """:func:`render_phantom` for a smear that is laid out already (``make_smear(options, pool)``)."""
    stain = make_stain(options.stain, options.difficulty, np.random.default_rng([options.seed, 51]))
    truth = _truth(smear, pool, options)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _whole(path) as file:
            writer = PyramidWriter(
                file, smear.scene.size, Spacing.square(options.spacing), options.factor, options.quality
            )
            _render(smear.scene, Palette(pool, stain), writer, options, progress, threads)
            writer.finish(f"{PHANTOM_COMMENT}, seed {options.seed}, {options.cells} cells, {options.diagnosis}")
            write_truth(truth_path(path), truth)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; choose another place with enough room"
        ) from error
    return truth


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A file beside ``path`` that takes its name at the end, or vanishes when anything goes wrong."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        try:
            yield file
            file.close()
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


class _Block(NamedTuple):
    tiles: list[list[bytes]]
    reduced: Picture


def _render(
    scene: Scene,
    palette: Palette,
    writer: PyramidWriter,
    options: PhantomOptions,
    progress: Progress | None,
    threads: int,
) -> None:
    size, factor, scanner = scene.size, options.factor, SCANNERS[options.scanner]
    columns, rows = -(-size.width // BLOCK), -(-size.height // BLOCK)
    has_levels = len(level_sizes(size, factor)) > 1

    def block(row: int, column: int) -> _Block:
        x0, y0, margin = column * BLOCK, row * BLOCK, scanner.margin
        part = Size(min(BLOCK, size.width - x0), min(BLOCK, size.height - y0))
        outer = Size(part.width + 2 * margin, part.height + 2 * margin)
        picture = scanner.see(paint(scene, palette, x0 - margin, y0 - margin, outer), x0, y0)
        return _Block(cut_tiles(picture, options.quality), reduce(picture, factor))

    with ThreadPoolExecutor(threads) as workers:
        waiting: deque[Future[_Block]] = deque()
        todo = iter((r, c) for r in range(rows) for c in range(columns))

        def results() -> Iterator[_Block]:
            for place in todo:
                waiting.append(workers.submit(block, *place))
                if len(waiting) > 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

        strip: list[_Block] = []
        for done, result in enumerate(results(), start=1):
            strip.append(result)
            if progress is not None:
                progress(done, rows * columns)
            if len(strip) == columns:
                tiles = [[tile for b in strip for tile in b.tiles[i]] for i in range(len(strip[0].tiles))]
                writer.add_rows(tiles, np.concatenate([b.reduced for b in strip], axis=1) if has_levels else None)
                strip = []


def _truth(smear: Smear, pool: CellPool, options: PhantomOptions) -> Truth:
    scene, layout = smear.scene, smear.layout
    boxes = np.round(boxes_of(scene.cells, pool), 2)
    cells = pl.DataFrame(
        {
            "type": [PHANTOM_TYPES[k] for k in scene.cells.kind],
            **{name: boxes[:, i] for i, name in enumerate(("x0", "y0", "x1", "y1"))},
            "in_trail": smear.in_trail,
            "in_blood": smear.in_blood,
        },
        schema=CELL_SCHEMA,
    )

    def pixels(polygon: Polygon) -> Polygon:
        return scale(polygon, 1 / options.spacing, 1 / options.spacing, origin=(0, 0))

    return Truth(
        scene.size,
        Spacing.square(options.spacing),
        cells,
        pixels(layout.smear),
        tuple(pixels(p) for p in layout.particles),
        tuple(pixels(t) for t in layout.trails),
        None if layout.blood is None else pixels(layout.blood),
        options.as_dict(),
        (NOTE,),
    )
