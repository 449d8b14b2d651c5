"""Cases and edits: what people do to cells is what the differential then counts, and comes back with undo."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import event

from marrowscope.review.case import ADJUDICATED, SlideOfCase, blind
from marrowscope.review.chain import BEGINNING, Entry, next_entry
from marrowscope.review.counted import CODES, TYPE_NAMES, CellArrays, CountedSlide, Places
from marrowscope.review.database import Missing, ReviewError, StorageError
from marrowscope.review.edits import (
    Add,
    Amend,
    Appoint,
    Confirm,
    Delete,
    Describe,
    Dismiss,
    Finish,
    Move,
    Redo,
    Retype,
    Undo,
)
from marrowscope.review.listing import Listing
from marrowscope.review.memory import CaseMemory, OpenCase
from marrowscope.review.outlines import Outlines
from marrowscope.review.protection import fault_of, row_of_slide
from marrowscope.review.reading import Reading
from marrowscope.review.slide_state import SlideState
from marrowscope.review.workstation import Conflict, Refused, Workstation, open_workstation


def case_of(workstation: Workstation, title: str = "pooled") -> int:
    return next(case for case, (name, _) in workstation.titles().items() if name == title)


def types(workstation: Workstation, case: int, reading: str = "main", slide: int = 0) -> list[str]:
    with workstation.case(case) as state:
        found = state.readings[reading].slides[slide]
        return [TYPE_NAMES[code] for code in found.types[~found.removed]]


def counts(workstation: Workstation, case: int, reading: str = "main") -> dict[str, int]:
    differential = workstation.differential(case, reading)
    return {row.type: row.count for row in differential.rows if row.count}


def test_each_count_is_a_case_and_smears_of_a_case_are_one(workstation: Workstation) -> None:
    told = workstation.titles()
    assert [(title, len(slides)) for title, slides in told.values()] == [("pooled", 2)]
    assert workstation.take_up() == [], "a second look opens nothing again"


def test_untouched_the_differential_is_that_of_the_count(workstation: Workstation, results: Path) -> None:
    case = case_of(workstation)
    from marrowscope.differential.result import Differential

    pooled = Differential.model_validate_json((results / "pooled" / "differential.json").read_bytes())
    reviewed = workstation.differential(case, "main")
    assert reviewed.rows == pooled.rows
    assert reviewed.ratios == pooled.ratios
    assert reviewed.flags == pooled.flags
    assert "No cell was looked at by a person." in reviewed.notes


def test_a_type_given_is_counted_and_comes_back_with_undo(workstation: Workstation) -> None:
    case = case_of(workstation)
    before, was = counts(workstation, case), types(workstation, case)
    kept = workstation.edit(case, "ann", "main", Retype(cells={0: [0, 3], 1: [2]}, to="plasma_cell"))
    assert {slide: rows.tolist() for slide, rows in kept.touched.items()} == {0: [0, 3], 1: [2]}
    after = counts(workstation, case)
    assert after["plasma_cell"] == before.get("plasma_cell", 0) + 3 - (was[0] == was[3] == "plasma_cell")
    assert types(workstation, case)[0] == "plasma_cell"
    workstation.edit(case, "ann", "main", Undo())
    assert types(workstation, case) == was
    assert counts(workstation, case) == before
    workstation.edit(case, "ann", "main", Redo())
    assert counts(workstation, case) == after
    workstation.edit(case, "ann", "main", Undo())
    assert counts(workstation, case) == before
    with pytest.raises(Refused, match="nothing to take back"):
        workstation.edit(case, "ann", "main", Undo())


def test_cells_are_deleted_added_and_moved(workstation: Workstation) -> None:
    case = case_of(workstation)
    n = len(types(workstation, case))
    workstation.edit(case, "ann", "main", Delete(cells={0: [1, 2]}))
    added = workstation.edit(case, "ann", "main", Add(slide=0, box=(10, 20, 60, 80), to="blast"))
    assert {slide: rows.tolist() for slide, rows in added.touched.items()} == {0: [n]}
    workstation.edit(case, "ann", "main", Move(slide=0, cell=n, box=(11, 21, 61, 81)))
    with workstation.case(case) as state:
        here = state.readings["main"].slides[0]
        assert here.boxes[n].tolist() == [11, 21, 61, 81]
        done = workstation.looked(state, "main")
    assert (done.added, done.deleted, done.cells - done.added) == (1, 2, done.cells - 1)
    assert len(types(workstation, case)) == n - 1
    for _ in range(3):
        workstation.edit(case, "ann", "main", Undo())
    assert len(types(workstation, case)) == n
    workstation.edit(case, "ann", "main", Redo())
    workstation.edit(case, "ann", "main", Redo())
    assert types(workstation, case)[-1] == "blast"
    assert len(types(workstation, case)) == n - 1
    with pytest.raises(Refused, match="deleted by now"):
        workstation.edit(case, "ann", "main", Retype(cells={0: [1]}, to="blast"))
    with pytest.raises(Refused, match="there is no cell"):
        workstation.edit(case, "ann", "main", Confirm(cells={0: [10_000]}))
    with pytest.raises(Refused, match="no slide 7"):
        workstation.edit(case, "ann", "main", Confirm(cells={7: [0]}))


def test_a_type_that_the_pack_cannot_see_is_a_lower_bound_until_all_was_looked_at(workstation: Workstation) -> None:
    case = case_of(workstation)
    workstation.edit(case, "ann", "main", Retype(cells={0: [0]}, to="mast_cell"))
    row = next(row for row in workstation.differential(case, "main").rows if row.type == "mast_cell")
    assert (row.count, row.note) == (1, "at least so many: those that a person named")
    with workstation.case(case) as state:
        everything: dict[int, list[int]] = {
            slide: np.flatnonzero(~found.looked).tolist() for slide, found in state.readings["main"].slides.items()
        }
    workstation.edit(case, "ann", "main", Confirm(cells=everything))
    complete = workstation.differential(case, "main")
    row = next(row for row in complete.rows if row.type == "mast_cell")
    assert (row.count, "at least" in (row.note or "")) == (1, False)
    assert complete.corrected is not None
    assert complete.corrected.withheld == "cells were reviewed by a person"


def test_two_reviewers_on_one_cell(workstation: Workstation) -> None:
    case = case_of(workstation)
    with workstation.case(case) as state:
        seen = state.n
    workstation.edit(case, "ann", "main", Retype(cells={0: [5]}, to="blast"), seen)
    with pytest.raises(Conflict, match="ann has changed cells of these meanwhile"):
        workstation.edit(case, "ben", "main", Retype(cells={0: [4, 5]}, to="monocyte"), seen)
    assert types(workstation, case)[5] == "blast"
    workstation.edit(case, "ben", "main", Retype(cells={0: [4, 5]}, to="monocyte"), seen + 1)
    workstation.edit(case, "ann", "main", Undo())
    assert types(workstation, case)[4:6] == ["monocyte", "monocyte"], "ben's word stands"


def test_what_was_taken_back_never_comes_back_through_somebody_else(workstation: Workstation) -> None:
    case = case_of(workstation)
    was = types(workstation, case)[5]
    workstation.edit(case, "ann", "main", Retype(cells={0: [5]}, to="blast"))
    workstation.edit(case, "ben", "main", Retype(cells={0: [5]}, to="plasma_cell"))
    workstation.edit(case, "ann", "main", Undo())
    assert types(workstation, case)[5] == "plasma_cell"
    workstation.edit(case, "ben", "main", Undo())
    with workstation.case(case) as state:
        assert not state.readings["main"].slides[0].looked[5]
    assert types(workstation, case)[5] == was


def test_what_was_confirmed_is_the_type_that_was_seen(workstation: Workstation) -> None:
    case = case_of(workstation)
    workstation.edit(case, "ann", "main", Retype(cells={0: [5]}, to="plasma_cell"))
    workstation.edit(case, "ben", "main", Confirm(cells={0: [5]}))
    workstation.edit(case, "ann", "main", Undo())
    assert types(workstation, case)[5] == "plasma_cell"


def test_taking_back_is_a_change_that_others_are_told_of(workstation: Workstation) -> None:
    case = case_of(workstation)
    seen = workstation.edit(case, "ann", "main", Retype(cells={0: [5]}, to="plasma_cell")).entry.n
    workstation.edit(case, "ann", "main", Undo())
    with pytest.raises(Conflict, match="ann has changed"):
        workstation.edit(case, "ben", "main", Confirm(cells={0: [5]}), seen)


def test_doing_again_overwrites_nobody(workstation: Workstation) -> None:
    case = case_of(workstation)
    workstation.edit(case, "ann", "main", Retype(cells={0: [5]}, to="plasma_cell"))
    workstation.edit(case, "ann", "main", Undo())
    workstation.edit(case, "ben", "main", Retype(cells={0: [5]}, to="blast"))
    with pytest.raises(Conflict, match="ben has changed"):
        workstation.edit(case, "ann", "main", Redo())
    assert types(workstation, case)[5] == "blast"
    workstation.edit(case, "ben", "main", Delete(cells={0: [5]}))
    with pytest.raises(Conflict, match="ben has changed"):
        workstation.edit(case, "ann", "main", Redo())


def test_two_programs_on_one_database_see_each_other(workstation: Workstation, results: Path) -> None:
    other = open_workstation(results)
    case = case_of(workstation)
    workstation.edit(case, "ann", "main", Retype(cells={0: [5]}, to="blast"))
    assert types(other, case)[5] == "blast"
    other.edit(case, "ben", "main", Retype(cells={0: [6]}, to="blast"))
    assert types(workstation, case)[6] == "blast"
    assert workstation.log.fault(case) is None


def test_everything_is_there_after_a_new_start(workstation: Workstation, results: Path) -> None:
    case = case_of(workstation)
    workstation.edit(case, "ann", "main", Retype(cells={0: [5, 6]}, to="blast"))
    workstation.edit(case, "ann", "main", Delete(cells={1: [0]}))
    workstation.edit(case, "ann", "main", Undo())
    workstation.edit(case, "ann", "main", Describe(field="conclusion", text="Reactive <b>marrow</b>"))
    again = open_workstation(results)
    assert types(again, case) == types(workstation, case)
    assert counts(again, case) == counts(workstation, case)
    with again.case(case) as state:
        assert state.words == {"conclusion": "Reactive <b>marrow</b>"}
        assert state.readings["main"].may_redo("ann") is not None
        assert state.status == "in review"


def test_two_observers_read_blind_and_agree_or_not(workstation: Workstation) -> None:
    case = case_of(workstation)
    workstation.edit(case, "chief", "main", Appoint(observers=("ann", "ben")))
    with pytest.raises(Refused, match="each for himself"):
        workstation.edit(case, "ann", "main", Confirm(cells={0: [0]}))
    with pytest.raises(Refused, match="observer's alone"):
        workstation.edit(case, "ben", blind("ann"), Confirm(cells={0: [0]}))
    with workstation.case(case) as state:
        assert not workstation.may_see(state, blind("ann"), "ben")
        assert workstation.may_see(state, blind("ann"), "ann")
    model = types(workstation, case)
    other = "blast" if model[0] != "blast" else "monocyte"
    workstation.edit(case, "ann", blind("ann"), Retype(cells={0: [0, 1]}, to=other))
    workstation.edit(case, "ben", blind("ben"), Retype(cells={0: [0]}, to=other))
    workstation.edit(case, "ben", blind("ben"), Delete(cells={0: [2]}))
    workstation.edit(case, "ann", blind("ann"), Add(slide=0, box=(0, 0, 50, 50), to="blast"))
    workstation.edit(case, "ben", blind("ben"), Add(slide=0, box=(1, 1, 51, 51), to="blast"))
    workstation.edit(case, "ben", blind("ben"), Add(slide=0, box=(200, 200, 250, 250), to="blast"))
    workstation.edit(case, "ann", blind("ann"), Finish())
    with pytest.raises(Refused, match="finished"):
        workstation.edit(case, "ann", blind("ann"), Confirm(cells={0: [3]}))
    with pytest.raises(Missing, match="adjudicated"):
        workstation.differential(case, ADJUDICATED)
    workstation.edit(case, "ben", blind("ben"), Finish())
    with workstation.case(case) as state:
        joined = state.readings[ADJUDICATED].slides[0]
        assert TYPE_NAMES[joined.types[0]] == other
        assert joined.looked[0]
        assert not joined.differs[0]
        assert joined.differs[1:4].tolist() == [True, True, False]
        assert len(joined) == len(model) + 2
        assert joined.differs[len(model) :].tolist() == [False, True]
        assert workstation.may_see(state, blind("ann"), "ben")
        assert state.final == ADJUDICATED
    workstation.edit(case, "chief", ADJUDICATED, Retype(cells={0: [1]}, to=other))
    with workstation.case(case) as state:
        assert workstation.looked(state, ADJUDICATED).differing == 2


def test_observers_are_appointed_before_anybody_works(workstation: Workstation) -> None:
    case = case_of(workstation)
    workstation.edit(case, "ann", "main", Confirm(cells={0: [0]}))
    with pytest.raises(Refused, match="has been worked on"):
        workstation.edit(case, "chief", "main", Appoint(observers=("ann", "ben")))


def test_the_same_edit_asked_for_twice_is_made_once(workstation: Workstation, results: Path) -> None:
    case = case_of(workstation)
    edit = Add(slide=0, box=(10, 20, 60, 80), to="blast")
    first = workstation.edit(case, "ann", "main", edit, key="the same word")
    assert workstation.edit(case, "ann", "main", edit, key="the same word").entry == first.entry
    assert open_workstation(results).edit(case, "ann", "main", edit, key="the same word").entry == first.entry
    assert workstation.edit(case, "ben", "main", edit, key="the same word").entry.n == first.entry.n + 1


def test_observers_are_people_who_can_log_in_and_may_be_dismissed(workstation: Workstation) -> None:
    case = case_of(workstation)
    workstation.people = lambda: {"ann", "ben"}
    with pytest.raises(Refused, match="bne cannot read this case"):
        workstation.edit(case, "chief", "main", Appoint(observers=("ann", "bne")))
    workstation.edit(case, "chief", "main", Appoint(observers=("ann", "ben")))
    workstation.edit(case, "ann", blind("ann"), Retype(cells={0: [0]}, to="blast"))
    with pytest.raises(Refused, match="words are written when both have finished"):
        workstation.edit(case, "ann", "main", Describe(field="conclusion", text="what I think"))
    workstation.edit(case, "ann", "main", Describe(field="specimen_id", text="S 1"))
    with pytest.raises(Missing, match="belong to the case"):
        workstation.edit(case, "ann", blind("ann"), Describe(field="specimen_id", text="S 2"))
    workstation.edit(case, "chief", "main", Dismiss(reason="ben has left"))
    workstation.edit(case, "ann", "main", Confirm(cells={0: [0]}))
    with workstation.case(case) as state:
        assert (state.final, state.observers) == ("main", ())


def test_only_a_signed_case_is_amended(workstation: Workstation) -> None:
    with pytest.raises(Refused, match="not signed"):
        workstation.edit(case_of(workstation), "ann", "main", Amend(reason="a typing error"))


def test_ten_threads_on_one_case_lose_no_edit(workstation: Workstation) -> None:
    case = case_of(workstation)
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for cell in range(number * 5, number * 5 + 5):
                workstation.edit(case, f"reviewer {number}", "main", Retype(cells={0: [cell]}, to="blast"))
        except BaseException as error:  # noqa: BLE001 - told by the assertion below
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert types(workstation, case)[:50] == ["blast"] * 50
    assert workstation.log.fault(case) is None


def test_a_folder_changed_under_a_case_is_told_and_nothing_lost(workstation: Workstation, results: Path) -> None:
    case = case_of(workstation)
    workstation.edit(case, "ann", "main", Retype(cells={0: [5]}, to="blast"))
    smear = results / "smear-3"
    kept = (smear / "cells.parquet").read_bytes()
    (smear / "cells.parquet").write_bytes(kept[:-100])
    with pytest.raises(ReviewError, match="not those that were reviewed"):
        types(open_workstation(results), case)
    (smear / "cells.parquet").unlink()
    with pytest.raises(ReviewError, match=r"cells\.parquet of smear-3 cannot be read"):
        types(open_workstation(results), case)
    (smear / "cells.parquet").write_bytes(kept)
    assert types(open_workstation(results), case)[5] == "blast"


@pytest.mark.parametrize("name", ["run.json", "differential.json", "regions.geojson"])
def test_every_file_that_a_report_reads_is_protected(workstation: Workstation, results: Path, name: str) -> None:
    case = case_of(workstation)
    file = results / "smear-3" / name
    kept = file.read_bytes()
    told = json.loads(kept)
    file.write_text(json.dumps({**told, "file": "elsewhere.tif"} if name == "run.json" else told))
    if name == "run.json":
        assert types(open_workstation(results), case), "a slide may be moved"
        file.write_text(json.dumps({**told, "quality": ["all well"]}))
    with pytest.raises(ReviewError, match=f"{name} of smear-3 is not the one that was reviewed"):
        types(workstation, case)
    file.write_bytes(kept)
    assert types(workstation, case)


@pytest.mark.parametrize("name", ["differential.json", "regions.geojson"])
def test_a_file_that_was_changed_for_a_moment_is_never_shown(
    workstation: Workstation, results: Path, name: str
) -> None:
    case = case_of(workstation)
    assert types(workstation, case), "the case is open: its files are those of the log"
    file = results / "smear-3" / name
    kept = file.read_bytes()
    told = json.loads(kept)
    file.write_text(json.dumps({**told, "area_mm2": 9.9, "marrowscope": {"particles": 99}}))
    with pytest.raises(ReviewError, match=f"{name} of smear-3 is not the one that was reviewed"):
        workstation.differential(case, "main")
    file.write_bytes(kept)
    assert workstation.differential(case, "main") == open_workstation(results).differential(case, "main")


def test_what_was_read_of_a_file_is_held_against_the_log_too(workstation: Workstation, results: Path) -> None:
    (slide, *_) = workstation.slides()[case_of(workstation)]
    file = results / "smear-3" / "differential.json"
    kept = file.read_bytes()
    counted = CountedSlide(results / "smear-3")  # as of a row that names no files
    file.write_bytes(kept + b" ")
    assert counted.differential
    file.write_bytes(kept)
    assert "differential.json of smear-3" in (fault_of(counted, slide) or "")
    assert fault_of(CountedSlide(results / "smear-3"), slide) is None


def test_rows_of_earlier_versions_name_no_files_and_are_read(workstation: Workstation, results: Path) -> None:
    (slide, *_) = workstation.slides()[case_of(workstation)]
    row = row_of_slide(0, CountedSlide(results / "smear-3"), results)
    assert row.pop("files") == slide.files
    earlier = SlideOfCase.of(row)
    (results / "smear-3" / "differential.json").write_text("{}")
    assert fault_of(CountedSlide(results / "smear-3"), earlier) is None
    other_pack = replace(earlier, pack_sha256="0" * 64)
    assert "another pack" in (fault_of(CountedSlide(results / "smear-3"), other_pack) or "")


def test_what_nobody_asks_for_leaves_the_memory_and_comes_back_from_the_log(results: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(results / "smear-3", results / name)
    workstation, now = open_workstation(results), 0.0
    memory = workstation.memory = CaseMemory(10**6, idle_seconds=60, in_use_seconds=20, clock=lambda: now)
    gone: list[tuple[int, set[str]]] = []
    memory.listeners.append(lambda case, slides: gone.append((case, set(slides))))
    pooled, one, two = (case_of(workstation, title) for title in ("pooled", "one", "two"))
    first = workstation.edit(pooled, "ann", "main", Retype(cells={0: [5]}, to="blast"), key="the same word")
    with workstation.case(one):
        now = 100.0
        types(workstation, two)
        assert memory.numbers() == [one, two], "idle ones go, but never one that is held"
        assert gone == [(pooled, {"smear-3", "smear-4"})]
    assert workstation.in_memory(pooled, 0) is None, "the list does not read a case"
    again = workstation.edit(pooled, "ann", "main", Retype(cells={0: [5]}, to="blast"), key="the same word")
    assert again.entry == first.entry, "an edit asked for twice is made once, also by what the log alone knows"
    assert types(workstation, pooled)[5] == "blast"
    memory.most_cells = memory._size - 1
    types(workstation, two)
    assert memory.numbers() == [one, pooled, two], "too much, but all of them were used just now"
    now = 120.0
    types(workstation, two)
    assert memory.numbers() == [pooled, two], "one was not, and then there is room"
    types(workstation, pooled)
    memory.most_cells = 1
    types(workstation, two)
    assert memory.numbers() == [two], "far too much: the one used last stays"
    now = 300.0
    Listing(workstation).rows()
    assert memory.numbers() == [], "to be looked at by the list is no use, and it lets go what is idle"


def test_who_waited_for_a_case_that_could_not_be_read_begins_anew(
    workstation: Workstation, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, real = case_of(workstation), workstation._cells_of
    reading, others = threading.Event(), threading.Event()
    failed: list[bool] = []

    def cells_of(slide: SlideOfCase) -> CellArrays:
        if slide.number == 1 and not failed:
            failed.append(True)
            reading.set()
            assert others.wait(20)
            raise ReviewError("the disk is away for a moment")
        return real(slide)

    def slides_of_case() -> list[int]:
        with workstation.case(case) as state:
            return [slide.number for slide in state.slides]

    monkeypatch.setattr(workstation, "_cells_of", cells_of)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(types, workstation, case)
        assert reading.wait(20)
        held, hold = threading.Event(), workstation.memory.hold

        @contextmanager
        def told(*asked: Any) -> Iterator[OpenCase]:
            with hold(*asked) as found:
                held.set()
                yield found

        monkeypatch.setattr(workstation.memory, "hold", told)
        second = pool.submit(slides_of_case)
        assert held.wait(20)
        others.set()
        with pytest.raises(ReviewError, match="away for a moment"):
            first.result()
        assert second.result() == [0, 1], "none of them twice"


def test_the_list_reads_new_rows_alone(workstation: Workstation, results: Path) -> None:
    case, other = case_of(workstation), open_workstation(results)
    told = workstation.outlines()
    workstation.edit(case, "chief", "main", Appoint(observers=("ann", "ben")))
    workstation.edit(case, "ann", blind("ann"), Confirm(cells={0: [0]}))
    other.edit(case, "ann", blind("ann"), Finish())
    heads, entries = workstation.log.news({number: one.head for number, one in told.items()})
    assert [entry.kind for entry in entries] == ["appoint", "finish"]
    assert workstation.log.news({head.case: head for head in heads}) == (heads, [])
    assert workstation.outlines() == Outlines(workstation.log).now() == other.outlines()
    outline = workstation.outlines()[case]
    assert (outline.observed.observers, outline.observed.finished) == (("ann", "ben"), ("ann",))
    assert (outline.last_actor, outline.head.n) == ("ann", workstation.log.head(case).n)
    other.edit(case, "ben", blind("ben"), Confirm(cells={0: [1]}))
    assert (workstation.outlines()[case].last_actor, workstation.titles()[case][1]) == ("ben", ["smear-3", "smear-4"])


def test_a_smear_that_is_in_a_case_gets_no_second_one_unasked(results: Path) -> None:
    pooled = results / "pooled"
    pooled.rename(results.parent / "later")
    workstation = open_workstation(results)
    assert sorted(title for title, _ in workstation.titles().values()) == ["smear-3", "smear-4"]
    shutil.copytree(results / "smear-3", results / "counted just now")
    assert workstation.take_up(["counted just now"]) == [], "its case is opened by the one who counts it"
    shutil.rmtree(results / "counted just now")
    (results.parent / "later").rename(pooled)
    assert workstation.take_up() == []
    assert "smear-3 and smear-4 are under review already, in cases 1 and 2" in workstation.not_taken_up["pooled"]
    shutil.rmtree(pooled)
    assert workstation.take_up() == []
    assert workstation.not_taken_up == {}


def test_smears_of_a_case_get_none_of_their_own_when_the_pooled_results_go(
    workstation: Workstation, results: Path
) -> None:
    shutil.rmtree(results / "pooled")
    assert workstation.take_up() == []


def test_a_slide_that_was_moved_is_found_again(results: Path, tmp_path: Path) -> None:
    run = (results / "smear-3" / "run.json").read_text()
    slide = next(Path(word) for word in run.split('"') if word.endswith("smear-3.tif"))
    moved = tmp_path / "archive"
    moved.mkdir()
    shutil.copy(slide, moved / "renamed.tif")
    (results / "smear-3" / "run.json").write_text(run.replace(str(slide), str(tmp_path / "gone.tif")))
    with pytest.raises(ReviewError, match="--slides"):
        _ = CountedSlide(results / "smear-3").slide
    found = CountedSlide(results / "smear-3", Places(slides=(moved,))).slide
    assert found.name == "renamed"


def test_a_slide_that_is_moved_while_it_is_open_is_missed_and_comes_back(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from marrowscope.review import slide_file
    from marrowscope.review.pictures.shelf import Shelf

    told = results / "smear-3" / "run.json"
    run = json.loads(told.read_text())
    here, away = tmp_path / "here.tif", tmp_path / "away.tif"
    shutil.copy(run["file"], here)
    told.write_text(json.dumps({**run, "file": str(here)}))
    counted, shelf = CountedSlide(results / "smear-3"), Shelf()
    before = shelf.of(counted)
    assert shelf.of(counted) is before
    here.rename(away)
    with pytest.raises(slide_file.SlideGone, match=str(here)):
        shelf.of(counted)
    here.write_bytes(b"another file")
    monkeypatch.setattr(slide_file, "PAUSE", 0)
    with pytest.raises(slide_file.SlideGone, match="where another file lies now"):
        shelf.of(counted)
    with pytest.raises(slide_file.SlideGone) as served:
        _ = CountedSlide(results / "smear-3", Places((results,), named=False)).slide
    assert str(tmp_path) not in str(served.value)
    assert "smear-3 was moved or deleted. It was sought at the place where it was counted" in str(served.value)
    away.rename(here)
    after = shelf.of(counted)
    assert after is not before
    assert after.tiles.tile(0, 0, 0) == before.tiles.tile(0, 0, 0)


def test_a_cell_that_is_added_outside_of_the_counted_fields_is_kept_and_not_counted(workstation: Workstation) -> None:
    from marrowscope.review.contents import take

    before = workstation.differential(1, "main").total
    with workstation.case(1) as state:
        inside = state.readings["main"].slides[0].boxes[0].tolist()
    outside = (1900.0, 4970.0, 1940.0, 5010.0)
    workstation.edit(1, "anna", "main", Add(slide=0, box=tuple(inside), to="lymphocyte"))
    assert workstation.differential(1, "main").total == before + 1
    far = workstation.edit(1, "anna", "main", Add(slide=0, box=outside, to="lymphocyte"))
    again = open_workstation(workstation.root)  # by the log alone
    for station in (workstation, again):
        differential = station.differential(1, "main")
        assert differential.total == before + 1
        assert "1 of the added outside of the counted fields, and so not in the differential" in differential.notes[0]
    (cell,) = far.touched[0].tolist()
    with workstation.case(1) as state:
        taken = take(workstation, state)
        assert (taken.review.work.added, taken.review.work.outside) == (2, 1)
        flags = dict(taken.slides[0][1].select("cell_id", "flags").iter_rows())
        assert ("outside" in flags[cell], "outside" in flags[cell - 1]) == (True, False)
    workstation.edit(1, "anna", "main", Move(slide=0, cell=cell, box=tuple(inside)))
    assert workstation.differential(1, "main").total == before + 2
    workstation.edit(1, "anna", "main", Move(slide=0, cell=0, box=outside))  # the count found it where it counted
    assert workstation.differential(1, "main").total == before + 2


def test_a_count_that_kept_no_fields_counts_every_added_cell(results: Path) -> None:
    for told in results.glob("smear-*/run.json"):
        run = json.loads(told.read_text())
        told.write_text(json.dumps({name: value for name, value in run.items() if name not in ("fields", "bounds")}))
    workstation = open_workstation(results)
    before = workstation.differential(1, "main").total
    workstation.edit(1, "anna", "main", Add(slide=0, box=(1900.0, 4970.0, 1940.0, 5010.0), to="lymphocyte"))
    assert workstation.differential(1, "main").total == before + 1


def test_nothing_to_review_says_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="marrowscope count"):
        open_workstation(tmp_path / "nowhere")
    assert open_workstation(tmp_path).heads() == []


def test_a_full_disk_keeps_nothing_half(workstation: Workstation) -> None:
    case = case_of(workstation)
    engine = workstation.log.engine
    engine.dispose()

    def small(connection: Any, _: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    def write_on() -> None:
        for number in range(100):
            workstation.edit(case, "ann", "main", Describe(field="conclusion", text=f"{number} " * 8_000))

    event.listen(engine, "connect", small)
    with pytest.raises(StorageError, match=r"nothing was kept of this edit.*full"):
        write_on()
    head = workstation.log.head(case)
    assert workstation.log.fault(case) is None
    with workstation.case(case) as state:
        assert state.n == head.n
    event.remove(engine, "connect", small)
    engine.dispose()
    workstation.edit(case, "ann", "main", Describe(field="conclusion", text="room again"))
    assert workstation.log.head(case).n == head.n + 1
    assert workstation.log.fault(case) is None


CELLS = 12


def arrays() -> CellArrays:
    boxes: NDArray[np.float64] = np.tile([0.0, 0, 10, 10], (CELLS, 1)) + np.arange(CELLS)[:, None] * 20
    one = np.ones(CELLS, np.float32)
    codes = np.arange(CELLS, dtype=np.int16) % 3
    return CellArrays(boxes, codes, one, one, np.zeros(CELLS, np.uint8), np.ones((CELLS, 1), np.float32), ("blast",))


deeds = st.lists(
    st.tuples(
        st.sampled_from(["ann", "ben"]),
        st.one_of(
            st.tuples(
                st.sampled_from(["retype", "confirm", "delete"]),
                st.lists(st.integers(0, CELLS - 1), min_size=1, max_size=4, unique=True),
            ),
            st.tuples(st.sampled_from(["add", "undo", "redo"]), st.just([])),
            st.tuples(st.just("move"), st.lists(st.integers(0, CELLS - 1), min_size=1, max_size=1)),
        ),
        st.sampled_from(["blast", "monocyte", "other"]),
    ),
    max_size=30,
)


@given(deeds, st.lists(st.booleans(), min_size=8, max_size=8))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_undoing_everything_in_any_order_gives_the_count_again(told: list[Any], turns: list[bool]) -> None:
    reading = Reading({0: SlideState.of(arrays())})
    n = 0

    def write(actor: str, kind: str, payload: dict[str, Any]) -> None:
        nonlocal n
        n += 1
        entry: Entry = next_entry(1, n, "2026-11-27", actor, "main", kind, payload, BEGINNING)
        reading.apply(entry)

    for actor, (kind, rows), to in told:
        payload: dict[str, Any]
        match kind:
            case "undo" | "redo":
                of = reading.may_undo(actor) if kind == "undo" else reading.may_redo(actor)
                if of is None or (kind == "redo" and reading.refuse_redo(actor)):
                    continue
                payload = {"of": of}
            case "add":
                payload = {"slide": 0, "cell": len(reading.slides[0]), "box": [1, 2, 3, 4], "to": to}
            case "move":
                payload = {"slide": 0, "cell": rows[0], "box": [5, 6, 7, 8]}
            case _:
                payload = {"cells": {"0": sorted(rows)}, **({"to": to} if kind == "retype" else {})}
        if kind not in ("undo", "redo") and reading.refuse(kind, payload, actor, None):
            continue
        write(actor, kind, payload)
    for turn in [*turns, True, False] * (n + 1):
        actor = "ann" if turn else "ben"
        if (of := reading.may_undo(actor)) is not None:
            write(actor, "undo", {"of": of})
    state, fresh = reading.slides[0], SlideState.of(arrays())
    assert state.types[:CELLS].tolist() == fresh.types.tolist()
    assert state.boxes[:CELLS].tolist() == fresh.boxes.tolist()
    assert not state.looked[:CELLS].any()
    assert state.removed.tolist() == [False] * CELLS + [True] * (len(state) - CELLS)
    assert CODES["blast"] == 0


def test_a_slide_that_could_not_be_read_once_is_read_when_it_can_be(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from marrowscope.errors import SlideError
    from marrowscope.review import slide_file

    file = json.loads((results / "smear-3" / "run.json").read_text())["file"]

    def stale(path: Path) -> str:
        raise SlideError(f"{path} cannot be read (Stale file handle)")

    counted = CountedSlide(results / "smear-3")
    monkeypatch.setattr(slide_file, "PAUSE", 0)
    with monkeypatch.context() as patch:
        patch.setattr(slide_file, "slide_identity", stale)
        with pytest.raises(slide_file.SlideGone, match=r"smear-3 cannot be read: .*Stale file handle"):
            _ = counted.slide
        with pytest.raises(slide_file.SlideGone) as served:
            _ = CountedSlide(results / "smear-3", Places((), named=False)).slide
        assert str(Path(file).parent) not in str(served.value)
    assert counted.slide is not None
