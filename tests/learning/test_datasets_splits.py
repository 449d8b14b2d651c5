"""The clean splits: the rule on made-up pairs, and the lists that come with the package."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cleaning import FIELDS, SETS, Published, assign, clean_splits, published_splits
from marrowscope.learning.datasets.pairs import Pair
from marrowscope.learning.datasets.splits import SPLITS, SetName, clean_split, clean_table

DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))
needs_data = pytest.mark.skipif(
    not all((DATA / name).is_dir() for name in SETS), reason=f"the sets {', '.join(SETS)} are not in {DATA}"
)


def picture(set_name: SetName, file: str, split: str, size: tuple[int, int] = (100, 100)) -> Published:
    return Published(set_name, file, split, size)


def outcome(pictures: list[Published], pairs: list[Pair]) -> dict[str, tuple[str, str]]:
    tables = assign(pictures, pairs)
    return {f"{n}/{file}": (split, why) for n, table in tables.items() for file, split, why in table.iter_rows()}


def test_test_wins_over_val_and_val_over_train_across_sets() -> None:
    pictures = [
        picture("txl_pbc", "a", "train"),
        picture("bccd", "b", "val"),
        picture("pbc", "c", "test"),
        picture("pbc", "d", "train"),
        picture("pbc", "e", "val"),
        picture("pbc", "f", "train"),
    ]
    found = outcome(pictures, [Pair(0, 1, "twin", 1.0), Pair(1, 2, "overlap", 0.9, 0.5), Pair(3, 4, "turned", 0.9)])
    assert found == {
        "txl_pbc/a": ("dropped", "shows cells in common with a relative of pbc/c, which is in test"),
        "bccd/b": ("dropped", "overlaps pbc/c, which is in test"),
        "pbc/c": ("test", ""),
        "pbc/d": ("dropped", "turned twin of pbc/e, which is in val"),
        "pbc/e": ("val", ""),
        "pbc/f": ("train", ""),
    }


def test_twins_in_one_split_are_kept_once_but_cells_beside_fields_and_overlaps_stay() -> None:
    pictures = [
        picture("txl_pbc", "a", "test"),
        picture("bccd", "b", "test"),
        picture("pbc", "c", "test"),
        picture("pbc", "d", "test"),
    ]
    found = outcome(pictures, [Pair(0, 1, "twin", 1.0), Pair(0, 2, "twin", 1.0), Pair(2, 3, "overlap", 0.9, 0.5)])
    assert {name: split for name, (split, _) in found.items()} == {
        "txl_pbc/a": "test",
        "bccd/b": "dropped",
        "pbc/c": "test",
        "pbc/d": "test",
    }


def test_squashed_pictures_go_and_take_nothing_with_them() -> None:
    pictures = [picture("txl_pbc", "a", "test", (416, 416)), picture("bccd", "b", "train")]
    found = outcome(pictures, [Pair(0, 1, "twin", 0.9)])
    assert found["txl_pbc/a"][0] == "dropped"
    assert "squashed" in found["txl_pbc/a"][1]
    assert found["bccd/b"] == ("train", "")


@given(st.data())
def test_no_pair_ever_crosses_splits(data: st.DataObject) -> None:
    splits = data.draw(st.lists(st.sampled_from(["train", "val", "test"]), min_size=2, max_size=12))
    sets = data.draw(st.lists(st.sampled_from(SETS), min_size=len(splits), max_size=len(splits)))
    pictures = [picture(name, f"{i:02}", split) for i, (name, split) in enumerate(zip(sets, splits, strict=True))]
    index = st.integers(0, len(splits) - 1)
    ends = data.draw(st.sets(st.tuples(index, index).filter(lambda two: two[0] < two[1]), max_size=15))
    pairs = [Pair(i, j, data.draw(st.sampled_from(["twin", "turned", "overlap"])), 0.9) for i, j in sorted(ends)]
    found = outcome(pictures, pairs)
    for pair in pairs:
        ours = {found[pictures[i].name][0] for i in (pair.first, pair.second)}
        assert len(ours - {"dropped"}) <= 1
    for one in pictures:
        split, why = found[one.name]
        assert (split == "dropped") == bool(why)
        assert split in ("dropped", one.split)
    if "test" in splits:
        assert any(split == "test" for split, _ in found.values())


def test_absent_sets_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="txl_pbc"):
        clean_splits(tmp_path)
    (tmp_path / "bccd").mkdir()
    (tmp_path / "bccd" / "boxes.csv").write_text("file\n")
    with pytest.raises(DataError, match=r"test\.txt"):
        published_splits(tmp_path / "bccd", "bccd")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("pbc", {"train": 8331, "val": 1340, "test": 2049, "dropped": 104}),
        ("txl_pbc", {"train": 700, "val": 230, "test": 127, "dropped": 383}),
        ("bccd", {"train": 80, "val": 67, "test": 63, "dropped": 154}),
    ],
)
def test_the_lists_of_the_package(name: SetName, counts: dict[str, int]) -> None:
    table = clean_table(name)
    assert dict(table.group_by("split").len().iter_rows()) == counts
    assert set(counts) == set(SPLITS)
    assert table["file"].is_unique().all()
    assert (table["split"].eq("dropped") == table["reason"].ne("")).all()
    assert clean_split(name) == dict(zip(table["file"], table["split"], strict=True))


@pytest.mark.realdata
@pytest.mark.slow
@needs_data
@pytest.mark.timeout(1800)
def test_the_lists_are_those_that_the_rule_gives() -> None:
    for name, table in clean_splits(DATA).items():
        assert table.equals(clean_table(name)), name
        published = published_splits(DATA / name, name)
        kept = table.filter(pl.col("split") != "dropped")
        assert all(published[file] == split for file, split, _ in kept.iter_rows())
    assert set(FIELDS) < set(SETS)
