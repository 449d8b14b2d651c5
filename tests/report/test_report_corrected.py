"""The corrected differential in every output: beside the raw one, never in its place, or why it is not there."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from marrowscope.differential.correction import correct
from marrowscope.differential.counted import Counted
from marrowscope.differential.stopping import FixedCount
from marrowscope.differential.tally import tally
from marrowscope.packs.contract import Confusion
from marrowscope.report.content import ReportContent
from marrowscope.report.html import render_html
from marrowscope.report.summary import print_summary
from marrowscope.report.tables import write_differential_csv
from marrowscope.report.view import table_view


@pytest.fixture
def confused(content_of) -> ReportContent:
    """A marrow counted by a pack that calls each type the next one in a tenth of the cells."""
    content = content_of("normal")
    counts = 180 * np.eye(len(content.pack.classes), dtype=int)
    counts += 20 * np.roll(np.eye(len(counts), dtype=int), 1, axis=1)
    confusion = Confusion(data="200 made up cells of <each> type", counts=tuple(map(tuple, counts.tolist())))
    pack = content.pack.model_copy(update={"confusion": confusion})
    corrected = correct(Counted(pack, tally(content.cells), FixedCount(500), 1.0))
    return replace(content, pack=pack, differential=content.differential.model_copy(update={"corrected": corrected}))


def test_the_table_has_the_corrected_percentages_beside_the_raw_ones(confused, content_of):
    raw, view = table_view(content_of("normal")), table_view(confused)
    rows = [row for group in view.groups for row in group.rows]
    assert view.has_corrected
    assert not raw.has_corrected
    assert sum(float(row.corrected) for row in rows if row.corrected) == pytest.approx(100)
    assert [bool(row.corrected) for row in rows] == [row.assessable for row in rows]
    assert any(row.corrected != row.percent for row in rows)
    shown = [(row.count, row.percent, row.interval, row.mark) for row in rows]
    assert shown == [(row.count, row.percent, row.interval, row.mark) for group in raw.groups for row in group.rows]


def test_the_note_names_the_data_and_the_assumption(confused, content_of):
    note = next(note for note in table_view(confused).notes if note.startswith("Corrected"))
    assert "200 made up cells of <each> type" in note
    assert "assumes" in note
    withheld = next(note for note in table_view(content_of("normal")).notes if "corrected" in note)
    assert withheld == "Not corrected for the pack’s confusions: the pack carries no confusion counts."


def test_a_differential_of_an_earlier_version_says_nothing_of_it(content_of):
    content = content_of("normal")
    earlier = replace(content, differential=content.differential.model_copy(update={"corrected": None}))
    assert not any("orrected" in note for note in table_view(earlier).notes)
    assert "orrected" not in re.sub(r"<style>.*?</style>", "", render_html(earlier), flags=re.DOTALL)


def test_html_shows_a_column_and_every_row_is_as_wide_as_the_head(confused):
    page = render_html(confused)
    table = re.search(r'<table class="ndc">(.*?)</table>', page, re.DOTALL)
    assert table is not None
    assert "Corrected" in table[1]
    assert "&lt;each&gt;" in page
    for line in re.findall(r"<tr.*?</tr>", table[1], re.DOTALL):
        cells = re.findall(r"<t[dh]\b([^>]*)>", line)
        assert sum(int(found[1]) if (found := re.search(r'colspan="(\d+)"', cell)) else 1 for cell in cells) == 7


def test_csv_has_the_numbers_in_full(confused, tmp_path):
    write_differential_csv(confused, tmp_path / "differential.csv")
    with (tmp_path / "differential.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["type"]: row for row in csv.DictReader(file)}
    assert confused.differential.corrected is not None
    for row in confused.differential.corrected.rows:
        written = [float(rows[row.type][f"corrected_{name}"]) for name in ("percent", "low", "high")]
        assert written == [row.percent, row.low, row.high]
    assert rows["mast_cell"]["corrected_percent"] == rows["megakaryocyte"]["corrected_percent"] == ""


def test_the_terminal_has_one_line_for_it_where_something_moves(confused, content_of):
    def printed(content: ReportContent) -> str:
        console = Console(width=150, file=io.StringIO())
        print_summary(content.differential, "marrow-0001", console)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    lines = [line for line in printed(confused).splitlines() if "Corrected" in line]
    assert len(lines) == 1
    assert re.search(r"moved most: [A-Z][a-z ]+ \d+\.\d → \d+\.\d\s% \(\d+\.\d–\d+\.\d\)", lines[0])
    assert "Corrected" not in printed(content_of("normal"))
