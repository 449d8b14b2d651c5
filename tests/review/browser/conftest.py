"""A served review in a process of its own, and Chromium to look at it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
PATIENCE = 30_000
"""Milliseconds that a condition of a page may take on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    missing = (
        "Playwright for Python is not installed"
        if importlib.util.find_spec("playwright") is None
        else "no Chromium is installed"
        if CHROMIUM is None
        else None
    )
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.browser)
            if missing and not os.environ.get("CI"):
                item.add_marker(pytest.mark.skip(reason=missing))


@dataclass
class Served:
    """A running review: its address and its process."""

    url: str
    root: Path
    process: subprocess.Popen[str]

    def stop(self) -> None:
        """End it at once, as a power cut would."""
        self.process.kill()
        self.process.communicate()

    def again(self) -> None:
        """Start it anew at the same address."""
        port = self.url.rstrip("/").rpartition(":")[2]
        self.process = _start(self.root, port)[0]


Serve = Callable[[Path], Served]


def _start(root: Path, port: str = "0") -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "marrowscope", "review", str(root), "--no-browser", "--port", port]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    told = ""
    for line in process.stdout:
        told += line
        if found := re.search(r"http://\S+/", told):
            return process, found[0]
    raise AssertionError(f"the review did not start: {told}")


@pytest.fixture(scope="module")
def serve() -> Iterator[Serve]:
    """Start the review of a folder of results; it is stopped after the tests of the module."""
    running: list[Served] = []

    def start(root: Path) -> Served:
        process, url = _start(root)
        running.append(Served(url, root, process))
        return running[-1]

    yield start
    for served in running:
        if served.process.returncode is None:
            served.stop()


@pytest.fixture(scope="module")
def served(serve: Serve, counted: Path, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """The review of a copy of the counted phantoms, for all tests of the module: starting one takes seconds."""
    return serve(shutil.copytree(counted, tmp_path_factory.mktemp("served") / "results"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a small laptop. A fault of a script fails the test."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    context.close()
    assert not faults


def intercept(page: Page, path: str, handler: Callable[[Route], object]) -> None:
    """``page.route`` for addresses that end with ``path``, once it holds.

    Chromium lets through what is asked right after it was told to stop it.
    """
    asked = []

    def handled(route: Route) -> None:
        if "x-probe" in route.request.headers:
            asked.append(route.abort())
        else:
            handler(route)

    page.route(f"**{path}", handled)
    probe = "(to) => fetch(to, { headers: { 'x-probe': '1' } }).catch(() => null).then(() => true)"
    for _ in range(100):
        page.evaluate(probe, "/api/v1/cases/1" + path.replace("*", "probe"))
        if asked:
            return
    raise AssertionError(f"Chromium does not stop at {path}")
