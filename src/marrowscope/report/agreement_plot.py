"""Bland-Altman plots as small SVG pictures: the difference of two percentages against their mean, one point a slide.

Lines are told apart by their pattern and not by colour, so that a black-and-white print says the same.
"""

from __future__ import annotations

import itertools
from math import floor, isfinite, log10

import numpy as np

from marrowscope.evaluation.differential_error import BlandAltman
from marrowscope.evaluation.redrawing import Estimate
from marrowscope.report.verification_words import signed

WIDTH, HEIGHT = 300.0, 168.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 40.0, 8.0, 26.0


def agreement_plot(agreement: BlandAltman, title: str) -> str:
    """The plot of one type as SVG. Classes: grid, limits, limit, bias, zero, dot, tick.

    Bands are the 95 % intervals of bias and limits; the three values stand at the right end of their lines.
    """
    across, up = np.asarray(agreement.means, np.float64), np.asarray(agreement.differences, np.float64)
    lines = [line for line in (agreement.bias, agreement.lower, agreement.upper) if isfinite(line.value)]
    shown = [0.0, *up, *(value for line in lines for value in (line.value, line.low, line.high) if isfinite(value))]
    x, y = _Scale.over(0.0, float(across.max(initial=0.0))), _Scale.over(min(shown), max(shown))

    def at_x(value: float) -> float:
        return round(_LEFT + x.share(value) * (WIDTH - _LEFT - _RIGHT), 1)

    def at_y(value: float) -> float:
        return round(HEIGHT - _BOTTOM - y.share(value) * (HEIGHT - _TOP - _BOTTOM), 1)

    right = WIDTH - _RIGHT
    parts = [
        f'<path class="grid" d="M{_LEFT} {at_y(tick)}H{right}"/>'
        f'<text class="tick" x="{_LEFT - 4}" y="{at_y(tick) + 3}" text-anchor="end">{_number(tick)}</text>'
        for tick in y.ticks
    ]
    parts += [
        f'<text class="tick" x="{at_x(tick)}" y="{HEIGHT - _BOTTOM + 11}" text-anchor="middle">{tick:g}</text>'
        for tick in x.ticks
    ]
    parts += [
        f'<rect class="limits" x="{_LEFT}" y="{at_y(line.high)}" width="{right - _LEFT}" '
        f'height="{max(at_y(line.low) - at_y(line.high), 0.5):.1f}"/>'
        for line in lines
        if isfinite(line.low)
    ]
    parts.append(f'<path class="zero" d="M{_LEFT} {at_y(0)}H{right}"/>')
    parts += [_line("bias" if line is agreement.bias else "limit", at_y(line.value), right) for line in lines]
    parts += [
        _label(line, place, right)
        for line, place in zip(lines, _apart([at_y(line.value) for line in lines]), strict=True)
    ]
    parts += [f'<circle class="dot" cx="{at_x(a)}" cy="{at_y(b)}" r="2.6"/>' for a, b in zip(across, up, strict=True)]
    parts.append(
        f'<text class="tick" x="{(_LEFT + right) / 2}" y="{HEIGHT - 3}" text-anchor="middle">mean of both, %</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="agreement" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" '
        f'aria-label="{title}: difference against mean">{"".join(parts)}</svg>'
    )


class _Scale:
    """A linear scale with round ticks that holds ``low`` to ``high``."""

    def __init__(self, low: float, high: float, step: float) -> None:
        self.low, self.high = floor(low / step) * step, -floor(-high / step) * step
        number = round((self.high - self.low) / step)
        self.ticks = [round(self.low + step * at, 10) for at in range(number + 1)]

    @classmethod
    def over(cls, low: float, high: float) -> _Scale:
        span = max(high - low, 0.5)
        rough = span / 4
        size = 10.0 ** floor(log10(rough))
        step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough)
        return cls(low, low + span, step)

    def share(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


def _line(kind: str, y: float, right: float) -> str:
    return f'<path class="{kind}" d="M{_LEFT} {y}H{right}"/>'


def _label(line: Estimate, y: float, right: float) -> str:
    return f'<text class="tick value" x="{right + 4}" y="{y + 3}">{signed(line.value)}</text>'


def _apart(places: list[float], least: float = 10.0) -> list[float]:
    """Heights of labels moved apart so that none lies upon another, the order kept."""
    order = sorted(range(len(places)), key=lambda at: places[at])
    moved = list(places)
    for earlier, later in itertools.pairwise(order):
        moved[later] = max(moved[later], moved[earlier] + least)
    return moved


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "\N{MINUS SIGN}")
