"""What two observers made of the same cells, put together: the reading that is signed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrowscope.review.reading import Reading
from marrowscope.review.slide_state import SlideState


def adjudicated(one: Reading, other: Reading, observers: tuple[str, ...]) -> Reading:
    """What two observers agree on, and what they do not, as a reading of its own.

    A cell that both call alike is looked at and is what they say; one that they call differently, or that only one of
    them deleted, ``differs``, is not looked at, and has no type until somebody settles it. (What stands in its place is
    the first one's: rows of versions that knew no neutral mark confirm it.) Added cells that overlap (IoU >= 0.5) are
    one cell; one that only one of them added differs.
    """
    return Reading({slide: _joined(state, other.slides[slide]) for slide, state in one.slides.items()}, observers)


SAME_CELL = 0.5
"""IoU from which on a cell that two observers added is the same."""


def _joined(one: SlideState, other: SlideState) -> SlideState:
    n = one.counted
    types, removed = one.types[:n].copy(), one.removed[:n] & other.removed[:n]
    gone = one.removed[:n] != other.removed[:n]
    differs = gone | (~removed & (types != other.types[:n]))
    looked = one.looked[:n] & other.looked[:n] & ~differs
    boxes = np.where((one.boxes[:n] == other.boxes[:n]).all(axis=1)[:, None], one.boxes[:n], _middle(one, other, n))
    added = added_by_either(one, other)
    first = [(one, a) if a is not None else (other, b) for a, b in added]
    same = [a is not None and b is not None and one.types[a] == other.types[b] for a, b in added]
    return SlideState(
        np.concatenate([types, np.array([state.types[row] for state, row in first], np.int16)]),
        np.concatenate([boxes, np.array([state.boxes[row] for state, row in first]).reshape(-1, 4)]),
        removed=np.concatenate([removed, np.zeros(len(added), np.bool_)]),
        looked=np.concatenate([looked, np.array(same, np.bool_)]),
        differs=np.concatenate([differs, ~np.array(same, np.bool_)]),
        seen=np.concatenate([one.looked[:n] | other.looked[:n], np.ones(len(added), np.bool_)]),
        counted=n,
        fields=one.fields,
    )


def added_by_either(one: SlideState, other: SlideState) -> list[tuple[int | None, int | None]]:
    """Every cell that either observer added: its row by the one, and by the other; None by whom did not add it.

    Of all pairs that overlap enough those of one type are matched first, then the ones that overlap most: the order in
    which cells were added makes no difference.
    """
    mine, theirs = ([row for row in range(s.counted, len(s)) if not s.removed[row]] for s in (one, other))
    pairs = [
        (one.types[a] != other.types[b], -overlap, a, b)
        for a in mine
        for b in theirs
        if (overlap := _iou(one.boxes[a], other.boxes[b])) >= SAME_CELL
    ]
    match: dict[int, int] = {}
    for _, _, a, b in sorted(pairs):
        if a not in match and b not in match.values():
            match[a] = b
    return [*((a, match.get(a)) for a in mine), *((None, b) for b in theirs if b not in match.values())]


def _middle(one: SlideState, other: SlideState, n: int) -> NDArray[np.float64]:
    return (one.boxes[:n] + other.boxes[:n]) / 2


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))
