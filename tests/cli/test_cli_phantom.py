"""The verb ``phantom``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from marrowscope.cli import build_app

SMALL = ["--cells", "20", "--size", "1500x2000", "--seed", "3"]


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(build_app("phantom"), ["phantom", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_it_writes_slide_and_truth_and_says_so(tmp_path: Path) -> None:
    out = tmp_path / "new" / "smear.tif"
    code, stdout, _ = _run(str(out), *SMALL, "--json")
    assert code == 0
    summary = json.loads(stdout)
    assert summary["in_trails"] == 20
    assert summary["size"] == [1500, 2000]
    assert sorted(p.name for p in out.parent.iterdir()) == ["smear.tif", "smear.truth.json.gz"]


def test_it_refuses_to_write_over_a_slide_without_force(tmp_path: Path) -> None:
    out = tmp_path / "smear.tif"
    out.write_text("precious")
    code, _, stderr = _run(str(out), *SMALL)
    assert code == 1
    assert "add --force" in stderr
    assert out.read_text() == "precious"
    assert _run(str(out), *SMALL, "--force")[0] == 0
    assert out.read_bytes()[:2] == b"II"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["x.png"], 1, "call it x.tif"),
        (["x.tif", "--stain", "blue"], 1, "unknown stain 'blue'"),
        (["x.tif", "--cells", "90000", "--size", "3000"], 1, "ask for fewer cells"),
        (["x.tif", "--size", "big"], 2, "WIDTHxHEIGHT"),
    ],
)
def test_each_wrong_option_gets_a_clear_line(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    left, _, stderr = _run(*arguments)
    assert left == code
    assert words in " ".join(stderr.split())
    assert not list(tmp_path.iterdir())
