"""Two observers of a case, whole: appointed, each reads blind, both finish, a third settles, the signer signs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from argon2 import PasswordHasher

from marrowscope.review.access.users import Role, Users
from marrowscope.review.workstation import open_workstation

from .conftest import PATIENCE, Served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PASSWORD = "correct horse battery"
PEOPLE = {"ada": Role.ADMIN, "rita": Role.REVIEWER, "rolf": Role.REVIEWER, "sven": Role.SIGNER}
PICTURES = os.environ.get("MARROWSCOPE_PICTURES")


@pytest.fixture
def with_login(results: Path) -> Iterator[Served]:
    """A review whose people log in."""
    engine = open_workstation(results).log.engine
    users = Users(engine, hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    for name, role in PEOPLE.items():
        users.add(name, PASSWORD, role)
    engine.dispose()
    command = [sys.executable, "-m", "marrowscope", "review", str(results), "--no-browser", "--port", "0", "--login"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
        yield Served(url, results, process)
        process.kill()


@pytest.fixture
def log_in(browser: Browser, with_login: Served) -> Iterator[Callable[[str, str], Page]]:
    """Log in by the page and come to a place."""
    contexts = []
    faults: list[str] = []

    def come(name: str, path: str) -> Page:
        contexts.append(browser.new_context(viewport={"width": 1366, "height": 768}, base_url=with_login.url))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"/login?next={path}")
        page.locator("input[name=name], input[name=user], input[name=username]").first.fill(name)
        page.locator("input[type=password]").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**{path}")
        return page

    yield come
    for context in contexts:
        context.close()
    assert not faults


def keep(page: Page, name: str) -> None:
    """Pictures of the page, light and dark, to look at."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")
        page.evaluate("Quasar.Dark.toggle()")
        page.screenshot(path=Path(PICTURES) / f"{name}-dark.png")
        page.evaluate("Quasar.Dark.toggle()")


def edit(page: Page, edit: dict[str, Any], reading: str) -> None:
    script = """async ([body]) => (await fetch("/api/v1/cases/1/edits", {method: "POST", body, headers: {
        "Content-Type": "application/json",
        "X-CSRF-Token": document.querySelector("meta[name=csrf]").content}})).status"""
    assert page.evaluate(script, [json.dumps({"edit": edit, "reading": reading})]) == 201


def opened(page: Page, path: str) -> Page:
    page.goto(path)
    page.wait_for_selector(".gallery[data-state=open]")
    page.locator(".scroller").focus()
    return page


def test_two_observers_from_appointment_to_signature(log_in: Callable[[str, str], Page]) -> None:
    place = "/cases/1/observers"
    ada = log_in("ada", place)
    ada.get_by_label("First observer").select_option("rita")
    ada.get_by_label("Second observer").select_option("rolf")
    ada.get_by_role("button", name="Appoint").click()
    ada.get_by_text("rolf is reading").wait_for()
    cells = {
        str(one["slide"]): list(range(one["cells"])) for one in ada.request.get("/api/v1/cases/1").json()["slides"]
    }
    total = sum(map(len, cells.values()))

    rita, rolf = log_in("rita", "/"), log_in("rolf", "/")
    for page in (rita, rolf):
        page.get_by_role("link", name="You read this case blind").click()
        page.wait_for_selector(".gallery[data-state=open]")
        page.get_by_role("note").filter(has_text=f"{total} of {total} cells are not looked at").wait_for()
    assert rolf.request.get("/api/v1/cases/1/differential?reading=blind:rita").status == 403
    assert "another observer" in opened_text(rolf, "/cases/1?reading=blind:rita")
    keep(rita, "blind")
    edit(rita, {"kind": "confirm", "cells": {slide: rows[1:] for slide, rows in cells.items()}}, "blind:rita")
    edit(rolf, {"kind": "confirm", "cells": cells}, "blind:rolf")
    edit(rolf, {"kind": "retype", "cells": {"0": [1, 2, 3]}, "to": "mast_cell"}, "blind:rolf")
    left = {rita: f"{len(cells)} of {total} cells were not looked at", rolf: f"You have looked at all {total} cells"}
    for page, words in left.items():
        page.goto(place)
        page.get_by_role("button", name="Finish reading…").press("Enter")
        page.get_by_role("dialog").get_by_text(words).wait_for()
        keep(page, f"finish-{len(words)}")
        page.keyboard.press("Enter")  # the focus is on the way back
        page.get_by_role("dialog").wait_for(state="hidden")
        page.get_by_role("button", name="Finish reading…").press("Enter")
        page.get_by_role("dialog").wait_for()
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.get_by_text("Your reading is finished.").wait_for()
        if page is rita:
            page.goto("/")
            page.get_by_role("link", name="You have finished; it waits for rolf").wait_for()
            keep(page, "list-waits")
            opened(page, "/cases/1").get_by_role("note").filter(has_text="waits for rolf").wait_for()
    rolf.get_by_text("3 of 3 differences are not settled.").wait_for()
    both = f"{total - len(cells) - 3} of {total - len(cells)} cells called alike"
    rolf.get_by_role("region", name="rita, rolf").get_by_text(both).wait_for()
    rolf.get_by_role("region", name="rita, rolf").get_by_text("κ 0.").wait_for()
    keep(rolf, "observers")

    # One of the two proposes, the other one agrees.
    rita.get_by_role("link", name="Look at the differences").click()
    rita.wait_for_url("**/cases/1?reading=adjudicated*")
    rita.wait_for_selector(".gallery[data-state=open]")
    assert rita.get_by_label("Show", exact=True).input_value() == "differing"
    rita.locator(".calls").get_by_text("Mast cell", exact=True).wait_for()
    rita.locator(".scroller").focus()
    rita.keyboard.press("Enter")
    rita.get_by_role("alert").filter(has_text="there is no type to confirm").wait_for()
    rita.locator(".scroller").focus()
    rita.keyboard.press("b")
    rita.get_by_role("status").filter(has_text="1 cell proposed").wait_for()
    rita.locator("option", has_text="Differing, not settled (3)").wait_for(state="attached")
    keep(rita, "proposed")
    opened(rolf, "/cases/1").get_by_role("button", name="1 proposal waits for you").click()
    rolf.get_by_text("rita proposes: Blast").wait_for()
    keep(rolf, "to-agree")
    rolf.locator(".scroller").focus()
    rolf.keyboard.press("Enter")
    rolf.locator("option", has_text="Differing, not settled (2)").wait_for(state="attached")

    # The others are settled by a third, who comes to them from the list and from the report.
    sven = log_in("sven", "/")
    sven.get_by_role("link", name="Differences to settle: 2").wait_for()
    keep(sven, "list-settle")
    sven.get_by_role("link", name="Differences to settle: 2").click()
    sven.wait_for_selector(".gallery[data-state=open]")
    sven.get_by_role("note").filter(has_text="2 differences are to be settled. Your word settles one.").wait_for()
    keep(sven, "third")
    sven.locator(".calls").get_by_role("button", name="Settle: Mast cell").click()
    sven.locator("option", has_text="Differing, not settled (1)").wait_for(state="attached")
    sven.goto("/cases/1/report")
    assert sven.get_by_role("button", name="Sign version 1").is_disabled()
    sven.get_by_role("link", name="Show these cells: 1 cells that the observers").click()
    sven.wait_for_selector(".gallery[data-state=open]")

    # The last one where it lies in the slide.
    asked = "/api/v1/cases/1/slides/0/cells/{}?reading=adjudicated"
    last = next(cell for cell in (1, 2, 3) if sven.request.get(asked.format(cell)).json()["type"] is None)
    sven.goto(f"/cases/1/slides/0?cell={last}")
    sven.get_by_text(f"Cell {last}, Differing").wait_for(state="attached")  # for those who hear the page
    keep(sven, "third-slide")
    sven.locator(".calls").get_by_role("button", name="Settle: Mast cell").click()
    sven.get_by_role("status").filter(has_text=f"Cell {last}: Mast cell. Kept.").wait_for()
    opened(sven, "/cases/1").get_by_role("note").filter(has_text="all their differences are settled").wait_for()
    edit(sven, {"kind": "confirm", "cells": {slide: rows[:1] for slide, rows in cells.items()}}, "adjudicated")

    sven.goto("/cases/1/report")
    sven.get_by_label("Name, as it is printed").fill("Dr Sven Sample")
    sven.get_by_label("Role").fill("Haematologist")
    sven.get_by_text("No difference between observers is left.").wait_for()
    for one in sven.get_by_label("sign all the same").all():
        one.check()
    keep(sven, "to-sign")
    sven.get_by_role("button", name="Sign version 1").click()
    sven.get_by_role("heading", name="Version 1 is signed").wait_for()
    signed = sven.request.get("/api/v1/cases/1").json()["signed"][0]
    assert (signed["actor"], "alone" in signed["passed_over"]) == ("sven", False)


def opened_text(page: Page, path: str) -> str:
    page.goto(path)
    return page.get_by_role("alert").inner_text()
