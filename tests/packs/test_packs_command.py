from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from marrowscope.cli.packs import app
from marrowscope.errors import PackError
from marrowscope.packs import Pack, load_pack
from marrowscope.packs.building import add_pack


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_list_shows_whole_and_broken_packs(pack: Pack, own_home: Path) -> None:
    add_pack(pack.folder)
    broken = own_home / "packs" / "broken"
    broken.mkdir()
    (broken / "pack.json").write_text("{}")
    result = run("list", "--json")
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert rows["tiny-4"]["sha256"] == pack.sha256
    assert rows["tiny-4"]["origin"] == "added"
    assert rows["tiny-4"]["problem"] is None
    assert "breaks the contract" in rows["broken"]["problem"]
    table = run("list").stdout
    assert "tiny-4" in table
    assert "broken" in table


def test_show(pack: Pack) -> None:
    shown = run("show", pack.folder)
    assert "tiny-4" in shown.stdout
    assert pack.sha256 in shown.stdout
    content = json.loads(run("show", pack.folder, "--json").stdout)
    assert content["contract"]["classes"] == list(pack.contract.classes)
    assert "blast" in content["cannot_see"]


def test_verify_whole_and_broken(pack: Pack) -> None:
    assert "is whole" in run("verify", pack.folder).stdout
    assert json.loads(run("verify", pack.folder, "--json").stdout)["ok"] is True
    (pack.folder / "detector.onnx").unlink()
    assert isinstance(run("verify", pack.folder).exception, PackError)
    result = run("verify", pack.folder, "--json")
    assert result.exit_code == 1
    assert "lacks its file" in json.loads(result.stdout)["problem"]


def test_add_makes_the_name_known_and_says_where_it_copied_to(pack: Pack, own_home: Path) -> None:
    result = run("add", pack.folder)
    assert result.stdout == f"tiny-4 1.2.3 copied to {own_home / 'packs' / 'tiny-4'}; use it with --pack tiny-4\n"
    assert load_pack("tiny-4").sha256 == pack.sha256


def test_build_asks_for_a_recipe_for_an_unknown_name(tmp_path: Path) -> None:
    result = run("build", "--detector", tmp_path, "--classifier", tmp_path, "--name", "mine", "-o", tmp_path / "o")
    assert isinstance(result.exception, PackError)
    assert "--recipe FILE" in str(result.exception)


@pytest.mark.parametrize(
    ("there", "words", "earlier"),
    [
        (("model.pt", "detector.onnx", "metrics.json", "work/mark.txt"), "is not finished", True),
        (("work/mark.txt",), "is not finished", False),
        (("model.pt", "detector.onnx"), "has not been exported and measured to the end", False),
    ],
)
def test_a_training_that_is_not_finished_makes_no_pack(
    there: tuple[str, ...], words: str, earlier: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    (folder / "work").mkdir(parents=True)
    for name in there:
        (folder / name).touch()
    result = run("build", "--detector", folder, "--name", "phantom-16", "-o", tmp_path / "o")
    said = str(result.exception)
    assert isinstance(result.exception, PackError)
    assert words in said
    assert f"train cascade --data TILES -o {folder} --resume" in said
    assert (f"delete {folder / 'work'}" in said) == earlier
    (folder / "work" / "mark.txt").unlink(missing_ok=True)
    (folder / "metrics.json").write_text("{}")  # finished, as the work of train detector stays
    result = run("build", "--detector", folder, "--name", "phantom-16", "-o", tmp_path / "o")
    assert "is no DetectorMetrics" in str(result.exception)
