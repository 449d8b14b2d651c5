"""How long the gallery takes to open and to reclassify a cell, in Chromium, with many cells on the page.

    python benchmarks/review_gallery.py RESULTS [--cells 20000] [--opened 10] [--edits 60]

RESULTS is a folder with the results of one small phantom (``marrowscope phantom`` and ``marrowscope count --all``); it
is copied, never changed. The rows of its ``cells.parquet`` are repeated until there are ``--cells``, so that sheets of
as many cells are made of the same slide, with certainties drawn anew. The review is served by a process of its own.

Printed, with medians and the slowest: the time from the navigation to the first cells drawn, and until every cell in
view has its picture, with an empty cache of the browser and with the program's files in it; the time from a key to the
new type shown, and until the server has kept it and its differential is there; frames while all cells scroll by. Needs
Chromium and Playwright for Python.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOOK = 400
"""Milliseconds that a person looks at the next cell at least."""

REST = 1500
"""Milliseconds until a new window costs nothing more."""

SCROLL = """async (steps) => {
  const scroller = document.querySelector(".scroller"), frames = [];
  const by = (scroller.scrollHeight - scroller.clientHeight) / steps;
  let last = await new Promise(requestAnimationFrame);
  for (let step = 0; step < steps; step++) {
    scroller.scrollTop += by;
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
  }
  return frames;
}"""


def repeat_cells(results: Path, root: Path, cells: int) -> Path:
    """A folder of results as the first count in ``results``, with ``cells`` cells."""
    runs = [file.parent for file in sorted(results.glob("*/run.json")) if (file.parent / "cells.parquet").is_file()]
    if not runs:
        raise SystemExit(f"{results} holds no results of marrowscope count")
    folder = shutil.copytree(runs[0], root / "results" / runs[0].name)
    frame = pl.read_parquet(folder / "cells.parquet")
    rows = np.arange(cells) % frame.height
    certainty = np.random.default_rng(1).beta(5, 1, cells)
    flags = frame["flags"].gather(rows).to_list()
    for row in np.flatnonzero(certainty < 0.4):
        flags[row] = [*flags[row], "unsure"]
    repeated = frame[rows].with_columns(
        pl.Series("cell_id", range(cells), dtype=frame.schema["cell_id"]),
        pl.Series("certainty", certainty).cast(frame.schema["certainty"]),
        pl.Series("flags", flags, dtype=frame.schema["flags"]),
    )
    repeated.write_parquet(folder / "cells.parquet")
    return root / "results"


@contextmanager
def served(root: Path, slides: Path) -> Iterator[str]:
    """The address of the review of ``root``."""
    command = [sys.executable, "-m", "marrowscope", "review", str(root), "--no-browser", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--slides", str(slides)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        told = ""
        for line in process.stdout:
            told += line
            if found := re.search(r"http://\S+/", told):
                yield found[0]
                break
        else:
            raise SystemExit(f"the review did not start: {told}")
    finally:
        process.terminate()
        process.wait()


def new_page(browser: Browser) -> Page:
    """A page with an empty cache in a browser at rest: one that has just opened a window starts processes for it."""
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.set_default_timeout(60_000)
    page.wait_for_timeout(REST)
    return page


def open_gallery(page: Page, url: str) -> tuple[float, float]:
    """Milliseconds to the first cells and to all in view."""
    page.goto(f"{url}cases/1", wait_until="commit")
    page.wait_for_function("performance.getEntriesByName('gallery:complete').length > 0")
    first, complete = (
        page.evaluate("(name) => performance.getEntriesByName(name)[0].startTime", f"gallery:{name}")
        for name in ("first", "complete")
    )
    return first, complete


def measures(page: Page, name: str) -> list[float]:
    """Durations of what the page measured."""
    found: list[float] = page.evaluate(
        "(name) => performance.getEntriesByName(name).map((entry) => entry.duration)", f"gallery:{name}"
    )
    return found


def edit_by_keys(page: Page, edits: int) -> tuple[list[float], list[float]]:
    """Give ``edits`` cells another type, two a second; times until shown and until kept."""
    for done in range(1, edits + 1):
        page.keyboard.press("lkmec"[done % 5])
        page.wait_for_function(f"performance.getEntriesByName('gallery:kept').length >= {done}")
        page.wait_for_timeout(LOOK)
    return measures(page, "shown"), measures(page, "kept")


def told(name: str, values: Sequence[float]) -> str:
    """One line: median, slowest tenth, slowest."""
    ordered = sorted(values)
    tenth = ordered[int(0.9 * (len(ordered) - 1))]
    return (
        f"{name:52} median {statistics.median(ordered):6.0f} ms, 90 % within {tenth:6.0f}, slowest {ordered[-1]:6.0f}"
    )


def main() -> None:
    """Repeat, serve, look, tell."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--cells", type=int, default=20_000)
    parser.add_argument("--opened", type=int, default=10)
    parser.add_argument("--edits", type=int, default=60)
    parser.add_argument("--slides", type=Path, help="folder of the slide; default: RESULTS")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = repeat_cells(given.results, Path(folder), given.cells)
        with served(root, given.slides or given.results) as url, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
            figures: dict[str, Any] = {"cells": given.cells, "load": os.getloadavg()[0]}
            cold = []
            for _ in range(given.opened + 1):
                page = new_page(browser)
                cold.append(open_gallery(page, url))
                page.context.close()
            page = new_page(browser)
            open_gallery(page, url)
            warm = [open_gallery(page, url) for _ in range(given.opened)]
            shown, kept = edit_by_keys(page, given.edits)
            frames = page.evaluate(SCROLL, 240)
            browser.close()
    figures |= {
        "just started": cold[0],
        "cold": cold[1:],
        "warm": warm,
        "shown": shown,
        "kept": kept,
        "frames": frames,
    }
    print(f"{given.cells:,} cells of a phantom; load of the machine {figures['load']:.1f} on {os.cpu_count()} cores")
    print(told("first cells drawn, server just started", cold[0][:1]))
    print(told("first cells drawn, browser without cache", [first for first, _ in cold[1:]]))
    print(told("every cell in view drawn, browser without cache", [complete for _, complete in cold[1:]]))
    print(told("first cells drawn, program in the browser's cache", [first for first, _ in warm]))
    print(told("every cell in view drawn, program in the cache", [complete for _, complete in warm]))
    print(told("another type shown", shown))
    print(told("another type kept, differential answered", kept))
    print(told("a frame while scrolling through all", frames))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
