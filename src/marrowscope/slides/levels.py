"""What all readers share: exact downsamples, windows that reach beyond a level, windows made of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from marrowscope.errors import SlideError
from marrowscope.geometry import Size
from marrowscope.slides.protocol import Level, Picture

WHITE = (255, 255, 255)

LONGEST_SIDE = 4_000_000
"""No scanner makes a longer side, in pixels: a whole 25 x 75 mm slide at 0.05 um per pixel has 1.5 million."""


def pyramid(sizes: Iterable[Size], name: str) -> tuple[Level, ...]:
    """Levels from their sizes, level 0 first.

    Writers halve a size and round it up or down, so the quotient of two sizes is only near the true downsample (a
    level of 625 pixels made from 2503 by 4 gives 4.0048, a shift of three pixels at the far edge). Where a whole
    number explains the size of a level, that number is its downsample. Raises ``SlideError`` for an absurd size.
    """
    sizes = list(sizes)
    for size in sizes:
        if not (0 < size.width <= LONGEST_SIDE and 0 < size.height <= LONGEST_SIDE):
            raise SlideError(
                f"{name}: a size of {size.width} x {size.height} pixels cannot be a scanned smear; "
                "the header is damaged: copy the file again from its source"
            )
    base = sizes[0]
    return tuple(
        Level(size, (_downsample(base.width, size.width), _downsample(base.height, size.height))) for size in sizes
    )


def _downsample(base: int, level: int) -> float:
    whole = max(1, round(base / level))
    return float(whole) if abs(base / whole - level) < 1 else base / level


def read_window(
    inside: Callable[[int, int, int, int], Picture],
    level: Size,
    x: int,
    y: int,
    size: Size,
    background: tuple[int, int, int],
) -> Picture:
    """The window ``size`` at ``(x, y)``: ``inside(x, y, width, height)`` where the level is, else background.

    A window wholly inside is handed on without a copy. Raises ``ValueError`` for a negative size.
    """
    if size.width < 0 or size.height < 0:
        raise ValueError(f"a window needs a size of zero or more, found {size}")
    x0, x1 = max(x, 0), min(x + size.width, level.width)
    y0, y1 = max(y, 0), min(y + size.height, level.height)
    if (x0, y0, x1, y1) == (x, y, x + size.width, y + size.height) and size.area:
        return inside(x, y, size.width, size.height)
    picture = np.empty((size.height, size.width, 3), np.uint8)
    picture[:] = background
    if x1 > x0 and y1 > y0:
        picture[y0 - y : y1 - y, x0 - x : x1 - x] = inside(x0, y0, x1 - x0, y1 - y0)
    return picture


def from_blocks(block: Callable[[int, int], Picture], x: int, y: int, size: Size, of: Size) -> Picture:
    """A window put together from a grid of blocks of size ``of``; ``block(column, row)`` gives one."""
    picture = np.empty((size.height, size.width, 3), np.uint8)
    for row in range(y // of.height, -(-(y + size.height) // of.height)):
        for column in range(x // of.width, -(-(x + size.width) // of.width)):
            left, top = column * of.width, row * of.height
            x0, x1 = max(x, left), min(x + size.width, left + of.width)
            y0, y1 = max(y, top), min(y + size.height, top + of.height)
            picture[y0 - y : y1 - y, x0 - x : x1 - x] = block(column, row)[y0 - top : y1 - top, x0 - left : x1 - left]
    return picture
