"""Cells in memory, and the random views of them that a classifier learns from.

Every view is drawn from ``(seed, epoch, draw)``: training is the same whatever the number of workers, and a resumed
training goes on with the views it would have had.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from marrowscope.errors import DataError
from marrowscope.learning.classifier.augmentation import Augmentation, cut
from marrowscope.learning.classifier.export import normalised
from marrowscope.learning.classifier.scenes import among_others, beside, crowded, on_glass
from marrowscope.learning.datasets.masks import cell_mask


@dataclass(frozen=True, slots=True)
class Cells:
    """Pictures ``(n, side, side, 3)`` uint8 RGB at ``spacing`` um/px, cell in the middle, and ``labels (n,)``.

    ``masks (n, side, side)``, 0 or 1, say which pixels are the cell; all 0 where that could not be told.
    """

    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    spacing: float
    masks: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def crops(self, crop: int, spacing: float) -> NDArray[np.uint8]:
        """The plain crops ``(n, crop, crop, 3)`` at ``spacing``, as the pipeline would cut them."""
        if len(self) == 0:
            return np.zeros((0, crop, crop, 3), np.uint8)
        return np.stack([cut(picture, self.spacing, spacing, crop) for picture in self.pictures])


def with_masks(cells: Cells) -> Cells:
    """The cells with their masks, found on all cores (some ten milliseconds a cell)."""
    console = Console(stderr=True)
    # fresh processes, as forked ones may inherit locks of the threads of OpenCV and torch
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        found = pool.map(cell_mask, cells.pictures, repeat(cells.spacing), chunksize=64)
        shown = track(found, "outlining cells", len(cells), console=console, disable=not console.is_terminal)
        masks = np.stack(list(shown)) if len(cells) else np.zeros(cells.pictures.shape[:3], np.uint8)
    return dataclasses.replace(cells, masks=masks)


@dataclass(frozen=True, slots=True)
class Splits:
    """Cells to learn from, to choose and calibrate on, and to report on; ``source`` says whose, and how split."""

    train: Cells
    val: Cells
    test: Cells
    source: str


Draw = tuple[int, int, int]
"""Index of the cell, epoch, number of the draw within the epoch."""


class BalancedDraws(Sampler[Draw]):
    """``length`` draws an epoch: each class equally often, each cell of a class equally often."""

    def __init__(self, labels: NDArray[np.int64], classes: int, length: int, seed: int) -> None:
        self.members = [np.flatnonzero(labels == index) for index in range(classes)]
        empty = [index for index, members in enumerate(self.members) if not len(members)]
        if empty:
            raise DataError(f"no training cell of the classes number {empty}; every class needs some")
        self.length, self.seed, self.epoch = length, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Draw]:
        random = np.random.default_rng((self.seed, self.epoch))
        rounds = -(-self.length // len(self.members))
        columns = []
        for members in self.members:
            turns = [random.permutation(members) for _ in range(-(-rounds // len(members)))]
            columns.append(np.concatenate(turns)[:rounds])
        order = np.stack(columns, axis=1).ravel()
        random.shuffle(order)
        return iter([(int(index), self.epoch, draw) for draw, index in enumerate(order[: self.length])])


class Views(Dataset[tuple[Tensor, int]]):
    """Augmented crops ``(crop, crop, 3)`` uint8 and their labels."""

    def __init__(self, cells: Cells, augmentation: Augmentation, crop: int, spacing: float, seed: int) -> None:
        self.cells, self.augmentation, self.crop, self.spacing, self.seed = cells, augmentation, crop, spacing, seed
        masks = cells.masks
        self.masked = np.zeros(0, np.int64) if masks is None else np.flatnonzero(masks.any((1, 2)))

    def __getitem__(self, draw: Draw) -> tuple[Tensor, int]:
        random = np.random.default_rng((self.seed, *draw))
        picture = self._scene(draw[0], random)
        view = self.augmentation.view(picture, self.cells.spacing, self.spacing, self.crop, random)
        return torch.from_numpy(view), int(self.cells.labels[draw[0]])

    def _scene(self, index: int, random: np.random.Generator) -> NDArray[np.uint8]:
        """The picture of a cell, in other surroundings where the augmentation asks for it."""
        cells, augmentation = self.cells, self.augmentation
        picture: NDArray[np.uint8] = cells.pictures[index]
        if cells.masks is not None and cells.masks[index].any():
            masks, mask, chance = cells.masks, cells.masks[index], random.random()

            def other() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
                drawn = int(random.choice(self.masked))
                return cells.pictures[drawn], masks[drawn]

            if chance < augmentation.swap_chance:
                picture = among_others(picture, mask, *other(), random)
            elif chance < augmentation.swap_chance + augmentation.glass_chance:
                picture = on_glass(picture, mask)
            if random.random() < augmentation.crowd_chance:
                return crowded(picture, mask, other, random)
        if random.random() < augmentation.neighbour_chance:
            neighbour = cells.pictures[random.integers(len(cells))]
            distance = random.uniform(13.0, 20.0) / cells.spacing
            picture = beside(picture, neighbour, distance, random.uniform(0, 2 * np.pi))
        return picture


def training_loader(views: Views, draws: BalancedDraws, batch: int, workers: int) -> DataLoader[tuple[Tensor, int]]:
    """Batches of network inputs ``(n, 3, crop, crop)``, channels last, and labels ``(n,)``."""
    return DataLoader(
        views,
        batch,
        sampler=draws,
        drop_last=True,
        num_workers=workers,
        collate_fn=collated,
        persistent_workers=workers > 0,
    )


def evaluation_loader(cells: Cells, crop: int, spacing: float, batch: int = 128) -> DataLoader[tuple[Tensor, int]]:
    """The plain crops in their order."""
    crops = cells.crops(crop, spacing)
    pairs: list[tuple[Tensor, int]] = [
        (torch.from_numpy(view), int(label)) for view, label in zip(crops, cells.labels, strict=True)
    ]
    return DataLoader(pairs, batch, collate_fn=collated)  # type: ignore[arg-type]  # a list of pairs is a Dataset


def collated(pairs: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
    """Stack crops and labels, and normalise the crops as the shipped graph does."""
    crops = torch.stack([view for view, _ in pairs])
    return normalised(crops), torch.tensor([label for _, label in pairs])
