from __future__ import annotations

import importlib
import json
import sys
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console
from typer.testing import CliRunner

from marrowscope.cli import build_app, doctor
from marrowscope.cli.doctor import Examination, SelfTest, examine, memory_gb, missing_for, usable_cores
from marrowscope.errors import PackError


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARROWSCOPE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The self-test and the built-in packs have tests of their own."""
    monkeypatch.setattr(doctor, "run_self_test", lambda: SelfTest(cells=30, found=29, right_type=28, seconds=0.4))
    monkeypatch.setattr(doctor, "known_packs", lambda: {"phantom-16": Path("phantom-16")})
    monkeypatch.setattr(doctor, "load_pack_folder", lambda folder: folder)


@pytest.mark.usefixtures("healthy")
def test_healthy_installation() -> None:
    result = CliRunner().invoke(build_app("doctor"), ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    seen = json.loads(result.stdout)
    assert seen["ok"] is True
    assert seen["problems"] == []
    assert {"onnxruntime", "openslide-bin", "polars", "typst"} <= set(seen["libraries"])
    assert all(seen["libraries"].values())
    assert "CPUExecutionProvider" in seen["providers"]
    assert seen["packs"] == {"phantom-16": "ok"}
    assert seen["self_test"]["found"] == 29
    assert set(seen["extras"]) <= {"formats", "train", "department"}
    assert {"formats", "train"} <= set(seen["extras"])


@pytest.mark.usefixtures("healthy")
def test_table_for_people() -> None:
    result = CliRunner().invoke(build_app("doctor"), ["doctor"])
    assert result.exit_code == 0
    for words in ("marrowscope", "core", "CPU", "extra train", "29 of 30 cells of a phantom", "ready to count"):
        assert words in result.stdout


@pytest.mark.usefixtures("healthy")
def test_library_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = importlib.import_module

    def broken(name: str) -> ModuleType:
        if name == "openslide":
            raise OSError("libopenslide.so.1: cannot open shared object file\nmore")
        return genuine(name)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    seen = examine()
    assert seen.libraries["openslide-python"] is None
    (problem,) = seen.problems
    assert problem.startswith("openslide-python cannot be used (libopenslide.so.1: cannot open shared object file); ")
    assert problem.endswith("type: pip install --force-reinstall openslide-python")
    assert seen.self_test is None


@pytest.mark.usefixtures("healthy")
def test_broken_pack_makes_the_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise PackError(f"the pack in {folder} lacks its file detector.onnx; reinstall it or add it again")

    monkeypatch.setattr(doctor, "load_pack_folder", refuse)
    result = CliRunner().invoke(build_app("doctor"), ["doctor"])
    assert result.exit_code == 1
    assert "something is broken" in result.stdout
    assert "lacks its file detector.onnx; reinstall it" in result.stderr


@pytest.mark.usefixtures("healthy")
def test_missing_built_in_pack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "known_packs", dict)
    assert "pack phantom-16 is missing; type: pip install" in examine().problems[0]


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(("found", "ok"), [(24, True), (23, False)])
def test_self_test_must_find_most_cells(found: int, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "run_self_test", lambda: SelfTest(cells=30, found=found, right_type=found, seconds=1))
    assert (not examine().problems) is ok


@pytest.mark.usefixtures("healthy")
def test_self_test_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> SelfTest:
        raise PackError("detector.onnx cannot be loaded as a model")

    monkeypatch.setattr(doctor, "run_self_test", fail)
    assert examine().problems == ["the self-test failed: detector.onnx cannot be loaded as a model"]


def test_extras_are_found_without_importing_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    missing = missing_for("train")
    assert missing is not None
    assert "torch" not in sys.modules
    monkeypatch.setattr(doctor, "requires", lambda _: ["numpy>=1", "surely-absent>=2; extra == 'formats'"])
    assert missing_for("formats") == ["surely-absent"]
    assert missing_for("train") is None


def test_machine(tmp_path: Path) -> None:
    assert usable_cores() >= 1
    (tmp_path / "memory.max").write_text(f"{2 * 2**30}\n")
    assert memory_gb(tmp_path / "memory.max") == 2.0
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_gb(tmp_path / "memory.max") == memory_gb(tmp_path / "absent")


def test_missing_extra_says_how_to_install_it() -> None:
    seen = Examination({"marrowscope": "0", "python": "3"}, "Linux", 1, None, extras={"formats": ["imagecodecs"]})
    console = Console(width=200, record=True, file=StringIO())
    doctor.show(seen, console)
    assert "pip install 'marrowscope[formats]' brings imagecodecs" in console.export_text()
