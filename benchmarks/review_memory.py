"""Many cases opened one after the other: how much memory stays, with a bounded room of cases and without.

    python benchmarks/review_memory.py RESULTS [--cases 20] [--cells 5000] [--room 20000]

RESULTS is the folder of one counted slide. It is copied once for each case, its cells repeated until there are as many
as asked; then each case is opened as the gallery and the page of the slide do: cells, order, a sheet, a tile of the
overlay. ``--room``: cells of all cases in memory (the review's own is 2,000,000). Linux: resident memory is read from
/proc.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from marrowscope.review.api.columns import cell_columns
from marrowscope.review.memory import CaseMemory
from marrowscope.review.pictures.shelf import Shelf
from marrowscope.review.workstation import Workstation, open_workstation


def resident_mb() -> float:
    """Memory of this process that is in use."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def many(results: Path, root: Path, cases: int, cells: int) -> None:
    """Copies of the results with ``cells`` cells each."""
    frame = pl.read_parquet(results / "cells.parquet")
    schema = frame.schema
    frame = pl.concat([frame] * (1 + cells // frame.height)).head(cells)
    frame = frame.with_columns(cell_id=pl.int_range(cells, dtype=schema["cell_id"]))
    for number in range(cases):
        folder = root / f"slide-{number:03d}"
        folder.mkdir()
        for name in ("run.json", "differential.json", "regions.geojson"):
            shutil.copy(results / name, folder / name)
        frame.write_parquet(folder / "cells.parquet")


def look_at(workstation: Workstation, shelf: Shelf, case: int) -> None:
    """What a person's browser asks for first."""
    with workstation.case(case) as state:
        counted = workstation.counted(state.slides[0])
        cell_columns(state.readings["main"].slides[0], counted.cells, shelf.order(counted), state.n)
        workstation.differential(case, "main")
    shelf.of(workstation.slide(case, 0)).sprites.sheet(0)
    shelf.overlay(workstation, case, "main", 0, "type").tile(0, 0, 0)


def opened(root: Path, room: int) -> None:
    """Open all cases and print what stays in memory."""
    workstation, shelf = open_workstation(root), Shelf()
    workstation.memory = CaseMemory(most_cells=room)
    workstation.memory.listeners.append(
        lambda case, folders: shelf.let_go(case, [workstation.root / folder for folder in folders])
    )
    cases = [head.case for head in workstation.heads()]
    look_at(workstation, shelf, cases[0])
    before, started = resident_mb(), time.perf_counter()
    for number, case in enumerate(cases[1:], start=2):
        look_at(workstation, shelf, case)
        if number % 5 == 0:
            gc.collect()
            print(f"| {number} | {len(workstation.memory.numbers())} | {resident_mb():.0f} |")
    seconds = (time.perf_counter() - started) / max(1, len(cases) - 1)
    print(f"\n{before:.0f} MB with the first case; {seconds * 1000:.0f} ms to open one")


def main() -> None:
    """Run with a room and without."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--cells", type=int, default=5000)
    parser.add_argument("--room", type=int, default=20_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        many(asked.results, Path(folder), asked.cases, asked.cells)
        print(f"room for {asked.room:,} cells\n\n| cases opened | in memory | resident, MB |\n|---|---|---|")
        opened(Path(folder), asked.room)


if __name__ == "__main__":
    sys.exit(main())
