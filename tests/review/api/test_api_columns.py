"""The cells of a slide as columns: what the gallery is told of each."""

from __future__ import annotations

import json

import numpy as np

from marrowscope.review.api.columns import NO_SPRITE, NO_TYPE, cell_columns
from marrowscope.review.case import MAIN
from marrowscope.review.edits import Add, Move, Retype
from marrowscope.review.workstation import Workstation


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
