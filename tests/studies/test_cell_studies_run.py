"""The four studies of single cells: what is learned from what, and each of them run at scale smoke on drawn cells."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from marrowscope.cli import build_app
from marrowscope.errors import DataError
from marrowscope.learning.datasets.cell_sets import read_cell_set
from marrowscope.learning.datasets.generated import write_generated_cells
from marrowscope.studies import meem_2023, senthilkumar_2023, shah_2025, veerasagar_2025
from marrowscope.studies.cell_studies.arms import Arm, of_classes, parted
from marrowscope.studies.cell_studies.joining import joined, of_one_spacing
from marrowscope.studies.cell_studies.study import weights_for
from marrowscope.studies.study import STUDIES


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app("study"), ["study", *map(str, arguments)], env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def marrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("marrow")
    write_generated_cells(folder, ["BAS", "BLA", "EOS", "HAC", "LYT", "MON", "NGB", "NGS"], 8, 1, 48)
    return folder


@pytest.fixture(scope="module")
def leukaemia(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(f"set{number}") for number in (1, 2)]
    for seed, (folder, words) in enumerate(zip(folders, (["ALL", "HEM"], ["HEM", "ALL"]), strict=True)):
        write_generated_cells(folder, words, 12, seed, 48)
    return folders


def test_a_paper_takes_its_own_classes_and_patients_stay_whole(marrow: Path) -> None:
    cells, parts = parted(shah_2025.STUDY, read_cell_set(marrow))
    assert set(cells.classes) == {"BAS", "EOS", "HAC", "LYT", "MON", "NGB", "NGS"}
    assert len(cells) == 7 * 8
    assert "7 classes" in cells.source
    names = [cells.files[row].parent.name for row in range(len(cells))]
    assert names == [cells.classes[label] for label in cells.labels], "labels followed their pictures"
    owners = [{cells.patients[row] for row in rows} for rows in (parts.train, parts.val, parts.test)]
    assert all(owners)
    assert sum(map(len, owners)) == len(set.union(*owners))


def test_another_set_is_learned_with_all_its_classes_and_class_by_class_where_the_paper_says(marrow: Path) -> None:
    cells, parts = parted(veerasagar_2025.STUDY, of_classes(read_cell_set(marrow), ["BLA", "EOS"]))
    assert cells.classes == ("BLA", "EOS")
    assert "class by class" in parts.how
    assert np.bincount(cells.labels[parts.test]).tolist() == [1, 1]


def test_two_sets_are_joined_by_the_names_of_their_classes(leukaemia: list[Path], marrow: Path) -> None:
    sets = [parted(senthilkumar_2023.STUDY, read_cell_set(folder)) for folder in leukaemia]
    cells, parts = joined(sets)
    assert len(cells) == len(sets[0][0]) + len(sets[1][0])
    for row, file in enumerate(cells.files):
        assert cells.classes[cells.labels[row]] == file.parent.name
    for name in ("train", "val", "test"):
        own = [one.files[row] for one, parted_one in sets for row in getattr(parted_one, name)]
        assert [cells.files[row] for row in getattr(parts, name)] == own
    assert len(set(cells.patients)) == 12, "patients of two sets are not one another"
    with pytest.raises(DataError, match="must have the same"):
        joined([sets[0], parted(meem_2023.STUDY, read_cell_set(marrow))])


def test_no_picture_of_a_joint_test_is_learned_from_in_another_set(leukaemia: list[Path], tmp_path: Path) -> None:
    shutil.copytree(leukaemia[0], tmp_path / "copy")
    moved = next((tmp_path / "copy" / "ALL").glob("*.png"))
    shutil.move(moved, tmp_path / "copy" / "HEM" / f"moved-{moved.name}")
    table = tmp_path / "copy" / "labels.csv"
    lines = table.read_text().replace(f"ALL/{moved.name},ALL", f"HEM/moved-{moved.name},HEM")
    table.write_text(lines)
    folders = (leukaemia[0], tmp_path / "copy")
    one, other = (parted(senthilkumar_2023.STUDY, read_cell_set(folder)) for folder in folders)
    assert len(other[0]) == len(one[0])
    cells, parts = joined([one, other])
    seen = [{cells.files[row].read_bytes() for row in rows} for rows in (parts.train, parts.val, parts.test)]
    assert len(set.union(*seen)) == sum(map(len, seen))
    assert moved.name not in {cells.files[row].name.removeprefix("moved-") for row in parts.train}
    told = " ".join(cells.skipped)
    assert "another set or part holds too" in told
    assert "2 pictures of which the sets hold copies in another class" in told


def test_sets_of_different_spacings_are_seen_whole(leukaemia: list[Path]) -> None:
    one, other = (parted(senthilkumar_2023.STUDY, read_cell_set(folder)) for folder in leukaemia)
    finer = (dataclasses.replace(other[0], spacing=0.123), other[1])
    assert [cells.spacing for cells, _ in of_one_spacing([one, other])] == [one[0].spacing] * 2
    same = of_one_spacing([one, finer])
    assert [cells.spacing for cells, _ in same] == [None, None]
    assert all("0.123 um" in cells.skipped[-1] for cells, _ in same)


def test_what_a_paper_leaves_out_is_told(marrow: Path) -> None:
    mll = dataclasses.replace(read_cell_set(marrow), name="mll")
    study = dataclasses.replace(meem_2023.STUDY, share_of_mll=0.75, by_class=True, val=0.3, test=0.3)
    cells, _ = parted(study, mll)
    assert ": 48 pictures of 8 classes" in cells.source
    assert "16 pictures beyond the paper's limit of 75% a class" in cells.skipped


def test_a_second_run_adds_to_the_first_and_other_data_are_refused(
    marrow: Path, leukaemia: list[Path], tmp_path: Path
) -> None:
    def again(data: Path, network: str, *more: str) -> Result:
        words = ["shah-2025", "--data", data, "-o", tmp_path, "--scale", "smoke", "--recipes", "shah-2025"]
        return run("run", *words, "--networks", network, *more)

    assert again(marrow, "sequential-cnn").exit_code == 0
    assert again(marrow, "mobilenetv4-small").exit_code == 0
    facts = json.loads((tmp_path / "study.json").read_text())
    assert sorted(facts["jobs"]) == ["shah-2025/mobilenetv4-small/seed-0", "shah-2025/sequential-cnn/seed-0"]
    assert len(facts["commands"]) == 2
    assert again(marrow, "sequential-cnn").exit_code == 0
    assert len(json.loads((tmp_path / "study.json").read_text())["commands"]) == 2
    shah_2025.STUDY.export(tmp_path, "shah-2025/sequential-cnn/seed-0", tmp_path / "exported")
    command = json.loads((tmp_path / "exported" / "metrics.json").read_text())["command"]
    assert command == f"{' && '.join(facts['commands'])} (job shah-2025/sequential-cnn/seed-0)"
    refused = again(leukaemia[0], "vgg16")
    assert refused.exit_code == 1
    assert "of other data" in refused.output + refused.stderr
    assert again(leukaemia[0], "sequential-cnn", "--force").exit_code == 0
    assert len(json.loads((tmp_path / "study.json").read_text())["jobs"]) == 1


def test_other_cells_or_other_parts_are_another_question(marrow: Path) -> None:
    cells, parts = parted(shah_2025.STUDY, read_cell_set(marrow))
    fewer = of_classes(cells, cells.classes[:3])
    assert Arm(cells, parts, "none", "").identity == Arm(cells, parts, "none", "").identity
    assert Arm(cells, parts, "none", "").identity != Arm(*parted(shah_2025.STUDY, fewer), "none", "").identity


def test_start_weights_of_each_network(tmp_path: Path) -> None:
    file = tmp_path / "vgg16.pth"
    file.write_bytes(b"weights")
    assert weights_for("vgg16", tmp_path) == file
    assert weights_for("resnet50", tmp_path) is None
    assert weights_for("resnet50", Path("hub")) == "hub"
    assert weights_for("sequential-cnn", Path("hub")) is None
    with pytest.raises(DataError, match="no file of weights"):
        weights_for("vgg16", tmp_path / "nowhere.pth")


def test_refusals(marrow: Path, tmp_path: Path) -> None:
    for words, message in (
        (["shah-2025", "--scale", "cpu"], "give the pictures with --data"),
        (["shah-2025", "--networks", "alexnet"], "no network 'alexnet'"),
        (["shah-2025", "--recipes", "old"], "old"),
        (["shah-2025", "--scale", "full"], "the scale 'full' is unknown"),
        (["shah-2025", "--data", marrow, "--data", marrow], "takes one data set"),
        (["wang-2022", "--data", marrow, "--networks", "vgg16"], "for the studies of single cells"),
        (["wang-2022"], "--slides smoke"),
    ):
        result = run("run", *words, "-o", tmp_path / "study")
        assert result.exit_code == 1, result.output
        assert message in str(result.exception or result.stderr) + result.output
    assert not (tmp_path / "study").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STUDIES if name != "wang-2022"])
def test_smoke(name: str, tmp_path: Path) -> None:
    """Every network of the paper is trained on drawn cells; the page has its tables, traps and a word on phantoms."""
    output, page = tmp_path / "study", tmp_path / "page.md"
    result = run("run", name, "-o", output, "--scale", "smoke", "--jobs", 2, "--threads", 1, "--json")
    assert result.exit_code == 0, result.output
    states = json.loads(result.stdout)["jobs"]
    assert set(states.values()) == {"done"}
    again = run("run", name, "-o", output, "--scale", "smoke", "--jobs", 2, "--threads", 1, "--json")
    assert set(json.loads(again.stdout)["jobs"].values()) == {"done earlier"}
    assert run("report", output, "-o", page).exit_code == 0
    words = page.read_text(encoding="utf-8")
    for wanted in ("Phantom:", "What to beware of in this paper", "random initialisation: not the paper's", "Modern"):
        assert wanted.lower() in words.lower(), wanted
    assert "Not in these tables" not in words
    assert list((tmp_path / "page").glob("*.svg"))
    assert list((tmp_path / "page").glob("*.png"))
