"""The page of a slide in a real browser: what it shows is the slide, and what is done on it is in the log."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from marrowscope.geometry import Size
from marrowscope.review.counted import CountedSlide
from marrowscope.slides import open_slide
from marrowscope.taxonomy import CELL_TYPES

from .conftest import intercept

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def results(counted, tmp_path_factory):
    """A copy of the results in which the second slide was moved away."""
    folder = shutil.copytree(counted, tmp_path_factory.mktemp("viewer") / "results")
    told = folder / "smear-4" / "run.json"
    run = json.loads(told.read_text())
    told.write_text(json.dumps({**run, "file": str(folder / "gone.tif")}))
    return folder


@pytest.fixture(scope="module")
def address(results, serve):
    return serve(results).url.rstrip("/")


@pytest.fixture(scope="module")
def smear(results):
    return CountedSlide(results / "smear-3")


def lonely_cell(boxes):
    """The cell whose neighbours are farthest."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
    np.fill_diagonal(away, np.inf)
    return int(away.min(axis=1).argmax())


def show(page, address, query="", slide=0):
    page.goto(f"{address}/cases/1/slides/{slide}{query}")
    page.wait_for_selector(".viewer:not([data-state=loading])")
    assert page.locator(".viewer").get_attribute("data-state") == "open", page.locator(".viewer").inner_text()


def middle(page):
    box = page.locator(".viewer-map").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def tiles_are_there(page):
    """All tiles are loaded and no longer fade in."""
    page.wait_for_function(
        "() => { const tiles = [...document.querySelectorAll('.leaflet-tile')];"
        " return tiles.length && tiles.every((tile) => tile.complete && tile.classList.contains('leaflet-tile-loaded')"
        " && getComputedStyle(tile).opacity === '1'); }"
    )


def overlay_shows(page, n):
    """The visible cells are drawn as of row ``n``."""
    page.wait_for_function(
        "(n) => [...document.querySelectorAll('.leaflet-tile')].some((tile) => tile.src.includes('/overlay/')"
        " && Number(new URL(tile.src).searchParams.get('n')) >= n)",
        arg=n,
    )


def seen(page, side):
    """The pixels around the middle of the map, RGB."""
    x, y = middle(page)
    clip = {"x": x - side / 2, "y": y - side / 2, "width": side, "height": side}
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB"))


def has_colour(picture, name):
    colour = [int(CELL_TYPES[name].colour[at : at + 2], 16) for at in (1, 3, 5)]
    return bool((picture == colour).all(axis=2).sum() > 20)


def log(page, address):
    return page.request.get(f"{address}/api/v1/cases/1/log").json()["rows"]


def chosen(page):
    return int(page.locator(".viewer-panel section.cell").get_attribute("data-cell"))


def test_the_map_shows_the_pixels_of_the_slide(page, address, smear):
    cell = lonely_cell(smear.cells.boxes)
    show(page, address, f"?cell={cell}")
    page.wait_for_selector(f".viewer-panel section[data-cell='{cell}']")
    page.locator(".viewer-map").focus()
    for key in ("Escape", "Shift+O", "Shift+R"):
        page.keyboard.press(key)
    assert page.locator(".zoom output").inner_text() == "40×"  # of a slide with 0.25 um per pixel: level 0
    tiles_are_there(page)

    shown = seen(page, 240).astype(float)
    x, y = ((smear.cells.boxes[cell, :2] + smear.cells.boxes[cell, 2:]) / 2).round().astype(int)
    with open_slide(Path(smear.run["file"])) as slide:
        around = slide.read(0, int(x) - 122, int(y) - 122, Size(244, 244)).astype(float)
    away = min(np.abs(shown - around[dy : dy + 240, dx : dx + 240]).mean() for dy in range(1, 4) for dx in range(1, 4))
    assert away < 4
    assert np.abs(shown - around[::-1][2:242, 2:242]).mean() > 8  # the comparison can fail


def test_a_cell_is_chosen_named_and_taken_back(page, address, smear):
    cell = lonely_cell(smear.cells.boxes)
    show(page, address, f"?cell={cell}")
    page.wait_for_selector(f".viewer-panel section[data-cell='{cell}']")
    page.keyboard.press("Escape")
    page.wait_for_selector(".viewer-panel section:not(.cell)")
    tiles_are_there(page)
    assert not has_colour(seen(page, 120), "megakaryocyte")

    page.mouse.click(*middle(page))
    page.wait_for_selector(f".viewer-panel section[data-cell='{cell}']")
    assert page.url.endswith(f"cell={cell}")
    page.keyboard.press("k")
    page.wait_for_selector(".now:has-text('Megakaryocyte')")
    row = log(page, address)[-1]
    assert (row["kind"], row["payload"]) == ("retype", {"cells": {"0": [cell]}, "to": "megakaryocyte"})
    page.keyboard.press("Escape")
    overlay_shows(page, row["n"])
    assert has_colour(seen(page, 120), "megakaryocyte")

    page.keyboard.press("Control+z")
    page.wait_for_selector(".status:has-text('Taken back')")
    assert log(page, address)[-1]["kind"] == "undo"
    overlay_shows(page, row["n"] + 1)
    assert not has_colour(seen(page, 120), "megakaryocyte")

    page.mouse.click(*middle(page))
    page.wait_for_selector(f".viewer-panel section[data-cell='{cell}']")
    link = page.get_by_role("link", name="Show in the gallery").get_attribute("href")
    assert link == f"/cases/1?slide=0&cell={cell}"


def test_a_missed_cell_is_added_moved_and_deleted(page, address, smear):
    with page.expect_request("**/changes?*") as asked:
        show(page, address)
    assert asked.value.headers["x-background"] == "1"
    page.get_by_role("button", name="As a 40× objective shows it").click()
    page.wait_for_function("() => document.querySelector('.zoom output').textContent === '40×'")
    x, y = middle(page)
    page.get_by_role("button", name="Add a cell").click()
    page.mouse.move(x - 30, y - 20)
    page.mouse.down()
    page.mouse.move(x + 30, y + 20, steps=3)
    page.mouse.up()
    page.get_by_role("heading", name="New cell").wait_for()
    full = {"status": 503, "json": {"error": "storage", "message": "the database is full"}}
    intercept(page, "/edits", lambda route: route.fulfill(**full))
    page.keyboard.press("c")
    page.get_by_text("Not kept: the database is full").wait_for()
    page.get_by_role("heading", name="New cell").wait_for()  # the box is there again
    page.unroute("**/edits")
    page.evaluate(  # a key that is pressed twice and then held
        "() => { for (const repeat of [false, false, true, true]) document.body.dispatchEvent("
        "new KeyboardEvent('keydown', { key: 'c', repeat, bubbles: true })); }"
    )
    page.wait_for_selector(".now:has-text('Plasma cell')")
    added = log(page, address)[-1]
    assert [row["kind"] for row in log(page, address)].count("add") == 1
    x0, y0, x1, y1 = added["payload"]["box"]
    assert (added["kind"], added["payload"]["to"]) == ("add", "plasma_cell")
    assert (x1 - x0, y1 - y0) == pytest.approx((60, 40), abs=1)
    assert chosen(page) == added["payload"]["cell"] == len(smear.cells)

    corner = page.locator(".corner-2").bounding_box()
    page.mouse.move(corner["x"] + 7, corner["y"] + 7)
    page.mouse.down()
    page.mouse.move(corner["x"] + 27, corner["y"] + 17, steps=3)
    page.mouse.up()
    page.wait_for_selector(".status:has-text('moved')")
    moved = log(page, address)[-1]
    assert moved["kind"] == "move"
    assert moved["payload"]["box"] == pytest.approx([x0, y0, x1 + 20, y1 + 10], abs=1)

    page.keyboard.press("Delete")
    page.wait_for_selector(".status:has-text('deleted')")
    page.wait_for_selector(".viewer-panel section:not(.cell)")
    assert log(page, address)[-1]["kind"] == "delete"
    page.keyboard.press("Control+z")
    page.wait_for_selector(".status:has-text('Taken back')")
    page.keyboard.press("Space")
    page.wait_for_selector(f".viewer-panel section[data-cell='{len(smear.cells)}']")

    page.get_by_role("button", name="Whole", exact=True).click()
    page.keyboard.press("Shift+N")
    page.wait_for_function("() => Number.parseFloat(document.querySelector('.zoom output').textContent) < 5")
    stage = page.locator(".viewer-map").bounding_box()
    side = stage["height"] - 24  # of the slide on the screen
    page.mouse.click(stage["x"] + stage["width"] / 2 - side / 8, stage["y"] + 12 + 0.96 * side)
    page.get_by_role("alert").filter(has_text="outside of the counted fields").wait_for()
    page.keyboard.press("Escape")


def test_what_is_not_kept_is_taken_off_the_page_again(page, address, smear):
    cell = lonely_cell(smear.cells.boxes)
    show(page, address, f"?cell={cell}")
    before = page.locator(".now").inner_text()
    intercept(page, "/edits", lambda route: route.abort())
    page.keyboard.press("x")
    page.get_by_text("Not kept: The server does not answer").wait_for()
    assert page.locator(".now").inner_text() == before


def test_a_moved_slide_is_said_in_words_until_it_is_back(page, address, results, counted):
    gone = results / "gone.tif"
    page.goto(f"{address}/cases/1/slides/1")
    told = page.locator(".missing")
    told.wait_for()
    assert f"was moved or deleted. It was sought at {gone}." in told.inner_text()
    assert told.get_by_role("link").get_attribute("href") == "/cases/1?slide=1"
    away = Path(json.loads((counted / "smear-4" / "run.json").read_text())["file"])
    shutil.copy(away, gone)
    page.wait_for_selector(".viewer[data-state=open]")  # by itself
    gone.unlink()
    page.get_by_role("button", name="As a 40× objective shows it").click()
    banner = page.locator(".banner.gone")
    banner.wait_for()
    assert str(gone) in banner.inner_text()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    with page.expect_request("**/slides/1"):  # the page asks whether it is back, and for nothing that is drawn
        page.keyboard.press("Home")
    assert not [url for url in asked if "/tiles/" in url or "/overlay/" in url]
    shutil.copy(away, gone)
    banner.wait_for(state="detached")
    tiles_are_there(page)
    gone.unlink()
    # A cell that nobody can see is not changed, and the case is not signed.
    page.goto(f"{address}/cases/1?slide=1&cell=0")
    page.locator(".banner.gone").wait_for()
    before = page.locator(".looked-words").inner_text()
    page.keyboard.press("x")
    page.get_by_role("alert").filter(has_text="a cell whose picture cannot be shown cannot be judged").wait_for()
    assert page.locator(".looked-words").inner_text() == before
    checks = page.request.get(f"{address}/api/v1/cases/1/checks").json()
    (check,) = (check for check in checks if check["code"] == "slide")
    assert check["needed"]
    assert not check["met"]
    assert check["words"].startswith("The slide of smear-4 was moved or deleted.")
    page.goto(f"{address}/cases/1/slides/7")
    assert "there is no slide 7" in page.get_by_role("alert").inner_text()
    for path in ("", "/slides/0", "/report", "/observers"):
        page.goto(f"{address}/cases/{10**23}{path}")
        assert f"there is no case {10**23}" in page.get_by_role("alert").inner_text()
    assert page.goto(f"{address}/cases/1?slide={10**23}&cell={10**23}").ok
