"""Which reading a person comes to, who may change it, and what the page is told of the cells."""

from __future__ import annotations

import json

import numpy as np

from marrowscope.review.access.identity import Identity
from marrowscope.review.access.users import Role
from marrowscope.review.api.columns import NO_SPRITE, NO_TYPE, cell_columns
from marrowscope.review.case import ADJUDICATED, MAIN, blind
from marrowscope.review.edits import Add, Appoint, Finish, Move, Retype
from marrowscope.review.pages.reading import locked_for, reading_for
from marrowscope.review.texts import Texts
from marrowscope.review.workstation import Workstation

ANN, BEN = (Identity(name, Role.REVIEWER) for name in ("ann", "ben"))
CHIEF = Identity("chief", Role.ADMIN)


def test_a_person_comes_to_the_reading_that_is_theirs(workstation: Workstation) -> None:
    texts = Texts()
    with workstation.case(1) as state:
        assert reading_for(state, ANN) == MAIN
        assert locked_for(state, MAIN, ANN, texts) == ""
        assert "reviewer" in locked_for(state, MAIN, Identity("eve", Role.READER), texts)
    workstation.edit(1, "chief", MAIN, Appoint(observers=("ann", "ben")))
    with workstation.case(1) as state:
        assert [reading_for(state, one) for one in (ANN, BEN, CHIEF)] == [blind("ann"), blind("ben"), MAIN]
        assert locked_for(state, blind("ann"), ANN, texts) == ""
        assert "blind by ann & ben" in locked_for(state, MAIN, CHIEF, texts)
    workstation.edit(1, "ann", blind("ann"), Finish())
    with workstation.case(1) as state:
        assert reading_for(state, ANN) == blind("ann")
        assert "finished" in locked_for(state, blind("ann"), ANN, texts)
    workstation.edit(1, "ben", blind("ben"), Finish())
    with workstation.case(1) as state:
        assert reading_for(state, ANN) == reading_for(state, CHIEF) == ADJUDICATED
        assert locked_for(state, ADJUDICATED, ANN, texts) == ""
        assert "another observer" in locked_for(state, blind("ben"), ANN, texts)


def columns(workstation: Workstation) -> dict[str, np.ndarray]:
    with workstation.case(1) as state:
        cells = workstation.counted(state.slides[0]).cells
        block = cell_columns(state.readings[MAIN].slides[0], cells, np.arange(len(cells)), state.n)
    length = int.from_bytes(block[:4], "little")
    header = json.loads(block[4 : 4 + length])
    return {
        column["name"]: np.frombuffer(block, column["type"], header["cells"], 4 + length + column["offset"])
        for column in header["columns"]
    }


def test_the_page_is_told_the_packs_type_and_where_no_sheet_shows_a_cell(workstation: Workstation) -> None:
    before = columns(workstation)
    assert (before["model"] == before["type"]).all()
    n = len(before["type"])
    workstation.edit(1, "ann", MAIN, Retype(cells={0: [3]}, to="osteoclast"))
    workstation.edit(1, "ann", MAIN, Move(slide=0, cell=4, box=(10, 20, 60, 80)))
    workstation.edit(1, "ann", MAIN, Add(slide=0, box=(10, 20, 60, 80), to="blast"))
    after = columns(workstation)
    assert np.flatnonzero(after["model"] != after["type"]).tolist() == [3, n]
    assert after["model"][n] == NO_TYPE
    assert np.flatnonzero(after["sprite"] == NO_SPRITE).tolist() == [4, n]
