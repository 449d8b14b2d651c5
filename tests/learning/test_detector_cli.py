"""``marrowscope train``: what it says when it cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrowscope.cli import main


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["train", *arguments])
    assert isinstance(left.value.code, int)
    printed = capsys.readouterr()
    return left.value.code, printed.out + printed.err


def test_help_names_both_models(capsys: pytest.CaptureFixture[str]) -> None:
    code, words = _run(capsys, "--help")
    assert code == 0
    assert "detector" in words
    assert "classifier" in words


@pytest.mark.parametrize("verb", ["detector", "classifier"])
def test_an_unknown_recipe_is_one_line_with_the_known_ones(
    verb: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, words = _run(capsys, verb, "--recipe", "liver-3", "--data", str(tmp_path), "-o", str(tmp_path / "out"))
    assert code == 1
    assert "'liver-3'" in words
    assert "blood-11" in words
    assert not (tmp_path / "out").exists()


def test_missing_data_name_the_option(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, words = _run(capsys, "detector", "--recipe", "blood-11", "-o", str(tmp_path / "out"))
    assert code == 1
    assert "--data" in words
    assert not (tmp_path / "out").exists()


def test_seeds_of_tests_are_refused_for_training(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, words = _run(capsys, "detector", "--recipe", "phantom-16", "--seed", "7", "-o", str(tmp_path / "out"))
    assert code == 2
    assert "1000000" in words
