"""Interval bars: the 95 % interval of each type over its reference range, as small SVG pictures.

All bars of a report share one axis, so that rows can be compared by eye. The axis is the square root of the percentage:
most types of a marrow lie below 5 %, and on a linear axis their intervals would be specks. Position is read against
labelled ticks and the reference band; no length starts at zero, so that nothing is read as an area.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

from marrowscope.differential.result import TypeRow

WIDTH, HEIGHT, INSET = 200.0, 20.0, 7.0
_TICKS = (0, 1, 5, 10, 20, 40, 60, 80, 100)


@dataclass(frozen=True, slots=True)
class Axis:
    """A square-root axis from 0 to ``end`` percent."""

    end: float

    def at(self, percent: float) -> float:
        """Position of a percentage, in SVG units."""
        share = sqrt(min(max(percent, 0.0), self.end) / self.end)
        return round(INSET + share * (WIDTH - 2 * INSET), 2)

    @property
    def ticks(self) -> tuple[int, ...]:
        return tuple(tick for tick in _TICKS if tick <= self.end)


def shared_axis(rows: Iterable[TypeRow]) -> Axis:
    """The axis that holds every interval and every reference range of these rows."""
    shown = [value for row in rows for value in (row.percent, row.high, row.reference_high) if value is not None]
    largest = max(shown, default=0.0)
    return Axis(float(next((tick for tick in _TICKS[3:] if tick >= largest), 100)))


def interval_bar(row: TypeRow, axis: Axis) -> str:
    """The bar of one row as SVG: ticks, reference band, interval, estimate. Classes: grid, band, span, dot.

    The ticks reach beyond the picture, so that they meet those of the next row where the page lets them overflow.
    """
    middle = HEIGHT / 2
    parts = [f'<path class="grid" d="{"".join(f"M{axis.at(tick)} -4V{HEIGHT + 4:g}" for tick in axis.ticks)}"/>']
    if row.reference_low is not None and row.reference_high is not None:
        left, right = axis.at(row.reference_low), axis.at(row.reference_high)
        parts.append(
            f'<rect class="band" x="{left}" y="{middle - 5:g}" width="{max(right - left, 1.0):.2f}" height="10"/>'
        )
    if row.assessable and row.low is not None and row.high is not None:
        left, right = axis.at(row.low), axis.at(row.high)
        ends = f"M{left} {middle - 3}v6M{right} {middle - 3}v6"
        parts.append(f'<path class="span" d="M{left} {middle}H{right}{ends}"/>')
    if row.assessable and row.percent is not None:
        parts.append(f'<circle class="dot" cx="{axis.at(row.percent)}" cy="{middle}" r="2.8"/>')
    return _svg("".join(parts), HEIGHT)


def axis_labels(axis: Axis) -> str:
    """The labelled axis above the bars, as SVG. Classes: tick."""
    labels = "".join(
        f'<text class="tick" x="{axis.at(tick)}" y="10" text-anchor="middle">{tick}</text>' for tick in axis.ticks
    )
    return _svg(labels, 13.0)


def _svg(content: str, height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bar" viewBox="0 0 {WIDTH:g} {height:g}" '
        f'width="{WIDTH:g}" height="{height:g}" aria-hidden="true">{content}</svg>'
    )
