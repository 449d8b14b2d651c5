"""The study from a cohort to its page, with a learner that needs no network; each job in its own process."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import polars as pl
import pytest
from typer.testing import CliRunner

from marrowscope.annotations import read_tiles
from marrowscope.cli import build_app
from marrowscope.errors import DataError
from marrowscope.options import silent
from marrowscope.phantom.cohort import Cohort
from marrowscope.studies import wang_2022
from marrowscope.studies.jobs import State
from marrowscope.studies.study import STUDIES, RunOptions, find_study
from marrowscope.studies.wang_2022.data import prepare_data
from marrowscope.studies.wang_2022.regions import RegionFold, RegionResult, read_regions
from marrowscope.studies.wang_2022.scales import SCALES, Part
from marrowscope.taxonomy import WANG_2022_TYPES

SMOKE = RunOptions("smoke", jobs=2)


@pytest.mark.slow
def test_from_a_cohort_to_the_page(cohort: Cohort, learning: ModuleType, tmp_path: Path) -> None:
    output = tmp_path / "study"
    told: list[str] = []
    asked = replace(SMOKE, tell=told.append)
    crashed = wang_2022.run(cohort.folder, output, asked, silent, learner=learning.Threshold("tile-fold-1/plain"))
    assert told[0] == f"cutting the tiles of {cohort.folder}, once"
    assert len(told) == 2 + len(crashed.states)
    assert crashed.states["tile-fold-1/plain"] is State.FAILED
    assert crashed.count(State.DONE) == len(crashed.states) - 1
    written = wang_2022.report(output, tmp_path / "page.md", "marrowscope study report study", ["Made on a toaster."])
    page = written[0].read_text()
    assert "Made on a toaster." in page
    made = f"marrowscope phantom cohort wang-2022 {cohort.folder} --slides smoke"
    assert f"{made}\n    marrowscope study run wang-2022 --data" in page
    assert "Wiring only, two folds and a tiny network: our figures mean nothing." in page
    assert "wanted" not in page  # no number is, of a network that cannot reach it
    assert "Mean of the 16 types" not in page
    assert re.search(r"Mean of the types \|.*, 1[0-5] types \|", page)
    assert not re.search("|".join(name for name in WANG_2022_TYPES if "_" in name), page)
    assert "Failed, and missing from every number below: tile-fold-1/plain: unforeseen RuntimeError" in page
    for number in range(1, 7):
        assert f"## Table {number}" in page
    assert "0.905 ± 0.078" in page  # as printed
    assert "phantom smears of the cohort wang-2022" in page
    assert re.search(r"ours, by object \| not run", page)
    for path in written[2:]:
        ElementTree.fromstring(path.read_text())
    html = written[1].read_text()
    assert "<script" not in html
    assert html.count("<svg") == len(written) - 2

    again = wang_2022.run(cohort.folder, output, SMOKE, silent, learner=learning.Threshold())
    # The learner is no part of the question, so only what failed is done again.
    assert again.states == dict.fromkeys(crashed.states, State.EARLIER) | {"tile-fold-1/plain": State.DONE}
    tiles, truth = read_tiles(output / "tiles"), pl.read_parquet(output / "truth.parquet")
    assert set(tiles.tiles["cohort"]) == {"first", "second"}
    first = cohort.slides[0]
    owned = tiles.cells.filter("owned").filter(pl.col("id").str.starts_with(first.name))
    assert owned.height == first.labels().height  # every label is owned by exactly one tile
    assert truth.filter("owned").height > tiles.cells.filter("owned").height

    before = (output / "study.json").read_text()
    with pytest.raises(DataError, match=r"threads: 1, now 2\)"):
        wang_2022.run(cohort.folder, output, replace(SMOKE, threads=2), silent, learner=learning.Threshold())
    assert (output / "study.json").read_text() == before  # it still says how what is there was made
    with pytest.raises(DataError, match="holds the scale smoke"):
        wang_2022.run(cohort.folder, output, replace(SMOKE, scale="cpu"), silent, learner=learning.Threshold())


def test_another_scale_is_refused_before_weights_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text('{"study": "wang-2022", "scale": "smoke"}')
    with pytest.raises(DataError, match=r"holds the scale smoke: .*go on with --scale smoke, or take it over with"):
        wang_2022.run(tmp_path, tmp_path, RunOptions("gpu"), silent)


def test_a_cohort_ends_with_the_next_command(cohort: Cohort) -> None:
    result = CliRunner().invoke(
        build_app("phantom"), ["phantom", "cohort", "wang-2022", str(cohort.folder), "--slides", "smoke"]
    )
    assert result.exit_code == 0, result.output
    study = f"{cohort.folder}-study"
    assert result.stdout.splitlines()[-1] == (
        f"next: marrowscope study run wang-2022 --data {cohort.folder} -o {study} --scale smoke"
    )


def test_data_that_are_neither_cohort_nor_tiles(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="neither a cohort nor a folder of tiles: make one with marrowscope phantom"):
        prepare_data(tmp_path, tmp_path / "study", silent)


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no study is called 'wang'; known: wang-2022"):
        find_study("wang")
    with pytest.raises(DataError, match="'huge' is unknown; choose one of smoke, cpu, gpu, full"):
        wang_2022.run(tmp_path, tmp_path, RunOptions("huge"), silent)


def test_scales_compare_both_arms_on_the_same_folds() -> None:
    for scale in SCALES.values():
        picks = {part.arm: part.pick for part in scale.parts if part.protocol == "tile"}
        assert picks["plain"] == picks["cascade"]
        assert any(part.protocol == "slide" and part.arm == "cascade" for part in scale.parts)


def test_a_scale_that_asks_for_more_folds_than_there_are() -> None:
    with pytest.raises(DataError, match="asks for fold 2, but there are 0 folds"):
        Part("tile", (2,), "plain", "plain").chosen([], [])


def test_every_study_says_what_it_is() -> None:
    for name in STUDIES:
        about = find_study(name).ABOUT
        assert about.name == name
        assert {"smoke", "cpu", "gpu"} <= set(about.scales)
        for words in about.scales.values():
            assert re.search(r"About [\d.]+ (minutes|hours)", words)
            assert ("measured" in words) or ("estimate" in words)


def test_list_and_report_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_app("study")(args=["study", "list", "--json"], prog_name="marrowscope")
    assert ended.value.code == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == list(STUDIES)
    with pytest.raises(SystemExit) as ended:
        build_app("study")(args=["study", "report", str(tmp_path)], prog_name="marrowscope")
    assert ended.value.code == 1
    assert "holds no study: begin with marrowscope study run" in " ".join(capsys.readouterr().err.split())


def test_regions_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert read_regions(tmp_path) is None
    fold = RegionFold(0.9, 1.0, 0.9, 0.8)
    result = RegionResult((fold,), (fold, fold), {"F01": (3, 1.5)}, "a model of a test")
    path = tmp_path / "jobs" / "regions" / "regions.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(result.to_json()))
    assert read_regions(tmp_path) == result
    path.write_text("{}")
    with pytest.raises(DataError, match="is damaged"):
        read_regions(tmp_path)
