"""Labelled cells and what they were called: tables, tolerance, kappa, scores by type, against counting by hand."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from marrowscope.evaluation.by_type import type_table
from marrowscope.evaluation.calls import NEIGHBOURING_STAGES, confusion, kappa, make_calls
from marrowscope.evaluation.classification import cohen_kappa

TRUTH = ["blast", "blast", "blast", "myelocyte", "myelocyte", "lymphocyte", None, None]
CALLED = ["blast", "promyelocyte", None, "myelocyte", "blast", "lymphocyte", "blast", "lymphocyte"]


def test_complete_truth_makes_a_detection_without_a_label_a_false_positive() -> None:
    table = type_table(make_calls(TRUTH, CALLED, complete=True))
    blast = table["blast"]
    assert (blast.n, blast.recall.count, blast.precision.count, blast.precision.total) == (3, 1, 1, 3)
    # One right; false negative: promyelocyte and missed; false positive: a myelocyte and the background; 8 rows.
    assert (blast.accuracy.count, blast.accuracy.total) == (4, 8)
    assert blast.f1.value == pytest.approx(2 / 6)
    assert (table.right.count, table.right.total, table.missed.count) == (3, 6, 1)
    matrix = confusion(make_calls(TRUTH, CALLED, complete=True))
    assert matrix.rows == ("blast", "promyelocyte", "myelocyte", "lymphocyte", "background")
    assert matrix.columns == ("blast", "promyelocyte", "myelocyte", "lymphocyte", "missed")
    assert matrix.counts.tolist() == [[1, 1, 0, 0, 1], [0] * 5, [1, 0, 1, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 1, 0]]


def test_partial_labels_leave_detections_without_a_label_out_and_say_so() -> None:
    calls = make_calls(TRUTH, CALLED, complete=False)
    table = type_table(calls)
    assert calls.left_out == table.left_out == 2
    assert table["blast"].precision.total == 2
    assert table["lymphocyte"].precision.value == 1
    assert (table["blast"].accuracy.count, table["blast"].accuracy.total) == (3, 6)
    assert "the 2 detections" in table.background
    assert confusion(calls).rows[-1] != "background"
    assert confusion(calls).columns[-1] == "missed"


def test_macro_means_leave_out_what_was_not_labelled_or_cannot_be_named() -> None:
    calls = make_calls(TRUTH, CALLED, complete=False, types=["monocyte"])
    table = type_table(calls, seen=["blast", "promyelocyte", "lymphocyte", "monocyte"])
    assert table.averaged == ("blast", "lymphocyte")
    assert table.absent == ("promyelocyte", "monocyte")
    assert table.unseen == ("myelocyte",)
    assert table["myelocyte"].why == "the pack cannot name it"
    assert table.macro_recall.value == pytest.approx((1 / 3 + 1) / 2)
    assert table.macro_f1.value == pytest.approx((2 / 5 + 1) / 2)
    assert (table.macro_recall.n, table.macro_recall.units) == (4, 6)


def test_a_mean_over_no_type_is_nan() -> None:
    table = type_table(make_calls([], [], complete=True, types=["blast"]))
    assert isnan(table.macro_recall.value)
    assert isnan(table.macro_recall.low)
    assert table.averaged == ()


def test_neighbours_are_one_stage_apart_on_their_line() -> None:
    assert NEIGHBOURING_STAGES["blast"] == ("promyelocyte",)
    assert NEIGHBOURING_STAGES["metamyelocyte"] == ("myelocyte", "band_neutrophil")
    assert NEIGHBOURING_STAGES["orthochromatic_erythroblast"] == ("polychromatic_erythroblast",)
    assert not NEIGHBOURING_STAGES.keys() & {"lymphocyte", "monocyte", "eosinophil", "erythroblast"}


def test_tolerant_scores_forgive_a_neighbour_and_no_more() -> None:
    table = type_table(make_calls(TRUTH, CALLED, complete=True), tolerant=True)
    blast, promyelocyte = table["blast"], table["promyelocyte"]
    assert (blast.recall.count, blast.precision.count, blast.precision.total) == (2, 1, 3)  # a myelocyte is two off
    assert (promyelocyte.n, promyelocyte.precision.count, promyelocyte.precision.total) == (0, 1, 1)
    assert blast.f1.value == pytest.approx(2 * (2 / 3) * (1 / 3) / (2 / 3 + 1 / 3))
    assert (table.right.count, table.right.total) == (4, 6)


def test_erythroblasts_are_pooled_beside_their_stages_and_not_averaged() -> None:
    truth = ["proerythroblast", "basophilic_erythroblast", "erythroblast", "lymphocyte"]
    called = ["basophilic_erythroblast", "basophilic_erythroblast", "erythroblast", "proerythroblast"]
    table = type_table(make_calls(truth, called, complete=False))
    pooled = table["erythroblast"]
    assert pooled.pooled
    assert (pooled.n, pooled.recall.count, pooled.precision.count, pooled.precision.total) == (3, 3, 3, 4)
    assert table.averaged == ("proerythroblast", "basophilic_erythroblast", "lymphocyte")
    alone = type_table(make_calls(["erythroblast"], ["erythroblast"], complete=False))
    assert alone.averaged == ("erythroblast",)


def test_intervals_redraw_clusters() -> None:
    """Slides that are all right or all wrong say less than the same cells drawn one by one."""
    truth = ["blast", "lymphocyte"] * 100
    called = ["blast", "lymphocyte"] * 50 + ["lymphocyte", "blast"] * 50
    slides = [number // 50 for number in range(200)]
    by_cell = type_table(make_calls(truth, called, complete=False)).macro_recall
    by_slide = type_table(make_calls(truth, called, slides, complete=False)).macro_recall
    assert by_cell.value == by_slide.value == 0.5
    assert (by_cell.units, by_slide.units) == (200, 4)
    assert by_slide.high - by_slide.low > 3 * (by_cell.high - by_cell.low)
    one = type_table(make_calls(truth, called, ["slide"] * 200, complete=False)).macro_recall
    assert isnan(one.low)
    assert one.value == 0.5


def test_intervals_of_independent_cells_match_the_binomial() -> None:
    truth = ["blast"] * 400
    called = ["blast"] * 300 + ["lymphocyte"] * 100
    right = type_table(make_calls(truth, called, complete=False)).right_redrawn
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert (right.low, right.high) == pytest.approx((0.75 - half, 0.75 + half), abs=0.008)


def test_kappa_is_cohens_with_an_interval() -> None:
    """The example of Cohen's kappa that every textbook has: 20 and 15 agreed of 50, kappa 0.4."""
    first = ["blast"] * 25 + ["lymphocyte"] * 25
    second = ["blast"] * 20 + ["lymphocyte"] * 5 + ["blast"] * 10 + ["lymphocyte"] * 15
    value = kappa(first, second)
    assert value.value == pytest.approx(0.4)
    assert value.value == pytest.approx(cohen_kappa(np.array([[20, 5], [10, 15]])))
    assert 0.1 < value.low < 0.25
    assert 0.55 < value.high < 0.7
    assert kappa([*first, None], [*second, "blast"], ["a"] * 51).n == 50
    assert isnan(kappa(["blast"] * 3, ["blast"] * 3).value)


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        make_calls(["blast"], [], complete=True)
    with pytest.raises(ValueError, match="unknown cell types"):
        make_calls(["blastt"], ["blast"], complete=True)
    with pytest.raises(ValueError, match="neither a label nor a call"):
        make_calls([None], [None], complete=True)


def test_a_single_stage_is_averaged_once() -> None:
    table = type_table(make_calls(["proerythroblast", "blast"], ["blast", "blast"], complete=False))
    assert table.averaged == ("blast", "proerythroblast")
    assert table.macro_recall.value == 0.5
    assert table["erythroblast"].pooled
