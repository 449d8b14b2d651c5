"""How two observers of a case agree with each other and with the model: kappa, and which types they take for which.

A cell counts here when both looked at it: one that nobody looked at still bears the model's type, and would make
everybody agree. A cell that one of them took out has no type by him: it is told apart, not in kappa. Cells that they
added have no number in common and are not compared; ``differing`` has those that are to be settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import nan

import numpy as np
from numpy.typing import NDArray

from marrowscope.evaluation.calls import kappa
from marrowscope.evaluation.redrawing import Estimate
from marrowscope.review.case import ADJUDICATED, CaseState, blind
from marrowscope.review.counted import TYPE_NAMES, CellArrays
from marrowscope.review.slide_state import SlideState
from marrowscope.review.workstation import Refused

MODEL = "model"


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Cells that the first of two called one type and the second another."""

    first: str
    second: str
    cells: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two namings of the same cells: ``cells`` compared, ``same`` of them called alike, Cohen's kappa, what differs.

    ``differences`` have the largest first. ``kappa`` is nan where nothing was compared, and where one of the two gave
    every cell the same type: it is 0 then whatever the other one called them.
    """

    first: str
    second: str
    cells: int
    same: int
    kappa: Estimate
    differences: tuple[Disagreement, ...]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of a case that two observers have read: with each other, each with the model, and what is left to settle.

    ``taken_out`` of the cells that both looked at: by one of them only. ``differing``: differences, settled or not;
    ``left`` of them are not settled.
    """

    observers: Pair
    with_model: tuple[Pair, Pair]
    taken_out: int
    differing: int
    left: int


def agreement_of(state: CaseState, cells: Mapping[int, CellArrays]) -> Agreement:
    """The agreement in a case; ``cells`` as the model named them, by number of the slide.

    Raises ``Refused`` while an observer is still reading, or when there are none.
    """
    if not state.observers:
        raise Refused("nobody was appointed to read this case blind")
    if state.read_blind:
        waiting = " and ".join(name for name in state.observers if name not in state.finished)
        raise Refused(f"{waiting} must finish reading first: until then nobody sees how they agree")
    one, other = (state.readings[blind(name)].slides for name in state.observers)
    final = state.readings[ADJUDICATED].slides.values()
    both = [(one[number], other[number], cells[number].types) for number in one]
    first, second = state.observers
    return Agreement(
        observers=_pair(first, second, (_compared(a, b) for a, b, _ in both)),
        with_model=(
            _pair(first, MODEL, (_with_model(a, types) for a, _, types in both)),
            _pair(second, MODEL, (_with_model(b, types) for _, b, types in both)),
        ),
        taken_out=sum(int((_looked(a) & _looked(b) & (_removed(a) != _removed(b))).sum()) for a, b, _ in both),
        differing=sum(int(joined.differs.sum()) for joined in final),
        left=sum(int((joined.differs & ~joined.looked & ~joined.removed).sum()) for joined in final),
    )


Types = NDArray[np.int16]


def _compared(a: SlideState, b: SlideState) -> tuple[Types, Types]:
    """What two observers call the cells that both looked at and kept."""
    rows = _looked(a) & _looked(b) & ~_removed(a) & ~_removed(b)
    return a.types[: a.counted][rows], b.types[: b.counted][rows]


def _with_model(a: SlideState, types: Types) -> tuple[Types, Types]:
    """What an observer, and what the model calls the cells that the observer looked at and kept."""
    rows = _looked(a) & ~_removed(a)
    return a.types[: a.counted][rows], types[rows]


def _looked(state: SlideState) -> NDArray[np.bool_]:
    return state.looked[: state.counted]


def _removed(state: SlideState) -> NDArray[np.bool_]:
    return state.removed[: state.counted]


def _pair(first: str, second: str, slides: Iterable[tuple[Types, Types]]) -> Pair:
    called = [
        (TYPE_NAMES[a], TYPE_NAMES[b])
        for one, other in slides
        for a, b in zip(one.tolist(), other.tolist(), strict=True)
    ]
    counts = Counter(called)
    differences = [Disagreement(a, b, n) for (a, b), n in counts.items() if a != b]
    differences.sort(key=lambda found: (-found.cells, TYPE_NAMES.index(found.first), TYPE_NAMES.index(found.second)))
    agreed = kappa([a for a, _ in called], [b for _, b in called])
    if len({a for a, _ in called}) < 2 or len({b for _, b in called}) < 2:
        agreed = replace(agreed, value=nan, low=nan, high=nan)
    return Pair(
        first,
        second,
        cells=len(called),
        same=sum(n for (a, b), n in counts.items() if a == b),
        kappa=agreed,
        differences=tuple(differences),
    )
