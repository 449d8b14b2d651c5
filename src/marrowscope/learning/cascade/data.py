"""Labelled tiles as torch draws them: pictures decoded once, augmented each time, rare types drawn more often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from math import sqrt

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.utils.data import Dataset, Sampler

from marrowscope.annotations.tiles import LabelledTiles
from marrowscope.errors import DataError, how_many
from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.cascade.labels import Target

LEARNT_FROM = 0.4
"""A cell with less of its box inside a tile is neither learnt nor taken for background."""

CACHE_BYTES = 2_000_000_000
"""Decoded tiles that are kept in memory; the others are read again."""

Example = tuple[Tensor, Target]


def frequencies(tiles: LabelledTiles, rows: Sequence[int]) -> NDArray[np.int64]:
    """Labelled cells of each class ``(t,)`` that the tiles ``rows`` own."""
    owned = tiles.cells.filter(pl.col("owned") & pl.col("tile").is_in(list(rows)))
    counted = dict(owned["type"].value_counts().iter_rows())
    return np.array([counted.get(name, 0) for name in tiles.classes])


def _none_of(empty: Sequence[str], everywhere: Mapping[str, int]) -> str:
    """What to do about types without a cell to learn from; ``everywhere``: cells by type, held-out tiles too."""
    held_out = [f"{name} ({how_many(int(everywhere[name]), 'cell')})" for name in empty if everywhere[name]]
    absent = [name for name in empty if not everywhere[name]]
    words = f"the training tiles hold no {', '.join(empty)}"
    if held_out:
        words += (
            f"; all that there are lie in tiles that are held out, {', '.join(held_out)}: hold out fewer (--held-out) "
            "or others (--seed), or add slides that have some"
        )
    if absent:
        words += (
            f"; no tile at all holds {', '.join(absent)}: add slides that do, or learn without (cut the tiles again "
            "with marrowscope annotations tiles --classes-from file)"
        )
    return words


def repeat_factors(tiles: LabelledTiles, rows: Sequence[int], rare: float) -> NDArray[np.float64]:
    """How often each tile is drawn: the largest ``sqrt(rare / share)`` of its types, at least 1 (Gupta et al. 2019).

    ``share`` is the share of tiles that hold a type. With ``rare`` 0 every tile is drawn once.
    """
    held = tiles.cells.filter(pl.col("tile").is_in(list(rows)) & pl.col("type").is_in(list(tiles.classes)))
    by_tile: dict[int, set[str]] = {}
    for tile, name in held.select("tile", "type").unique().iter_rows():
        by_tile.setdefault(tile, set()).add(name)
    factor = {
        name: max(1.0, sqrt(rare * len(rows) / n)) if rare else 1.0
        for name in tiles.classes
        if (n := sum(name in types for types in by_tile.values()))
    }
    return np.array([max((factor[name] for name in by_tile.get(row, ())), default=1.0) for row in rows])


class TileExamples(Dataset[Example]):
    """``(tile (3, s, s) uint8, Target)`` of the tiles ``rows``, changed by ``augmentation``.

    Raises :class:`DataError` when a class has no cell in ``rows``: a fold that lacks a type teaches that it is
    background.
    """

    def __init__(self, tiles: LabelledTiles, rows: Sequence[int], augmentation: Augmentation, seed: int) -> None:
        found = frequencies(tiles, rows)
        empty = [name for name, n in zip(tiles.classes, found, strict=True) if not n]
        if empty:
            raise DataError(
                _none_of(empty, dict(zip(tiles.classes, frequencies(tiles, range(len(tiles))), strict=True)))
            )
        self.tiles, self.rows, self.augmentation, self.seed = tiles, list(rows), augmentation, seed
        chosen = tiles.cells.filter(pl.col("tile").is_in(self.rows))
        self._cells = {
            key[0]: part.select("type", "x0", "y0", "x1", "y1", "visible")
            for key, part in chosen.partition_by("tile", as_dict=True).items()
        }
        self._complete = tiles.complete
        self._numbers = {name: number for number, name in enumerate(tiles.classes)}
        self._cache: OrderedDict[int, NDArray[np.uint8]] = OrderedDict()
        self._room = max(1, CACHE_BYTES // (3 * tiles.side**2))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, draw: int) -> Example:
        """The example of a draw: ``draw`` % n is the tile, ``draw`` // n how many times it was drawn before."""
        row = self.rows[draw % len(self.rows)]
        rng = np.random.default_rng((self.seed, draw))
        boxes, types, learnt = self._labels(row)
        picture, boxes = self.augmentation(self._picture(row), boxes, rng)
        return torch.from_numpy(picture.transpose(2, 0, 1).copy()), Target(
            torch.from_numpy(boxes[learnt]),
            torch.from_numpy(types[learnt]),
            torch.from_numpy(boxes[~learnt]),
            bool(self._complete[row]),
        )

    def _labels(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        cells = self._cells.get(row)
        if cells is None:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)
        types = np.array([self._numbers.get(name, -1) for name in cells["type"]], np.int64)
        boxes = cells.select("x0", "y0", "x1", "y1").to_numpy().astype(np.float32)
        return boxes, types, (types >= 0) & (cells["visible"].to_numpy() >= LEARNT_FROM)

    def _picture(self, row: int) -> NDArray[np.uint8]:
        if row not in self._cache:
            if len(self._cache) >= self._room:
                self._cache.popitem(last=False)
            self._cache[row] = self.tiles.picture(row)
        return self._cache[row]


class RareFirst(Sampler[int]):
    """``count`` draws in which each tile stands about as often as its factor says; the same for the same seed.

    A draw carries how often its tile came before, so that a training which goes on from draw ``start`` sees what it
    would have seen. Of several processes each yields its share, and together they yield the draws of a step before
    those of the next. The length is that of all draws of a process, for Lightning counts the batches before a break,
    too.
    """

    def __init__(self, factors: NDArray[np.float64], count: int, seed: int, start: int = 0) -> None:
        self.factors, self.count, self.seed, self.start = factors, count, seed, start

    def __len__(self) -> int:
        return self.count // _place()[1]

    def order(self) -> NDArray[np.int64]:
        """All draws ``(count,)``, also those before ``start``."""
        n, rng = len(self.factors), np.random.default_rng((self.seed, 71))
        rounds: list[NDArray[np.int64]] = []
        while sum(map(len, rounds)) < self.count:
            times = np.floor(self.factors + rng.random(n)).astype(np.int64)
            rounds.append(rng.permutation(np.repeat(np.arange(n), times)))
        rows = np.concatenate(rounds)[: self.count] if rounds else np.zeros(0, np.int64)
        before = np.zeros(n, np.int64)
        draws = np.empty(len(rows), np.int64)
        for position, row in enumerate(rows):
            draws[position] = before[row] * n + row
            before[row] += 1
        return draws

    def __iter__(self) -> Iterator[int]:
        rank, processes = _place()
        return iter(self.order()[self.start + rank :: processes].tolist())


def _place() -> tuple[int, int]:
    """Number of this process and how many train together; known only once they have met."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def together(examples: Sequence[Example]) -> tuple[Tensor, list[Target]]:
    """A batch: tiles ``(n, 3, s, s)``, a target each."""
    return torch.stack([tile for tile, _ in examples]), [target for _, target in examples]
