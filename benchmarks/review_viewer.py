"""How fast the slide viewer's tiles come over HTTP, with 1,000 and with 1,000,000 cells on the same slide.

    python benchmarks/review_viewer.py RESULTS [--cells 1000 1000000] [--steps 12] [--keep FOLDER]

RESULTS is a folder with the count of one slide (``marrowscope count SLIDE --pack phantom-16 -o RESULTS``); the slide
must lie where it lay. For each number the cells of its table are repeated at places drawn over the whole slide and a
real server is started (``marrowscope review``). Both are asked in turn for the tiles of slide and cells along a panning
path at all zooms, over connections that are kept: tiles never asked for before, then the same ones once more. Then
edits are made.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from marrowscope.runs import read_run
from marrowscope.slides import open_slide

JSON = {"Content-Type": "application/json"}

SEEN = 5, 3
"""Columns and rows of tiles of a window of 1366 x 768 pixels beside the panel."""


def crowded(results: Path, folder: Path, cells: int, seed: int = 1) -> Path:
    """A copy of the results of one slide with so many cells, drawn over the slide."""
    counted = next(path for path in sorted(results.iterdir()) if (read_run(path) or {}).get("slide_sha256"))
    copied = Path(shutil.copytree(counted, folder / counted.name))
    frame = pl.read_parquet(copied / "cells.parquet")
    run = read_run(copied) or {}
    with open_slide(Path(run["file"])) as slide:
        width, height = slide.size
    draw = np.random.default_rng(seed)
    rows = draw.integers(0, frame.height, cells)
    sides = frame.select((pl.col("x1") - pl.col("x0")) / 2, (pl.col("y1") - pl.col("y0")) / 2).to_numpy()[rows]
    x, y = draw.uniform(0, width, cells), draw.uniform(0, height, cells)
    many = frame[rows].with_columns(
        pl.Series("cell_id", np.arange(cells), pl.Int64),
        x0=pl.Series(x - sides[:, 0]),
        x1=pl.Series(x + sides[:, 0]),
        y0=pl.Series(y - sides[:, 1]),
        y1=pl.Series(y + sides[:, 1]),
    )
    many.select(pl.col(name).cast(kind) for name, kind in frame.schema.items()).write_parquet(copied / "cells.parquet")
    return folder


@contextmanager
def served(results: Path) -> Iterator[http.client.HTTPConnection]:
    """The real server, and a connection that is kept."""
    command = [sys.executable, "-m", "marrowscope", "review", str(results), "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://([\d.]+):(\d+)/", process.stdout.readline())
            assert found, "the review did not start"
            yield http.client.HTTPConnection(found[1], int(found[2]), timeout=300)
        finally:
            process.terminate()


def ask(connection: http.client.HTTPConnection, path: str, body: object = None) -> tuple[bytes, float]:
    """What the server answers, and the seconds until all of it was there."""
    begun = time.perf_counter()
    try:
        connection.request("GET" if body is None else "POST", "/api/v1" + path, json.dumps(body), JSON)
        answer = connection.getresponse()
        content = answer.read()
    except (http.client.RemoteDisconnected, ConnectionError):  # it was idle for too long: a new one
        connection.close()
        return ask(connection, path, body)
    seconds = time.perf_counter() - begun
    assert answer.status < 300, (path, answer.status, content[:200])
    return content, seconds


def path_of(about: dict[str, Any], steps: int) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Zoom and tiles in sight along a diagonal way over the slide, at each zoom from the whole slide to level 0."""
    for z in range(about["max_zoom"] + 1):
        span = 256 * 2 ** (about["max_zoom"] - z)
        columns, rows = -(-about["width"] // span), -(-about["height"] // span)
        for step in range(min(steps, max(1, columns - SEEN[0] + 1))):
            left = round((columns - SEEN[0]) * step / steps) if columns > SEEN[0] else 0
            top = round((rows - SEEN[1]) * step / steps) if rows > SEEN[1] else 0
            yield (
                z,
                [
                    (x, y)
                    for y in range(top, min(top + SEEN[1], rows))
                    for x in range(left, min(left + SEEN[0], columns))
                ],
            )


class Viewer:
    """One server as the page of its slide asks it; what it took stands in ``told``."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self.told: dict[str, list[float]] = {}
        self._connection = connection
        self._slide = "/cases/1/slides/0"
        self._ask("opening the case", "/cases/1")
        self.about = json.loads(self._ask("opening the slide", self._slide))
        self._n = json.loads(self._ask("case", "/cases/1"))["n"]
        self._ask("first tile of cells", f"{self._slide}/overlay/0/0/0.png?n={self._n}")
        self._ask("first differential", f"/cases/1/changes?since={self._n}")

    def tile(self, word: str, z: int, x: int, y: int) -> None:
        self._ask(f"slide, {word}", f"{self._slide}/tiles/{z}/{x}/{y}.jpg?v={self.about['version']}")
        self._ask(f"cells, {word}", f"{self._slide}/overlay/{z}/{x}/{y}.png?n={self._n}&by=type")
        self.told.setdefault(f"cells, zoom {z}", []).append(self.told[f"cells, {word}"][-1])

    def edit(self, cell: int) -> None:
        edit = {"edit": {"kind": "retype", "cells": {"0": [cell]}, "to": "blast"}, "known_n": self._n}
        self._n = json.loads(self._ask("edit", "/cases/1/edits", edit))["change"]["n"]
        self._ask("cells, after an edit", f"{self._slide}/overlay/{self.about['max_zoom']}/2/2.png?n={self._n}&by=type")
        self._ask("question for changes", f"/cases/1/changes?since={self._n}")
        x, y = self.about["width"] / 2, self.about["height"] / 2
        self._ask("cell at a point", f"{self._slide}/nearest?x={x}&y={y}&within=200")
        self._ask("one cell", f"{self._slide}/cells/{cell}")

    def _ask(self, name: str, path: str, body: object = None) -> bytes:
        content, seconds = ask(self._connection, path, body)
        self.told.setdefault(name, []).append(1000 * seconds)
        return content


def measure(folders: Sequence[Path], steps: int) -> list[dict[str, list[float]]]:
    """Milliseconds by what was asked for. All servers run at once and are asked in turn: a busy machine slows all."""
    with ExitStack() as running:
        viewers = [Viewer(running.enter_context(served(folder))) for folder in folders]
        for word in ("new", "again"):
            for z, tiles in path_of(viewers[0].about, steps):
                for x, y in tiles:
                    for viewer in viewers:
                        viewer.tile(word, z, x, y)
        for cell in range(10):
            for viewer in viewers:
                viewer.edit(cell)
        return [viewer.told for viewer in viewers]


def main() -> None:
    """Make the folders, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--cells", type=int, nargs=2, default=[1000, 1_000_000])
    parser.add_argument("--steps", type=int, default=12, help="windows along the way, at each zoom")
    parser.add_argument("--keep", type=Path, help="where the folders are made and left")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folders = []
        for cells in options.cells:
            folder = (options.keep or Path(temporary)) / f"{cells}"
            if not folder.exists():
                folder.mkdir(parents=True)
                crowded(options.results, folder, cells)
            folders.append(folder)
        few, many = measure(folders, options.steps)
    first, second = (f"{cells:,} cells" for cells in options.cells)
    print(f"| ms | requests | {first}: median | 95 % | {second}: median | 95 % | ratio of medians |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for name, times in few.items():
        one, other = np.array(times), np.array(many[name])
        middles = np.median(one), np.median(other)
        print(
            f"| {name} | {len(one)} | {middles[0]:.1f} | {np.percentile(one, 95):.1f} | {middles[1]:.1f} "
            f"| {np.percentile(other, 95):.1f} | {middles[1] / middles[0]:.2f} |"
        )


if __name__ == "__main__":
    main()
