"""Small figures as SVG: a heat map, bars side by side. Names are escaped; colours stay apart in grey print.

Each has a line above that says what it shows and in which unit, and room for its names, whatever font is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import isnan

import numpy as np
from numpy.typing import NDArray

CELL, TOP, SLANT = 30, 26, 60
"""Side of a cell, room for the line above, degrees by which the names of columns are turned."""
LETTER = 6.9
"""Width of a letter of the widest likely font at size 11, px."""
DARK = 0.7
"""From this share on a cell is dark enough for white letters."""
COLOURS = ("#1f4e79", "#e69f00", "#009e73", "#999999")
_FONT = 'font-family="system-ui, sans-serif" font-size="11" fill="#1a1a1a"'


def heat_map(rows: Sequence[str], columns: Sequence[str], percent: NDArray[np.float64], what: str) -> str:
    """Rows in percent as a heat map with the numbers in it; nan is an empty row. ``what`` is the line above."""
    label, longest = _room(rows), _room(columns)
    slant = np.deg2rad(SLANT)
    head = round(TOP + longest * np.sin(slant) + 12)
    beyond = max(_room([name]) * np.cos(slant) - CELL * (len(columns) - k - 0.5) for k, name in enumerate(columns))
    width, height = label + CELL * len(columns) + round(max(beyond, 0)) + 10, head + CELL * len(rows) + 10
    parts = []
    for column, name in enumerate(columns):
        x, y = label + CELL * column + CELL / 2 + 3, head - 6
        parts.append(f'<text x="{x:g}" y="{y:g}" transform="rotate(-{SLANT} {x:g} {y:g})">{escape(name)}</text>')
    for row, name in enumerate(rows):
        y = head + CELL * row
        parts.append(f'<text x="{label - 6}" y="{y + CELL / 2 + 4:g}" text-anchor="end">{escape(name)}</text>')
        for column in range(len(columns)):
            value = float(percent[row, column])
            x, depth = label + CELL * column, 0.0 if isnan(value) else min(max(value / 100, 0.0), 1.0)
            red, green, blue = (round(255 + depth * (dark - 255)) for dark in (31, 78, 121))
            fill = f'fill="rgb({red},{green},{blue})" stroke="#ddd"'
            parts.append(f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" {fill}/>')
            if value >= 0.5:
                ink = "#fff" if depth > DARK else "#1a1a1a"
                middle = f'x="{x + CELL / 2:g}" y="{y + CELL / 2 + 4:g}" text-anchor="middle"'
                parts.append(f'<text {middle} fill="{ink}">{value:.0f}</text>')
    return drawing("".join(parts), width, height, what)


def bars(names: Sequence[str], series: Mapping[str, Sequence[float]], what: str) -> str:
    """Horizontal bars, one group a name, one colour a series; nan is no bar. The axis starts at zero.

    ``what`` is the line above; colours are explained where there is more than one.
    """
    values = [float(v) for numbers in series.values() for v in numbers if not isnan(v)]
    largest = max(values, default=1.0) or 1.0
    whole = all(value.is_integer() for value in values) or largest > 10
    label, thick, room, wide = _room(names), 11, 7, 420
    group, first = thick * len(series) + room, TOP + (22 if len(series) > 1 else 4)
    height, parts = first + group * len(names) + 6, []
    for number, legend in enumerate(series if len(series) > 1 else ()):
        x = label + 130 * number
        parts.append(f'<rect x="{x}" y="{TOP + 2}" width="10" height="10" fill="{COLOURS[number]}"/>')
        parts.append(f'<text x="{x + 15}" y="{TOP + 11}">{escape(legend)}</text>')
    for row, name in enumerate(names):
        top = first + group * row
        middle = top + thick * len(series) / 2 + 4
        parts.append(f'<text x="{label - 6}" y="{middle:g}" text-anchor="end">{escape(name)}</text>')
        for number, numbers in enumerate(series.values()):
            if isnan(value := float(numbers[row])):
                continue
            y, length = top + thick * number, max(value / largest * wide, 0.5)
            parts.append(
                f'<rect x="{label}" y="{y}" width="{length:.1f}" height="{thick - 1}" fill="{COLOURS[number]}"/>'
            )
            words = f"{value:,.0f}" if whole else f"{value:.3f}"
            parts.append(f'<text x="{label + length + 4:.1f}" y="{y + thick - 2}" font-size="10">{words}</text>')
    return drawing("".join(parts), label + wide + 60, height, what)


def _room(names: Sequence[str]) -> int:
    """Pixels for the longest of the names."""
    return round(LETTER * max(map(len, names), default=0)) + 14


def drawing(content: str, width: float, height: float, what: str) -> str:
    """An SVG picture of ``content``, as wide as its head ``what`` at least."""
    width = max(width, _room([what]) + 10)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img" {_FONT}><title>{escape(what)}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="8" y="16">{escape(what)}</text>{content}</svg>\n'
    )
