"""What the pack does not know, by its own held-out cells or by its doubt, is told where its numbers stand."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from marrowscope.differential.counting import make_differential
from marrowscope.differential.stopping import FixedCount
from marrowscope.differential.tally import Tally
from marrowscope.packs.contract import Confusion
from marrowscope.report.content import ReportContent
from marrowscope.report.html import render_html
from marrowscope.report.page import report_page
from marrowscope.report.pdf import render_pdf
from marrowscope.report.summary import print_summary
from marrowscope.report.tables import write_differential_csv
from marrowscope.report.view import NOT_RECOGNISED, table_view


def recounted(content: ReportContent, unsure: int = 0, **right: tuple[int, int]) -> ReportContent:
    """Lymphocytes, so many unsure, and 5 promyelocytes; ``type=(held-out cells, called right)``, else 9 of 10."""
    classes = content.pack.classes
    counts = np.zeros((len(classes),) * 2, int)
    for place, name in enumerate(classes):
        n, hits = right.get(name, (10, 9))
        counts[place, place], counts[place, place - 1] = hits, n - hits
    pack = content.pack.model_copy(update={"confusion": Confusion(data="held out", counts=counts.tolist())})
    tally = Tally({"lymphocyte": 495, "promyelocyte": 5}, 500, {"lymphocyte": unsure})
    counted = make_differential(tally, pack, FixedCount(500), area_mm2=1.0, fields=9, stopped="x", particles=1)
    return replace(content, pack=pack, differential=counted)


@pytest.fixture
def blind(content_of) -> ReportContent:
    """A marrow counted by a pack that never knew a blast, and was not measured on plasma cells."""
    return recounted(content_of("normal"), blast=(80, 0), plasma_cell=(0, 0))


def test_the_rows_keep_their_numbers_and_are_marked(blind, content_of):
    rows = {row.type: row for group in table_view(blind).groups for row in group.rows}
    assert (rows["blast"].count, rows["blast"].percent, rows["blast"].mark) == ("0", "0.0", "○")
    assert rows["plasma_cell"].mark == "○"
    assert rows["lymphocyte"].mark == "▲"
    assert [row.recognised for row in blind.differential.rows if row.type in {"blast", "plasma_cell", "monocyte"}] == [
        False,
        True,
        False,
    ]
    notes = {row.type: row.note for row in blind.differential.rows}
    assert notes["blast"] == "not recognised on held-out cells"
    assert notes["plasma_cell"] == "not measured on held-out cells"
    known = recounted(content_of("normal"))
    assert not any(row.mark == "○" for group in table_view(known).groups for row in group.rows)


def test_page_terminal_and_table_say_so(blind, tmp_path):
    page = render_html(blind)
    assert 'title="not recognised on held-out cells">○</span>0.0' in page
    assert NOT_RECOGNISED in page
    console = Console(file=io.StringIO(), width=200, color_system=None)
    print_summary(blind.differential, "slide", console)
    (line,) = [line for line in console.file.getvalue().splitlines() if line.startswith("Blast ")]
    assert "○ 0.0" in line
    assert NOT_RECOGNISED in console.file.getvalue()
    write_differential_csv(blind, tmp_path / "differential.csv")
    with (tmp_path / "differential.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["type"]: row for row in csv.DictReader(file)}
    assert (rows["blast"]["percent"], rows["blast"]["recognised"]) == ("0.0", "false")
    assert rows["blast"]["note"] == "not recognised on held-out cells"
    assert rows["lymphocyte"]["recognised"] == "true"


@pytest.mark.parametrize(("unsure", "told"), [(250, False), (251, True)])
def test_doubt_of_most_cells_stands_at_the_head(content_of, unsure, told):
    content = recounted(content_of("normal"), unsure)
    words = "UNSURE: the pack is unsure of 251 of the 500 cells (50\u202f%)"
    assert report_page(content).doubt.startswith(words) == told
    page = render_html(content)
    assert (words in page[: page.index("Cells counted")]) == told
    console = Console(file=io.StringIO(), width=200, color_system=None)
    print_summary(content.differential, "slide", console)
    text = console.file.getvalue()
    assert (words in text[: text.index("Cells counted")]) == told


def test_the_pdf_is_set_with_both(content_of):
    assert render_pdf(recounted(content_of("normal"), 400, blast=(80, 0))).startswith(b"%PDF")
