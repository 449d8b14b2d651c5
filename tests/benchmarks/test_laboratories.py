import importlib
from pathlib import Path

import numpy as np
import pytest

from marrowscope.packs import load_pack
from marrowscope.phantom import FieldOptions, render_cells
from marrowscope.taxonomy import PBC_TYPES, PHANTOM_TYPES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def laboratories(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("laboratories")


def test_a_stage_is_right_as_the_pooled_type_and_unknown_types_have_no_truth(laboratories):
    assert PBC_TYPES[laboratories.truth_for("proerythroblast", PBC_TYPES)] == "erythroblast"
    assert PHANTOM_TYPES[laboratories.truth_for("proerythroblast", PHANTOM_TYPES)] == "proerythroblast"
    assert laboratories.truth_for("plasma_cell", PBC_TYPES) == -1


def test_a_small_picture_is_continued_with_its_glass_and_a_large_one_is_left(laboratories):
    picture = np.full((40, 60, 3), (250, 240, 180), np.uint8)
    picture[10:30, 20:40] = (90, 50, 140)
    out = laboratories.framed(picture, 100)
    assert out.shape == (100, 100, 3)
    assert np.array_equal(out[30:70, 20:80], picture)
    assert (out[:30] == (250, 240, 180)).all()
    assert np.array_equal(laboratories.framed(picture, 30), picture)


def _called(laboratories, truth, called, **changes):
    n = len(truth)
    given = {"sure": np.ones(n, bool), "anomalous": np.zeros(n, bool), "labels": ("monocyte",) * n, "classes": 3}
    return laboratories.Called(np.array(truth), np.array(called), **(given | changes))


def test_balanced_accuracy_is_the_mean_recall_of_the_types_with_enough_cells(laboratories):
    truth = [0] * 20 + [1] * 10 + [2] * 3 + [-1] * 4
    result = _called(laboratories, truth, [0] * 15 + [1] * 5 + [1] * 10 + [0] * 3 + [0] * 4)
    measured = {one.name: one for one in laboratories.evaluation(laboratories.SOURCES[0], "blood", result).measured}
    assert measured["accuracy"].value == pytest.approx(25 / 33)
    assert measured["balanced accuracy"].value == pytest.approx((0.75 + 1.0) / 2)
    assert measured["balanced accuracy"].low < 0.875 < measured["balanced accuracy"].high


def test_unsure_cells_are_left_out_of_the_named_and_unknown_types_are_told_apart(laboratories):
    sure = np.array([True] * 5 + [False] * 5 + [True, True, False, True])
    anomalous = np.array([False] * 11 + [True, False, False])
    labels = ("monocyte",) * 10 + ("blast", "blast", "blast", "plasma_cell")
    called = [0] * 5 + [1] * 5 + [0, 0, 1, 2]
    result = _called(laboratories, [0] * 10 + [-1] * 4, called, sure=sure, anomalous=anomalous, labels=labels)
    measured = {
        one.name: one.value for one in laboratories.evaluation(laboratories.SOURCES[3], "marrow", result).measured
    }
    assert measured["named (not unsure)"] == 0.5
    assert measured["accuracy of those named"] == 1.0
    assert laboratories.unknown(laboratories.SOURCES[3], result) == [("blast", 3, 1, 2), ("plasma_cell", 1, 0, 0)]


def test_bands_are_segmented_where_a_set_knows_none(laboratories):
    pack = load_pack("phantom-16")
    contract = pack.contract.classifier
    cells = render_cells(FieldOptions(spacing=contract.spacing), 60, seed=3, crop=contract.crop)
    names = tuple(PHANTOM_TYPES[k] for k in cells.types)
    told = laboratories.call(pack, cells.pictures, names, knows_bands=True)
    pooled = laboratories.call(pack, cells.pictures, names, knows_bands=False)
    band, segmented = (PHANTOM_TYPES.index(name) for name in ("band_neutrophil", "segmented_neutrophil"))
    assert (told.called == band).any()
    assert not (pooled.called == band).any()
    assert (pooled.called == np.where(told.called == band, segmented, told.called)).all()
