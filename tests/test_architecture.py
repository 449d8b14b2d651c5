"""The rules of ARCHITECTURE.md that a machine can check: who imports whom, and that counting needs no torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import marrowscope

SOURCE = Path(marrowscope.__file__).parent
WORDS = {"geometry", "taxonomy", "errors", "files"}
LINE = ["slides", "regions", "tiles", "detection", "cells", "differential", "report"]
"""Each room may import the words and the rooms before it."""

BESIDE_SLIDES = {"phantom"}
BESIDE_DETECTION = {"packs", "evaluation", "annotations"}
JOINING = {path.stem for path in SOURCE.glob("[a-z]*.py")} - WORDS
"""Modules that join the rooms (the pipeline and what is around it): no room imports them."""

LEARNED = {
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "pytorch_lightning",
    "torchmetrics",
    "onnxscript",
    "captum",
    "optuna",
}
NOT_IN_CORE = LEARNED | {"matplotlib", "imagecodecs"}
DEPARTMENT = {"psycopg", "highdicom", "pydicom", "fhir"}
"""The extra [department]: imported only inside of the functions that need it."""

OPTIONAL_READER = {"imagecodecs": {"slides"}}
"""The extra [formats]: only readers may ask whether it is there."""


def may_import() -> dict[str, set[str]]:
    """Room to the rooms that it may import; every room may import itself and the words."""
    allowed: dict[str, set[str]] = {word: set() for word in WORDS}
    before: set[str] = set()
    for room in LINE:
        if room == "detection":
            # What stands beside may use the line up to here; detection and all after it may use what stands beside.
            allowed["evaluation"] = set(before)
            allowed["annotations"] = before | BESIDE_SLIDES  # the truth of a phantom is one more format
            allowed["packs"] = before | {"evaluation"}  # a model card states intervals
            before |= BESIDE_DETECTION
        allowed[room] = set(before)
        before.add(room)
    allowed["phantom"] = {"slides"}
    # A model of learning answers with the same table of detections as the engine.
    allowed["learning"] = {"slides", "regions", "tiles", "detection"} | BESIDE_SLIDES | BESIDE_DETECTION
    everything = before | JOINING | BESIDE_SLIDES
    allowed |= dict.fromkeys((*JOINING, "cli", "__init__"), everything)
    allowed["studies"] = everything | {"learning"}
    allowed["review"] = everything
    allowed["__main__"] = {"cli"}
    return {room: rooms | WORDS | {room} for room, rooms in allowed.items()}


def room_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything that a module imports, wherever in the file, also as a string."""
    package = ["marrowscope", *path.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = (
                    [*package[: len(package) - level + 1], *([module] if module else [])] if level else [module or ""]
                )
                for alias in names:
                    yield node.lineno, ".".join([*base, alias.name])
            case ast.Call(func=ast.Attribute(attr="import_module") | ast.Name(id="import_module" | "__import__")):
                if isinstance(node.args[0], ast.Constant):
                    yield node.lineno, str(node.args[0].value)


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_import_direction(path: Path) -> None:
    room, rules = room_of(path), may_import()
    assert room in rules, f"{room} is a new room: say in ARCHITECTURE.md and here what it may import"
    learning_verb = room == "cli" and path.stem in {"train", "data", "tune"}
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "marrowscope" or parts[1:] in ([], ["__version__"]):
            continue
        if parts[1] == "learning" and learning_verb:
            continue
        if parts[1] == "review" and room == "cli" and path.stem in {"review", "users", "backup", "restore"}:
            continue
        if parts[1] == "studies" and room == "cli" and path.stem in {"study", "tune"}:
            continue
        assert parts[1] in rules[room], f"{path.name}:{line}: {room} may not import {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_learning_imports_what_the_core_lacks(path: Path) -> None:
    room = room_of(path)
    forbidden = {name for name in NOT_IN_CORE if room not in OPTIONAL_READER.get(name, set())}
    for line, name in imports_of(path):
        if room != "learning":
            assert name.split(".")[0] not in forbidden, f"{path.name}:{line}: {room} may not import {name}"


BLOCKED_IMPORT = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (blocked by a test)", name=name)

sys.meta_path.insert(0, Absent())
import marrowscope

def fail(name):
    raise

names = [m.name for m in pkgutil.walk_packages(marrowscope.__path__, "marrowscope.", onerror=fail)
         if not m.name.startswith("marrowscope.learning") and m.name != "marrowscope.__main__"]
for name in names:
    importlib.import_module(name)
loaded = {{m.split(".")[0] for m in sys.modules}} & {blocked!r}
assert not loaded, loaded
print(len(names))
"""


def test_core_imports_without_torch() -> None:
    """Every module outside learning is imported where torch, matplotlib, imagecodecs and [department] do not exist."""
    script = BLOCKED_IMPORT.format(blocked=NOT_IN_CORE | DEPARTMENT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outside = [
        path for path in modules() if room_of(path) not in {"learning", "__main__"} and "migrations" not in path.parts
    ]
    assert int(done.stdout) == len(outside) - 1  # the package itself is not among its own modules


def test_rules_and_page_name_the_same_rooms() -> None:
    page = (Path(__file__).parents[1] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    doors = page.split("## Rooms and their doors")[1].split("## Import direction")[0]
    named = set(re.findall(r"`(\w+)/`", doors))
    folders = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert named == folders
    assert named <= set(may_import())


def test_a_wrong_import_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: lazy, relative and dynamic imports are all found."""
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    (tmp_path / "slides").mkdir()
    module = tmp_path / "slides" / "wrong.py"
    module.write_text(
        "def f():\n"
        "    from ..report import content\n"
        "    from . import tiff\n"
        "    import torch.nn as nn\n"
        "    importlib.import_module('marrowscope.pipeline')\n"
    )
    names = [name for _, name in imports_of(module)]
    assert names == ["marrowscope.report.content", "marrowscope.slides.tiff", "torch.nn", "marrowscope.pipeline"]
    with pytest.raises(AssertionError, match="slides may not import marrowscope"):
        test_import_direction(module)
    with pytest.raises(AssertionError, match=r"slides may not import torch\.nn"):
        test_only_learning_imports_what_the_core_lacks(module)
