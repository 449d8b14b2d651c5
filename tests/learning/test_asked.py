"""What is mistyped is told before torch is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from marrowscope.errors import DataError
from marrowscope.learning.asked import RECIPES, require_cells, require_folder, require_weights
from marrowscope.learning.cascade.places import FILES, nothing_to_resume
from marrowscope.learning.cascade.recipes import RECIPES as OF_CASCADE
from marrowscope.learning.classifier.command import RECIPES as OF_CLASSIFIER
from marrowscope.learning.detector.recipes import RECIPES as OF_DETECTOR
from marrowscope.learning.trails.recipes import RECIPES as OF_REGIONS

CHECK = """
import sys
from pathlib import Path
from typer.testing import CliRunner
from marrowscope.cli import build_app
for verb, words, message in CASES:
    result = CliRunner().invoke(build_app(verb), [verb, *words])
    assert message in str(result.exception) + result.output, (words, result.exception, result.output)
    assert "torch" not in sys.modules, words
"""


def test_a_mistyped_word_is_told_before_torch_is_loaded(tmp_path: Path) -> None:
    nowhere, empty, lost = tmp_path / "nowhere", tmp_path / "empty", str(tmp_path / "lost.pth")
    empty.mkdir()
    (tmp_path / "cells" / "Blast").mkdir(parents=True)
    (tmp_path / "cells" / "Blast" / "1.png").touch()
    cells, out = str(tmp_path / "cells"), ["-o", str(tmp_path / "out")]
    cases: list[tuple[str, list[str], str]] = []
    for words in (["train", "cells"], ["tune"]):
        verb, rest = words[0], [*words[1:], *out]
        cases += [
            (
                verb,
                [*rest, "--data", cells, "--network", "mobilnet"],
                "'mobilnet' (did you mean mobilenetv2?); the",
            ),
            (verb, [*rest, "--data", cells, "--recipe", "old"], "no recipe 'old'; the recipes are: modern"),
            (verb, [*rest, "--data", cells, "--weights", lost], "lost.pth is missing; give a weights file"),
            (verb, [*rest, "--data", str(nowhere)], "nowhere is not there; give the folder"),
            (verb, [*rest, "--data", str(empty)], "no picture in a class folder of"),
        ]
    done = tmp_path / "done"
    done.mkdir()
    for name in ("model.pt", "metrics.json"):
        (done / name).touch()
    train = ["cells", "--data", cells]
    cases += [
        ("train", [*train, "-o", str(done)], "holds a training already (model.pt, metrics.json): train anew"),
        ("train", [*train, *out, "--tuned", str(done / "model.pt")], "is no result of marrowscope tune"),
        ("train", [*train, *out, "--tuned", lost], "lost.pth is missing; give the best.json"),
    ]
    study = ["run", "shah-2025", *out]
    cases += [
        ("study", [*study, "--networks", "alexnet"], "no network 'alexnet'"),
        ("study", [*study, "--recipes", "old"], "no recipe 'old'"),
        ("study", [*study, "--weights", lost], "lost.pth is missing"),
        ("study", [*study, "--data", str(empty)], "no picture in a class folder of"),
        ("study", ["run", "wang-2022", *out, "--data", str(empty)], "neither a cohort nor a folder of tiles"),
        ("train", ["detector", "--recipe", "old", *out], "no recipe 'old'; the recipes are: blood-11"),
        ("train", ["classifier", "--recipe", "blood-11", "--data", str(empty), *out], "empty is empty; give"),
        ("train", ["regions", "--recipe", "old", "--data", cells, *out], "no recipe 'old'; the recipes are: trails"),
    ]
    checked = subprocess.run(
        [sys.executable, "-c", f"CASES = {cases!r}\n{CHECK}"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert not (tmp_path / "out").exists()


def test_the_names_of_recipes_are_theirs() -> None:
    found = {"detector": OF_DETECTOR, "classifier": OF_CLASSIFIER, "cascade": OF_CASCADE, "regions": OF_REGIONS}
    assert {name: set(RECIPES[name]) for name in found} == {name: set(known) for name, known in found.items()}


def test_what_resume_would_begin_anew_is_told(tmp_path: Path) -> None:
    line = str(nothing_to_resume(tmp_path / "run", FILES))
    assert "nothing was trained in" in line
    assert line.endswith("--resume begins at the beginning")
    (tmp_path / "run" / "work").mkdir(parents=True)
    assert nothing_to_resume(tmp_path / "run", FILES) is not None
    (tmp_path / "run" / "work" / "last.ckpt").touch()
    assert nothing_to_resume(tmp_path / "run", FILES) is None


def test_what_is_there_is_left_to_the_readers(tmp_path: Path) -> None:
    (tmp_path / "Blast").mkdir()
    (tmp_path / "Blast" / "1.PNG").touch()
    require_cells(tmp_path)
    require_folder(tmp_path)
    require_weights("hub")
    require_weights(None)
    require_weights(tmp_path, folder=True)
    with pytest.raises(DataError, match="is a folder; give a weights file"):
        require_weights(tmp_path)
    with pytest.raises(DataError, match="unknown layout 'mine'"):
        require_cells(tmp_path, "mine")
