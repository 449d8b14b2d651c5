"""Numbers of a study's tables as text: with an interval, with the spread over folds, and where there is none."""

from __future__ import annotations

from math import isnan

from marrowscope.evaluation.redrawing import Estimate, Spread, in_digits

NOT_RUN, NOTHING = "not run", "–"


def figure(value: float, digits: int = 3) -> str:
    """With so many digits after the point; a dash for nan."""
    return NOTHING if isnan(value) else in_digits(value, digits)


def with_spread(found: Spread) -> str:
    """``0.876 ± 0.075``: mean and standard deviation over folds; the mean alone of one fold."""
    if isnan(found.sd):
        return figure(found.mean)
    return f"{in_digits(found.mean, 3)} ± {found.sd:.3f}"


def with_interval(found: Estimate, digits: int = 3) -> str:
    """``0.876 (0.850 to 0.901)``; the value alone where one unit or fewer than five cells tell no spread, and where all
    redraws were alike: of faultless cells every redraw is faultless, and a point would read like certainty.
    """
    if isnan(found.low) or found.low == found.high:
        return figure(found.value, digits)
    return "{} ({} to {})".format(*(in_digits(part, digits) for part in (found.value, found.low, found.high)))


def over_folds(found: Spread, together: Estimate) -> str:
    """``0.876 ± 0.075; 0.881 (0.850 to 0.901)``: over folds; all cells together. One fold has only the latter."""
    return with_interval(together) if isnan(found.sd) else f"{with_spread(found)}; {with_interval(together)}"
