"""The verb ``evaluate`` on two small phantoms: complete truth, partial labels, what fails, the three files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from marrowscope.annotations.table import ANNOTATION_SCHEMA
from marrowscope.cli import build_app
from marrowscope.phantom import PhantomOptions, read_truth, render_phantom
from marrowscope.report.verification import MATCHES_SCHEMA


def run(slides: Path, truth: Path, output: Path, *options: str) -> Result:
    arguments = ["evaluate", "--pack", "phantom-16", "--slides", str(slides), "--truth", str(truth), "-o", str(output)]
    return CliRunner().invoke(build_app("evaluate"), [*arguments, *options], env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("one", 1), ("two", 2)):
        render_phantom(folder / f"{name}.tif", PhantomOptions(cells=90, seed=seed))
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the slides are counted once."""
    return tmp_path_factory.mktemp("verification")


def test_complete_truth(slides: Path, output: Path) -> None:
    result = run(slides, slides, output)
    assert result.exit_code == 0, result.output
    assert "Mean recall" in result.stdout
    facts = json.loads((output / "evaluation.json").read_text())
    assert (facts["schema"], facts["phantom"], facts["redrawn"]) == ("marrowscope.evaluation", True, "squares")
    assert [slide["name"] for slide in facts["slides"]] == ["one", "two"]
    assert facts["strict"]["complete"]
    assert facts["strict"]["macro_recall"]["value"] > 0.9
    assert facts["confusion"]["rows"][-1] == "background"
    assert facts["detection"][0]["ap50"]["value"] > 0.9
    table = pl.read_parquet(output / "matches.parquet")
    assert table.schema == pl.Schema(MATCHES_SCHEMA)
    assert table.height == sum(slide["asked"] for slide in facts["slides"])
    assert table.height == facts["strict"]["right"]["total"]
    right = table.filter(pl.col("truth") == pl.col("called")).height
    assert right == facts["strict"]["right"]["count"]
    truth = read_truth(slides / "one.tif").cells
    for row in table.filter(slide="one").iter_rows(named=True):
        assert truth["type"][int(row["id"])] == row["truth"]
    page = (output / "verification.html").read_text()
    assert "Verification on phantoms" in page
    assert "Signature" in page
    assert "<script" not in page
    assert facts["pack"]["sha256"] in page


def test_partial_labels_missing_labels_and_a_broken_slide(slides: Path, output: Path, tmp_path: Path) -> None:
    """The counts are those of before; one slide fails for its labels, one for itself, and the third is judged."""
    folder, labels = tmp_path / "slides", tmp_path / "labels"
    folder.mkdir()
    labels.mkdir()
    for name in ("one.tif", "two.tif"):
        shutil.copy(slides / name, folder / name)
    (folder / "broken.tif").write_bytes(b"II*\0")
    truth = read_truth(slides / "one.tif").cells.with_row_index("id").with_columns(pl.col("id").cast(pl.String))
    some = truth.select(*ANNOTATION_SCHEMA).gather_every(2)
    some.write_parquet(labels / "one.labels.parquet")
    some.write_parquet(labels / "broken.labels.parquet")
    result = run(folder, labels, output, "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    broken, one, two = facts["slides"]
    assert "could not be counted" in broken["error"]
    assert "no labels of two" in two["error"]
    assert one["error"] is None
    assert not one["complete"]
    assert one["asked"] + one["outside"] + one["border"] == some.height
    assert not facts["strict"]["complete"]
    assert facts["strict"]["left_out"] == one["detections_without_a_label"] > 0
    assert facts["confusion"]["rows"][-1] != "background"
    assert facts["detection"] == []
    assert facts["differential"] == []
    page = (output / "verification.html").read_text()
    assert "Not in the numbers" in page
    assert "no slide states that every cell" in page


def test_nothing_to_judge_is_an_error_and_writes_nothing(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    result = run(slides, tmp_path / "labels", tmp_path / "out")
    assert result.exit_code == 1
    assert "none of 2 slides could be judged" in result.stderr
    assert not (tmp_path / "out" / "verification.html").exists()
    assert run(tmp_path / "labels", slides, tmp_path / "out").exit_code == 1
    assert run(tmp_path / "absent", slides, tmp_path / "out").exit_code == 1
