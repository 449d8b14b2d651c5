"""The list of cases: what it tells, that a broken folder spoils nothing else, and how fast it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from marrowscope.review.api.columns import certainty_bytes
from marrowscope.review.client import ReviewClient
from marrowscope.review.database import Missing
from marrowscope.review.unnamed import without_folders
from marrowscope.review.workstation import Workstation, open_workstation

from .conftest import Interface


def test_the_list_tells_what_the_count_found_and_what_was_done(interface: Interface, results: Path) -> None:
    (row,) = interface.get("/cases")
    pooled = json.loads((results / "pooled" / "differential.json").read_bytes())
    parts = [json.loads((results / name / "differential.json").read_bytes()) for name in ("smear-3", "smear-4")]
    verdicts = [flag["verdict"] for flag in pooled["flags"]]
    assert row["title"] == "pooled"
    assert row["status"] == "counted"
    assert row["slides"] == ["smear-3", "smear-4"]
    assert row["flags"] == {word: verdicts.count(word) for word in ("above", "not decided")}
    assert row["unsure"] == sum(part["unsure"] for part in parts), "not yet in memory: as the count left it"
    assert (row["looked"], row["fault"], row["last_actor"], row["phantom"]) == (0.0, None, "marrowscope", True)

    interface.edit(row["case"], {"kind": "confirm", "cells": {"0": [0, 1], "1": [2]}})
    (row,) = interface.get("/cases")
    assert row["status"] == "in review"
    assert row["last_actor"] == "local"
    assert row["looked"] == 3 / row["cells"]


def test_of_a_case_in_review_that_is_not_in_memory_nothing_is_guessed(interface: Interface, results: Path) -> None:
    interface.edit(1, {"kind": "confirm", "cells": {"0": [0]}})
    from marrowscope.review.listing import Listing

    (row,) = Listing(open_workstation(results)).rows()
    assert (row.unsure, row.looked, row.status) == (None, None, "in review")


def test_a_broken_folder_is_told_in_words_and_the_others_are_listed(
    interface: Interface, results: Path, workstation: Workstation
) -> None:
    for name in ("one", "two", "three", "four"):
        shutil.copytree(results / "smear-3", results / name)
    assert len(interface.post("/cases/take-up")["opened"]) == 4
    (results / "one" / "run.json").unlink()
    (results / "two" / "differential.json").write_text("{")
    (results / "three" / "cells.parquet").write_bytes(b"nothing")
    pl.read_parquet(results / "four" / "cells.parquet").head(3).write_parquet(results / "four" / "cells.parquet")
    rows = {row["title"]: row for row in interface.get("/cases")}
    assert rows["pooled"]["fault"] is None
    assert "run.json" in rows["one"]["fault"]
    assert "differential.json" in rows["two"]["fault"]
    assert "cells.parquet" in rows["three"]["fault"]
    assert "3 cells" in rows["four"]["fault"]
    assert rows["four"]["unsure"] is None


def test_new_results_are_taken_up_and_a_broken_one_is_told(interface: Interface, results: Path) -> None:
    assert interface.post("/cases/take-up") == {"opened": [], "not_taken_up": {}}
    shutil.copytree(results / "smear-3", results / "later")
    shutil.copytree(results / "smear-3", results / "broken")
    (results / "broken" / "cells.parquet").write_bytes(b"nothing")
    told = interface.post("/cases/take-up")
    assert told["opened"] == [2]
    assert "cells.parquet" in told["not_taken_up"]["broken"]
    assert [row["title"] for row in interface.get("/cases")] == ["pooled", "later"]


def test_a_broken_folder_does_not_keep_the_review_from_opening(results: Path) -> None:
    (results / "smear-3" / "cells.parquet").write_bytes(b"nothing")
    shutil.copytree(results / "smear-4", results / "whole")
    workstation = open_workstation(results)
    assert [title for title, _ in workstation.titles().values()] == ["whole"]
    assert list(workstation.not_taken_up) == ["pooled"]


def test_words_of_two_people_in_one_field_are_a_conflict(people: Callable[[str], Interface]) -> None:
    rita, rolf = people("rita"), people("rolf")
    seen = rita.get("/cases/1")["n"]
    text = {"kind": "describe", "field": "conclusion", "text": "Normal."}
    rita.edit(1, text, known_n=seen)
    told = rolf.edit(1, {**text, "text": "Reactive."}, known_n=seen, status=409)
    assert told["error"] == "conflict"
    assert "rita" in told["message"]
    rolf.edit(1, {**text, "field": "dysplasia"}, known_n=seen)
    rita.edit(1, {**text, "text": "Normal marrow."}, known_n=seen)
    rolf.edit(1, {**text, "text": "Reactive."}, known_n=rolf.get("/cases/1")["n"])
    assert rolf.get("/cases/1")["words"]["conclusion"] == "Reactive."


def test_a_date_that_is_none_is_refused(interface: Interface) -> None:
    told = interface.edit(1, {"kind": "describe", "field": "date_of_birth", "text": "31.12.1970"}, status=422)
    assert "2026-11-27" in told["message"]
    assert "1970" not in told["message"]
    interface.edit(1, {"kind": "describe", "field": "date_of_birth", "text": "1970-12-31"})
    interface.edit(1, {"kind": "describe", "field": "date_of_birth", "text": ""})


def test_the_log_comes_in_pages_and_the_client_joins_them(
    interface: Interface, monkeypatch: pytest.MonkeyPatch, workstation: Workstation
) -> None:
    for cell in range(4):
        interface.edit(1, {"kind": "confirm", "cells": {"0": [cell]}})
    whole = interface.get("/cases/1/log?check=full")
    assert [row["n"] for row in whole["rows"]] == list(range(1, 8))
    assert (whole["n"], whole["next"], whole["fault"]) == (7, None, None)
    page = interface.get("/cases/1/log?since=2&limit=3")
    assert ([row["n"] for row in page["rows"]], page["next"]) == ([3, 4, 5], 5)
    assert interface.get("/cases/1/log?since=7")["rows"] == []
    interface.get("/cases/1/log?limit=0", 422)

    client = ReviewClient("http://127.0.0.1:8765", http=interface.client)
    get = client._get
    monkeypatch.setattr(client, "_get", lambda path, **query: get(path, limit=2, **query))
    assert client.log(1, full=True)["rows"] == whole["rows"]
    workstation.memory.idle_seconds = 0
    assert interface.get("/cases/1/log")["rows"] == whole["rows"], "also of a case that has left the memory"
    assert workstation.memory.numbers() == []
    (row,) = interface.get("/cases")
    assert row["looked"] is None, "nobody asked how it stands while it was in memory"


def test_the_list_remembers_how_a_case_stood(interface: Interface, workstation: Workstation) -> None:
    interface.edit(1, {"kind": "confirm", "cells": {"0": [0, 1]}})
    (before,) = interface.get("/cases")
    workstation.memory.idle_seconds = 0
    workstation.memory.tidy()
    assert workstation.memory.numbers() == []
    assert interface.get("/cases") == [before]


def test_the_list_names_a_file_that_was_changed(interface: Interface, results: Path) -> None:
    file = results / "smear-3" / "differential.json"
    file.write_bytes(file.read_bytes() + b" ")
    (row,) = interface.get("/cases")
    assert "differential.json of smear-3 is not the one that was reviewed" in row["fault"]


def test_roles(people: Callable[[str], Interface]) -> None:
    anna = people("anna")
    assert len(anna.get("/cases")) == 1
    anna.post("/cases/take-up", status=403)
    anna.get("/counts", status=403)
    anna.post("/cases/count", {"paths": ["/x.tif"], "pack": "phantom-16"}, status=403)
    anna.edit(1, {"kind": "describe", "field": "conclusion", "text": "x"}, status=403)
    people("rita").post("/cases/1/sign", {"name": "Rita", "role": "Biologist"}, status=403)


@pytest.mark.parametrize("number", [-1, 2**31, 2**63, 10**23])
def test_numbers_that_no_database_keeps_are_refused(
    interface: Interface, workstation: Workstation, number: int
) -> None:
    paths = ("", "/slides/0", "/slides/0/cells", "/differential", "/changes", "/log", "/checks", "/agreement")
    for path in paths:
        assert interface.get(f"/cases/{number}{path}", 422)["error"] == "request"
    for path in (f"/slides/{number}", f"/slides/{number}/cells", f"/slides/0/cells/{number}", f"/versions/{number}/x"):
        assert interface.get(f"/cases/1{path}", 422)["error"] == "request"
    interface.edit(number, {"kind": "undo"}, status=422)
    interface.post(f"/counts/{number}/stop", status=422)
    with pytest.raises(Missing, match="there is no case"):
        workstation.log.head(number)  # what the pages say in words


def test_a_certainty_that_is_heard_is_the_one_that_is_seen() -> None:
    certainty = np.concatenate([np.linspace(0, 1, 10_001), np.arange(101) / 100]).astype(np.float32)
    sent = certainty_bytes(certainty)
    cut = np.floor(100 * certainty.astype(np.float64) + 1e-6)
    assert np.array_equal(np.floor(100 * sent.astype(float) / 255 + 1e-6), cut)
    assert np.all(np.diff(sent[:10_001].astype(int)) >= 0)
    assert len(set(sent.tolist())) > 200, "the least certain come first, finer than by whole percents"


def test_folders_of_the_server_are_not_told_to_people_from_elsewhere(
    people: Callable[[str], Interface], workstation: Workstation
) -> None:
    words = "/data/Doe, Jane 1955/smear-3.tif: damaged at level 0; see 'C:\\slides\\Doe\\a.svs' "
    words += "(um/px and/or https://x.org/y/)"
    assert without_folders(words) == "smear-3.tif: damaged at level 0; see 'a.svs' (um/px and/or https://x.org/y/)"
    workstation.places = replace(workstation.places, named=False)
    assert workstation.told(words) == without_folders(words)
    (workstation.root / "smear-3" / "cells.parquet").unlink()
    told = people("rita").get("/cases/1/differential", 422)["message"]
    assert "cells.parquet of smear-3 cannot be read" in told
    assert str(workstation.root) not in told
