"""Pictures over HTTP: who may keep them, and that a moved slide stops nothing but them."""

from __future__ import annotations

import gc
import json
import weakref

import pytest

from marrowscope.review.api.columns import LOOKED, OUTSIDE
from marrowscope.review.edits import Delete
from marrowscope.review.workstation import open_workstation

SLIDE = "/cases/1/slides/0"


def kept(response) -> bool:
    return "immutable" in response.headers["cache-control"]


def test_browsers_keep_pictures_of_this_slide_and_count_only(interface):
    version = interface.get(SLIDE)["version"]
    for path in (
        "/tiles/0/0/0.jpg",
        "/regions/0/0/0.png",
        "/fields/0/0/0.png",
        "/sheets/0.jpg",
        "/cells/0/explanation.jpg",
    ):
        assert kept(interface.get(f"{SLIDE}{path}?v={version}"))
        assert not kept(interface.get(f"{SLIDE}{path}?v=another"))
        assert not kept(interface.get(SLIDE + path))


def test_pictures_leave_the_memory_with_their_case_and_come_back(interface, workstation):
    paths = [f"{SLIDE}/{path}" for path in ("tiles/0/0/0.jpg", "sheets/0.jpg", "overlay/0/0/0.png", "cells")]
    before = [interface.get(path).content for path in paths]
    with workstation.case(1) as state:
        counted = weakref.ref(workstation.counted(state.slides[0]))
    assert counted() is not None
    workstation.memory.idle_seconds = 0
    workstation.memory.tidy()
    gc.collect()
    assert counted() is None, "nothing that was drawn of it holds it"
    workstation.memory.idle_seconds = 60
    assert [interface.get(path).content for path in paths] == before


@pytest.mark.parametrize("x", ["nan", "inf", "-inf", "1e300"])
def test_a_point_that_is_none_is_refused(interface, x):
    assert interface.get(f"{SLIDE}/nearest?x={x}&y=0", status=422)["error"] == "request"
    assert interface.get(f"{SLIDE}/nearest?x=0&y={x}", status=422)["error"] == "request"


def test_the_cells_are_drawn_as_of_the_row_that_was_seen(interface):
    tile = f"{SLIDE}/overlay/0/0/0.png"
    before = interface.get(f"{tile}?n=1").content
    cell = interface.get(f"{SLIDE}/nearest?x=2500&y=2500&within=5000")["cell"]
    x0, y0, x1, y1 = interface.get(f"{SLIDE}/cells/{cell}")["box"]
    n = interface.edit(1, {"kind": "delete", "cells": {"0": [cell]}})["change"]["n"]
    assert interface.get(f"{tile}?n={n}").content != before
    found = interface.get(f"{SLIDE}/nearest?x={(x0 + x1) / 2}&y={(y0 + y1) / 2}&within=5000")["cell"]
    assert found not in (None, cell)
    interface.edit(1, {"kind": "undo"})
    assert interface.get(f"{tile}?n={n + 1}").content == before


def test_it_is_told_where_cells_were_counted(interface):
    about = interface.get(SLIDE)
    assert about["fields"]
    assert interface.get(f"{SLIDE}/counted?x=1920&y=4990") == {"counted": False}
    x0, y0, x1, y1 = interface.get(f"{SLIDE}/cells/0")["box"]
    assert interface.get(f"{SLIDE}/counted?x={(x0 + x1) / 2}&y={(y0 + y1) / 2}") == {"counted": True}
    zoom = about["max_zoom"]
    clear = interface.get(f"{SLIDE}/fields/{zoom}/8/19.png").content  # 2048 to 2304, 4864 to 5120
    assert interface.get(f"{SLIDE}/fields/0/0/0.png").content != clear
    added = interface.edit(1, {"kind": "add", "slide": 0, "box": [1900, 4970, 1940, 5010], "to": "blast"})["change"][
        "cells"
    ][0]
    assert added["states"] == [LOOKED + OUTSIDE]
    assert interface.get(f"{SLIDE}/cells/{added['rows'][0]}")["outside"]


def test_rows_of_another_program_are_drawn(interface, workstation):
    tile = f"{SLIDE}/overlay/0/0/0.png"
    before = interface.get(tile).content
    other = open_workstation(workstation.root)
    n = other.edit(1, "eve", "main", _delete_all(other)).entry.n
    assert interface.get(f"{tile}?n={n}").content != before


def _delete_all(workstation):
    with workstation.case(1) as state:
        return Delete(cells={0: list(range(len(state.readings["main"].slides[0])))})


def test_without_its_slide_a_case_is_still_read_and_corrected(interface, results):
    told = results / "smear-3" / "run.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "file": str(results / "gone.tif")}))
    told = interface.get(f"{SLIDE}/sheets/0.jpg", status=404)
    assert told["error"] == "gone"
    assert f"was moved or deleted. It was sought at {results / 'gone.tif'}" in told["message"]
    answer = interface.edit(1, {"kind": "confirm", "cells": {"0": [0]}})
    assert answer["looked"]["looked"] == 1
    assert interface.get("/cases/1/changes?since=0")["differential"]["total"] > 0
