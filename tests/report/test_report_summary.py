"""The summary on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from marrowscope.differential.result import TypeRow
from marrowscope.report.bars import Axis
from marrowscope.report.summary import bar, print_summary


def printed(content, width=120):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_summary(content.differential, content.slide.label, console)
    return console.file.getvalue()


@pytest.mark.parametrize("shape", ["normal", "partial", "empty", "one", "all types"])
def test_the_summary_has_every_row_and_every_flag(content_of, shape):
    content = content_of(shape)
    text = printed(content)
    assert content.differential.title in text
    for row in content.differential.rows:
        assert row.title in text
    assert text.count("not assessable") >= sum(not row.assessable for row in content.differential.rows)
    assert ("PHANTOM" in text) == content.differential.phantom


def test_square_brackets_in_a_name_are_no_markup(content_of):
    console = Console(file=io.StringIO(), width=120, color_system=None)
    print_summary(content_of("one").differential, "[bold]slide[/bold]", console)
    assert "[bold]slide[/bold]" in console.file.getvalue()


def test_a_bar_in_characters():
    row = TypeRow(
        type="blast", title="Blast", lineage="blast", assessable=True, count=25, percent=25.0, percent_rounded=25.0,
        low=16.0, high=36.0, reference_low=0.0, reference_high=4.0,
    )  # fmt: skip
    # Square roots of 0, 4, 16, 25 and 36 percent lie at 0, 2, 4, 5 and 6 tenths of the axis.
    assert bar(row, Axis(100.0)).plain == "░░░░░░    ━━●━━          "
