"""``marrowscope data``: exit codes and what is printed."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from marrowscope.cli import main


def cell(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (80, 80), interpolation=cv2.INTER_CUBIC), np.uint8)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["data", *arguments])
    return int(left.value.code or 0)


def fill(folder: Path, leaking: bool) -> None:
    for number, name in enumerate(("train/a/1.png", "train/b/2.png", "test/a/3.png", "test/b/4.png")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), cell(0 if leaking and name == "test/a/3.png" else number))


def test_a_clean_folder_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path, leaking=False)
    assert run("check", str(tmp_path)) == 0
    out = capsys.readouterr().out
    assert "nothing found" in out
    assert "50.0%" in out


def test_a_leak_exits_with_1_and_is_told_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "set", leaking=True)
    sheet = tmp_path / "sheet.html"
    assert run("check", str(tmp_path / "set"), "-o", str(sheet)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("error")
    assert sheet.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_json_is_all_that_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "set", leaking=True)
    assert run("check", str(tmp_path / "set"), "--json", "-o", str(tmp_path / "found.json")) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert printed["passed"] is False
    assert printed["findings"][0]["kind"] == "leak"


@pytest.mark.parametrize(
    "arguments",
    [("check",), ("check", "nowhere"), ("check", ".", "-o", "x.txt"), ("sort", "."), ("describe", ".", "-o", "x.txt")],
)
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments) == 2


def test_a_folder_without_pictures_exits_with_1_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("check", str(tmp_path)) == 1
    assert "no picture in" in capsys.readouterr().err
    assert run("splits", "--data", str(tmp_path), "-o", str(tmp_path / "out")) == 1
    assert not (tmp_path / "out").exists()


def test_sets_are_listed_with_licence_and_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("get") == 0
    out = capsys.readouterr().out
    assert "https://doi.org/10.7937/TCIA.AXH3-T579" in out
    assert run("get", "--json") == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed["pbc"]["licence"] == "CC BY 4.0"
    assert run("get", "mll", "--json") == 0
    assert json.loads(capsys.readouterr().out) == listed["mll"]


def test_a_set_that_a_person_must_fetch_exits_with_1_until_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("get", "mll", "-o", str(tmp_path)) == 1
    assert f"into {tmp_path / 'mll'}" in capsys.readouterr().err
    assert run("get", "unicorns") == 1
    (tmp_path / "mll" / "BLA").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "mll" / "BLA" / "BLA_00001.jpg"), cell(1))
    capsys.readouterr()
    assert run("get", "mll", "-o", str(tmp_path)) == 0
    assert "with 1 picture; 171,375 are of record" in capsys.readouterr().out


def test_a_set_is_described_with_what_was_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "set", leaking=True)
    page = tmp_path / "page.html"
    assert run("describe", str(tmp_path / "set"), "-o", str(page), "--spacing", "0.1") == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "3 pictures of 2 classes" in out
    assert "left out: 1 picture left out as copies" in out
    assert "mind: no test picture of" not in out
    assert page.read_text(encoding="utf-8").count("<img ") == 3
    assert run("describe", str(tmp_path / "set"), "--json", "--classes", "b") == 0
    described = json.loads(capsys.readouterr().out)
    assert [one["class"] for one in described["classes"]] == ["b"]
    assert run("describe", str(tmp_path / "set"), "--layout", "mll") == 1
