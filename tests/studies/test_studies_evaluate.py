"""Scores of the study on tiles whose cells and detections are written down here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from marrowscope.annotations import LabelledTiles
from marrowscope.annotations.tiles import TILE_CELL_SCHEMA, TILE_SCHEMA
from marrowscope.detection.table import Detections
from marrowscope.evaluation.redrawing import spread
from marrowscope.studies.wang_2022.data import TRUTH_SCHEMA, StudyData
from marrowscope.studies.wang_2022.evaluate import (
    differentials,
    fold_gain,
    label_calls,
    macro_gain,
    precisions,
    score_folds,
)
from marrowscope.studies.wang_2022.work import detection_table

CLASSES = ("blast", "lymphocyte", "plasma_cell")


def box(x: float, y: float, side: float = 40) -> tuple[float, float, float, float]:
    return x, y, x + side, y + side


@pytest.fixture
def data(tmp_path: Path) -> StudyData:
    """Two tiles; tile 0 holds a smudge and a cell that its neighbour owns; one true cell of tile 1 is unlabelled."""
    tiles = [(0, "F1", "", "normal", "first", 0, 0, ""), (1, "F2", "", "aml", "first", 0, 0, "")]
    cells = [
        (0, "a", "blast", *box(10, 10), 1.0, True),
        (0, "b", "lymphocyte", *box(100, 10), 1.0, True),
        (0, "c", "smudge", *box(200, 10), 1.0, True),
        (0, "d", "blast", *box(300, 10), 0.4, False),
        (1, "e", "blast", *box(10, 10), 1.0, True),
        (1, "f", "plasma_cell", *box(100, 10), 1.0, True),
    ]
    truth = [(tile, kind, *edges, owned) for tile, _, kind, *edges, _, owned in cells]
    truth.append((1, "blast", *box(200, 10), True))
    labelled = LabelledTiles(
        tmp_path,
        0.25,
        640,
        CLASSES,
        pl.DataFrame(tiles, schema=TILE_SCHEMA, orient="row"),
        pl.DataFrame(cells, schema=TILE_CELL_SCHEMA, orient="row"),
    )
    return StudyData(labelled, pl.DataFrame(truth, schema=TRUTH_SCHEMA, orient="row"), None, None, "a test", {})


def found(*rows: tuple[float, float, float, str]) -> Detections:
    """Detections at x, y with a score and a type."""
    probabilities = np.full((len(rows), 3), 0.1, np.float32)
    probabilities[range(len(rows)), [CLASSES.index(kind) for *_, kind in rows]] = 0.8
    return Detections(
        np.array([box(x, y) for x, y, _, _ in rows]), np.array([row[2] for row in rows], np.float32), probabilities
    )


@pytest.fixture
def detections() -> pl.DataFrame:
    """Tile 0: right, wrong, on the smudge, on the neighbour's cell; tile 1: right, too weak, and the unlabelled one."""
    first = found(
        (12, 10, 0.9, "blast"),
        (100, 12, 0.8, "blast"),
        (200, 10, 0.7, "blast"),
        (300, 10, 0.6, "blast"),
    )
    second = found((10, 10, 0.9, "blast"), (100, 10, 0.09, "plasma_cell"), (200, 10, 0.7, "blast"))
    return detection_table([0, 1], [first, second], CLASSES, CLASSES)


def test_only_owned_cells_of_trained_types_are_judged(data: StudyData, detections: pl.DataFrame) -> None:
    calls = label_calls(data, detections, [0, 1])
    assert calls.select("id", "truth", "called").rows() == [
        ("a", "blast", "blast"),
        ("b", "lymphocyte", "blast"),
        ("e", "blast", "blast"),
        ("f", "plasma_cell", None),  # its detection is below the score of 0.1
    ]
    assert calls["diagnosis"].to_list() == ["normal", "normal", "aml", "aml"]


def test_scores_over_folds_and_over_all_cells(data: StudyData, detections: pl.DataFrame) -> None:
    folds = {f"fold-{row}": label_calls(data, detections, [row]) for row in (0, 1)}
    scored = score_folds(folds, CLASSES, CLASSES)
    assert scored.macro_recall.mean == pytest.approx(0.5)  # (1 + 0) / 2 in both folds
    assert scored.pooled.macro_recall.value == pytest.approx(1 / 3)
    assert scored.recall("lymphocyte").folds == 1
    assert scored.accuracy("blast").mean == pytest.approx((0.5 + 1) / 2)
    assert scored.pooled.missed.count == 1


def test_a_type_that_was_not_trained_is_in_no_mean(data: StudyData, detections: pl.DataFrame) -> None:
    folds = {"fold-0": label_calls(data, detections, [0, 1])}
    scored = score_folds(folds, CLASSES, ("blast", "lymphocyte"))
    assert scored.pooled.unseen == ("plasma_cell",)
    assert scored.pooled.macro_recall.value == pytest.approx(0.5)


def test_average_precision_counts_what_is_not_labelled(data: StudyData, detections: pl.DataFrame) -> None:
    """Against the whole truth: the blast without a label is right; the smudge and the neighbour's cell say nothing."""
    by_type = {one.type: one for one in precisions(data, detections, [0, 1])}
    assert by_type["blast"].ap50.n == 3
    # Ranked: two right (0.9), then the lymphocyte taken for a blast (0.8), then the third right (0.7).
    assert by_type["blast"].ap50.value == pytest.approx((67 * 1 + 34 * 0.75) / 101)
    assert by_type["lymphocyte"].ap50.value == 0


def test_error_of_the_differential(data: StudyData, detections: pl.DataFrame) -> None:
    errors, cells = differentials(data, detections, [0, 1])
    assert cells == 6
    blast = next(one for one in errors if one.type == "blast")
    # Slide F1: 2 of 3 true, the neighbour's among them, 4 of 4 counted; F2: 2 of 3 true, 2 of 2 counted.
    assert blast.mean_difference.value == pytest.approx(100 / 3)


def test_gain_is_paired_over_folds_and_over_cells(data: StudyData, detections: pl.DataFrame) -> None:
    nothing = detections.clear()
    better = score_folds({f"f{n}": label_calls(data, detections, [n]) for n in (0, 1)}, CLASSES, CLASSES)
    worse = score_folds({f"f{n}": label_calls(data, nothing, [n]) for n in (0, 1)}, CLASSES, CLASSES)
    mean, low, high, folds = fold_gain(better, worse)
    assert (mean, low, high, folds) == pytest.approx((0.5, 0.5, 0.5, 2))
    assert macro_gain(better.calls, worse.calls).value == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="same cells in the same order"):
        macro_gain(better.calls, score_folds({"f0": label_calls(data, nothing, [0])}, CLASSES, CLASSES).calls)


def test_spread_leaves_out_what_could_not_be_measured() -> None:
    assert spread([0.5, float("nan"), 0.7]).mean == pytest.approx(0.6)
    assert spread([0.5, float("nan"), 0.7]).folds == 2
    assert np.isnan(spread([]).mean)


def test_columns_of_types_that_were_not_learnt_are_zero() -> None:
    one = Detections(np.array([box(0, 0)]), np.array([0.5], np.float32), np.array([[0.3, 0.7]], np.float32))
    table = detection_table([4], [one], ("blast", "plasma_cell"), CLASSES)
    assert table.select("tile", "p_blast", "p_lymphocyte", "p_plasma_cell").row(0) == pytest.approx((4, 0.3, 0, 0.7))
    with pytest.raises(ValueError, match="tile 4: expected probabilities of 3 classes"):
        detection_table([4], [one], CLASSES, CLASSES)
