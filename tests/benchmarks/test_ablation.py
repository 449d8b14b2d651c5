import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from marrowscope.errors import DataError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("ablation")


def test_a_folder_without_a_note_gets_one_and_goes_on_with_the_same_settings_only(ablation, tmp_path):
    variant = ablation.VARIANTS[-1]
    (tmp_path / "scores.json").write_text("[]")
    for _ in range(2):
        ablation.settle(variant, 3, tmp_path)
    with pytest.raises(DataError, match=r"3 epochs, and this run is of .* 5 epochs"):
        ablation.settle(variant, 5, tmp_path)
    with pytest.raises(DataError, match="give another folder with -o"):
        ablation.settle(replace(variant, augmentation=replace(variant.augmentation, blur=0.7)), 3, tmp_path)
