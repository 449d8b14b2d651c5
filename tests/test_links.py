"""Every relative link of the documentation leads somewhere, and no page tells where files of some machine lay."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")), *(ROOT / "docs").rglob("*.md")]
MACHINE = re.compile(r"(?<![\w.~])/(?:tmp|home|root|work|Users|var|mnt)/\S*")
LINK = re.compile(r"\]\(([^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_files(page):
    targets = (inline or reference for inline, reference in LINK.findall(page.read_text(encoding="utf-8")))
    relative = [target.partition("#")[0] for target in targets if not re.match(r"#|[a-z]+:", target)]
    assert [target for target in relative if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_holds_a_path_of_a_machine(page):
    assert MACHINE.findall(page.read_text(encoding="utf-8")) == []
