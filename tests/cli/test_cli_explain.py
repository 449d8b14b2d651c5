"""The verb ``explain``: table, JSON, sheet, and pictures that are none of a single cell."""

from __future__ import annotations

import csv
import json
from inspect import signature
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from marrowscope.cli import build_app
from marrowscope.cli.count import command as count_command
from marrowscope.cli.explain import command as explain_command
from marrowscope.options import CountOptions
from marrowscope.phantom import FieldOptions, render_cells
from marrowscope.report.view import certainty_words


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three phantom cells as PNG files at 0.25 um/px: two of one name, one that a shell or a page might obey."""
    folder = tmp_path_factory.mktemp("cells")
    cells = render_cells(FieldOptions(), 60, seed=7, crop=128).pictures[4::20]
    paths = [folder / "a" / "cell.png", folder / "b" / "cell.png", folder / "<b>[red] & 'it'.png"]
    for path, cell in zip(paths, cells, strict=True):
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(cell, cv2.COLOR_RGB2BGR))
    return paths


def run(*arguments: object) -> Result:
    words = ["explain", *map(str, arguments), "--threads", "1"]
    return CliRunner().invoke(build_app("explain"), words, env={"COLUMNS": "160"})


def test_a_certainty_is_never_said_to_be_all_or_none() -> None:
    assert [certainty_words(share) for share in (1.0, 0.995, 0.994, 0.698, 0.29, 0.009, 0.0)] == [
        ">99\u202f%", ">99\u202f%", "99\u202f%", "69\u202f%", "29\u202f%", "<1\u202f%", "<1\u202f%",
    ]  # fmt: skip


def test_a_sheet_of_cells(pictures: list[Path], tmp_path: Path) -> None:
    result = run(*pictures, "--pack", "phantom-16", "--spacing", 0.25, "-o", tmp_path / "sheet")
    assert result.exit_code == 0, result.output
    assert "explanations.html" in result.stdout
    with (tmp_path / "sheet" / "explanations.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["file"] for row in rows}) == 3
    assert {row["method"] for row in rows} == {"class activation"}
    for row in rows:
        assert 0 <= float(row["second_certainty"]) <= float(row["certainty"]) <= 1
        assert row["type"] != row["second_type"]
        assert row["unsure"] in ("true", "false")
        assert cv2.imread(str(tmp_path / "sheet" / f"{row['file']}.png")).shape == (288, 4 * 288, 3)
    page = (tmp_path / "sheet" / "explanations.html").read_text(encoding="utf-8")
    assert page.count('class="map"') == 6
    assert "proves no type right" in page
    assert "PHANTOM" in page
    assert "&lt;b&gt;[red]" in page
    assert "<b>[red]" not in page


def test_the_same_command_answers_from_its_sheet_and_another_is_refused(pictures: list[Path], tmp_path: Path) -> None:
    given = (*pictures[:2], "--pack", "phantom-16", "--spacing", 0.25, "-o", tmp_path)
    first = run(*given)
    written = (tmp_path / "explanations.csv").stat().st_mtime_ns
    again = run(*given)
    assert again.exit_code == 0
    assert again.stdout == first.stdout.replace("look at", "as explained before; look at")
    assert (tmp_path / "explanations.csv").stat().st_mtime_ns == written
    refused = run(*given, "--method", "occlusion")
    assert refused.exit_code == 1
    assert "a sheet of an earlier run, made otherwise (method auto)" in refused.output
    assert "replace it with --force" in refused.output
    before = {path.name for path in tmp_path.glob("*.png")}
    assert run(pictures[2], *given[2:], "--force").exit_code == 0
    assert len(before) == 2
    assert not before & {path.name for path in tmp_path.glob("*.png")}, "pictures of the earlier sheet are gone"
    assert len(json.loads((tmp_path / "explanations.json").read_text())["cells"]) == 1


def test_the_table_for_programs_and_for_people(pictures: list[Path]) -> None:
    rows = json.loads(run(pictures[0], "--pack", "phantom-16", "--spacing", 0.25, "--json").stdout)
    assert rows[0]["file"] == "cell"
    assert rows[0]["method"] == "class activation"
    other = run(pictures[0], "--pack", "phantom-16", "--spacing", 0.25, "--method", "occlusion", "--json")
    assert json.loads(other.stdout)[0] == {**rows[0], "method": "occlusion"}
    assert "second type" in run(pictures[0], "--pack", "phantom-16", "--spacing", 0.25).stdout


def test_another_spacing_is_resampled(pictures: list[Path], tmp_path: Path) -> None:
    fine = tmp_path / "fine.png"
    picture = cv2.imread(str(pictures[0]))
    cv2.imwrite(str(fine), cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    rows = [
        json.loads(run(path, "--pack", "phantom-16", "--spacing", um, "--json").stdout)[0]
        for path, um in ((pictures[0], 0.25), (fine, 0.125))
    ]
    assert rows[0]["type"] == rows[1]["type"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--spacing"),
        (("--spacing", 2), "too large for one cell"),
        (("--spacing", 0.25, "--pack", "none-such"), "no pack is called"),
        (("--spacing", 0.25, "--method", "magic"), "--method"),
    ],
)
def test_what_cannot_be_explained_is_said(pictures: list[Path], arguments: tuple[object, ...], message: str) -> None:
    result = run(pictures[0], *arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    result = run(broken, "--spacing", 0.25)
    assert result.exit_code == 1
    assert "broken.png" in result.output
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))[1][:3000])
    result = run(cut, "--spacing", 0.25, "--pack", "phantom-16")
    assert "cut.jpg: the picture is truncated: the file ends before the picture does" in result.output
    one_pixel = tmp_path / "one.png"
    cv2.imwrite(str(one_pixel), np.full((1, 1, 3), 200, np.uint8))
    result = run(one_pixel, "--spacing", 0.25, "--pack", "phantom-16")
    assert result.exit_code == 1
    assert "has 1 x 1 pixels, too few to show a cell" in result.output


@pytest.mark.parametrize("pack", ["phantom-16", "blood-11"])
def test_the_specimen_is_marrow_as_in_a_count_and_never_unheard_of(pictures: list[Path], pack: str) -> None:
    common = (*pictures, "--spacing", 0.25, "--pack", pack, "--method", "cam", "--json")
    certainties = {
        specimen: [row["certainty"] for row in json.loads(run(*common, *arguments).stdout)]
        for specimen, arguments in {
            "": (),
            "marrow": ("--specimen", "marrow"),
            "blood": ("--specimen", "blood"),
            "any": ("--specimen", "any"),
        }.items()
    }
    assert certainties[""] == certainties["marrow"]
    assert (certainties["marrow"] == certainties["any"]) == (pack == "phantom-16")
    assert (certainties["marrow"] == certainties["blood"]) == (pack == "phantom-16")
    unheard = run(*common, "--specimen", "urine")
    assert unheard.exit_code != 0
    assert "--specimen knows marrow, blood, any" in " ".join(unheard.output.split())
    default = {one.default for one in signature(explain_command).parameters.values() if one.name == "specimen"}
    assert default == {signature(count_command).parameters["specimen"].default} == {CountOptions().specimen}


def test_one_unreadable_picture_does_not_stop_the_others(pictures: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    common = ("--pack", "phantom-16", "--spacing", 0.25)
    result = run(pictures[0], broken, tmp_path / "absent.png", pictures[1], *common, "-o", tmp_path / "sheet")
    assert result.exit_code == 1
    assert "broken.png" in result.stderr
    assert "absent.png" in result.stderr
    assert "2 of 4 pictures explained" in result.stderr
    with (tmp_path / "sheet" / "explanations.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert len(list((tmp_path / "sheet").glob("*.png"))) == 2
    printed = run(broken, pictures[0], *common, "--json")
    assert printed.exit_code == 1
    assert [row["file"] for row in json.loads(printed.stdout)] == ["cell"]


def test_a_folder_stands_for_the_pictures_in_it(pictures: list[Path], tmp_path: Path) -> None:
    folder, common = tmp_path / "cells", ("--pack", "phantom-16", "--spacing", 0.25)
    (folder / "deeper").mkdir(parents=True)
    for name in ("b.png", "a.PNG", "deeper/c.png"):
        (folder / name).write_bytes(pictures[0].read_bytes())
    (folder / "notes.txt").write_text("no picture")
    found = run(folder, folder / "b.png", pictures[0], *common, "--json")
    assert [row["file"] for row in json.loads(found.stdout)] == ["a", "b", "cell"]
    empty = tmp_path / "empty"
    empty.mkdir()
    result = run(empty, *common)
    assert result.exit_code == 1
    assert "no picture lies in the folder" in result.output
    assert "give pictures" in result.output


def test_a_sheet_never_replaces_the_pictures_it_explains(pictures: list[Path], tmp_path: Path) -> None:
    cell = tmp_path / "cell.png"
    cell.write_bytes(pictures[0].read_bytes())
    result = run(tmp_path, "--pack", "phantom-16", "--spacing", 0.25, "-o", tmp_path)
    assert result.exit_code == 1
    assert "choose another folder with -o" in result.output
    assert cell.read_bytes() == pictures[0].read_bytes()
