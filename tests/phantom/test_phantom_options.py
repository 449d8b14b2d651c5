"""Options are checked before anything is drawn; truth files are checked when read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from marrowscope.errors import DataError
from marrowscope.geometry import Size
from marrowscope.phantom import FieldOptions, PhantomError, PhantomOptions, Truth, read_truth, truth_path


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"stain": "blue"}, "unknown stain 'blue'; choose one of: may-gruenwald-giemsa"),
        ({"diagnosis": "flu"}, "unknown diagnosis 'flu'"),
        ({"difficulty": "hard"}, "choose one of: easy, paper"),
        ({"cells": 0}, "number of cells is 0; it must lie between 1 and"),
        ({"cells": 10**7}, "number of cells"),
        ({"seed": -1}, "seed is -1"),
        ({"spacing": 0.0}, "spacing"),
        ({"spacing": float("nan")}, "spacing"),
        ({"density": 9000.0}, "density"),
        ({"factor": 3}, "pyramid factor is 3; it must be 2 or 4"),
        ({"quality": 5}, "JPEG quality"),
        ({"size": Size(10, 4000)}, "width"),
        ({"size": Size(4000, 10)}, "height"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(PhantomError) as error:
        PhantomOptions(**{"cells": 10, "seed": 1, **wrong})
    assert words in str(error.value)


def test_wrong_field_options_are_named() -> None:
    with pytest.raises(PhantomError, match="unknown composition 'odd'"):
        FieldOptions(composition="odd")
    with pytest.raises(PhantomError, match="density"):
        FieldOptions(density=-1)


def _rewrite(path: Path, target: Path, **changes: Any) -> None:
    document = json.loads(gzip.decompress(truth_path(path).read_bytes()))
    target.write_bytes(gzip.compress(json.dumps({**document, **changes}).encode()))


def test_truth_files_that_cannot_be_used(small_slide: tuple[Path, Truth], tmp_path: Path) -> None:
    slide = small_slide[0]
    with pytest.raises(DataError, match=r"expected alone\.truth\.json\.gz"):
        read_truth(tmp_path / "alone.tif")
    target = tmp_path / "x.truth.json.gz"
    _rewrite(slide, target, schema_version=2)
    with pytest.raises(DataError, match="schema version 2, this program reads 1"):
        read_truth(target)
    _rewrite(slide, target, schema="something else")
    with pytest.raises(DataError, match="no truth file of a phantom"):
        read_truth(target)
    target.write_bytes(truth_path(slide).read_bytes()[:500])
    with pytest.raises(DataError, match="damaged"):
        read_truth(target)
    target.write_text("{}")
    with pytest.raises(DataError, match="damaged"):
        read_truth(target)
