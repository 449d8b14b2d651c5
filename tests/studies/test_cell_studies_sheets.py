"""Where networks looked: which cells are shown, that maps are kept beside the job, what a page says without them."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from marrowscope.learning.datasets.cell_sets import read_cell_set
from marrowscope.learning.datasets.generated import write_generated_cells
from marrowscope.learning.datasets.parting import part
from marrowscope.learning.transfer.recipes import find_recipe
from marrowscope.learning.transfer.training import train_network
from marrowscope.report.evidence import LIMITS
from marrowscope.studies.cell_studies.explained import FILE, SHOWN, Explained, choose_cells, explained
from marrowscope.studies.cell_studies.finished import FinishedJob, Predicted, entries, read_job
from marrowscope.studies.cell_studies.report import write_report
from marrowscope.studies.cell_studies.sheets import LARGEST, WIDTH, draw_sheet, sheet_blocks
from marrowscope.studies.page import Page, Photograph, Table, Text, html, markdown, write_page
from marrowscope.studies.shah_2025 import STUDY


def predicted(labels: list[int], called: list[int], certainty: list[float], classes: int = 3) -> Predicted:
    """Test cells that were called so, so certainly; the other classes share the rest."""
    probabilities = np.repeat((1 - np.array(certainty)[:, None]) / (classes - 1), classes, axis=1)
    probabilities[np.arange(len(labels)), called] = certainty
    return Predicted(np.arange(len(labels)), np.array(labels), probabilities, None, None, ())


def test_the_least_certain_of_each_class_and_the_most_certain_mistakes_are_shown() -> None:
    test = predicted([0, 0, 1, 1, 2, 2, 2, 0], [0, 0, 1, 0, 0, 1, 0, 0], [0.9, 0.5, 0.8, 0.6, 0.7, 0.95, 0.7, 0.5])
    assert choose_cells(test).tolist() == [1, 2, 5, 4, 6, 3]  # class 2 was never called right; of equals the first
    many = predicted([k % 20 for k in range(200)], [0] * 200, [0.3 + k / 400 for k in range(200)], 20)
    assert choose_cells(many).tolist() == [0, *range(199, 199 - SHOWN, -1)]
    certainty = [0.4 + ((7 * k) % 20) / 40 for k in range(20)]
    right = choose_cells(predicted(list(range(20)), list(range(20)), certainty, 20)).tolist()
    assert len(right) == SHOWN
    assert right == sorted(right)  # in the order of the classes
    assert max(certainty[k] for k in right) <= sorted(certainty)[SHOWN - 1]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs of the smallest network on phantom cells, as the one job of a study."""
    folder = tmp_path_factory.mktemp("study")
    write_generated_cells(folder / "cells", ("HAC", "LYT", "EOS"), 24, seed=3, side=96)
    cells = read_cell_set(folder / "cells")
    parts = part(cells, how="stratified", val=0.1, test=0.5, seed=0)
    recipe = replace(find_recipe("shah-2025", "sequential-cnn", "smoke"), side=48, epochs=2)
    job = folder / "jobs" / "shah-2025" / "sequential-cnn" / "seed-0"
    train_network("sequential-cnn", recipe, cells, parts, job, threads=1, silent=True)
    (job / "job.json").write_text("{}")
    arm = {"words": "", "source": cells.source, "how": parts.how, "train": 28, "val": 7, "test": 36, "skipped": []}
    told = {"study": "shah-2025", "scale": "cpu", "arms": [{**arm, "classes": ["a"]}], "commands": ["pytest"]}
    (folder / "study.json").write_text(json.dumps({**told, "jobs": {"shah-2025/sequential-cnn/seed-0": ""}}))
    return folder


@pytest.fixture
def job(study: Path, tmp_path: Path) -> FinishedJob:
    """A copy of the job, not explained yet."""
    folder = tmp_path / "job"
    shutil.copytree(study / "jobs" / "shah-2025" / "sequential-cnn" / "seed-0", folder)
    (folder / FILE).unlink(missing_ok=True)
    return read_job(folder)


def test_maps_are_made_once_and_kept(job: FinishedJob, monkeypatch: pytest.MonkeyPatch) -> None:
    made = explained(job)
    assert isinstance(made, Explained)
    n = len(made.cells)
    assert made.pictures.shape == (n, 48, 48, 3)
    assert made.called.shape == made.labelled.shape == (n, 48, 48)
    right = job.test.called[made.cells] == job.test.labels[made.cells]
    same = [np.array_equal(a, b) for a, b in zip(made.called, made.labelled, strict=True)]
    assert same == right.tolist()
    assert not isinstance(made.pointing, str)
    assert made.pointing.learnt.total == made.pointing.middle.total > 30
    assert made.pointing.middle.value > 0.7 > 0.4 > made.pointing.covered > 0.05  # cells stand in the middle
    monkeypatch.setitem(sys.modules, "torch", None)
    (job.folder / "model.pt").unlink()
    kept = explained(replace(job, test=replace(job.test, files=("moved.png",) * len(job.test))))
    assert isinstance(kept, Explained)
    assert kept.pointing == made.pointing
    assert kept.places == made.places
    np.testing.assert_array_equal(kept.pictures, made.pictures)
    np.testing.assert_allclose(kept.called, made.called, rtol=1e-2, atol=1e-3)
    another = explained(replace(job, facts={**job.facts, "mark": "of another training"}))
    assert another == "this needs torch: pip install 'marrowscope[train]', then write the page again."


def test_a_page_without_maps_says_what_is_missing(job: FinishedJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def words(found: FinishedJob) -> str:
        (block,) = sheet_blocks(entries([found]), "", "sheet")
        assert isinstance(block, Text)
        return block.paragraphs[0]

    files = list(job.test.files)
    files[3] = "/nowhere/EOS_00004.png"
    moved = words(replace(job, test=replace(job.test, files=tuple(files))))
    assert moved.startswith("No maps: 1 of 36 pictures of test cells are not where they were in training, the first is")
    assert moved.endswith("/nowhere/EOS_00004.png; write the page again when they are back.")
    files[3] = "cells/EOS_00004.png"
    assert "in the folder from which the study was run" in words(
        replace(job, test=replace(job.test, files=tuple(files)))
    )
    assert "do not tell the files" in words(replace(job, test=replace(job.test, files=())))
    (job.folder / FILE).write_bytes(b"damaged")
    (job.folder / "model.pt").write_bytes(b"damaged, too")
    assert "model.pt cannot be read" in words(job)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "needs torch" in words(job)
    assert sheet_blocks([], "", "sheet") == []


def test_a_map_of_one_place_is_not_shown(tmp_path: Path) -> None:
    write_generated_cells(tmp_path / "cells", ("LYT", "EOS"), 6, seed=3, side=48)
    cells = read_cell_set(tmp_path / "cells")
    recipe = replace(find_recipe("modern", "mobilenetv4-small", "smoke"), side=32, epochs=1)
    parts = part(cells, how="stratified", val=0.2, test=0.4, seed=0)
    train_network("mobilenetv4-small", recipe, cells, parts, tmp_path / "job", threads=1, silent=True)
    assert (
        explained(read_job(tmp_path / "job"))
        == "at 32 px the last map of this network has one place, which tells nothing."
    )


def test_what_the_pointing_game_needs(job: FinishedJob) -> None:
    def pointing(found: FinishedJob) -> object:
        (job.folder / FILE).unlink(missing_ok=True)
        made = explained(found)
        assert isinstance(made, Explained)
        return made.pointing

    assert "no spacing" in str(pointing(replace(job, facts={**job.facts, "spacing": None})))
    assert "takes too long" in str(pointing(replace(job, facts={**job.facts, "flops": 1e12})))
    test = job.test
    few = Predicted(test.rows[:9], test.labels[:9], test.probabilities[:9], None, None, test.files[:9])
    assert "9 test cells would say nothing" in str(pointing(replace(job, test=few)))


def test_the_sheet_of_the_best_network_of_the_first_arm(job: FinishedJob, tmp_path: Path) -> None:
    worse = replace(job.test, probabilities=np.roll(job.test.probabilities, 1, axis=1))
    jobs = [
        replace(job, arm="first", facts={**job.facts, "network": "vgg16"}, test=worse),
        replace(job, arm="first"),
        replace(job, arm="second", facts={**job.facts, "network": "resnet50"}),
    ]
    *sheets, table = sheet_blocks(entries(jobs), ", modern", "modern-sheet")
    assert isinstance(table, Table)
    assert table.title == "What the maps of Sequential CNN, first point at, modern"
    assert table.rows[0][1].count("(") == 1
    photographs = [sheet for sheet in sheets if isinstance(sheet, Photograph)]
    assert [sheet.title.split(":")[0] for sheet in photographs] == ["Called as labelled", "Called otherwise"]
    for sheet in photographs:
        assert "looked, modern" in sheet.title
        assert len(sheet.jpeg) <= LARGEST
        picture = cv2.imdecode(np.frombuffer(sheet.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        assert picture.shape[1] == pytest.approx(1.5 * WIDTH, abs=2)
        assert picture.std() > 20
    assert LIMITS in photographs[0].notes[1]
    page = Page("title", (), "command", (*sheets, table))
    written = write_page(page, tmp_path / "page.md")
    assert [path.name for path in written[2:]] == [
        "modern-sheet-right-sequential-cnn-first.jpg",
        "modern-sheet-wrong-sequential-cnn-first.jpg",
    ]
    assert "](page/modern-sheet-right-sequential-cnn-first.jpg)" in markdown(page, "page")
    assert html(page).count('<img src="data:image/jpeg;base64,') == 2
    assert "img-src data:" in html(page)


def test_every_card_says_class_and_probability_and_long_names_have_room(job: FinishedJob) -> None:
    found = explained(job)
    assert isinstance(found, Explained)
    long = "A word for a class that nobody could ever fit above two small pictures & more"
    titled = replace(job, facts={**job.facts, "titles": [long] * 3})
    wrong = job.test.called[found.cells] != job.test.labels[found.cells]
    for places, pictures in ((np.flatnonzero(~wrong), 2), (np.flatnonzero(wrong), 3)):
        svg = draw_sheet(job, found, places, "what")
        assert svg.count("<image ") == pictures * len(places)
        for place in places:
            cell = found.cells[place]
            called = job.test.called[cell]
            percent = f"{100 * job.test.probabilities[cell, called]:.0f}"
            assert f"{job.title(job.classes[called])} {percent}\N{NARROW NO-BREAK SPACE}%</text>" in svg
        assert "&amp; more" not in draw_sheet(titled, found, places, "what")
        assert 'font-size="9"' in draw_sheet(titled, found, places, "what")


def test_the_page_of_a_study_has_the_sheets(study: Path, tmp_path: Path) -> None:
    facts = json.loads((study / "study.json").read_text())
    written = write_report(STUDY.ABOUT, facts, study, tmp_path / "page.md", "pytest")
    pictures = [path for path in written if path.suffix == ".jpg"]
    assert pictures
    assert all(path.is_file() for path in pictures)
    words = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "where Sequential model looked" in words
    assert "## What the maps of Sequential model point at" in words
    assert (study / "jobs" / "shah-2025" / "sequential-cnn" / "seed-0" / FILE).is_file()
    smoke = write_report(STUDY.ABOUT, {**facts, "scale": "smoke"}, study, tmp_path / "smoke.md", "pytest")
    assert not [path for path in smoke if path.suffix == ".jpg"]  # at that scale of the modern recipe alone
