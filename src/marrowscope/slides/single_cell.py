"""A picture of a single cell in a file, as a network that names cells wants it: its middle at a spacing, or all."""

from __future__ import annotations

from pathlib import Path

from marrowscope.errors import SlideError
from marrowscope.geometry import Size
from marrowscope.slides import open_slide, require_spacing
from marrowscope.slides.cell_picture import check_size, fitted, read_cell_picture
from marrowscope.slides.memory import MemorySlide
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.sampling import Sampler

WIDEST_UM = 100.0
"""Longest side of a picture that can be of a single cell, with its surroundings."""

NARROWEST_UM = 7.0
"""Of the smallest nucleated cells; only platelets are smaller."""

NO_SLIDES = frozenset({".gif", ".webp"})
"""Endings of pictures that no reader of slides knows."""


def single_cell(image: Path, spacing: float | None, side: int, wanted: float | None) -> Picture:
    """The cell at ``wanted`` um per pixel, ``(side, side, 3)``, as it would be cut out of a slide.

    ``wanted`` None: the whole picture, resized whatever its scale. ``spacing`` in um per pixel, for a file that does
    not say; overrides one that does. Raises ``SlideError``, ``SpacingError`` and ``DataError``.
    """
    if wanted is None:
        return fitted(read_cell_picture(image), side)
    with _opened(image, spacing) as slide:
        um = require_spacing(slide)
        width, height = slide.size.width * um.x, slide.size.height * um.y
        if max(width, height) > WIDEST_UM:
            raise SlideError(
                f"{image} is {width:.0f} x {height:.0f} um, too large for one cell (expected at most {WIDEST_UM:g}); "
                "check --spacing, cut the cell out, or count all cells with: marrowscope count"
            )
        check_size(image, slide.size.width, slide.size.height)
        u, v = (round(extent / 2 / wanted) - side // 2 for extent in (width, height))
        return Sampler(slide, wanted).read(u, v, Size(side, side))


def widest_um(image: Path, spacing: float | None) -> float:
    """The longer side of a picture in um. Raises as :func:`single_cell` does."""
    with _opened(image, spacing) as slide:
        um = require_spacing(slide)
        return max(slide.size.width * um.x, slide.size.height * um.y)


def _opened(image: Path, spacing: float | None) -> Slide:
    if image.suffix.lower() in NO_SLIDES:
        return MemorySlide(read_cell_picture(image), spacing, name=image.stem, path=image, reader="picture")
    return open_slide(image, spacing)
