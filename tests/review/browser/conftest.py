"""A served review in a process of its own, and pages of a real Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium; skips without one, never in CI."""
    lacking = "" if CHROMIUM else "Chromium is not installed: apt-get install chromium"
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        lacking = "playwright is not installed: pip install playwright"
    if lacking:
        pytest.fail(lacking) if os.environ.get("CI") else pytest.skip(lacking)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of 1366 x 768 pixels; mistakes of its scripts fail the test."""
    faults: list[str] = []
    with browser.new_context(viewport={"width": 1366, "height": 768}, reduced_motion="reduce") as context:
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text) if "Vue warn" in told.text else None)
        yield page
    assert faults == []


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Path], str]]:
    """Serves a folder of results until the module is done; gives the address."""
    with ExitStack() as running:
        yield lambda results: running.enter_context(_served(results))


@contextmanager
def _served(results: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "marrowscope", "review", str(results), "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline()
            found = re.search(r"http://\S+?(?=/ )", told)
            assert found, f"the review did not start: {told}"
            yield found[0]
        finally:
            process.terminate()
