"""The rule behind the clean splits: one picture, one split; test wins over val, both over train.

Pictures that show the same cells (:mod:`marrowscope.learning.datasets.pairs`) form groups, across the sets. In a group
the pictures of its best split stay (test before val before train), all others are dropped. Twins within that split are
kept once, as are those in two sets of fields; a single-cell picture and its copy among the fields may both stay, since
they are judged apart. Overlapping crops within one split stay: each is about another cell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from marrowscope.errors import DataError
from marrowscope.learning.datasets.boxes import read_rgb
from marrowscope.learning.datasets.pairs import Pair, find_pairs
from marrowscope.learning.datasets.sketches import sketch
from marrowscope.learning.datasets.splits import SetName

SETS: tuple[SetName, ...] = ("txl_pbc", "bccd", "pbc")
"""In this order the first of several twins in one split is kept."""

FIELDS = ("txl_pbc", "bccd")

_RANK = {"test": 0, "val": 1, "train": 2}
_SQUASHED = (416, 416)


@dataclass(frozen=True, slots=True)
class Published:
    """A picture of a public set and the split its makers put it in; ``file`` as the set's table names it."""

    set_name: SetName
    file: str
    split: str
    size: tuple[int, int]

    @property
    def name(self) -> str:
        return f"{self.set_name}/{self.file}"


def clean_splits(data: Path, progress: Callable[[float], None] = lambda share: None) -> dict[SetName, pl.DataFrame]:
    """Clean lists (file, split, reason) of the three sets below ``data``; raises :class:`DataError` without them."""
    listed = [(name, file, split) for name in SETS for file, split in published_splits(data / name, name).items()]
    pictures, sketches = [], []
    for number, (name, file, split) in enumerate(listed):
        one = sketch(read_rgb(data / name / file))
        sketches.append(one)
        pictures.append(Published(name, file, split, one.size))
        progress(0.5 * number / len(listed))
    return assign(pictures, find_pairs(sketches, lambda share: progress(0.5 + 0.5 * share)))


def assign(pictures: Sequence[Published], pairs: Sequence[Pair]) -> dict[SetName, pl.DataFrame]:
    """The clean lists of the pictures, given which of them show the same (``pairs`` index ``pictures``)."""
    reasons = [_squashed(picture) for picture in pictures]
    kept = [pair for pair in pairs if not reasons[pair.first] and not reasons[pair.second]]
    for group, inside in _groups(len(pictures), kept):
        best = min((pictures[i].split for i in group), key=_RANK.__getitem__)
        winners = [i for i in group if pictures[i].split == best]
        for i in group:
            if pictures[i].split != best:
                reasons[i] = _lost_to(i, winners, inside, pictures)
        for pair in inside:
            first, second = pictures[pair.first], pictures[pair.second]
            same_task = (first.set_name in FIELDS) == (second.set_name in FIELDS)
            if pair.kind != "overlap" and same_task and not reasons[pair.first] and not reasons[pair.second]:
                reasons[pair.second] = f"twin of {first.name}"
    rows: dict[SetName, list[tuple[str, str, str]]] = {name: [] for name in SETS}
    for picture, reason in zip(pictures, reasons, strict=True):
        rows[picture.set_name].append((picture.file, "dropped" if reason else picture.split, reason))
    schema = dict.fromkeys(("file", "split", "reason"), pl.String)
    return {name: pl.DataFrame(sorted(found), schema=schema, orient="row") for name, found in rows.items()}


def published_splits(folder: Path, name: SetName) -> dict[str, str]:
    """File to split as published, in order of the names. Raises :class:`DataError` when the set is not there."""
    table = folder / ("labels.csv" if name == "pbc" else "boxes.csv")
    if not table.is_file():
        raise DataError(f"no {name} set in {folder}: expected {table.name}; give the folder that holds the three sets")
    if name == "pbc":
        rows = pl.read_csv(table, columns=["file", "split"], glob=False)
        splits = dict(zip(rows["file"], rows["split"], strict=True))
    elif name == "txl_pbc":
        splits = {_relative(file, folder): file.parent.name for file in (folder / "images").rglob("*.jpg")}
    else:
        lists = {split: folder / "ImageSets" / "Main" / f"{split}.txt" for split in _RANK}
        absent = [str(path) for path in lists.values() if not path.is_file()]
        if absent:
            raise DataError(f"{folder} is not the BCCD set: there is no {', '.join(absent)}")
        splits = {f"images/{stem}.jpg": split for split, path in lists.items() for stem in path.read_text().split()}
    return dict(sorted(splits.items()))


def _relative(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _squashed(picture: Published) -> str:
    squashed = picture.set_name == "txl_pbc" and picture.size == _SQUASHED
    return "BCCD picture squashed to 416 x 416, some turned and recoloured" if squashed else ""


def _groups(count: int, pairs: Sequence[Pair]) -> list[tuple[list[int], list[Pair]]]:
    """Groups of pictures joined by pairs, each with its pairs."""
    first, second = np.array([pair.first for pair in pairs], int), np.array([pair.second for pair in pairs], int)
    graph = coo_array((np.ones(len(pairs)), (first, second)), shape=(count, count))
    _, group_of = connected_components(graph, directed=False)
    members: dict[int, set[int]] = defaultdict(set)
    inside: dict[int, list[Pair]] = defaultdict(list)
    for pair in pairs:
        group = int(group_of[pair.first])
        members[group] |= {pair.first, pair.second}
        inside[group].append(pair)
    return [(sorted(members[group]), inside[group]) for group in members]


def _lost_to(index: int, winners: Sequence[int], pairs: Sequence[Pair], pictures: Sequence[Published]) -> str:
    words = {"twin": "twin of", "turned": "turned twin of", "overlap": "overlaps"}
    for pair in pairs:
        other = pair.second if pair.first == index else pair.first
        if index in (pair.first, pair.second) and other in winners:
            return f"{words[pair.kind]} {pictures[other].name}, which is in {pictures[other].split}"
    winner = pictures[winners[0]]
    return f"shows cells in common with a relative of {winner.name}, which is in {winner.split}"
