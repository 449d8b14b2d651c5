"""The same cells whatever the tile size, grid origin, batch and threads; beside the stitching of Wang et al. 2022.

    python benchmarks/invariance.py [SLIDE --spacing UM --pack NAME]

Without a slide it renders a phantom of 2,500 cells. Prints, for each variation, the share of cells that match one to
one with the reference (IoU >= 0.5 and same type), the change of the total, and the largest overlap of two cells.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from tables import machine, print_table

from marrowscope.cells.finding import Tiling
from marrowscope.detection.corner_distance import stitch_by_corners
from marrowscope.detection.engine import Detector
from marrowscope.detection.suppression import pairwise_iou
from marrowscope.geometry import Box, Size
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.pipeline import count_slide
from marrowscope.slides import open_slide, require_spacing
from marrowscope.tiles import TileReader, TileWindow

VARIATIONS = {
    "reference (tile 512, batch 1)": Tiling(),
    "tile 384": Tiling(tile=384),
    "tile 768": Tiling(tile=768),
    "origin shifted by (96, 160) px": Tiling(origin=(96, 160)),
    "tile 384, origin shifted by (48, 208) px": Tiling(tile=384, origin=(48, 208)),
    "batch 8": Tiling(batch=8),
    "1 thread": Tiling(threads=1, readers=1),
    "4 threads": Tiling(threads=4, readers=4),
}


def boxes_of(cells: pl.DataFrame) -> np.ndarray:
    return cells.select("x0", "y0", "x1", "y1").to_numpy()


def best_overlaps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each box of a: index of the best box of b and their IoU (in chunks, to bound memory)."""
    index, value = [], []
    for start in range(0, len(a), 500):
        overlaps = pairwise_iou(a[start : start + 500], b)
        index.append(overlaps.argmax(axis=1))
        value.append(overlaps.max(axis=1))
    return np.concatenate(index), np.concatenate(value)


def largest_own_overlap(boxes: np.ndarray) -> float:
    largest = 0.0
    for start in range(0, len(boxes), 500):
        overlaps = pairwise_iou(boxes[start : start + 500], boxes)
        overlaps[np.arange(len(overlaps)), start + np.arange(len(overlaps))] = 0
        largest = max(largest, float(overlaps.max()))
    return largest


def compare(slide: Path, spacing: float | None, pack_name: str) -> None:
    pack = load_pack(pack_name)
    for cells in ("all", 500):
        rows: list[tuple[object, ...]] = []
        reference: pl.DataFrame | None = None
        for name, tiling in VARIATIONS.items():
            with open_slide(slide, spacing) as opened:
                found = count_slide(opened, pack, CountOptions(cells=cells, tiling=tiling)).cells
            if reference is None:
                reference = found
            index, overlap = best_overlaps(boxes_of(found), boxes_of(reference))
            same = (overlap >= 0.5) & (found["type"].to_numpy() == reference["type"].to_numpy()[index])
            matched = len(np.unique(index[same]))
            share = 2 * matched / (found.height + reference.height)
            change = found.height / reference.height - 1
            rows.append((name, found.height, f"{share:.2%}", f"{change:+.2%}", largest_own_overlap(boxes_of(found))))
        print(f"### `--{'all' if cells == 'all' else f'cells {cells}'}`\n")
        print_table(
            ("variation", "cells", "same cell and type", "change of total", "largest overlap of two cells"), rows
        )


def compare_stitching(slide: Path, spacing: float | None, pack_name: str) -> None:
    """Abutting tiles and corner distances against tiles with margins and ownership, on the same area."""
    pack = load_pack(pack_name)
    contract = pack.contract.detector
    with open_slide(slide, spacing) as opened:
        truth = count_slide(opened, pack, CountOptions(cells="all"))
        um = require_spacing(opened)
        reader = TileReader(opened, contract.spacing, contract.spacing)
        detector = Detector(pack.detector, contract)
        side = contract.tile - 2 * contract.margin
        scale = np.array([contract.spacing / um.x, contract.spacing / um.y] * 2)
        boxes = boxes_of(truth.cells) / scale
        area = truth.finding.regions[0].polygon.bounds
        u0, v0, u1, v1 = (int(value) for value in np.array(area) / scale)
        u1, v1 = min(u1, u0 + 10 * side), min(v1, v0 + 10 * side)
        tiles = {}
        for row, v in enumerate(range(v0 // 16 * 16, v1, side)):
            for column, u in enumerate(range(u0 // 16 * 16, u1, side)):
                window = TileWindow(u, v, Size(side, side), Box(u, v, u + side, v + side))
                tiles[column, row] = detector.detect([reader.read(window)])[0]
        last_column, last_row = (max(key[i] for key in tiles) for i in (0, 1))
        covered = Box(
            u0 // 16 * 16,
            v0 // 16 * 16,
            u0 // 16 * 16 + (last_column + 1) * side,
            v0 // 16 * 16 + (last_row + 1) * side,
        )
        # 25 px at 0.25 um per pixel is 6.25 um.
        joined = stitch_by_corners(tiles, distance_px=6.25 / contract.spacing)
    regions = truth.finding.regions

    def inside(table: np.ndarray) -> np.ndarray:
        import shapely

        x, y = (table[:, 0] + table[:, 2]) / 2, (table[:, 1] + table[:, 3]) / 2
        kept = (x >= covered.x0) & (x < covered.x1) & (y >= covered.y0) & (y < covered.y1)
        return kept & np.any([shapely.contains_xy(r.polygon, x * scale[0], y * scale[1]) for r in regions], axis=0)

    ours, theirs = boxes[inside(boxes)], joined.boxes[inside(joined.boxes)]
    rows = []
    for name, found in (("ownership and fusion (ours)", ours), ("abutting tiles, corner distance", theirs)):
        index, overlap = best_overlaps(ours, found)
        claimed = np.bincount(index[overlap >= 0.5], minlength=len(found))
        touching = pairwise_iou(found, ours) if len(found) < 4000 else None
        several = int((touching > 0.3).sum(axis=1).__gt__(1).sum()) if touching is not None else -1
        parts = best_overlaps(found, ours)
        cut = int(((parts[1] > 0.05) & (parts[1] < 0.5)).sum())
        rows.append((name, len(found), int((claimed > 1).sum()), cut, several, largest_own_overlap(found)))
    print("### Stitching, on the same tiles' area\n")
    print_table(
        (
            "method",
            "cells",
            "duplicates",
            "cut or swollen (IoU 0.05-0.5 with a cell)",
            "joins two cells",
            "largest overlap",
        ),
        rows,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slide", nargs="?", type=Path)
    parser.add_argument("--spacing", type=float)
    parser.add_argument("--pack", default="phantom-16")
    arguments = parser.parse_args()
    print(f"{machine()}; {arguments.slide.name if arguments.slide else 'phantom, 2,500 cells, seed 31'}\n")
    with tempfile.TemporaryDirectory() as folder:
        slide = arguments.slide
        if slide is None:
            from marrowscope.phantom import PhantomOptions, render_phantom

            slide = Path(folder) / "phantom.tif"
            render_phantom(slide, PhantomOptions(cells=2500, seed=31))
        compare(slide, arguments.spacing, arguments.pack)
        compare_stitching(slide, arguments.spacing, arguments.pack)


if __name__ == "__main__":
    main()
