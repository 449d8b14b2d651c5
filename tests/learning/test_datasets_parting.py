"""Parts of a set: none twice, as large as asked for, whole patients, and no class tested that was not trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cell_sets import CellSet
from marrowscope.learning.datasets.parting import (
    FEW_PATIENTS,
    HOW,
    Parts,
    limited,
    natural_how,
    part,
    patients_in_several,
)


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


def naturally(some: CellSet, val: float = 0.15, test: float = 0.2, seed: int = 0) -> tuple[str, Parts]:
    """The way, and the parts, which are those of this way."""
    how = natural_how(some, val=val, test=test, seed=seed)
    parts, asked = (part(some, how=way, val=val, test=test, seed=seed) for way in ("natural", how))
    for name in ("train", "val", "test"):
        assert getattr(parts, name).tolist() == getattr(asked, name).tolist()
    return how, parts


def test_the_set_decides_how_it_is_parted_naturally() -> None:
    assert naturally(cells([20, 20]))[0] == "stratified"
    assert (
        naturally(cells([20, 20], splits=["train"] * 16 + ["test"] * 4 + ["train"] * 15 + ["test"] * 5))[0] == "given"
    )
    assert naturally(cells([60, 60], patients=[f"P{row % 12}" for row in range(120)]))[0] == "patient"


def test_a_set_that_tells_test_alone_is_not_parted_anew() -> None:
    some = cells([4, 4], splits=["", "", "", "test"] * 2)
    with pytest.raises(DataError, match="the set tells test; expected train and test"):
        part(some, how="natural", val=0.2, test=0.2, seed=0)


@pytest.mark.parametrize("patients", [1, 2, 3, 4])
def test_too_few_patients_are_parted_class_by_class_and_it_is_said(patients: int) -> None:
    some = cells([30, 30], patients=[f"P{row % patients}" for row in range(60)])
    how, parts = naturally(some)
    if how == "patient":  # four may do
        assert patients_in_several(some, parts) == 0
        assert patients == 4
        return
    assert [shares(some, rows) for rows in (parts.train, parts.val, parts.test)] == [[20, 20], [4, 4], [6, 6]]
    words = f"{patients} patient{'' if patients == 1 else 's'} "
    assert f"since {words}{'is' if patients == 1 else 'are'} too few to give each part every class" in parts.how
    assert "cells of one patient may lie on both sides" in parts.how
    assert f"{words}with cells in more than one part" in parts.how


@given(st.integers(1, 14), st.integers(2, 4), st.integers(0, 10_000))
def test_no_number_of_patients_is_refused_naturally(patients: int, classes: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(15, 40, classes).tolist()
    some = cells(counts, patients=[f"P{owner}" for owner in random.integers(0, patients, sum(counts))])
    how, parts = naturally(some, seed=seed)
    few = len(set(some.patients)) < FEW_PATIENTS
    if how == "stratified" or few:
        assert all(min(shares(some, rows)) > 0 for rows in (parts.train, parts.val, parts.test))
    assert ("may lie on both sides" in parts.how) == (how == "stratified")
    assert (patients_in_several(some, parts) == 0) == (how == "patient")


def test_many_patients_stay_whole_though_one_alone_has_a_class() -> None:
    patients = [f"P{row % 20}" for row in range(200)] + ["P20"] * 60
    some = cells([100, 100, 60], patients=patients)
    for seed in range(20):
        how, parts = naturally(some, seed=seed)
        assert how == "patient"
        assert shares(some, parts.train)[2] == 60
        assert "no test cell of class2" in parts.how


def test_patients_of_few_cells_do_not_decide() -> None:
    some = cells([60, 60], patients=[f"P{row % 12}" if row % 3 == 0 else "" for row in range(120)])
    how, parts = naturally(some)
    assert how == "stratified"
    assert "since the patients of 80 pictures are not known: cells of one patient may lie on both sides" in parts.how


def test_who_asks_for_patients_is_told_what_else_to_type() -> None:
    some = cells([30, 30], patients=[f"P{row % 2}" for row in range(60)])
    with pytest.raises(DataError, match="give cells of more patients, or --split stratified"):
        part(some, how="patient", val=0.2, test=0.2, seed=0)


def test_validation_is_taken_class_by_class_where_training_has_too_few_patients() -> None:
    splits, patients = (["train"] * 16 + ["test"] * 4) * 2, (["P1", "P2"] * 8 + ["P3"] * 4) * 2
    some = cells([20, 20], splits=splits, patients=patients)
    parts = part(some, how="given", val=0.25, test=0.0, seed=0)
    assert [len(parts.train), len(parts.val), len(parts.test)] == [24, 8, 8]
    assert "taken from training class by class, since whole patients are too few: cells of one patient may" in parts.how
    assert "2 patients with cells in more than one part" in parts.how


def test_a_class_that_no_part_has_is_said() -> None:
    some = cells([40, 4], patients=[f"P{row % 12}" for row in range(40)] + [""] * 4)
    assert "no cell in any part of class1" in part(some, how="patient", val=0.1, test=0.2, seed=0).how


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
    assert set(HOW) == {"natural", "given", "random", "stratified", "patient"}
    assert Parts.__slots__ == ("train", "val", "test", "how")
