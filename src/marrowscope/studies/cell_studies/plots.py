"""Small line charts side by side, a map of pairs, and PNG from SVG: what ``studies.svg`` lacks.

Everything is drawn as SVG without matplotlib; PNG is made of that SVG by typst, which sets the reports too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import floor, isfinite, isnan, log10

import numpy as np
import typst
from numpy.typing import NDArray

from marrowscope.studies.svg import COLOURS, drawing

WIDE, HIGH, LEFT, ABOVE, GAP_ACROSS, GAP_DOWN = 210, 140, 54, 62, 44, 56
"""Size of a panel, room beside and above the first, and between two, in px."""

PAIR, DOTS_UP_TO = 58, 30
FAMILIES = "DejaVu Sans, Liberation Sans, Arial, Helvetica"
_PAGE = b'#set page(width: auto, height: auto, margin: 0pt)\n#image(bytes(sys.inputs.svg), format: "svg")'

Points = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: each line is its x and its y values, nan leaves a gap; ``words`` stand in its lower right corner."""

    title: str
    lines: Mapping[str, Points]
    words: str = ""
    dots: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Radius of each point of a line, px; lines of up to 30 points have small ones anyway."""


def charts(
    panels: Sequence[Panel],
    what: str,
    across: str,
    up: str,
    *,
    across_range: tuple[float, float] | None = None,
    up_range: tuple[float, float] | None = None,
    diagonal: bool = False,
    columns: int = 3,
) -> str:
    """Panels of one scale, so that they can be compared; lines of one name have one colour throughout.

    ``across`` and ``up`` name the axes with their units. Raises ``ValueError`` for more line names than colours.
    """
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    if len(names) > len(COLOURS):
        raise ValueError(f"{len(names)} lines a panel, colours for {len(COLOURS)}")
    xs = across_range or _range([v for panel in panels for x, _ in panel.lines.values() for v in x])
    ys = up_range or _range([v for panel in panels for _, y in panel.lines.values() for v in y])
    parts = []
    for number, name in enumerate(names):
        key = LEFT + 170 * number
        parts.append(f'<rect x="{key}" y="26" width="10" height="10" fill="{COLOURS[number]}"/>')
        parts.append(f'<text x="{key + 15}" y="35">{escape(name)}</text>')
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        left, top = LEFT + column * (WIDE + GAP_ACROSS), ABOVE + row * (HIGH + GAP_DOWN)
        parts.append(_panel(panel, names, left, top, xs, ys, diagonal))
    rows, columns = -(-len(panels) // columns), min(columns, max(len(panels), 1))
    width = LEFT + max(columns * (WIDE + GAP_ACROSS), 170 * len(names))
    height = ABOVE + rows * (HIGH + GAP_DOWN) - 12
    middle = ABOVE + (rows * (HIGH + GAP_DOWN) - GAP_DOWN) / 2
    parts.append(f'<text x="{LEFT + WIDE / 2}" y="{height - 12}" text-anchor="middle">{escape(across)}</text>')
    turned = f'transform="rotate(-90 14 {middle:g})" text-anchor="middle"'
    parts.append(f'<text x="14" y="{middle:g}" {turned}>{escape(up)}</text>')
    return drawing("".join(parts), width, height, what)


def pair_map(
    names: Sequence[str], gain: NDArray[np.float64], p: NDArray[np.float64], what: str, level: float = 0.05
) -> str:
    """Every pair of rows and columns: ``gain (m, m)`` of the row over the column in percentage points, ``p (m, m)``.

    Blue where the row is better, orange where it is worse, grey where p is not below ``level``; nan is left empty.
    """
    label, slant = 8 + 7 * max(map(len, names), default=0), 0.87
    head = round(36 + label * slant)
    beyond = round(label * 0.5)
    parts = []
    for number, name in enumerate(names):
        centre, foot = label + PAIR * number + PAIR / 2 + 3, head - 6
        turned = f'transform="rotate(-60 {centre:g} {foot})"'
        parts.append(f'<text x="{centre:g}" y="{foot}" {turned}>{escape(name)}</text>')
        beside = head + PAIR // 2 * number + PAIR / 4 + 4
        parts.append(f'<text x="{label - 6}" y="{beside:g}" text-anchor="end">{escape(name)}</text>')
    for row in range(len(names)):
        for column in range(len(names)):
            if isnan(gain[row, column]):
                continue
            x, y = label + PAIR * column, head + PAIR // 2 * row
            sure = p[row, column] < level
            fill = "#e4e4e4" if not sure else "#a9c6e2" if gain[row, column] > 0 else "#f3cf8e"
            parts.append(f'<rect x="{x}" y="{y}" width="{PAIR - 1}" height="{PAIR // 2 - 1}" fill="{fill}"/>')
            middle = f'x="{x + PAIR / 2:g}" text-anchor="middle" font-size="10"'
            parts.append(f'<text {middle} y="{y + 12}">{gain[row, column]:+.1f}</text>')
            parts.append(f'<text {middle} y="{y + 24}" fill="#444">p {escape(p_value(float(p[row, column])))}</text>')
    height = head + PAIR // 2 * len(names) + 10
    return drawing("".join(parts), label + PAIR * len(names) + beyond, height, what)


def p_value(p: float) -> str:
    """``0.034``, ``<0.001``."""
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def as_png(svg: str, *, scale: float = 2.0) -> bytes:
    """The picture as PNG, ``scale`` pixels to one of the SVG.

    Generic font names mean nothing to typst, so that well-known ones stand in; where none is installed its own serves.
    """
    named = svg.replace("system-ui, sans-serif", FAMILIES)
    return bytes(typst.compile(_PAGE, format="png", ppi=96 * scale, sys_inputs={"svg": named}))


def _panel(
    panel: Panel,
    names: Sequence[str],
    left: float,
    top: float,
    xs: tuple[float, float],
    ys: tuple[float, float],
    diagonal: bool,
) -> str:
    def place(x: float, y: float) -> tuple[float, float]:
        return left + (x - xs[0]) / (xs[1] - xs[0]) * WIDE, top + HIGH - (y - ys[0]) / (ys[1] - ys[0]) * HIGH

    parts = [f'<text x="{left}" y="{top - 7}" font-weight="bold">{escape(panel.title)}</text>']
    for tick in _ticks(*ys):
        _, y = place(xs[0], tick)
        parts.append(f'<path d="M{left} {y:.1f}h{WIDE}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 5}" y="{y + 3:.1f}" text-anchor="end" font-size="9">{tick:g}</text>')
    for tick in _ticks(*xs):
        x, _ = place(tick, ys[0])
        parts.append(f'<path d="M{x:.1f} {top + HIGH}v4" stroke="#666"/>')
        parts.append(f'<text x="{x:.1f}" y="{top + HIGH + 15}" text-anchor="middle" font-size="9">{tick:g}</text>')
    parts.append(f'<rect x="{left}" y="{top}" width="{WIDE}" height="{HIGH}" fill="none" stroke="#666"/>')
    if diagonal:
        (x1, y1), (x2, y2) = place(xs[0], ys[0]), place(xs[1], ys[1])
        parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#888" stroke-dasharray="4 3"/>')
    for name, (x_values, y_values) in panel.lines.items():
        colour = COLOURS[names.index(name)]
        points = [
            None if isnan(y) else place(x, min(max(y, ys[0]), ys[1])) for x, y in zip(x_values, y_values, strict=True)
        ]
        steps, broken = [], True
        for point in points:
            if point is not None:
                steps.append(f"{'M' if broken else 'L'}{point[0]:.1f} {point[1]:.1f}")
            broken = point is None
        dash = ' stroke-dasharray="5 2"' if names.index(name) % 2 else ""
        parts.append(f'<path d="{"".join(steps)}" fill="none" stroke="{colour}" stroke-width="1.6"{dash}/>')
        radii = panel.dots.get(name, [1.8] * len(points) if len(points) <= DOTS_UP_TO else [0.0] * len(points))
        parts += [
            f'<circle cx="{point[0]:.1f}" cy="{point[1]:.1f}" r="{radius:.1f}" fill="{colour}"/>'
            for point, radius in zip(points, radii, strict=True)
            if point is not None and radius
        ]
    halo = 'text-anchor="end" font-size="10" stroke="#fff" stroke-width="3" paint-order="stroke"'
    for number, line in enumerate(reversed(panel.words.split("\n") if panel.words else [])):
        y = top + HIGH - 7 - 13 * number
        parts.append(f'<text x="{left + WIDE - 6}" y="{y}" {halo}>{escape(line)}</text>')
    return "".join(parts)


def _range(values: Sequence[float]) -> tuple[float, float]:
    """From 0 or the smallest value to just above the largest; 0 to 1 where there is nothing."""
    known = [value for value in values if isfinite(value)]
    low, high = min([0.0, *known]), max(known, default=1.0)
    return low, high + 0.05 * (high - low) if high > low else low + 1.0


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers from ``low`` to ``high``."""
    rough = (high - low) / 4
    power = 10.0 ** floor(log10(rough))
    step = next(power * lead for lead in (1, 2, 2.5, 5, 10) if power * lead >= rough - 1e-12)
    first = np.ceil(low / step - 1e-9) * step
    return [round(float(v), 10) + 0.0 for v in np.arange(first, high + step * 1e-6, step)]  # + 0.0: no -0
