"""Parts of a set: none twice, as large as asked for, whole patients, and no class tested that was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cell_sets import CellSet
from marrowscope.learning.datasets.parting import HOW, Parts, limited, part, patients_in_several


def cells(counts: list[int], splits: list[str] | None = None, patients: list[str] | None = None) -> CellSet:
    labels = np.repeat(np.arange(len(counts)), counts)
    n, words = len(labels), tuple(f"class{index}" for index in range(len(counts)))
    return CellSet(
        "table",
        tuple(Path(f"{row}.png") for row in range(n)),
        labels,
        words,
        words,
        (None,) * len(words),
        tuple(splits or [""] * n),
        tuple(patients or [""] * n),
        None,
        f"a table: {n} pictures",
    )


def shares(set_: CellSet, rows: np.ndarray) -> list[int]:
    return np.bincount(set_.labels[rows], minlength=len(set_.classes)).tolist()


@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=5),
    st.sampled_from(["random", "stratified"]),
    st.integers(0, 1000),
)
def test_every_cell_is_in_one_part(counts: list[int], how: str, seed: int) -> None:
    some = cells(counts)
    try:
        parts = part(some, how=how, val=0.2, test=0.2, seed=seed)
    except DataError as error:  # chance may put a small class into test alone; by class it may not
        assert how == "random"
        assert "none to train on" in str(error)  # noqa: PT017
        return
    together = np.concatenate([parts.train, parts.val, parts.test])
    assert sorted(together.tolist()) == list(range(len(some)))
    for rows in (parts.train, parts.val, parts.test):
        assert (np.diff(rows) > 0).all()


def test_by_class_each_class_has_its_share() -> None:
    some = cells([100, 50, 10])
    parts = part(some, how="stratified", val=0.1, test=0.2, seed=1)
    assert [shares(some, rows) for rows in (parts.train, parts.val, parts.test)] == [
        [70, 35, 7],
        [10, 5, 1],
        [20, 10, 2],
    ]


def test_a_seed_gives_the_same_parts_and_another_gives_others() -> None:
    some = cells([60, 60])
    first, again, other = (part(some, how="random", val=0.1, test=0.1, seed=seed) for seed in (1, 1, 2))
    assert first.test.tolist() == again.test.tolist() != other.test.tolist()


def test_patients_stay_whole_and_classes_in_proportion() -> None:
    patients = [f"P{row % 20}" for row in range(400)]
    some = cells([200, 200], patients=patients)
    parts = part(some, how="patient", val=0.2, test=0.2, seed=3)
    assert patients_in_several(some, parts) == 0
    assert [len(rows) for rows in (parts.train, parts.val, parts.test)] == [240, 80, 80]
    assert shares(some, parts.test) == [40, 40]
    assert "20 patients" in parts.how


def test_pictures_of_unknown_patients_are_left_out_and_said() -> None:
    some = cells([30, 30], patients=[f"P{row % 6}" if row % 3 else "" for row in range(60)])
    parts = part(some, how="patient", val=0.0, test=0.5, seed=0)
    assert len(parts.train) + len(parts.test) == 40
    assert "20 pictures of unknown patients left out" in parts.how


def test_the_given_split_is_kept() -> None:
    splits = (["train"] * 6 + ["val"] * 2 + ["test"] * 2) * 2
    some = cells([10, 10], splits=splits)
    parts = part(some, how="given", val=0.0, test=0.0, seed=0)
    assert [len(parts.train), len(parts.val), len(parts.test)] == [12, 4, 4]
    assert parts.how == "as the set gives it"


def test_a_given_split_without_validation_takes_it_from_training_and_never_from_test() -> None:
    some = cells([10, 11], splits=(["train"] * 8 + ["test"] * 2) * 2 + [""])
    parts = part(some, how="given", val=0.25, test=0.0, seed=0)
    assert [len(parts.train), len(parts.val), len(parts.test)] == [12, 4, 4]
    assert parts.how.startswith("as the set gives it, validation taken from training class by class; 1 picture of no")


def test_a_patient_in_two_given_parts_is_said() -> None:
    some = cells([4, 4], splits=["train", "train", "train", "test"] * 2, patients=["P1"] * 8)
    assert "1 patient with cells in more than one part" in part(some, how="given", val=0.0, test=0.0, seed=0).how


def test_a_class_in_test_that_training_lacks_is_refused() -> None:
    some = cells([4, 2], splits=["train", "train", "test", "test", "test", "test"])
    with pytest.raises(DataError, match="the test part has cells of class1, of which there is none to train on"):
        part(some, how="given", val=0.0, test=0.0, seed=0)


def test_a_class_without_test_cells_is_said() -> None:
    parts = part(cells([20, 1]), how="stratified", val=0.1, test=0.2, seed=0)
    assert "no test cell of class1" in parts.how


@pytest.mark.parametrize(
    ("how", "val", "test", "words"),
    [
        ("random", 0.6, 0.4, "leave nothing to train on"),
        ("given", 0.1, 0.1, "the set tells no split"),
        ("patient", 0.1, 0.1, "no patient is known"),
        ("by hand", 0.1, 0.1, "unknown way"),
        ("stratified", 0.001, 0.1, "no cell is left for the validation part"),
    ],
)
def test_what_cannot_be_parted_says_why(how: str, val: float, test: float, words: str) -> None:
    with pytest.raises(DataError, match=words):
        part(cells([10, 10]), how=how, val=val, test=test, seed=0)


def test_limits_keep_the_order_and_every_class() -> None:
    some = cells([100, 30, 2])
    assert limited(some, per_class=20, seed=0).counts().tolist() == [20, 20, 2]
    assert limited(some, share=0.2, seed=0).counts().tolist() == [20, 6, 1]
    few = limited(some, per_class=5, share=0.5, seed=4)
    assert few.counts().tolist() == [5, 5, 1]
    numbers = [int(file.stem) for file in few.files]
    assert numbers == sorted(numbers)
    assert limited(some, per_class=5, share=0.5, seed=5).files != few.files
    with pytest.raises(DataError, match="at least 1"):
        limited(some, per_class=0, seed=0)


def test_all_ways_are_listed() -> None:
    assert set(HOW) == {"given", "random", "stratified", "patient"}
    assert Parts.__slots__ == ("train", "val", "test", "how")
