"""Two blind readings made one: what both say is settled, what they say differently waits for a third word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from marrowscope.review.reading import Reading
from marrowscope.review.slide_state import SlideState


def adjudicated(one: Reading, other: Reading) -> Reading:
    """What two observers agree on, and what they do not, as a reading of its own.

    A cell that both call alike is looked at and is what they say; one that they call differently, or that only one of
    them deleted, keeps the first one's type, is not looked at, and ``differs``. Added cells that overlap (IoU >= 0.5)
    are one cell; one that only one of them added differs.
    """
    return Reading({slide: _joined(state, other.slides[slide]) for slide, state in one.slides.items()})


SAME_CELL = 0.5
"""IoU from which on a cell that two observers added is the same."""


def _joined(one: SlideState, other: SlideState) -> SlideState:
    n = one.counted
    types, removed = one.types[:n].copy(), one.removed[:n] & other.removed[:n]
    gone = one.removed[:n] != other.removed[:n]
    differs = gone | (~removed & (types != other.types[:n]))
    looked = one.looked[:n] & other.looked[:n] & ~differs
    boxes = np.where((one.boxes[:n] == other.boxes[:n]).all(axis=1)[:, None], one.boxes[:n], _middle(one, other, n))
    added = _added_by_both(one, other)
    more = len(added)
    return SlideState(
        np.concatenate([types, np.array([code for code, _, _ in added], np.int16)]),
        np.concatenate([boxes, np.array([box for _, box, _ in added]).reshape(-1, 4)]),
        removed=np.concatenate([removed, np.zeros(more, np.bool_)]),
        looked=np.concatenate([looked, np.array([same for _, _, same in added], np.bool_)]),
        differs=np.concatenate([differs, np.array([not same for _, _, same in added], np.bool_)]),
        counted=n,
        fields=one.fields,
    )


def _added_by_both(one: SlideState, other: SlideState) -> list[tuple[int, NDArray[np.float64], bool]]:
    """Type, box and whether both agree, of every cell that either observer added.

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
    found = [(int(one.types[a]), one.boxes[a], a in match and one.types[a] == other.types[match[a]]) for a in mine]
    return found + [(int(other.types[b]), other.boxes[b], False) for b in theirs if b not in match.values()]


def _middle(one: SlideState, other: SlideState, n: int) -> NDArray[np.float64]:
    return (one.boxes[:n] + other.boxes[:n]) / 2


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    both = wide * high
    return float(both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both))
