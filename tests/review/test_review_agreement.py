"""How two observers agree: values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from marrowscope.review.agreement import MODEL, Disagreement, agreement_of
from marrowscope.review.case import CaseState, SlideOfCase, blind
from marrowscope.review.chain import BEGINNING, next_entry
from marrowscope.review.counted import CODES, CellArrays
from marrowscope.review.workstation import Refused

NAMES = {"b": "blast", "m": "monocyte", "l": "lymphocyte"}


def cells(types: str) -> CellArrays:
    n = len(types)
    return CellArrays(
        boxes=np.tile([0.0, 0.0, 10.0, 10.0], (n, 1)),
        types=np.array([CODES[NAMES[letter]] for letter in types], np.int16),
        certainty=np.ones(n, np.float32),
        anomaly=np.full(n, np.nan, np.float32),
        flags=np.zeros(n, np.uint8),
        probabilities=np.zeros((n, 1), np.float32),
        classes=("blast",),
    )


class Case:
    """A case of one slide that two observers read; rows are added as the workstation adds them."""

    def __init__(self, types: str) -> None:
        self.cells = cells(types)
        self.state = CaseState(1, lambda slide: self.cells)
        self._last = BEGINNING
        slide = SlideOfCase(0, "s", "s", "", "p", "1", "", len(types), "")
        fields = {"slide": 0} | {name: getattr(slide, name) for name in SlideOfCase.__slots__ if name != "number"}
        self.add("x", "main", "open", title="t")
        self.add("x", "main", "add_slide", **fields)
        self.add("x", "main", "appoint", observers=["ada", "ben"])

    def add(self, actor: str, reading: str, kind: str, **payload: object) -> None:
        n = self.state.n + 1
        entry = next_entry(1, n, "2026-01-01T00:00:00+00:00", actor, reading, kind, payload, self._last)
        self._last = entry.hash
        self.state.apply(entry)

    def calls(self, actor: str, types: str) -> None:
        """What an observer calls each cell; ``.`` not looked at, ``x`` taken out."""
        for row, letter in enumerate(types):
            if letter == "x":
                self.add(actor, blind(actor), "delete", cells={"0": [row]})
            elif letter != ".":
                self.add(actor, blind(actor), "retype", cells={"0": [row]}, to=NAMES[letter])

    def finish(self) -> None:
        for actor in ("ada", "ben"):
            self.add(actor, blind(actor), "finish")


def test_kappa_of_two_observers_by_hand() -> None:
    case = Case("b" * 20)
    case.calls("ada", "bbbbbbbbbbmmmmmlllll")
    case.calls("ben", "bbbbbbbbmmmmmmbllllm")
    case.finish()
    found = agreement_of(case.state, {0: case.cells})
    pair = found.observers
    # Alike: 8 + 4 + 4 = 16 of 20. By chance: (10*9 + 5*7 + 5*4) / 400 = 0.3625. (0.8 - 0.3625) / 0.6375
    assert (pair.cells, pair.same) == (20, 16)
    assert pair.kappa.value == pytest.approx(0.4375 / 0.6375)
    assert pair.kappa.low < pair.kappa.value < pair.kappa.high
    assert pair.differences == (
        Disagreement("blast", "monocyte", 2),
        Disagreement("monocyte", "blast", 1),
        Disagreement("lymphocyte", "monocyte", 1),
    )
    assert (found.differing, found.left, found.taken_out) == (4, 4, 0)
    assert [(one.first, one.second, one.same) for one in found.with_model] == [("ada", MODEL, 10), ("ben", MODEL, 9)]
    # A model that says one type only has a kappa of (0.5 - 0.5) / 0.5 with anybody: that tells nothing of them.
    assert math.isnan(found.with_model[0].kappa.value)


def test_only_cells_that_both_looked_at_count() -> None:
    case = Case("bbmmll")
    case.calls("ada", "b.mmxl")
    case.calls("ben", "bb.mll")
    case.finish()
    found = agreement_of(case.state, {0: case.cells})
    # Cells 0, 3 and 5; cell 4 was taken out by ada, the others only one of them looked at.
    assert (found.observers.cells, found.observers.same, found.taken_out) == (3, 3, 1)
    assert [pair.cells for pair in found.with_model] == [4, 5]
    assert (found.differing, found.left) == (1, 1)


def test_a_difference_that_was_settled_is_left_no_more() -> None:
    case = Case("bbb")
    case.calls("ada", "bbm")
    case.calls("ben", "bmb")
    case.finish()
    case.add("cleo", "adjudicated", "retype", cells={"0": [1]}, to="monocyte")
    found = agreement_of(case.state, {0: case.cells})
    assert (found.differing, found.left) == (2, 1)
    assert len(found.observers.differences) == 2, "the readings themselves stay what they were"


def test_nothing_in_common_has_no_kappa() -> None:
    case = Case("bb")
    case.calls("ada", "b.")
    case.calls("ben", ".b")
    case.finish()
    pair = agreement_of(case.state, {0: case.cells}).observers
    assert pair.cells == 0
    assert math.isnan(pair.kappa.value)


def test_nobody_sees_it_before_both_have_finished() -> None:
    case = Case("bb")
    case.add("ada", blind("ada"), "finish")
    with pytest.raises(Refused, match=r"^ben must finish"):
        agreement_of(case.state, {0: case.cells})
