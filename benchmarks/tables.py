"""Markdown tables and machine facts for the benchmarks."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """One Markdown table."""
    lines = [[str(cell) for cell in header], ["---"] * len(header)]
    lines += [[f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def print_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> None:
    """Print one Markdown table."""
    print(markdown_table(header, rows) + "\n")


def machine() -> str:
    """Cores and processor, for the line above a table."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, {platform.machine()}, Python {platform.python_version()}"
