"""Signing: what stands in the way, what is frozen, what an amendment does."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from pypdf import PdfReader
from sqlalchemy import text

from marrowscope.cells.table import cell_schema
from marrowscope.differential.tally import Tally
from marrowscope.report.interop.hl7 import hl7_message
from marrowscope.review.case import Signed
from marrowscope.review.chain import Entry
from marrowscope.review.contents import (
    Contents,
    Taken,
    draw,
    earlier_version,
    in_regions,
    ordered_by,
    review_of,
    take,
)
from marrowscope.review.counted import FLAG_BITS
from marrowscope.review.edits import Add, Amend, Appoint, Confirm, Delete, Describe, Retype
from marrowscope.review.signing import ALWAYS, Rendered, checks, preview, sign
from marrowscope.review.workstation import Refused, Workstation, open_workstation
from marrowscope.stored import read_content

PASSED = frozenset({"cells", "anomalous", "conclusion", "looked"})


@pytest.fixture
def fresh(workstation: Workstation) -> int:
    """A case that nobody has worked on."""
    return workstation.heads()[0].case


@pytest.fixture
def case(workstation: Workstation, fresh: int) -> int:
    """A case whose unsure cells ann has looked at."""
    with workstation.case(fresh) as state:
        slides = {slide.number: workstation.counted(slide).cells.flags for slide in state.slides}
    unsure = {slide: np.flatnonzero(flags & FLAG_BITS["unsure"]).tolist() for slide, flags in slides.items()}
    workstation.edit(fresh, "ann", "main", Confirm(cells={slide: rows for slide, rows in unsure.items() if rows}))
    return fresh


def make_unsure(workstation: Workstation, case: int, cell: int) -> None:
    """As if the pack had been unsure of this cell of the first slide."""
    with workstation.case(case) as state:
        workstation.counted(state.slides[0]).cells.flags[cell] |= FLAG_BITS["unsure"]


def another(workstation: Workstation) -> int:
    """A second case, of one of the smears."""
    opened = workstation.open_case("ann", "another", [workstation.root / "smear-3"])
    assert opened is not None
    return opened


def met(workstation: Workstation, case: int) -> dict[str, bool]:
    with workstation.case(case) as state:
        return {check.code: check.met for check in checks(workstation, state)}


def signed(workstation: Workstation, case: int) -> Entry:
    return sign(workstation, case, "ann", "Ann Other", "haematologist", PASSED).entry


def test_what_must_be_settled_cannot_be_passed_over(workstation: Workstation, case: int) -> None:
    with workstation.case(case) as state:
        cell = int(np.flatnonzero(~state.readings["main"].slides[0].looked)[0])
    make_unsure(workstation, case, cell)
    assert met(workstation, case)["unsure"] is False
    with pytest.raises(Refused, match="1 unsure cells were not looked at"):
        sign(workstation, case, "ann", "Ann", "haematologist", PASSED | {"unsure"})
    workstation.edit(case, "ann", "main", Confirm(cells={0: [cell]}))
    assert met(workstation, case)["unsure"] is True


@pytest.mark.parametrize("name", ["differential.json", "regions.geojson"])
def test_a_file_of_the_count_that_changed_since_is_named_and_nothing_signed(
    workstation: Workstation, case: int, name: str
) -> None:
    file = workstation.root / "smear-4" / name
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(Refused, match=f"not signed: {name} of smear-4 is not the one that was reviewed"):
        signed(workstation, case)
    with workstation.case(case) as state:
        assert state.status == "in review"


def test_what_is_only_asked_for_is_passed_over_by_name(workstation: Workstation, case: int) -> None:
    assert met(workstation, case)["cells"] is False
    with pytest.raises(Refused, match="ICSH asks for 300"):
        sign(workstation, case, "ann", "Ann", "haematologist", frozenset({"conclusion", "looked"}))
    with pytest.raises(Refused, match="no conclusion"):
        sign(workstation, case, "ann", "Ann", "haematologist", frozenset({"cells", "looked"}))
    workstation.edit(case, "ann", "main", Describe(field="conclusion", text="Reactive."))
    entry = sign(workstation, case, "ann", "Ann", "haematologist", frozenset({"cells", "looked"})).entry
    assert entry.content["passed_over"] == ["cells", "looked"]


def test_a_signed_case_is_frozen_with_all_its_files(
    workstation: Workstation, case: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    workstation.edit(case, "ann", "main", Retype(cells={0: [0, 1]}, to="mast_cell"))
    workstation.edit(case, "ann", "main", Delete(cells={0: [2]}))
    workstation.edit(case, "ann", "main", Add(slide=1, box=(100, 100, 150, 150), to="blast"))
    workstation.edit(case, "ann", "main", Describe(field="conclusion", text="Reactive <b>marrow</b> & more"))
    workstation.edit(case, "ann", "main", Describe(field="patient_name", text="Doe, Jane"))
    entry = signed(workstation, case)
    files = entry.content["files"]
    expected = {
        f"{name.partition('.')[0]}-{n}.{name.partition('.')[2]}" for name in ALWAYS if "cells" in name for n in (1, 2)
    }
    assert expected | {name for name in ALWAYS if "cells" not in name} <= files.keys()
    assert {"report.fhir.json", "report.hl7"} <= files.keys()
    assert entry.content["left_out"] == {}
    assert workstation.log.fault(case) is None
    with workstation.case(case) as state:
        assert (state.status, state.version) == ("signed", 1)
    with pytest.raises(Refused, match="version 1 is signed"):
        workstation.edit(case, "ben", "main", Confirm(cells={0: [0]}))
    with pytest.raises(Refused, match="signed already"):
        signed(workstation, case)

    def content(name: str) -> bytes:
        document = workstation.log.document(case, 1, name)
        assert document is not None
        return document.content

    words = " ".join(
        "".join(page.extract_text() for page in PdfReader(io.BytesIO(content("report.pdf"))).pages).split()
    )
    assert "Reviewed and signed by Ann Other, haematologist" in words
    assert "Reactive <b>marrow</b> & more" in words
    assert "Doe, Jane" in words
    assert b"Reactive &lt;b&gt;marrow&lt;/b&gt; &amp; more" in content("report.html")
    differential = json.loads(content("differential.json"))
    assert next(row["count"] for row in differential["rows"] if row["type"] == "mast_cell") == 2
    assert differential == json.loads(workstation.differential(case, "main").model_dump_json())
    with workstation.case(case) as state:
        slides = [workstation.counted(slide) for slide in state.slides]
    first = pl.read_parquet(io.BytesIO(content("cells-1.parquet")))
    assert first.height == len(slides[0].cells) - 1
    assert first["type"][:2].to_list() == ["mast_cell"] * 2
    assert [row["flags"][-1] for row in first.head(2).iter_rows(named=True)] == ["reviewed"] * 2
    assert first["certainty"][:2].to_list() == [1.0, 1.0]
    second = pl.read_parquet(io.BytesIO(content("cells-2.parquet")))
    added = second.row(-1, named=True)
    assert (added["type"], added["x0"], added["field"], added["region"]) == ("blast", 100, -1, "added")
    assert second.schema == pl.Schema(cell_schema(list(differential_classes(second))))
    # A later version counts by other rules: what was signed stays as it was until the case is amended.
    monkeypatch.setattr("marrowscope.review.reviewed.slide_tally", lambda *_: Tally({}, 0))
    again = open_workstation(workstation.root)
    assert again.differential(case, "main") == workstation.differential(case, "main")
    again.edit(case, "ann", "main", Amend(reason="the rules are others now"))
    assert again.differential(case, "main").total == 0


def differential_classes(cells: pl.DataFrame) -> list[str]:
    return [name.removeprefix("p_") for name in cells.columns if name.startswith("p_")]


def test_an_amendment_makes_the_next_version_and_keeps_the_first(workstation: Workstation, case: int) -> None:
    first = signed(workstation, case)
    workstation.edit(case, "ann", "main", Amend(reason="the wrong patient"))
    with workstation.case(case) as state:
        assert (state.status, state.version, state.amending) == ("in review", 2, "the wrong patient")
    workstation.edit(case, "ann", "main", Retype(cells={0: [0]}, to="blast"))
    second = signed(workstation, case)
    assert second.content["version"] == 2
    kept = workstation.log.document(case, 1, "report.html")
    assert kept is not None
    assert kept.sha256 == first.content["files"]["report.html"]
    amended = workstation.log.document(case, 2, "report.html")
    assert amended is not None
    assert b"the wrong patient" in amended.content
    assert workstation.log.fault(case) is None


def test_a_change_while_signing_is_told_and_nothing_signed(
    workstation: Workstation, results: Path, case: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from marrowscope.review import signing
    from marrowscope.review.workstation import open_workstation

    other, render = open_workstation(results), signing.render

    def meanwhile(contents: Contents) -> Rendered:
        other.edit(case, "ben", "main", Retype(cells={0: [0]}, to="blast"))
        return render(contents)

    monkeypatch.setattr(signing, "render", meanwhile)
    with pytest.raises(Refused, match="changed the case while it was being signed"):
        signed(workstation, case)
    with workstation.case(case) as state:
        assert state.status == "in review"
    assert workstation.log.document(case, 1, "report.pdf") is None
    assert workstation.log.fault(case) is None


def test_observers_must_finish_first(workstation: Workstation, fresh: int) -> None:
    workstation.edit(fresh, "chief", "main", Appoint(observers=("ann", "ben")))
    with pytest.raises(Refused, match="ann and ben must finish"):
        signed(workstation, fresh)


def test_the_draft_says_that_nobody_signed(workstation: Workstation, fresh: int) -> None:
    case = fresh
    workstation.edit(case, "ann", "main", Confirm(cells={0: [0, 1, 2]}))
    with workstation.case(case) as state:
        review = review_of(workstation, state, None)
        assert (review.work.looked_at, review.signature) == (3, None)
        content = draw(take(workstation, state)).case
        assert content.review == review
        looked = content.cells["flags"].list.contains("reviewed").to_numpy()
    assert int(np.sum(looked)) == 3


def test_only_what_was_seen_is_signed(workstation: Workstation, case: int) -> None:
    with workstation.case(case) as state:
        seen = state.n
    workstation.edit(case, "ben", "main", Retype(cells={0: [0]}, to="blast"))
    with pytest.raises(Refused, match="since you looked: look at it again"):
        sign(workstation, case, "ann", "Ann", "haematologist", PASSED, seen_n=seen)
    sign(workstation, case, "ann", "Ann", "haematologist", PASSED, seen_n=seen + 1)


def content(workstation: Workstation, case: int, version: int, name: str) -> str:
    document = workstation.log.document(case, version, name)
    assert document is not None
    return document.content.decode()


def filler(message: str) -> str:
    return next(segment for segment in message.split("\r") if segment.startswith("OBR")).split("|")[3]


def test_an_amendment_is_matched_with_what_it_amends_and_names_the_account(workstation: Workstation, case: int) -> None:
    signed(workstation, case)
    workstation.edit(case, "ann", "main", Amend(reason="the wrong patient"))
    signed(workstation, case)
    other = another(workstation)
    with workstation.case(other) as state:
        rows = {slide.number: list(range(slide.cells)) for slide in state.slides}
    workstation.edit(other, "local", "main", Confirm(cells=rows))
    sign(workstation, other, "local", "Ann Other", "haematologist", PASSED)
    first, second, third = (content(workstation, *which, "report.hl7") for which in ((case, 1), (case, 2), (other, 1)))
    assert filler(first) == filler(second) != filler(third)
    with workstation.case(other) as state:
        counted = workstation.counted(state.slides[0])
    preliminary = read_content(counted.folder, counted.slide, counted.pack)
    assert preliminary is not None
    assert filler(hl7_message(preliminary)) == filler(third), "the final report replaces the one of the count"
    assert len({message.split("|")[9] for message in (first, second, third)}) == 3
    assert "Signed with the account ann" in first
    assert "Signed with the account" not in third
    bundles = [
        json.loads(content(workstation, *which, "report.fhir.json")) for which in ((case, 1), (case, 2), (other, 1))
    ]
    numbers = [bundle["entry"][0]["resource"]["identifier"][0]["value"] for bundle in bundles]
    assert numbers[0] == numbers[1] != numbers[2]
    assert len({bundle["identifier"]["value"] for bundle in bundles}) == 3
    assert bundles[0]["entry"][0]["resource"]["resultsInterpreter"][0]["identifier"] == {"value": "ann"}


def test_two_cases_of_the_same_slides_never_replace_each_other_nor_does_an_order_change(
    workstation: Workstation, case: int
) -> None:
    first, twin = another(workstation), another(workstation)
    with workstation.case(first) as one, workstation.case(twin) as other:
        assert (ordered_by(workstation, one), ordered_by(workstation, other)) == ("count", "case")
        one.signed.append(Signed(1, one.n, "", "ann", {"version": 1}))  # of before orders were those of the count
        assert ordered_by(workstation, one) == "case"


def test_people_work_on_while_a_report_is_made(
    workstation: Workstation, case: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from marrowscope.review import signing

    worked: list[int] = []
    draw = signing.draw

    def slowly(taken: Taken) -> Contents:
        edit = Confirm(cells={0: [len(worked)]})
        with ThreadPoolExecutor(1) as another:
            worked.append(another.submit(workstation.edit, case, "ben", "main", edit).result(timeout=20).entry.n)
        return draw(taken)

    monkeypatch.setattr(signing, "draw", slowly)
    assert "not signed" in preview(workstation, case)
    with pytest.raises(Refused, match="changed the case while it was being signed"):
        signed(workstation, case)
    assert len(worked) == 2


def test_a_case_whose_log_was_changed_is_not_signed(workstation: Workstation, case: int) -> None:
    with workstation.case(case) as state:
        last = state.n
    with workstation.log.engine.begin() as connection:
        triggers = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for trigger in triggers:
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        change = text("UPDATE log SET actor = 'eve' WHERE case_id = :case AND n = :n")
        connection.execute(change, {"case": case, "n": last})
    with pytest.raises(Refused, match=f"not signed: row {last} of the log was changed"):
        signed(workstation, case)


def test_an_earlier_case_is_a_signed_one_and_two_that_name_each_other_do_not_wait(
    workstation: Workstation, case: int
) -> None:
    other = another(workstation)

    def earlier(of: int, number: str) -> None:
        workstation.edit(of, "ann", "main", Describe(field="earlier_case", text=number))

    for number, words in ((str(case), "its own earlier"), ("999999999", "no earlier case"), (str(other), "not signed")):
        earlier(case, number)
        with pytest.raises(Refused, match=words):
            preview(workstation, case)
    for number in ("²", "0", "-1", "1" * 30, "1.5", "one"):
        with pytest.raises(ValidationError, match="at most 9 digits"):
            Describe(field="earlier_case", text=number)
    earlier(case, "")
    signed(workstation, case)
    earlier(other, str(case))
    workstation.edit(case, "ann", "main", Amend(reason="an earlier result"))
    frozen = json.loads(content(workstation, case, 1, "differential.json"))
    workstation.edit(case, "ann", "main", Delete(cells={0: list(range(20))}))
    with workstation.case(other) as state:
        review = review_of(workstation, state, None)
        assert review.earlier is not None
        assert review.earlier.total == frozen["total"]  # as it was signed, not as it is now
        rows = {slide.number: list(range(slide.cells)) for slide in state.slides}
    workstation.edit(other, "ann", "main", Confirm(cells=rows))
    signed(workstation, other)
    earlier(case, str(other))
    with ThreadPoolExecutor(2) as people:
        pages = [people.submit(preview, workstation, one) for one in (case, other)]
        assert all("not signed" in page.result(timeout=60) for page in pages)


def test_what_is_signed_is_what_was_seen_of_the_earlier_case_too(workstation: Workstation, case: int) -> None:
    other = another(workstation)
    with workstation.case(other) as state:
        rows = {slide.number: list(range(slide.cells)) for slide in state.slides}
    workstation.edit(other, "ann", "main", Confirm(cells=rows))
    signed(workstation, other)
    workstation.edit(case, "ann", "main", Describe(field="earlier_case", text=str(other)))
    with workstation.case(case) as state:
        seen, earlier = state.n, earlier_version(workstation, state)
    assert earlier == 1
    workstation.edit(other, "ben", "main", Amend(reason="another look"))
    signed(workstation, other)
    with pytest.raises(Refused, match="the earlier result was signed anew since you looked"):
        sign(workstation, case, "ann", "Ann Other", "MD", PASSED, seen_n=seen, seen_earlier=earlier)
    done = sign(workstation, case, "ann", "Ann Other", "MD", PASSED, seen_n=seen, seen_earlier=2)
    assert done.entry.kind == "sign"


def test_cells_that_people_added_lie_in_the_region_around_them(workstation: Workstation, case: int) -> None:
    with workstation.case(case) as state:
        counted = workstation.counted(state.slides[0])
        frame = counted.frame.head(3).with_columns(
            field=pl.Series([-1, -1, 4]), region=pl.lit("added"), flags=pl.Series([[], ["outside"], []])
        )
        (region,) = counted.finding.regions
        assert in_regions(frame, counted.finding)["region"].to_list() == [region.name, "added", "added"]
