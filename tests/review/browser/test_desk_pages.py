"""The pages around the cells as people use them: list, new slides, report, signature, observers, pictures to try."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

from .conftest import PATIENCE, Serve, Served, intercept

if TYPE_CHECKING:
    from playwright.sync_api import Page


def asked(page: Page, served: Served, path: str) -> Any:
    answer = page.request.get(f"{served.url}api/v1{path}")
    assert answer.ok, answer.text()
    return answer.json()


def test_cases_are_found_by_keyboard_and_new_slides_are_counted(
    page: Page, served: Served, counted: Path, tmp_path: Path
) -> None:
    shutil.copytree(counted / "smear-3", served.root / "later")
    shutil.copytree(counted / "smear-4", served.root / "broken")
    shutil.copytree(counted / "smear-4", served.root / "ruined")
    (served.root / "ruined" / "cells.parquet").write_bytes(b"nothing")
    page.goto(served.url)
    page.get_by_role("button", name="Look for new results").click()
    page.get_by_role("status").filter(has_text="2 new cases").wait_for()
    (served.root / "broken" / "differential.json").write_text("{")
    page.reload()
    page.get_by_text("differential.json of smear-4 is gone or damaged").wait_for()
    page.get_by_role("region", name="Results that no case was opened for").get_by_text("ruined").wait_for()
    page.keyboard.press("/")
    page.keyboard.type("late")
    page.wait_for_function("document.querySelectorAll('tbody tr').length === 1")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.textContent") == "later"
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="signed").click()
    page.get_by_text("No case fits").wait_for()
    page.get_by_role("button", name="signed").click()
    page.get_by_role("button", name="Cells", exact=True).click()
    assert page.locator("th.cells").get_attribute("aria-sort") == "descending"

    page.get_by_role("button", name="Add slides").click()
    page.locator("select option", has_text="phantom-16").wait_for(state="attached")
    page.get_by_label("Pack").select_option("phantom-16")
    page.get_by_label("Cells to count").fill("30")
    page.get_by_label("Choose files…").set_input_files(
        [{"name": "words.tif", "mimeType": "image/tiff", "buffer": b"no slide"}]
    )
    page.get_by_role("button", name="Count", exact=True).click()
    page.get_by_role("alert").filter(has_text="words.tif").first.wait_for()
    page.get_by_role("button", name="Remove words.tif").click()
    slide = Path(shutil.copy(counted.parent / "slides" / "smear-3.tif", tmp_path / "of today.tif"))
    page.get_by_label("Choose files…").set_input_files(slide)
    page.get_by_role("button", name="Count", exact=True).click()
    page.wait_for_url(re.compile(r"/cases/\d+$"), timeout=2 * PATIENCE)
    rows = {row["title"]: row for row in asked(page, served, "/cases")}
    assert rows["of_today"]["cells"] >= 30
    assert (served.root / "slides" / "of_today.tif").exists()


def test_words_are_kept_and_a_signed_case_is_frozen_until_amended(page: Page, serve: Serve, results: Path) -> None:
    served = serve(results)
    page.goto(f"{served.url}cases/1/report")
    conclusion = page.get_by_label("Conclusion", exact=True)
    conclusion.fill("Normal")
    conclusion.blur()
    page.get_by_text("✔ kept").wait_for()
    page.evaluate("window.ofTheServerThatStopped = true")
    served.stop()
    conclusion.fill("Normal marrow.")
    page.get_by_role("alert").filter(has_text="Not kept yet").wait_for()
    assert conclusion.input_value() == "Normal marrow."
    served.again()
    # The page may load itself anew when its server is back: the words that were not kept yet outlive that.
    for _ in range(100):
        if asked(page, served, "/cases/1")["words"]["conclusion"] == "Normal marrow.":
            break
        page.wait_for_timeout(200)
    assert asked(page, served, "/cases/1")["words"]["conclusion"] == "Normal marrow."
    served_words = {"edit": {"kind": "describe", "field": "dysplasia", "text": "Theirs"}}
    page.wait_for_function("!window.ofTheServerThatStopped")  # it loads itself again when its server is back
    page.wait_for_function("document.querySelector('[name=conclusion]')?.value === 'Normal marrow.'")

    cells = {str(one["slide"]): list(range(one["cells"])) for one in asked(page, served, "/cases/1")["slides"]}
    page.request.post(f"{served.url}api/v1/cases/1/edits", data={"edit": {"kind": "confirm", "cells": cells}})
    page.reload()
    page.get_by_label("Name, as it is printed").fill("Dr Ada Sample")
    page.get_by_label("Role").fill("Haematologist")
    sign = page.get_by_role("button", name="Sign version 1")
    assert sign.is_disabled()
    for one in page.get_by_label("sign all the same").all():
        one.check()
    intercept(page, "/api/v1/cases/1", lambda route: route.abort())  # what others did does not reach the page
    page.request.post(f"{served.url}api/v1/cases/1/edits", data={"edit": {**served_words["edit"], "text": "Changed"}})
    sign.click()
    page.get_by_role("alert").filter(has_text="somebody changed the case since you looked").wait_for()
    page.unroute("**/api/v1/cases/1")
    page.wait_for_function("document.querySelector('[name=dysplasia]').value === 'Changed'")
    conclusion.fill("Normal marrow")  # kept while it is signed: one's own words are known
    sign.click()
    page.get_by_role("heading", name="Version 1 is signed").wait_for()
    assert page.locator("#signature a").first.get_attribute("href").endswith("/versions/1/report.pdf")
    assert asked(page, served, "/cases/1")["words"]["conclusion"] == "Normal marrow"
    assert conclusion.is_disabled()
    with page.expect_download() as download:
        page.get_by_role("link", name="report.pdf").click()
    assert download.value.suggested_filename == "case-1-version-1-report.pdf"
    refused = page.request.post(f"{served.url}api/v1/cases/1/edits", data=served_words)
    assert refused.status == 409
    page.get_by_label("Reason of the amendment").fill("a slide was mixed up")
    page.get_by_role("button", name="Open the case again").click()
    page.get_by_role("heading", name="Sign version 2").wait_for()
    page.get_by_text("This is an amendment: a slide was mixed up").wait_for()
    assert conclusion.is_enabled()
    page.locator("summary").click()
    page.get_by_text("The log is whole").wait_for()
    page.get_by_text("signed version 1 as Dr Ada Sample, Haematologist").wait_for()
    page.get_by_role("button", name="Preview").click()
    page.frame_locator("dialog iframe").get_by_text("Normal marrow").first.wait_for()


def test_an_older_answer_that_comes_late_is_not_shown(page: Page, served: Served) -> None:
    page.goto(f"{served.url}cases/1/report")
    page.get_by_label("Conclusion", exact=True).wait_for()
    held: list[Any] = []

    def hold_the_first(route: Any) -> None:
        if held:
            route.continue_()
        else:
            held.extend((route, route.fetch()))

    intercept(page, "/api/v1/cases/1", hold_the_first)
    again = "document.dispatchEvent(new Event('visibilitychange'))"
    with page.expect_request("**/api/v1/cases/1"):
        page.evaluate(again)
    edit = {"kind": "describe", "field": "conclusion", "text": "Newer"}
    assert page.request.post(f"{served.url}api/v1/cases/1/edits", data={"edit": edit}).ok
    page.evaluate(again)
    conclusion = page.get_by_label("Conclusion", exact=True)
    page.wait_for_function("(field) => field.value === 'Newer'", arg=conclusion.element_handle())
    with page.expect_response("**/api/v1/cases/1"):
        held[0].fulfill(response=held[1])
    page.evaluate("() => new Promise((told) => requestAnimationFrame(() => requestAnimationFrame(told)))")
    assert conclusion.input_value() == "Newer"


def test_pictures_are_named_and_a_broken_one_is_told(page: Page, served: Served, counted: Path, tmp_path: Path) -> None:
    slide = cv2.imread(str(counted.parent / "slides" / "smear-3.tif"))
    cv2.imwrite(str(tmp_path / "one.png"), slide[100:220, 100:220])
    (tmp_path / "broken.png").write_bytes(b"nothing")
    page.goto(f"{served.url}try")
    page.locator("select option", has_text="blood-11").wait_for(state="attached")
    files = page.get_by_label("Choose pictures…")
    files.set_input_files([tmp_path / "one.png", tmp_path / "broken.png"])
    page.get_by_role("alert").filter(has_text="µm per pixel").wait_for()
    page.get_by_text("2 pictures are waiting here.").wait_for()
    page.get_by_label("µm per pixel").fill("0.2")
    page.get_by_role("button", name="Name them").click()  # nobody has to look for them again
    page.get_by_text("1 cells named with blood-11").wait_for()
    page.get_by_role("list", name="Pictures that could not be used").get_by_text("broken.png").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0].startswith("file,type,certainty")
    assert lines[1].startswith('"one.png",')
