"""What the verbs print: names of every kind, whole and as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrowscope.batch import Outcome
from marrowscope.cli.console import say_where, show_outcome
from marrowscope.differential.counting import make_differential
from marrowscope.differential.stopping import FixedCount
from marrowscope.differential.tally import Tally
from marrowscope.packs import load_pack

NAMES = ["smear [a1]", "x [/red]", "[bold]7[/bold]", "a" * 90 + " " + "b" * 90]


@pytest.mark.parametrize("name", NAMES)
def test_a_finished_count_says_where_it_lies_whatever_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    differential = make_differential(
        Tally({"myelocyte": 3}, 3), load_pack("phantom-16").contract, FixedCount(3), area_mm2=0.1, fields=1, stopped="-"
    )
    show_outcome(Outcome(name, Path("results") / name, differential, 1.25))
    assert f"in 1.2 s; look at results/{name}/report.html\n" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_one_line_and_no_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    say_where("", Path(name), " is the slide")
    assert capsys.readouterr().out == f"{name} is the slide\n"
