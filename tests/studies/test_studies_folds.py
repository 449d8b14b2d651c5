"""Folds: each tile in one fold, the rarest type in balance, whole groups together, empty classes never silent."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.errors import DataError
from marrowscope.studies.folds import (
    as_folds,
    balanced_folds,
    empty_classes,
    grouped_folds,
    leave_one_out,
    usable_folds,
)


@st.composite
def tables(draw: st.DrawFn) -> np.ndarray:
    n, c = draw(st.integers(4, 40)), draw(st.integers(1, 5))
    return np.array(draw(st.lists(st.lists(st.integers(0, 6), min_size=c, max_size=c), min_size=n, max_size=n)))


@given(counts=tables(), folds=st.integers(2, 4), seed=st.integers(0, 1000))
def test_each_tile_is_tested_once_and_the_rarest_type_is_balanced(counts: np.ndarray, folds: int, seed: int) -> None:
    fold = balanced_folds(counts, folds, seed)
    parts = as_folds(fold)
    assert len(parts) == folds
    assert sorted(row for part in parts for row in part.test) == list(range(len(counts)))
    assert all(set(part.train) | set(part.test) == set(range(len(counts))) for part in parts)
    assert not any(set(part.train) & set(part.test) for part in parts)
    totals = counts.sum(axis=0)
    rarest = int(np.argmin(totals))
    held = [int(counts[fold == k, rarest].sum()) for k in range(folds)]
    assert max(held) - min(held) <= counts[:, rarest].max()
    assert (balanced_folds(counts, folds, seed) == fold).all()


def test_another_seed_is_another_filling() -> None:
    counts = np.ones((40, 2), int)
    assert (balanced_folds(counts, 4, 0) != balanced_folds(counts, 4, 1)).any()


def test_single_cells_of_a_rare_type_reach_every_fold() -> None:
    """A filling by tiles alone would leave this to chance: ten tiles of 200 hold the one mitotic cell each."""
    counts = np.zeros((200, 2), int)
    counts[:, 0] = 5
    counts[::20, 1] = 1
    fold = balanced_folds(counts, 10, seed=3)
    assert [int(counts[fold == k, 1].sum()) for k in range(10)] == [1] * 10
    assert np.ptp(np.bincount(fold)) <= 1


@given(seed=st.integers(0, 200))
def test_groups_stay_together(seed: int) -> None:
    generator = np.random.default_rng(seed)
    groups = [f"patient {n}" for n in generator.integers(0, 8, 60)]
    fold = grouped_folds(groups, generator.integers(0, 4, (60, 3)), 3, seed)
    assert all(len({int(k) for k, g in zip(fold, groups, strict=True) if g == name}) == 1 for name in set(groups))


def test_leave_one_out_tests_each_slide_once() -> None:
    folds = leave_one_out(["b", "a", "b"], rows=[5, 6, 9])
    assert [(fold.name, fold.train, fold.test) for fold in folds] == [
        ("slide-a", (5, 9), (6,)),
        ("slide-b", (6,), (5, 9)),
    ]
    with pytest.raises(DataError, match="leaving one out needs at least two"):
        leave_one_out(["a", "a"])


def test_an_empty_class_is_an_error_or_a_stated_skip() -> None:
    counts = np.array([[1, 0], [1, 0], [1, 2]])
    folds = as_folds([0, 1, 2])
    classes = ("blast", "proerythroblast")
    with pytest.raises(DataError, match="proerythroblast has no cell in the training part of fold 2"):
        usable_folds(folds, counts, classes)
    kept, notes = usable_folds(folds, counts, classes, skip=True)
    assert [fold.name for fold in kept] == ["fold-0", "fold-1"]
    assert notes == ["fold 2 was left out: proerythroblast has no cell in the training part of fold 2"]
    assert empty_classes(folds[0], counts, classes, test=True) == [
        "proerythroblast has no cell in the test part of fold 0"
    ]


def test_a_class_that_is_nowhere_is_no_fault_of_the_folds() -> None:
    kept, notes = usable_folds(as_folds([0, 1]), np.array([[1, 0], [1, 0]]), ("blast", "mitotic_cell"))
    assert (len(kept), notes) == (2, [])


def test_fewer_tiles_than_folds() -> None:
    with pytest.raises(DataError, match="found 3 units for 10 folds"):
        balanced_folds(np.ones((3, 2)), 10, 0)
