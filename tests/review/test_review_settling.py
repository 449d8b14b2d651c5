"""Whose word settles what two observers call differently, and who is told that they called it what."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrowscope.review.api.columns import PROPOSED, UNSETTLED, state_bits, type_codes
from marrowscope.review.case import ADJUDICATED, blind
from marrowscope.review.chain import BEGINNING, next_entry
from marrowscope.review.counted import CODES, TYPE_NAMES
from marrowscope.review.edits import Add, Appoint, Confirm, Delete, Dismiss, Edit, Finish, Move, Redo, Retype, Undo
from marrowscope.review.settling import calls, settled_alone
from marrowscope.review.workstation import Refused, Workstation, open_workstation


@pytest.fixture
def read(workstation: Workstation) -> Workstation:
    """Ann and ben have read case 1: they differ about its cells 0 to 5 and call cell 6 alike; ann added a cell.

    Cell 7 only ann has looked at, and left it as it was.
    """
    workstation.people = lambda: {"ann", "ben", "cleo"}
    workstation.edit(1, "cleo", "main", Appoint(observers=("ann", "ben")))
    workstation.edit(1, "ann", blind("ann"), Retype(cells={0: [0, 1, 2, 3, 4, 6]}, to="blast"))
    workstation.edit(1, "ann", blind("ann"), Confirm(cells={0: [7]}))
    workstation.edit(1, "ben", blind("ben"), Retype(cells={0: [0, 1, 2, 3, 4]}, to="monocyte"))
    workstation.edit(1, "ben", blind("ben"), Delete(cells={0: [5]}))
    workstation.edit(1, "ben", blind("ben"), Retype(cells={0: [6]}, to="blast"))
    workstation.edit(1, "ann", blind("ann"), Add(slide=0, box=(0, 0, 50, 50), to="mast_cell"))
    for name in ("ann", "ben"):
        workstation.edit(1, name, blind(name), Finish())
    return workstation


def does(workstation: Workstation, actor: str, edit: Edit) -> None:
    workstation.edit(1, actor, ADJUDICATED, edit)


def cells(workstation: Workstation, *rows: int) -> list[str]:
    """What cells are: a type, ``-`` for none, ``?`` for a difference, ``?ann`` for one with a proposal of hers."""
    with workstation.case(1) as state:
        slide = state.readings[ADJUDICATED].slides[0]
        codes = type_codes(slide).tolist()
        waits = {0: "", PROPOSED: "ann", 2 * PROPOSED: "ben"}
        return [
            "-"
            if slide.removed[row]
            else "?" + waits[state_bits(slide)[row] & 3 * PROPOSED]
            if codes[row] == UNSETTLED
            else TYPE_NAMES[codes[row]]
            for row in rows
        ]


def left(workstation: Workstation) -> int:
    with workstation.case(1) as state:
        return workstation.looked(state, ADJUDICATED).differing


def test_a_difference_has_no_type_and_is_in_no_row_until_a_third_person_settles_it(read: Workstation) -> None:
    assert cells(read, 0, 1, 2, 3, 4, 5, 6) == ["?"] * 6 + ["blast"]
    before = read.differential(1, ADJUDICATED)
    assert any("7 cells that two observers call differently are in no row" in note for note in before.notes)
    with read.case(1) as state:
        told = [(call.observer, call.type, call.looked) for call in calls(state, 0, 5)]
        first = TYPE_NAMES[state.readings["main"].slides[0].types[5]]
        added = [(call.observer, call.type) for call in calls(state, 0, len(state.readings["main"].slides[0]))]
    assert told == [("ann", first, False), ("ben", None, True)]
    assert added == [("ann", "mast_cell"), ("ben", None)]
    with pytest.raises(Refused, match="no type to confirm"):
        does(read, "cleo", Confirm(cells={0: [0]}))
    with pytest.raises(Refused, match="settle what it is first"):
        does(read, "cleo", Move(slide=0, cell=0, box=(0, 0, 9, 9)))
    does(read, "cleo", Retype(cells={0: [0, 1]}, to="plasma_cell"))
    does(read, "cleo", Delete(cells={0: [2]}))
    assert cells(read, 0, 1, 2, 3) == ["plasma_cell", "plasma_cell", "-", "?"]
    assert read.differential(1, ADJUDICATED).total == before.total + 2
    does(read, "cleo", Undo())
    assert cells(read, 2) == ["?"]


def test_no_observer_settles_alone_what_he_read_himself(read: Workstation, results: Path) -> None:
    does(read, "ann", Retype(cells={0: [0, 1, 2]}, to="blast"))
    does(read, "ann", Delete(cells={0: [3]}))
    assert cells(read, 0, 1, 2, 3) == ["?ann"] * 4
    assert left(read) == 7
    with pytest.raises(Refused, match="your own proposal"):
        does(read, "ann", Confirm(cells={0: [0]}))
    with pytest.raises(Refused, match="call this cell alike"):
        does(read, "ann", Retype(cells={0: [6]}, to="monocyte"))
    with pytest.raises(Refused, match="one has looked at it"):
        does(read, "ben", Retype(cells={0: [7]}, to="plasma_cell"))
    does(read, "ben", Confirm(cells={0: [7]}))
    with pytest.raises(Refused, match="a third person can add"):
        does(read, "ann", Add(slide=0, box=(0, 0, 9, 9), to="blast"))
    # Agreeing by name and by confirming; another word is another proposal; a third person agrees too.
    does(read, "ben", Retype(cells={0: [0, 4]}, to="blast"))
    does(read, "ben", Confirm(cells={0: [1, 3]}))
    does(read, "ben", Retype(cells={0: [2]}, to="mast_cell"))
    assert cells(read, 0, 1, 2, 3, 4) == ["blast", "blast", "?ben", "-", "?ben"]
    does(read, "cleo", Confirm(cells={0: [4]}))
    assert cells(open_workstation(results), 0, 1, 2, 3, 4) == ["blast", "blast", "?ben", "-", "blast"]
    with read.case(1) as state:
        assert settled_alone(state) == 0
    with pytest.raises(Refused, match="this difference is settled"):
        does(read, "ann", Retype(cells={0: [4]}, to="monocyte"))


def test_what_was_agreed_to_is_taken_back_by_who_agreed_first(read: Workstation) -> None:
    does(read, "ann", Retype(cells={0: [0]}, to="blast"))
    does(read, "ben", Confirm(cells={0: [0]}))
    with pytest.raises(Refused, match="ben has agreed"):
        does(read, "ann", Undo())
    does(read, "ben", Undo())
    assert cells(read, 0) == ["?ann"]
    does(read, "ben", Redo())
    assert cells(read, 0) == ["blast"]
    does(read, "ben", Undo())
    does(read, "ann", Undo())
    assert cells(read, 0) == ["?"]
    with pytest.raises(Refused, match="changed cells"):
        does(read, "ben", Redo())


def test_what_is_done_again_forges_no_agreement(read: Workstation) -> None:
    does(read, "ben", Retype(cells={0: [0]}, to="monocyte"))
    does(read, "ann", Retype(cells={0: [0]}, to="blast"))
    does(read, "ben", Confirm(cells={0: [0]}))
    does(read, "ben", Undo())
    does(read, "ann", Undo())
    does(read, "ben", Undo())
    assert cells(read, 0) == ["?"]
    with pytest.raises(Refused, match="ann has changed cells"):
        does(read, "ben", Redo())
    assert cells(read, 0) == ["?"]


def test_what_is_done_again_does_not_overrule_a_third_person(read: Workstation) -> None:
    does(read, "ann", Retype(cells={0: [0]}, to="monocyte"))
    does(read, "ben", Retype(cells={0: [0]}, to="monocyte"))
    does(read, "ann", Retype(cells={0: [1]}, to="monocyte"))
    does(read, "cleo", Retype(cells={0: [0, 1]}, to="plasma_cell"))
    for name in ("ben", "ann"):
        does(read, name, Undo())
        with pytest.raises(Refused, match="cleo has changed cells"):
            does(read, name, Redo())
    assert cells(read, 0, 1) == ["plasma_cell"] * 2
    with read.case(1) as state:
        assert state.readings[ADJUDICATED].proposal(0, 1) is None


def test_to_move_a_cell_does_not_say_what_it_is(read: Workstation) -> None:
    does(read, "cleo", Retype(cells={0: [0]}, to="plasma_cell"))
    does(read, "dora", Move(slide=0, cell=0, box=(0, 0, 9, 9)))
    does(read, "ann", Retype(cells={0: [1]}, to="monocyte"))
    does(read, "ben", Confirm(cells={0: [1]}))
    does(read, "ann", Move(slide=0, cell=1, box=(0, 0, 9, 9)))
    assert cells(read, 0, 1) == ["plasma_cell", "monocyte"]
    does(read, "cleo", Undo())
    does(read, "ben", Undo())
    assert cells(read, 0, 1) == ["?", "?ann"]
    with read.case(1) as state:
        proposal = state.readings[ADJUDICATED].proposal(0, 1)
        assert proposal is not None
        assert (proposal.kind, proposal.content["to"]) == ("retype", "monocyte")
        assert settled_alone(state) == 0
    does(read, "ben", Confirm(cells={0: [1]}))
    assert cells(read, 1) == ["monocyte"]


def test_readings_of_dismissed_observers_are_over(read: Workstation) -> None:
    read.edit(1, "cleo", "main", Dismiss(reason="one of them is ill"))
    for name in (ADJUDICATED, blind("ann"), blind("ben")):
        with pytest.raises(Refused, match="dismissed"):
            read.edit(1, "ann", name, Retype(cells={0: [0]}, to="blast"))
    with read.case(1) as state:
        assert calls(state, 0, 0) == ()
    read.edit(1, "ann", "main", Retype(cells={0: [0]}, to="blast"))


def test_rows_of_before_settle_as_they_did_and_signing_asks_about_them(read: Workstation) -> None:
    with read.case(1) as state:
        for actor, kind, payload in (
            ("ann", "confirm", {"cells": {"0": [0]}}),
            ("ben", "retype", {"cells": {"0": [1]}, "to": "monocyte"}),
            ("local", "retype", {"cells": {"0": [2]}, "to": "monocyte"}),
            ("cleo", "retype", {"cells": {"0": [3]}, "to": "monocyte"}),
        ):
            at = "2026-01-01T00:00:00+00:00"
            state.apply(next_entry(1, state.n + 1, at, actor, ADJUDICATED, kind, payload, state.hash or BEGINNING))
        slide = state.readings[ADJUDICATED].slides[0]
        assert slide.types[:4].tolist() == [CODES["blast"], *[CODES["monocyte"]] * 3]
        assert slide.looked[:4].all()
        assert settled_alone(state) == 3
