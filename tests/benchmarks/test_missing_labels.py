"""Missing labels at toy size, on phantoms: which go, what is counted, and a run that goes on where it stopped."""

import importlib
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from marrowscope.errors import DataError
from marrowscope.learning.cascade.recipes import tiny

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def missing_labels():
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("missing_labels")


@pytest.fixture(scope="module")
def fields(missing_labels):
    return missing_labels.rendered(12, 4, 2, side=160)


def test_the_same_labels_go_for_every_rule_and_more_missing_takes_the_same_and_more(missing_labels, fields):
    whole = missing_labels.without(fields, 0, seed=1).cells
    kept = {share: missing_labels.without(fields, share, seed=1).cells for share in (30, 70)}
    n = whole.height
    assert n == sum(row < len(fields.train) for row in fields.tiles.cells["tile"])
    for share, cells in kept.items():
        assert 0 <= cells.height - round(n * (1 - share / 100)) <= len(fields.tiles.classes)
    rows = {share: set(cells.iter_rows()) for share, cells in kept.items()}
    assert rows[70] < rows[30] < set(whole.iter_rows())
    assert rows[30] == set(missing_labels.without(fields, 30, seed=1).cells.iter_rows())
    assert rows[30] != set(missing_labels.without(fields, 30, seed=2).cells.iter_rows())
    nearly_all = missing_labels.without(fields, 100, seed=1).cells.filter("owned")
    assert set(nearly_all["type"]) == set(fields.tiles.classes)


def _judged(missing_labels, cell_score, score, right):
    """Two tiles, two cells each, all of one type."""
    n = len(score)
    return missing_labels.Judged(
        2,
        np.array([0, 0, 1, 1]),
        np.zeros(4, np.intp),
        np.array(cell_score),
        np.arange(n) % 2,
        np.array(score),
        np.array(right),
        np.zeros(n, np.intp),
        np.array(score),
        np.array(right),
    )


def test_recall_and_precision_by_hand_and_differences_are_paired(missing_labels):
    m, every = missing_labels, np.arange(2)
    score, right = [0.9, 0.8, 0.7, 0.6, 0.4, 0.3], [True, False, True, False, False, True]
    one = _judged(m, [0.9, 0.7, 0.3, 0.0], score, right)
    assert m.recall(one, every) == 0.5
    assert m.recall(one, np.array([1, 1])) == 0
    assert m.recall_at_false(one, every) == 0.5  # the third false positive on two tiles comes before 0.3
    assert m.recall_at_false(one, np.array([0, 0])) == 1.0  # its tile holds one false positive, twice drawn
    assert m.ap50(one, every) == pytest.approx((26 + 25 * 2 / 3 + 25 * 0.5) / 101)
    assert m.ap50_types(one, every) == m.ap50(one, every)
    assert np.isnan(m.false_on_empty(one, every))  # every tile holds a cell
    alone = replace(one, cell_tile=np.zeros(4, np.intp))  # detections on tile 1: 0.8, 0.6, 0.3
    assert m.false_on_empty(alone, every) == 2.0
    better = _judged(m, [0.9, 0.7, 0.6, 0.0], score, right)
    assert m.difference([better, better], [one, one], m.recall, draws=50) == (0.25, 0.0, 0.5)
    assert m.difference([one], [one], m.ap50, draws=20) == (0, 0, 0)


def test_results_are_read_back_a_cut_off_line_is_not_and_other_questions_are_refused(missing_labels, tmp_path):
    setting = missing_labels.Setting(30, "background", 0)
    judged = _judged(missing_labels, [0.9, 0.7, 0.3, 0.0], [0.9, 0.1], [True, False])
    results = missing_labels.Results(tmp_path / "results.jsonl", "a")
    results.add(setting, judged)
    with results.path.open("a") as lines:
        lines.write('{"setting": {"missing": 3')
    results.add(replace(setting, seed=1), judged)
    back = dict(results)
    assert list(back) == [setting, replace(setting, seed=1)]
    for field in fields_of(judged):
        one, two = getattr(judged, field.name), getattr(back[setting], field.name)
        assert np.array_equal(one, two)
        assert getattr(one, "dtype", int) == getattr(two, "dtype", int)
    with pytest.raises(DataError, match="other tiles or of another recipe"):
        list(missing_labels.Results(results.path, "b"))


def test_every_rule_trains_and_a_run_goes_on_where_it_stopped(missing_labels, fields, tmp_path, monkeypatch):
    m = missing_labels
    base = replace(tiny(), side=160, steps=2)
    asked = m.settings([50], ["background", "soft-sampling", "ignore-confident"], [0])
    assert [one.rule for one in asked] == [*m.MISSING_LABELS, m.SOFT_BOXES]
    recipes = {one.rule: one.recipe(base) for one in asked}
    assert [r.negatives.kind for r in recipes.values()] == [*m.MISSING_LABELS, "background"]
    assert [r.soft_boxes for r in recipes.values()] == [False, False, False, True]
    m.run(fields, base, asked[:2], tmp_path, silent=True)
    trained = []
    real = m.train_cascade
    monkeypatch.setattr(
        m, "train_cascade", lambda recipe, *a, **s: trained.append(recipe.name) or real(recipe, *a, **s)
    )
    results = m.run(fields, base, asked, tmp_path, silent=True)
    assert trained == ["ignore-confident", m.SOFT_BOXES]
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]
    text = m.page(results, fields, base, draws=10)
    for line in text.splitlines():
        prose = line and not line.startswith(("|", "    "))
        assert not prose or "hantom" in line, f"a line that does not say phantom: {line}"
    assert text.count("| 50 % |") == 8


def test_the_tiles_of_a_cohort_need_their_whole_truth(missing_labels, tmp_path):
    with pytest.raises(DataError, match="neither a cohort nor a folder of tiles"):
        missing_labels.of_cohort(tmp_path, tmp_path / "out")
