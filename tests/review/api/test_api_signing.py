"""From checks to a signed version and back again by an amendment, as programs and pages ask for it."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable

import pytest
from sqlalchemy import text

from marrowscope.review import signing
from marrowscope.review.workstation import Workstation

from .conftest import Interface


def look_at_all(who: Interface, reading: str = "main") -> None:
    cells = {str(slide["slide"]): list(range(slide["cells"])) for slide in who.get("/cases/1")["slides"]}
    who.edit(1, {"kind": "confirm", "cells": cells}, reading)


def test_sign_freeze_amend(people: Callable[[str], Interface]) -> None:
    sven, rita = people("sven"), people("rita")
    body = {"name": "Sven Sample", "role": "Consultant", "accept": []}
    look_at_all(rita)
    rita.edit(1, {"kind": "describe", "field": "patient_name", "text": "Erika Mustermann"})
    unmet = {check["code"]: check["needed"] for check in rita.get("/cases/1/checks") if not check["met"]}
    assert "conclusion" in unmet
    assert not any(unmet.values())
    seen = rita.get("/cases/1")["n"]
    assert "body.n" in sven.post("/cases/1/sign", body, 422)["message"]
    body |= {"accept": sorted(unmet.keys() - {"conclusion"}), "n": seen}
    assert sven.post("/cases/1/sign", body, 409)["message"] == "not signed: There is no conclusion."
    rita.post("/cases/1/sign", body, 403)
    rita.edit(1, {"kind": "describe", "field": "dysplasia", "text": "None."})
    assert "since you looked" in sven.post("/cases/1/sign", {**body, "accept": sorted(unmet)}, 409)["message"]
    body["n"] = seen + 1
    told = sven.post("/cases/1/sign", {**body, "accept": sorted(unmet)}, 201)
    assert told["status"] == "signed"
    (version,) = told["signed"]
    assert (version["name"], version["role"], version["passed_over"]) == ("Sven Sample", "Consultant", sorted(unmet))

    refused = rita.edit(1, {"kind": "retype", "cells": {"0": [1]}, "to": "blast"}, status=409)
    assert refused["error"] == "refused"
    assert "amend" in refused["message"]
    frozen = {}
    for name, sha256 in version["files"].items():
        answer = sven.client.get(f"/api/v1/cases/1/versions/1/{name}")
        frozen[name] = answer.content
        assert hashlib.sha256(answer.content).hexdigest() == sha256
        assert answer.headers["content-disposition"] == f'attachment; filename="case-1-version-1-{name}"'
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
    assert {"report.html", "report.pdf"} <= set(frozen)
    assert "Erika Mustermann" in frozen["report.html"].decode()
    assert re.search(r"Account.{1,40}sven", frozen["report.html"].decode(), re.DOTALL)
    assert sven.client.get("/api/v1/cases/1/versions/1/report.pdf").headers["content-type"] == "application/pdf"
    sven.get("/cases/1/versions/2/report.pdf", 404)
    sven.get("/cases/1/versions/1/other.txt", 404)

    rita.edit(1, {"kind": "amend", "reason": "a second smear came"}, status=403)
    sven.edit(1, {"kind": "amend", "reason": "a second smear came"})
    rita.edit(1, {"kind": "retype", "cells": {"0": [1]}, "to": "blast"})
    body["n"] = sven.get("/cases/1")["n"]
    told = sven.post("/cases/1/sign", {**body, "accept": sorted(unmet)}, 201)
    assert [(one["version"], one["reason"]) for one in told["signed"]] == [(1, ""), (2, "a second smear came")]
    assert sven.client.get("/api/v1/cases/1/versions/1/report.html").content == frozen["report.html"]
    assert "a second smear came" in sven.client.get("/api/v1/cases/1/versions/2/report.html").text
    log = sven.get("/cases/1/log")
    assert log["fault"] is None
    assert [row["kind"] for row in log["rows"]][-4:] == ["sign", "amend", "retype", "sign"]


def test_the_preview_is_a_draft_that_may_run_nothing(interface: Interface) -> None:
    interface.edit(1, {"kind": "describe", "field": "conclusion", "text": "<script>alert(1)</script> & so on"})
    answer = interface.get("/cases/1/preview.html")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy
    assert "<script>alert(1)" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; so on" in answer.text
    assert "not signed" in answer.text


def test_a_file_that_was_changed_by_hand_is_not_given_out(interface: Interface, workstation: Workstation) -> None:
    look_at_all(interface)
    accept = [check["code"] for check in interface.get("/cases/1/checks") if not check["met"]]
    n = interface.get("/cases/1")["n"]
    interface.post("/cases/1/sign", {"name": "Ann", "role": "MD", "accept": accept, "n": n}, 201)
    page = interface.get("/cases/1/versions/1/report.html")
    assert "Account" not in page.text  # nobody logs in here
    change_document(workstation, "report.html", b"<p>normal</p>")
    told = interface.get("/cases/1/versions/1/report.html", 409)
    assert told == {"error": "changed", "message": "the file report.html of version 1 is not the one that was signed"}
    interface.get("/cases/1/versions/1/report.pdf")


def change_document(workstation: Workstation, name: str, content: bytes) -> None:
    """As somebody with the database can: without its triggers, the hash beside the content fitted."""
    sha256 = hashlib.sha256(content).hexdigest()
    with workstation.log.engine.begin() as connection:
        triggers = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).scalars().all()
        for trigger in triggers:
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        change = text("UPDATE documents SET content = :content, sha256 = :sha256 WHERE name = :name")
        connection.execute(change, {"content": content, "sha256": sha256, "name": name})


def test_while_a_report_is_made_another_one_is_told_to_come_again(
    interface: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "RENDERING_SECONDS", 0.01)
    with signing._one_at_a_time():
        told = interface.get("/cases/1/preview.html", 503)
        assert told == {"error": "busy", "message": "a report is being made: try again in a moment"}
        interface.edit(1, {"kind": "confirm", "cells": {"0": [0]}})
    interface.get("/cases/1/preview.html")


def test_two_observers_read_blind_and_are_compared(people: Callable[[str], Interface]) -> None:
    rita, rolf, sven = people("rita"), people("rolf"), people("sven")
    rita.edit(1, {"kind": "appoint", "observers": ["rita", "rolf"]})
    look_at_all(rita, "blind:rita")
    look_at_all(rolf, "blind:rolf")
    types = [row["type"] for row in rita.get("/cases/1/differential?reading=blind:rita")["differential"]["rows"]]
    rolf.edit(1, {"kind": "retype", "cells": {"0": [0, 1], "1": [0]}, "to": "mast_cell"}, "blind:rolf")
    assert "mast_cell" in types
    rolf.get("/cases/1/differential?reading=blind:rita", 403)
    assert rolf.edit(1, {"kind": "undo"}, "blind:rita", 403)["error"] == "refused"
    assert "must finish" in rita.get("/cases/1/agreement", 409)["message"]
    assert "still read" in rita.get("/cases/1/preview.html", 409)["message"]
    rita.edit(1, {"kind": "finish"}, "blind:rita")
    rolf.edit(1, {"kind": "finish"}, "blind:rita", 403)
    rolf.edit(1, {"kind": "finish"}, "blind:rolf")

    found = people("anna").get("/cases/1/agreement")
    pair = found["observers"]
    assert (pair["first"], pair["second"], found["differing"], found["left"]) == ("rita", "rolf", 3, 3)
    assert pair["same"] == pair["cells"] - 3
    assert 0 < pair["kappa"]["low"] <= pair["kappa"]["value"] < 1
    assert {one["second"] for one in pair["differences"]} == {"mast_cell"}
    assert [one["second"] for one in found["with_model"]] == ["model", "model"]
    assert found["with_model"][0]["kappa"]["value"] == 1.0

    checks = {check["code"]: check for check in sven.get("/cases/1/checks")}
    assert checks["differing"]["met"] is False
    assert checks["differing"]["needed"] is True
    cell = rita.get("/cases/1/slides/0/cells/0?reading=adjudicated")
    named = [(call["observer"], call["type"]) for call in cell["calls"]]
    assert (cell["type"], cell["proposal"], named[1]) == (None, None, ("rolf", "mast_cell"))
    three = {"0": [0, 1], "1": [0]}
    rita.edit(1, {"kind": "retype", "cells": three, "to": "monocyte"}, "adjudicated")
    assert rita.get("/cases/1/agreement")["left"] == 3
    proposal = rolf.get("/cases/1/slides/0/cells/0?reading=adjudicated")["proposal"]
    assert (proposal["actor"], proposal["payload"]["to"]) == ("rita", "monocyte")
    assert "your own proposal" in rita.edit(1, {"kind": "confirm", "cells": three}, "adjudicated", 409)["message"]
    rolf.edit(1, {"kind": "confirm", "cells": three}, "adjudicated")
    assert rita.get("/cases/1/agreement")["left"] == 0
    accept = [check["code"] for check in sven.get("/cases/1/checks") if not check["met"]]
    n = sven.get("/cases/1")["n"]
    sven.post("/cases/1/sign", {"name": "S", "role": "R", "accept": accept, "n": n}, 201)


def test_cells_to_train_on_are_for_reviewers(people: Callable[[str], Interface]) -> None:
    rita = people("rita")
    assert "nobody has looked" in rita.get("/cases/1/training.zip", 409)["message"]
    rita.edit(1, {"kind": "confirm", "cells": {"0": [0, 1, 2]}})
    answer = rita.get("/cases/1/training.zip")
    assert answer.headers["content-type"] == "application/zip"
    assert 'filename="case-1-cells.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len([name for name in archive.namelist() if name.endswith(".png")]) == 3
    people("anna").get("/cases/1/training.zip", 403)
