"""From the demonstration to a signed PDF, by the page alone. With MARROWSCOPE_PICTURES=FOLDER it keeps what it saw."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pypdf import PdfReader

from .conftest import Serve

if TYPE_CHECKING:
    from playwright.sync_api import Page

PICTURES = os.environ.get("MARROWSCOPE_PICTURES")


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``marrowscope demo`` leaves behind."""
    folder = tmp_path_factory.mktemp("demo") / "marrowscope-demo"
    command = [sys.executable, "-m", "marrowscope", "demo", "-o", str(folder), "--cells", "300", "--seed", "11"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


def keep(page: Page, name: str) -> None:
    """A small picture of the page, for the documents."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.jpg", type="jpeg", quality=60)


def test_from_the_demonstration_to_a_signed_pdf(page: Page, serve: Serve, demonstration: Path) -> None:
    served = serve(demonstration)
    page.goto(served.url)
    keep(page, "cases")
    page.get_by_role("link", name="phantom-11").first.click()

    page.wait_for_selector(".gallery[data-state=open]")
    page.wait_for_function("performance.getEntriesByName('gallery:complete').length > 0")
    keep(page, "gallery")
    # The queue of unsure cells, by keys alone: each is looked at, one is called otherwise.
    options = page.get_by_label("Show").locator("option").all_text_contents()
    queue = next(words for words in options if words.startswith("Unsure"))
    unsure = int(queue.partition("(")[2].rstrip(")").replace(",", ""))
    if unsure:
        page.get_by_label("Show").select_option(label=queue)
        page.locator(".scroller").focus()
        for _ in range(unsure):
            page.keyboard.press("Enter")
        page.get_by_text("No unsure", exact=False).first.wait_for()
        page.get_by_label("Show").select_option(index=0)
    page.locator(".scroller").focus()
    page.keyboard.press("Home")
    page.keyboard.press("m")
    page.locator(".status", has_text="Monocyte. Kept.").wait_for()

    page.get_by_role("link", name="Slide").first.click()
    page.locator(".leaflet-tile-loaded").first.wait_for()
    page.wait_for_load_state("networkidle")
    keep(page, "slide")

    page.get_by_role("link", name="Report").first.click()
    page.locator("[name=conclusion]").fill("Normocellular phantom marrow. <No> & no diagnosis.")
    page.locator("[name=erythropoiesis]").fill("In all stages.")
    page.locator("[name=patient_id]").fill("P-0001")
    page.locator("[name=signer]").fill("Dr Ann Other")
    page.locator("[name=role]").fill("consultant haematologist")
    page.get_by_text("A conclusion was written.").wait_for()
    for passed_over in page.locator(".checks input[type=checkbox]").all():
        passed_over.check()
    keep(page, "report")
    page.get_by_role("button", name="Sign version 1").click()
    page.get_by_text("Version 1 is signed").first.wait_for()
    page.locator("#signature").scroll_into_view_if_needed()
    keep(page, "signed")

    with page.expect_download() as downloaded:
        page.get_by_role("link", name="report.pdf").click()
    pages = PdfReader(io.BytesIO(downloaded.value.path().read_bytes())).pages
    words = " ".join("".join(sheet.extract_text() for sheet in pages).split())
    first = " ".join(pages[0].extract_text().split())
    assert re.search(r"\d+ of \d+ cells (was|were) looked at by a person.+Normocellular phantom marrow", first)
    assert "Reviewed and signed by Dr Ann Other, consultant haematologist" in words
    assert "Normocellular phantom marrow. <No> & no diagnosis." in words
    assert "P-0001" in words
    rows = page.request.get(f"{served.url}api/v1/cases/1/log").json()
    assert rows["fault"] is None
    assert [row["kind"] for row in rows["rows"]].count("sign") == 1
