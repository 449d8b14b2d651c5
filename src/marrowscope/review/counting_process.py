"""Counts what one line of JSON on standard input asks, and tells its progress in lines of JSON: see ``counting``.

The process ends when its standard input is closed: with the server that started it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any, TextIO

from marrowscope.batch import count_slides
from marrowscope.cells.finding import Tiling
from marrowscope.errors import MarrowscopeError
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack

EACH_SECONDS = 0.2
"""How often progress is told."""

BE_NICE = 5
"""Others on this computer, the server first, come before the count."""


def main() -> None:
    """Read what is asked, count, say what came of it."""
    asked = json.loads(sys.stdin.readline())
    Thread(target=_end_with_the_server, daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(BE_NICE)
    out, sys.stdout = sys.stdout, sys.stderr  # nothing but lines of ours may come out
    _tell(out, {"faults": _faults(asked, out)})


def _faults(asked: Mapping[str, Any], out: TextIO) -> list[str]:
    said = 0.0

    def progress(stage: str, done: float, words: str = "") -> None:
        nonlocal said
        if monotonic() - said >= EACH_SECONDS:
            said = monotonic()
            _tell(out, {"stage": f"{stage}, {words}" if words else stage, "done": done})

    try:
        outcomes = count_slides(
            [Path(slide) for slide in asked["slides"]],
            Path(asked["output"]),
            load_pack(asked["pack"]),
            CountOptions(
                cells=asked["cells"],
                specimen=asked["specimen"],
                tiling=Tiling(threads=max(1, (os.cpu_count() or 2) - 1)),
            ),
            case=asked["case"],
            spacing=asked["spacing"],
            progress=progress,
        )
    except MarrowscopeError as error:
        return [str(error)]
    return [f"{outcome.label}: {outcome.error}" for outcome in outcomes if outcome.error]


def _tell(out: TextIO, line: Mapping[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


def _end_with_the_server() -> None:
    while sys.stdin.read(1):
        pass
    os._exit(1)  # half a count is kept in its checkpoint


if __name__ == "__main__":
    main()
