"""Cells drawn on a clear tile: outlines, dots and densities.

Tiles are RGBA ``(side, side, 4)``, not premultiplied. Every mark has a casing of the opposite lightness, so that it can
be read on pale plasma and on dark nuclei. Nothing is smoothed and paint goes on by colour, not by cell: the picture of
a set of cells does not depend on their order, and neighbouring tiles meet without a seam.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.review.pictures.density import BIN, Bins

Tile = NDArray[np.uint8]
Labels = NDArray[np.uint8] | NDArray[np.uint16]

OUTLINED = 10
"""A box whose longer side is at least so many tile pixels is outlined; a smaller one becomes a dot."""

CROWDED = 4
"""Where boxes cover a tile more often than this, outlines would hide each other and the cells: all become dots."""

MARGIN = 3
"""So many pixels beyond a cell's box or centre its mark may reach."""

_CASING = 200
"""Opacity of casings."""

_WHITE, _BLACK, _LINES = 1, 2, 3
"""Rows of a palette: both casings, and the first colour."""

_LIGHT, _DARK = (255, 255, 255), (32, 32, 32)
_DOT = np.array([(-1, -1), (0, -1), (1, -1), (-1, 0), (0, 0), (1, 0), (-1, 1), (0, 1), (1, 1)])
_DOT_CASING = np.array([(x, y) for y in range(-2, 3) for x in range(-2, 3) if abs(x) + abs(y) < 4])


class Marks(NamedTuple):
    """A tile of few colours: ``labels (side, side)`` are rows of ``palette (k, 4)``, RGBA; row 0 is clear."""

    labels: Labels
    palette: NDArray[np.uint8]

    @property
    def tile(self) -> Tile:
        return self.palette[self.labels]


def casing_of(red: int, green: int, blue: int) -> tuple[int, int, int]:
    """White around dark colours, nearly black around light ones."""
    return _DARK if 299 * red + 587 * green + 114 * blue > 150_000 else _LIGHT


def draw_cells(
    boxes: NDArray[np.float64], colours: NDArray[np.uint8], left: int, top: int, step: int, side: int
) -> Marks:
    """Cells with ``boxes (n, 4)`` (level-0 pixels) and ``colours (n, 3)`` on the tile at ``(left, top)``.

    The corner is in pixels of the zoom, which span ``step`` level-0 pixels. An outline is two pixels wide, the outer
    one being the last that the box touches, with a casing of one pixel on either side; a dot is 3 x 3 with a casing
    around it. Casings lie under all lines. Cells that do not reach the tile change nothing.
    """
    pad = MARGIN + 1
    keys, group = np.unique(colours.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)
    sort = np.argsort(group, kind="stable")
    boxes, group = boxes[sort], group[sort]
    palette = np.zeros((_LINES + len(keys), 4), np.uint8)
    palette[_WHITE], palette[_BLACK] = (255, 255, 255, _CASING), (32, 32, 32, _CASING)
    palette[_LINES:] = [(key >> 16, key >> 8 & 255, key & 255, 255) for key in keys.tolist()]
    casings = np.where([casing_of(*colour[:3]) == _DARK for colour in palette[_LINES:].tolist()], _BLACK, _WHITE)[group]

    corner = np.array([left - pad, top - pad])
    edges = np.concatenate([np.floor(boxes[:, :2] / step), np.ceil(boxes[:, 2:] / step) - 1], axis=1)
    edges[:, 2:] = np.maximum(edges[:, :2], edges[:, 2:])
    edges = (edges - np.tile(corner, 2)).clip(-pad, side + 3 * pad).astype(np.int32)
    middles = np.floor((boxes[:, :2] + boxes[:, 2:]) / (2 * step)) - corner
    outlined = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) >= OUTLINED * step
    if (edges[:, 2:] - edges[:, :2]).clip(0, side).prod(axis=1, dtype=np.int64).sum() > CROWDED * side**2:
        outlined[:] = False
    dotted = ~outlined & ((middles >= 2) & (middles < side + 2 * pad - 2)).all(axis=1)
    middles = middles[dotted].astype(np.int64)

    canvas = np.zeros((side + 2 * pad, side + 2 * pad), np.uint8 if len(palette) <= 256 else np.uint16)
    for casing in (_WHITE, _BLACK):
        _rings(canvas, edges[outlined & (casings == casing)], (-1, 2), casing)
        _stamp(canvas, middles[casings[dotted] == casing], _DOT_CASING, np.array(casing))
    starts = np.searchsorted(group[outlined], np.arange(len(keys) + 1)).tolist()
    edges = edges[outlined]
    for number, (start, end) in enumerate(pairwise(starts)):
        _rings(canvas, edges[start:end], (0, 1), _LINES + number)
    _stamp(canvas, middles, _DOT, _LINES + group[dotted])
    return Marks(canvas[pad:-pad, pad:-pad], palette)


def draw_bins(bins: Bins) -> Tile:
    """A tile of ``bins`` (see ``density``): each a square in the mean colour of its cells, the more the more opaque."""
    number = bins[..., :1]
    mean = bins[..., 1:] // np.maximum(number, 1)
    # Five steps of opacity: more could not be told apart, and would make the file larger.
    opacity = np.where(number > 0, 95 + 32 * np.log2(number.clip(1, 32)).astype(np.int32), 0)
    small = np.concatenate([mean * (number > 0), opacity], axis=2).astype(np.uint8)
    return small.repeat(BIN, axis=0).repeat(BIN, axis=1)


def _rings(canvas: Labels, edges: NDArray[np.int32], insets: tuple[int, int], label: int) -> None:
    """Rectangles one pixel wide, ``inset`` pixels inside of ``edges (n, 4)`` (columns and rows, the last included)."""
    if len(edges):
        inset = np.array(insets, np.int32)[:, None, None] * np.array([1, 1, -1, -1], np.int32)
        corners = (edges + inset)[..., [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        cv2.polylines(canvas, list(corners), True, label)


def _stamp(canvas: Labels, middles: NDArray[np.int64], shape: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
    places = middles[:, None, :] + shape
    canvas[places[..., 1], places[..., 0]] = labels[..., None]
