"""Pictures that show the same thing twice, among any number of sketches.

Three kinds are told apart. A *twin* is the same picture, whatever its size, squash, brightness or JPEG generation. A
*turned* twin is one of its seven turned or mirrored copies. An *overlap* is another crop of the same place: at least
two fifths of both pictures coincide after a shift.

Thumbnails and spots propose pairs by their correlation, centred colour by colour so that brightness does not matter;
the correlation of fine detail decides. The limits were set on the public sets, with every pair near them looked at
(docs/methods/data.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.learning.datasets.sketches import DETAIL, SPOT, Sketch, spot_detail

Kind = Literal["twin", "turned", "overlap"]

PROPOSED_TWIN = 0.95
"""Thumbnails that correlate more are compared in detail."""

PROPOSED_SPOT = 0.93
"""Spots that correlate more are compared in detail."""

SAME_SPOT = 0.72
"""Correlation of the fine detail of spots above which their pictures are compared."""

SAME_PICTURE = 0.80
"""Correlation of fine detail from which two whole pictures are one."""

SAME_TURNED = 0.85
"""As :data:`SAME_PICTURE`, for turned copies: seven more chances to be alike by accident."""

SAME_PLACE = 0.85
"""Correlation of fine detail from which the common part of two shifted pictures is one."""

LEAST_OVERLAP = 0.40
"""Share of a picture that an overlap has in common; smaller parts may be alike by one red cell."""

_ROWS = 2048
"""Rows that are compared at a time; more than so many are worth being shortened first."""

_AXES = 48
_ROUNDING = 1e-5
_SLACK = 4
_SPOT_SLACK = 2
_TURNS = tuple((quarter, mirrored) for mirrored in (False, True) for quarter in range(4))[1:]


@dataclass(frozen=True, slots=True)
class Pair:
    """Sketches ``first < second`` show the same; ``likeness`` is the correlation of their fine detail, 0..1.

    ``overlap`` is the common share of the pictures, 1 but for overlaps.
    """

    first: int
    second: int
    kind: Kind
    likeness: float
    overlap: float = 1.0


def find_pairs(sketches: Sequence[Sketch], progress: Callable[[float], None] | None = None) -> list[Pair]:
    """All pairs, each once and under its first kind in the order twin, turned, overlap; sorted.

    ``progress`` is told the share done, 0..1. Time grows with the square of the number: some 6 s for 4,500 pictures
    on one core.
    """
    if len(sketches) < 2:
        return []
    tell = progress or (lambda share: None)
    found: dict[tuple[int, int], Pair] = {}
    thumbnails = np.stack([one.thumbnail for one in sketches])
    upright = _standardised(thumbnails)
    axes = _main_axes(upright) if len(upright) > _ROWS else None
    for number, (quarter, mirrored) in enumerate([(0, False), *_TURNS]):
        turned = _standardised(_turn(thumbnails, quarter, mirrored)) if number else upright
        blocks = _alike(turned, upright, PROPOSED_TWIN, axes)
        for i, j in ((i, j) for first, second in blocks for i, j in zip(first.tolist(), second.tolist(), strict=True)):
            if (i, j) in found:
                continue
            likeness = _likeness(_turn(sketches[i].detail, quarter, mirrored, axes=(0, 1)), sketches[j].detail)
            if likeness >= (SAME_TURNED if number else SAME_PICTURE):
                found[i, j] = Pair(i, j, "turned" if number else "twin", likeness)
        tell(0.5 * (number + 1) / (len(_TURNS) + 1))
    for pair in _overlaps(sketches, tell):
        known = found.get((pair.first, pair.second))
        if known is None or (known.kind == "overlap" and known.likeness < pair.likeness):
            found[pair.first, pair.second] = pair
    tell(1.0)
    return sorted(found.values(), key=lambda pair: (pair.first, pair.second))


def _overlaps(sketches: Sequence[Sketch], tell: Callable[[float], None]) -> Iterator[Pair]:
    owner = np.repeat(np.arange(len(sketches)), [len(one.spots) for one in sketches])
    places = np.concatenate([one.places for one in sketches])
    spots = np.concatenate([one.spots for one in sketches])
    if not len(spots):
        return
    halves = np.stack([cv2.resize(spot, (SPOT // 2, SPOT // 2), interpolation=cv2.INTER_AREA) for spot in spots])
    rows, detail = _standardised(halves), spot_detail(spots)
    axes = _main_axes(rows) if len(rows) > _ROWS else None
    for first, second in _alike(rows, rows, PROPOSED_SPOT, axes, lambda share: tell(0.5 + 0.5 * share)):
        shifts = places[first] - places[second]
        overlaps = np.prod(1 - np.abs(shifts), axis=1)
        possible = (owner[first] != owner[second]) & (overlaps >= LEAST_OVERLAP)
        for at in np.flatnonzero(possible).tolist():
            a, b = first[at], second[at]
            if _likeness(detail[a], detail[b], slack=_SPOT_SLACK) < SAME_SPOT:
                continue
            i, j = int(owner[a]), int(owner[b])
            shift = np.rint(shifts[at] * DETAIL).astype(int).tolist()
            likeness = _likeness(sketches[i].detail, sketches[j].detail, shift)
            if likeness >= SAME_PLACE:
                yield Pair(i, j, "overlap", likeness, float(overlaps[at]))


def _alike(
    ours: NDArray[np.float32],
    theirs: NDArray[np.float32],
    limit: float,
    axes: NDArray[np.float32] | None,
    tell: Callable[[float], None] = lambda share: None,
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Indices ``i < j`` of rows of ``ours`` and ``theirs`` that correlate more than ``limit``, block by block.

    With ``axes`` short rows (:func:`_shortened`) are compared first, which pass every such pair and few others.
    """
    first, second = (ours, theirs) if axes is None else (_shortened(ours, axes), _shortened(theirs, axes))
    least = limit if axes is None else limit - _ROUNDING
    for start in range(0, len(ours), _ROWS):
        correlation = first[start : start + _ROWS] @ second[start:].T
        i, j = np.divmod(np.flatnonzero(correlation > least), correlation.shape[1])
        i, j = i[j > i] + start, j[j > i] + start
        if axes is not None:
            sure = _row_by_row(ours, theirs, i, j) > limit
            i, j = i[sure], j[sure]
        yield i, j
        tell(min(1.0, (start + _ROWS) / len(ours)))


def _main_axes(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The directions ``(d, _AXES)`` in which the rows differ most."""
    axes: NDArray[np.float32] = np.linalg.eigh(rows.T @ rows)[1][:, -_AXES:]
    return axes


def _shortened(rows: NDArray[np.float32], axes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of norm 1 in a few dimensions: what they are along the axes, and the length of all that is left.

    No product of two of them is smaller than that of the rows themselves: by Cauchy and Schwarz the product of two
    lengths is at least that of what they stand for.
    """
    kept = rows @ axes
    left = np.sqrt(np.maximum(0, 1 - np.einsum("nd,nd->n", kept, kept)))
    return np.column_stack([kept, left])


def _row_by_row(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], i: NDArray[np.intp], j: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Products of the rows ``i`` of ours with the rows ``j`` of theirs, a block at a time for the memory's sake."""
    products = np.empty(len(i), np.float32)
    for start in range(0, len(i), _ROWS):
        block = slice(start, start + _ROWS)
        products[block] = np.einsum("nd,nd->n", ours[i[block]], theirs[j[block]])
    return products


def _likeness(
    first: NDArray[np.generic], second: NDArray[np.generic], shift: Sequence[int] = (0, 0), slack: int = _SLACK
) -> float:
    """Best correlation of the common part within ``slack`` pixels; ``second`` begins at ``shift`` (x, y) of it."""
    side = first.shape[0]
    (x0, x1), (y0, y1) = ((max(0, step), side + min(0, step)) for step in shift)
    template = first[y0 + slack : y1 - slack, x0 + slack : x1 - slack].astype(np.float32)
    window = second[y0 - shift[1] : y1 - shift[1], x0 - shift[0] : x1 - shift[0]].astype(np.float32)
    if template.min() == template.max() or window.min() == window.max():
        return 0.0
    return float(cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED).max())


def _turn(
    pictures: NDArray[np.generic], quarter: int, mirrored: bool, axes: tuple[int, int] = (1, 2)
) -> NDArray[np.generic]:
    turned = np.rot90(pictures, quarter, axes)
    return np.flip(turned, axes[1]) if mirrored else turned


def _standardised(pictures: NDArray[np.generic]) -> NDArray[np.float32]:
    """Pictures ``(n, h, w, 3)`` as rows of norm 1, each colour without its mean."""
    pixels = pictures.astype(np.float32).reshape(len(pictures), -1, 3)
    rows = (pixels - pixels.mean(axis=1, keepdims=True)).reshape(len(pictures), -1)
    norms: NDArray[np.float32] = np.linalg.norm(rows, axis=1, keepdims=True)
    standardised: NDArray[np.float32] = rows / np.maximum(norms, 1e-6)
    return standardised
