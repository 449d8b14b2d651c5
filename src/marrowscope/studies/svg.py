"""Small figures as SVG: a heat map, bars side by side, points. Names are escaped; colours stay apart in grey print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import isnan

import numpy as np
from numpy.typing import NDArray

CELL, LABEL, HEAD = 30, 190, 150
COLOURS = ("#1f4e79", "#e69f00", "#009e73", "#999999")
_FONT = 'font-family="system-ui, sans-serif" font-size="11"'


def heat_map(rows: Sequence[str], columns: Sequence[str], percent: NDArray[np.float64], what: str) -> str:
    """Rows in percent as a heat map with the numbers in it; nan is an empty row. ``what`` is its accessible title."""
    width, height = LABEL + CELL * len(columns) + 10, HEAD + CELL * len(rows) + 10
    parts = []
    for column, name in enumerate(columns):
        x, y = LABEL + CELL * column + CELL / 2, HEAD - 6
        parts.append(f'<text x="{x:g}" y="{y:g}" transform="rotate(-60 {x:g} {y:g})">{escape(name)}</text>')
    for row, name in enumerate(rows):
        y = HEAD + CELL * row
        parts.append(f'<text x="{LABEL - 6}" y="{y + CELL / 2 + 4:g}" text-anchor="end">{escape(name)}</text>')
        for column in range(len(columns)):
            value = float(percent[row, column])
            if isnan(value):
                continue
            depth = min(max(value / 100, 0.0), 1.0)
            red, green, blue = (round(255 + depth * (dark - 255)) for dark in (31, 78, 121))
            x = LABEL + CELL * column
            parts.append(
                f'<rect x="{x}" y="{y}" width="{CELL - 1}" height="{CELL - 1}" fill="rgb({red},{green},{blue})"/>'
            )
            if value >= 0.5:
                ink = "#fff" if depth > 0.55 else "#222"
                middle = f'x="{x + CELL / 2:g}" y="{y + CELL / 2 + 4:g}" text-anchor="middle"'
                parts.append(f'<text {middle} fill="{ink}">{value:.0f}</text>')
    return _svg("".join(parts), width, height, what)


def bars(names: Sequence[str], series: Mapping[str, Sequence[float]], what: str) -> str:
    """Horizontal bars, one group a name, one colour a series; nan is no bar. The axis starts at zero."""
    largest = max((v for values in series.values() for v in values if not isnan(v)), default=1.0) or 1.0
    thick, room, wide = 9, 8, 420
    group = thick * len(series) + room
    height, parts = group * len(names) + 34, []
    for number, label in enumerate(series):
        x = LABEL + 130 * number
        parts.append(f'<rect x="{x}" y="6" width="10" height="10" fill="{COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 15}" y="15">{escape(label)}</text>')
    for row, name in enumerate(names):
        top = 28 + group * row
        parts.append(f'<text x="{LABEL - 6}" y="{top + group / 2:g}" text-anchor="end">{escape(name)}</text>')
        for number, values in enumerate(series.values()):
            if isnan(value := float(values[row])):
                continue
            y, length = top + thick * number, max(value / largest * wide, 0.5)
            parts.append(
                f'<rect x="{LABEL}" y="{y}" width="{length:.1f}" height="{thick - 1}" fill="{COLOURS[number]}"/>'
            )
            words = f"{value:,.0f}" if largest > 10 else f"{value:.3f}"
            parts.append(f'<text x="{LABEL + length + 4:.1f}" y="{y + thick - 1}" font-size="9">{words}</text>')
    return _svg("".join(parts), LABEL + wide + 60, height, what)


def _svg(content: str, width: float, height: float, what: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" {_FONT}><title>{escape(what)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>{content}</svg>\n'
    )
