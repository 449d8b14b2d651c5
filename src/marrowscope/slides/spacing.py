"""Which spacing is believed: limits, units, and the numbers that files carry without meaning them."""

from __future__ import annotations

from math import isfinite

from marrowscope.errors import SpacingError
from marrowscope.geometry import Spacing
from marrowscope.slides.protocol import Slide

LIMITS_UM = (0.01, 10.0)
"""Finest and coarsest spacing that a scan of a smear can have, um per pixel."""

_TAG_LIMITS_UM = (0.02, 5.0)
_UM_PER_UNIT = {2: 25_400.0, 3: 10_000.0}


def as_spacing(spacing: float | Spacing | None, name: str) -> Spacing | None:
    """Check a spacing given by a person or a file; None stays None.

    Raises ``SpacingError`` outside :data:`LIMITS_UM`.
    """
    if spacing is None:
        return None
    if not isinstance(spacing, Spacing):
        spacing = Spacing.square(_checked(float(spacing), name))
    _checked(spacing.x, name)
    _checked(spacing.y, name)
    return spacing


def _checked(um: float, name: str) -> float:
    low, high = LIMITS_UM
    if not (isfinite(um) and low <= um <= high):
        raise SpacingError(
            f"{name}: a spacing of {um:g} um per pixel cannot be a scanned smear (expected {low:g} to {high:g}); "
            "give the right one with --spacing UM (a 40x scan has about 0.25)"
        )
    return um


def require_spacing(slide: Slide) -> Spacing:
    """The slide's spacing; raises ``SpacingError`` naming the option that sets it when there is none."""
    if slide.spacing is None:
        raise SpacingError(
            f"{slide.name}: the file does not say how large a pixel is; "
            "give it in um with --spacing UM (a 40x scan has about 0.25, a 100x camera about 0.05)"
        )
    return slide.spacing


def from_resolution(x: float | None, y: float | None, unit: int | None) -> Spacing | None:
    """Spacing from TIFF resolution tags (pixels per ``unit``; 2 is inch, 3 is cm), or None when they mean nothing.

    Every writer fills these tags, most with what a printer would want. They are believed only between 0.02 and 5 um
    per pixel, which leaves out the usual 72, 96 and 300 dpi (353, 265 and 85 um).
    """
    um_per_unit = _UM_PER_UNIT.get(unit or 0)
    if um_per_unit is None or not x or not y:
        return None
    found = um_per_unit / x, um_per_unit / y
    low, high = _TAG_LIMITS_UM
    return Spacing(*found) if all(low <= um <= high for um in found) else None
