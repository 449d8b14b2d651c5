"""The gallery of a case as a person uses it: by mouse, by keys, with another person, with a server that goes away."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from marrowscope.review.counted import TYPE_NAMES
from marrowscope.review.edits import Retype
from marrowscope.review.workstation import open_workstation

from .conftest import Serve, Served, intercept

if TYPE_CHECKING:
    from playwright.sync_api import Page

CELL = 72
"""Pixels that a cell is wide when the page opens."""


def open_gallery(page: Page, served: Served, query: str = "") -> None:
    """Open the case and wait until every cell in view has its picture."""
    page.goto(f"{served.url}cases/1{query}")
    page.wait_for_selector(".gallery[data-state=open]")
    page.wait_for_function("performance.getEntriesByName('gallery:complete').length > 0")


def under_cursor(page: Page) -> str:
    """What a screen reader is told."""
    found = page.locator(f"#{page.locator('.scroller').get_attribute('aria-activedescendant')}").text_content()
    assert found is not None
    return found


def status(page: Page, words: str) -> None:
    """Wait until the page says so."""
    page.locator(".status", has_text=re.compile(words)).wait_for()


def now(page: Page, served: Served, case: int = 1) -> dict[str, Any]:
    answer: dict[str, Any] = page.request.get(f"{served.url}api/v1/cases/{case}/differential").json()
    return answer


def kinds(page: Page, served: Served) -> list[str]:
    """The edits that the server has."""
    rows = page.request.get(f"{served.url}api/v1/cases/1/log").json()["rows"]
    return [row["kind"] for row in rows if row["kind"] not in ("open", "add_slide")]


def count(answer: dict[str, Any], name: str) -> int:
    rows = [*answer["differential"]["rows"], *answer["differential"]["others"]]
    return next((row["count"] or 0 for row in rows if row["type"] == name), 0)


def row_of(page: Page, name: str) -> tuple[float, float]:
    """The middle of a type's row beside the cells."""
    row = page.locator(f".gallery-panel [data-type='{TYPE_NAMES.index(name)}']")
    row.scroll_into_view_if_needed()
    box = row.bounding_box()
    assert box is not None
    return box["x"] + 60, box["y"] + box["height"] / 2


def cell_at(page: Page, number: int) -> tuple[float, float]:
    """The middle of a cell of the first row."""
    box = page.locator(".scroller").bounding_box()
    assert box is not None
    return box["x"] + 12 + (CELL + 8) * number + CELL / 2, box["y"] + 34 + CELL / 2


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + 10, start[1] + 10)
    page.mouse.move(*end)
    page.mouse.up()


def test_cells_are_corrected_by_keys_and_mouse_and_come_back(page: Page, served: Served) -> None:
    open_gallery(page, served)
    before, edits = now(page, served), len(kinds(page, served))
    first = under_cursor(page)
    assert re.match(r"[A-Z].+, certainty \d+ %, not looked at, .*1 of \d+ in its group, slide \d, cell \d+", first)

    assert page.locator("#case-status").text_content() == "counted"
    page.keyboard.press("k")
    status(page, "1 cell: Megakaryocyte. Kept.")
    page.locator("#case-status", has_text="in review").wait_for()
    # A type that the pack cannot see has no 0 beside it.
    stroma = page.locator(f".gallery-panel [data-type='{TYPE_NAMES.index('stromal_cell')}'] td").first
    assert stroma.text_content() == "–"
    assert count(now(page, served), "megakaryocyte") == count(before, "megakaryocyte") + 1
    page.locator(".looked-words", has_text=f"{before['looked']['looked'] + 1} of ").wait_for()
    assert under_cursor(page).partition("cell ")[2] != first.partition("cell ")[2], "the cursor went on"
    page.keyboard.press("Control+z")
    status(page, "Taken back: 1 cell is what it was.")
    assert under_cursor(page) == first
    assert now(page, served)["differential"]["rows"] == before["differential"]["rows"]
    page.keyboard.press("Control+Shift+z")
    status(page, "Done again")
    page.keyboard.press("Control+z")
    status(page, "Taken back")

    # What is typed begins a name first: Enter must not give another type than the one that was meant.
    page.keyboard.press("/")
    page.keyboard.type("mono")
    assert page.locator("#gallery-types li span").first.text_content() == "Monocyte"
    page.keyboard.press("Escape")
    # Nothing chosen, nothing changed, whatever is under the cursor.
    page.keyboard.press("Escape")
    page.locator(".gallery .chosen", has_text="No cell chosen").wait_for()
    for key in ("k", "Enter", "Delete", "/"):
        page.keyboard.press(key)
        status(page, "No cell is chosen")
    assert page.get_by_role("button", name="Give type").is_disabled()
    assert len(kinds(page, served)) == edits + 4
    page.keyboard.press("Home")

    # A type without a key, by the list of types: keys alone.
    page.keyboard.press("/")
    page.keyboard.type("osteoc")
    page.keyboard.press("Enter")
    status(page, "1 cell: Osteoclast. Kept.")
    # By the mouse: the list at the pointer.
    page.keyboard.press("Home")
    page.mouse.click(*cell_at(page, 0), button="right")
    page.get_by_role("option", name="Stromal cell").click()
    status(page, "1 cell: Stromal cell. Kept.")

    # A band around the first two cells of a group that has two, dropped on a type.
    box = page.locator(".scroller").bounding_box()
    assert box is not None
    page.locator(".gallery-panel button.type", has_text="Lymphocyte").click()
    page.locator(".gallery .chosen", has_text="1 cell chosen").wait_for()
    drag(page, (box["x"] + 4, box["y"] + 30), (box["x"] + 12 + 2 * CELL, box["y"] + 34 + CELL - 4))
    page.locator(".gallery .chosen", has_text="2 cells chosen").wait_for()
    drag(page, cell_at(page, 0), row_of(page, "plasma_cell"))
    status(page, "2 cells: Plasma cell. Kept.")
    assert count(now(page, served), "plasma_cell") == count(before, "plasma_cell") + 2

    page.keyboard.press("Home")
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    status(page, "deleted. Kept.")
    expected = ["retype", "undo", "redo", "undo", "retype", "retype", "retype", "delete"]
    assert kinds(page, served)[edits:] == expected


def test_what_is_given_goes_to_the_cells_that_the_list_was_opened_for(page: Page, served: Served) -> None:
    open_gallery(page, served)
    page.keyboard.press("k")
    status(page, "1 cell: Megakaryocyte. Kept.")
    cell = int(under_cursor(page).rpartition("cell ")[2])
    held: list[Any] = []
    intercept(page, "/edits", lambda route: route.continue_() if held else held.append(route))
    page.keyboard.press("Control+z")  # answered while the list is open, and goes to another cell then
    page.keyboard.press("/")
    page.keyboard.type("osteoc")
    held[0].continue_()
    status(page, "Taken back")
    page.keyboard.press("Enter")
    status(page, "1 cell: Osteoclast. Kept.")
    rows = page.request.get(f"{served.url}api/v1/cases/1/log").json()["rows"]
    assert [list(cells) for cells in rows[-1]["payload"]["cells"].values()] == [[cell]]


def test_a_queue_is_done_by_keys_alone(page: Page, served: Served) -> None:
    open_gallery(page, served, "?slide=1&cell=5")
    assert "slide 2, cell 5" in under_cursor(page)
    page.locator(".gallery-detail .bars li").first.wait_for()
    link = page.get_by_role("link", name="Show on the slide").get_attribute("href")
    assert link == "/cases/1/slides/1?cell=5"
    looked = now(page, served)["looked"]
    cells, begun = looked["cells"], looked["looked"]
    queue = page.get_by_role("combobox", name="Show")
    queue.select_option("open")
    page.keyboard.press("Home")
    for done in range(1, 4):
        page.keyboard.press("Enter")
        page.locator(".looked-words", has_text=f"{begun + done} of {cells}").wait_for()
    page.locator("option", has_text=f"Not looked at ({cells - begun - 3})").wait_for(state="attached")
    page.keyboard.press("Space")
    page.keyboard.press("k")  # without waiting for the one before
    page.locator(".looked-words", has_text=f"{begun + 5} of {cells}").wait_for()
    queue.select_option("changed")
    page.keyboard.press("End")
    assert "looked at" in under_cursor(page)
    queue.select_option("unsure")
    page.locator(".gallery .tools", has_text="Unsure, not looked at").wait_for()


def test_what_another_person_changed_meanwhile_is_said_and_stands(page: Page, served: Served) -> None:
    held: list[Any] = []
    page.route("**/changes?*", lambda route: held.append(route))  # the page asks, and is not answered yet
    open_gallery(page, served)
    cell = int(under_cursor(page).rpartition("cell ")[2])
    slide = int(re.search(r"slide (\d)", under_cursor(page))[1]) - 1  # type: ignore[index]
    before = now(page, served)
    other = open_workstation(served.root)
    other.edit(1, "ben", "main", Retype(cells={slide: [cell]}, to="osteoclast"))
    page.keyboard.press("k")
    page.unroute("**/changes?*")
    alert = page.get_by_role("alert")
    alert.wait_for()
    told = alert.text_content() or ""
    assert "your change of 1 cell was taken back" in told
    assert "ben has changed cells of these meanwhile" in told
    status(page, "ben gave 1 cell the type Osteoclast.")
    assert count(now(page, served), "megakaryocyte") == count(before, "megakaryocyte")
    assert "Osteoclast" in under_cursor(page)


def test_a_change_between_two_edits_that_wait_is_not_overwritten(page: Page, served: Served) -> None:
    with page.expect_request("**/changes?*") as asked:
        open_gallery(page, served)
    assert asked.value.headers["x-background"] == "1"
    held: list[Any] = []
    intercept(page, "/edits", lambda route: route.continue_() if held else held.append(route))
    page.keyboard.press("x")
    found = re.search(r"slide (\d), cell (\d+)", under_cursor(page))
    assert found is not None
    page.keyboard.press("x")  # waits for the first
    other = open_workstation(served.root)
    other.edit(1, "ben", "main", Retype(cells={int(found[1]) - 1: [int(found[2])]}, to="osteoclast"))
    status(page, "ben gave 1 cell the type Osteoclast.")
    held[0].continue_()
    page.get_by_role("alert").filter(has_text="ben has changed cells of these meanwhile").wait_for()


def test_an_edit_without_an_answer_is_asked_again_and_kept_once(page: Page, served: Served) -> None:
    open_gallery(page, served)
    edits, asked = len(kinds(page, served)), []

    def lose_the_first(route: Any) -> None:
        asked.append(route.request.post_data_json)
        if len(asked) == 1:
            route.fetch()  # it is kept, and the page does not hear of it
            route.abort()
        else:
            route.continue_()

    intercept(page, "/edits", lose_the_first)
    page.keyboard.press("u")
    status(page, "1 cell: Smudged or bare nucleus. Kept.")
    assert len(asked) == 2
    assert asked[0] == asked[1]
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", asked[0]["key"])
    assert len(kinds(page, served)) == edits + 1


def test_when_the_server_goes_away_nothing_stays_half(page: Page, serve: Serve, results: Path) -> None:
    served = serve(results)
    open_gallery(page, served)
    page.keyboard.press("k")
    status(page, "Kept.")
    before = under_cursor(page)
    served.stop()
    page.keyboard.press("u")
    page.get_by_role("alert").filter(has_text="your change of 1 cell was taken back").wait_for()
    page.get_by_role("alert").filter(has_text="What you change now is not kept").wait_for()
    assert under_cursor(page) == before
    with page.expect_event("load"):  # the frame of the page asks the new server for all of it anew
        served.again()
    page.wait_for_selector(".gallery[data-state=open]")
    assert page.get_by_role("alert").count() == 0
    assert under_cursor(page) == before
    assert kinds(page, served) == ["retype"]
    page.keyboard.press("u")
    status(page, "1 cell: Smudged or bare nucleus. Kept.")
    assert kinds(page, served) == ["retype", "retype"]


def test_it_is_drawn_in_light_and_dark(page: Page, served: Served, tmp_path: Path) -> None:
    open_gallery(page, served)
    box = page.locator(".scroller").bounding_box()
    assert box is not None
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_function(f"document.body.classList.contains('body--{scheme}')")
        page.evaluate("() => new Promise((told) => requestAnimationFrame(() => requestAnimationFrame(told)))")
        page.screenshot(path=tmp_path / f"{scheme}.png")
        picture = cv2.imread(str(tmp_path / f"{scheme}.png"))
        assert picture is not None
        grounds.append(picture[int(box["y"]) + 30, int(box["x"]) + 5].mean())
        x, y = (int(at) for at in cell_at(page, 0))
        cell = picture[y - 20 : y + 20, x - 20 : x + 20]
        assert np.ptp(cell.astype(int)) > 60, "a picture of a cell, not a flat ground"
    assert grounds[0] > 230
    assert grounds[1] < 60
