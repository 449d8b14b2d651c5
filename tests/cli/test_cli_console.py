"""What the verbs print: names of every kind, whole and as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrowscope.batch import Outcome
from marrowscope.cli import console
from marrowscope.cli.console import Stages, say_where, show_outcome
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


def test_without_a_terminal_a_stage_is_a_plain_line_at_each_tenth(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(console, "monotonic", lambda: clock[0])
    with Stages(lines=True) as stages:
        stages.report("reading [a1]", 0.0)
        for step in range(1, 41):
            stages.report("training", step / 40, f"step {step} of 40")
        stages.report("measuring", 0.01, "tile 1 of 100")
        for clock[0] in (29.0, 30.0, 59.0):
            stages.report("measuring", 0.02, "tile 2 of 100")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "reading [a1]",
        "training, 2 %, step 1 of 40",
        "training, 10 %, step 4 of 40",
        "training, 20 %, step 8 of 40",
    ]
    assert lines[-3:] == [
        "training, 100 %, step 40 of 40",
        "measuring, 1 %, tile 1 of 100",
        "measuring, 2 %, tile 2 of 100",
    ]
    assert len(lines) == 14
    for quiet in (Stages(), Stages(lines=True, shown=False)):
        with quiet as stages:
            stages.report("training", 0.5)
    assert capsys.readouterr() == ("", "")
