"""The phantom cohort of wang-2022: what is planned, what is on disk, how it goes on, and what a damaged one says."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from marrowscope.cli import build_app
from marrowscope.errors import DataError, OutputError
from marrowscope.phantom import Cohort, PhantomError, make_cohort, read_cohort
from marrowscope.phantom.cohort import LABEL_SCHEMA, READING_SCHEMA, plan_cohort
from marrowscope.phantom.diagnoses import DIAGNOSES, marrow_composition, meets_definition, patient_composition
from marrowscope.slides import open_slide
from marrowscope.taxonomy import CELL_TYPES, PHANTOM_TYPES


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    seen: list[tuple[int, int]] = []
    folder = tmp_path_factory.mktemp("cohort")
    cohort = make_cohort(folder, scale="smoke", progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(i, 6) for i in range(1, 7)]
    return cohort


def _copy(cohort: Cohort, folder: Path) -> Path:
    shutil.copytree(cohort.folder, folder)
    return folder


def test_the_paper_s_patients_are_planned() -> None:
    plans = plan_cohort(Path("d"))
    first = [plan.slide for plan in plans if plan.slide.cohort == "first"]
    second = [plan.slide for plan in plans if plan.slide.cohort == "second"]
    assert Counter(s.diagnosis for s in first) == {"normal": 12, "aml": 6, "mds": 1, "cmml": 1, "all": 3, "mm": 4}
    assert Counter(s.diagnosis for s in second) == {"normal": 3, "mm": 2, "aml": 2, "cmml": 1, "cml": 1, "mds": 1}
    assert (first[0].name, second[3].name) == ("F01-normal", "S04-mm")
    assert {s.stain for s in first} == {"liu"}
    assert {s.stain for s in second}.isdisjoint({"liu"})
    assert {s.scanner for s in first}.isdisjoint({s.scanner for s in second})
    assert len({s.seed for s in (*first, *second)}) == 37
    assert sum(plan.twice for plan in plans) == 602
    assert sum(plan.twice > 0 for plan in plans) == 3
    assert sum(plan.once for plan in plans) == 620
    assert {plan.options.difficulty for plan in plans} == {"paper"}


@pytest.mark.parametrize("diagnosis", DIAGNOSES)
def test_patients_vary_within_their_diagnosis(diagnosis: str) -> None:
    drawn = np.array([patient_composition(diagnosis, np.random.default_rng(i)) for i in range(300)])
    assert drawn.sum(axis=1) == pytest.approx(1)
    counted = [CELL_TYPES[name].counted for name in PHANTOM_TYPES]
    for row in drawn:
        shares = dict(zip(PHANTOM_TYPES, row / row[counted].sum(), strict=True))
        assert meets_definition(diagnosis, shares)
    usual = marrow_composition(diagnosis)
    common = usual > 0.03
    assert drawn.mean(axis=0)[common] == pytest.approx(usual[common], rel=0.2)
    deviation = drawn.std(axis=0)[common] / np.sqrt(usual * (1 - usual))[common]
    assert ((deviation > 0.03) & (deviation < 0.13)).all()


def test_what_is_no_leukaemia_is_told() -> None:
    shares = dict.fromkeys(PHANTOM_TYPES, 0.0) | {"blast": 0.19, "plasma_cell": 0.09, "monocyte": 0.09}
    assert not any(meets_definition(diagnosis, shares) for diagnosis in DIAGNOSES)


def test_the_layout_on_disk(smoke: Cohort) -> None:
    names = [slide.name for slide in smoke.slides]
    parts = (".tif", ".truth.json.gz", ".labels.parquet", ".readings.parquet")
    assert sorted(p.name for p in smoke.folder.iterdir()) == sorted(
        [name + part for name in names for part in parts] + ["cohort.json"]
    )
    document = json.loads((smoke.folder / "cohort.json").read_text())
    assert document["schema"] == "marrowscope.phantom.cohort"
    assert (document["schema_version"], document["name"], document["difficulty"]) == (1, "wang-2022", "paper")
    assert set(document["slides"][0]) == {"name", "cohort", "diagnosis", "stain", "scanner", "seed", "cells"}
    assert read_cohort(smoke.folder) == smoke
    assert [slide.name for slide in smoke.of("second")] == ["S01-normal", "S04-mm"]


def test_labels_and_readings_fit_the_truth(smoke: Cohort) -> None:
    for slide in smoke.slides:
        truth, labels, readings = slide.truth(), slide.labels(), slide.readings()
        assert dict(labels.schema) == LABEL_SCHEMA
        assert dict(readings.schema) == READING_SCHEMA
        assert truth.cells["in_trail"].sum() == slide.cells
        assert 20 < len(labels) < slide.cells
        rows = truth.cells[labels["cell"].to_list()]
        assert labels["truth"].to_list() == rows["type"].to_list()
        assert rows["in_trail"].all()
        centres = [(t["x0"] + t["x1"]) / 2 for t in (labels, rows)]
        assert float((centres[0] - centres[1]).abs().max()) < 20
        assert set(labels["type"]) <= set(PHANTOM_TYPES)
    first, _, third, *_ = smoke.slides
    assert Counter(first.readings().select("reader", "occasion").iter_rows()) == dict.fromkeys(
        [("1", 1), ("1", 2), ("2", 1), ("2", 2)], 30
    )
    assert Counter(third.readings().select("reader", "occasion").iter_rows()) == {("1", 1): 30, ("2", 1): 30}
    assert len(smoke.slides[-1].readings()) == 0


def test_the_slides_open_with_their_spacing(smoke: Cohort) -> None:
    for cohort, spacing in (("first", 0.25), ("second", 0.23)):
        slide = open_slide(smoke.of(cohort)[0].path)
        assert slide.spacing is not None
        assert slide.spacing.x == pytest.approx(spacing, rel=1e-4)
        slide.close()


def test_it_goes_on_where_it_was_and_makes_the_same_again(smoke: Cohort, tmp_path: Path) -> None:
    folder = _copy(smoke, tmp_path / "c")
    kept, made_again = [folder / "F01-normal.tif", folder / "S01-normal.tif"], folder / "S04-mm.tif"
    before = [path.stat().st_mtime_ns for path in kept]
    old = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    made_again.unlink()
    (folder / "S01-normal.labels.parquet").unlink()
    (folder / "cohort.json").unlink()
    make_cohort(folder, scale="smoke", threads=1)
    assert [path.stat().st_mtime_ns for path in kept] == before, "rendered slides stay, also where a table is missing"
    assert {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()} == old


def test_another_cohort_is_not_written_over(smoke: Cohort, tmp_path: Path) -> None:
    folder = _copy(smoke, tmp_path / "c")
    with pytest.raises(OutputError, match=r"F01-normal\.tif is there already, made with other options.*--force"):
        make_cohort(folder, scale="smoke", seed=7)


def test_each_missing_or_damaged_file_says_what_to_type(smoke: Cohort, tmp_path: Path) -> None:
    again = "marrowscope phantom cohort wang-2022"
    with pytest.raises(DataError, match=f"no finished cohort.*{again}"):
        read_cohort(tmp_path)
    folder = _copy(smoke, tmp_path / "c")
    (folder / "F13-aml.labels.parquet").write_bytes(b"PAR1 no")
    cohort = read_cohort(folder)
    with pytest.raises(DataError, match=rf"F13-aml\.labels\.parquet is damaged.*delete it and type: {again}"):
        cohort.slides[1].labels()
    pl.DataFrame({"cell": [1]}).write_parquet(folder / "F13-aml.labels.parquet")
    with pytest.raises(DataError, match="has the columns cell, expected id, type"):
        cohort.slides[1].labels()
    (folder / "F13-aml.readings.parquet").unlink()
    with pytest.raises(DataError, match=rf"lacks F13-aml\.readings\.parquet.*{again} .* --slides smoke"):
        read_cohort(folder)
    listing = folder / "cohort.json"
    good = json.loads(listing.read_text())
    for content, words in (
        ("{", "cannot be read"),
        ("[]", "no list of a cohort"),
        (json.dumps({**good, "schema_version": 2}), "schema version 2, this program reads 1"),
        (json.dumps({**good, "slides": [{"name": "x"}]}), "is damaged"),
    ):
        listing.write_text(content)
        with pytest.raises(DataError, match=words):
            read_cohort(folder)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"scale": "some"}, "unknown choice of slides 'some'"), ({"seed": -1}, "seed of a cohort is -1")],
)
def test_wrong_plans_are_named(wrong: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(PhantomError, match=words):
        make_cohort(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())


def test_the_verb_sums_up(smoke: Cohort) -> None:
    folder = str(smoke.folder)
    asked = ["phantom", "cohort", "wang-2022", folder, "--slides", "smoke"]
    result = CliRunner().invoke(build_app("phantom"), [*asked, "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["cohorts"]["first"]["labels"] == sum(len(slide.labels()) for slide in smoke.of("first"))
    assert sum(summary["cohorts"]["first"]["by_type"].values()) == summary["cohorts"]["first"]["labels"]
    assert summary["agreement"]["intra_1"]["cells"] == 30
    assert summary["agreement"]["inter"]["cells"] == 90
    assert summary["agreement"]["inter"]["kappa"] > 0.4
    words = CliRunner().invoke(build_app("phantom"), asked).stdout
    assert "first: 4 slides" in words
    wrong = CliRunner().invoke(build_app("phantom"), ["phantom", "cohort", "wang-2023", folder])
    assert wrong.exit_code == 2
    assert "expected wang-2022" in wrong.stderr


def test_help_teaches_slide_and_cohort() -> None:
    words = " ".join(CliRunner().invoke(build_app("phantom"), ["phantom", "--help"]).stdout.split())
    assert "phantom OUT.tif --cells 2000" in words
    assert "phantom cohort wang-2022 DIR" in words
    assert "--cells" in CliRunner().invoke(build_app("phantom"), ["phantom", "slide", "--help"]).stdout


def test_a_cohort_that_is_being_made_again_is_not_finished(smoke: Cohort, tmp_path: Path) -> None:
    """Or a mixture of old and new slides would read as whole after a break."""
    folder = _copy(smoke, tmp_path / "c")

    def broken_off(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_cohort(folder, scale="smoke", seed=7, threads=1, force=True, progress=broken_off)
    with pytest.raises(DataError, match="no finished cohort"):
        read_cohort(folder)


@pytest.mark.parametrize(
    ("scale", "seed", "words"),
    [
        ("smoke", 2022, " --slides smoke"),
        ("all", 2022, ""),
        ("all", 7, " --seed 7"),
        ("smoke", 0, " --slides smoke --seed 0"),
    ],
)
def test_a_cohort_tells_the_command_that_makes_it(scale: str, seed: int, words: str) -> None:
    slides = tuple(plan.slide for plan in plan_cohort(Path("my cohort"), scale, seed))
    cohort = Cohort(Path("my cohort"), "wang-2022", "paper", slides)
    assert cohort.command == f"marrowscope phantom cohort wang-2022 'my cohort'{words}"
