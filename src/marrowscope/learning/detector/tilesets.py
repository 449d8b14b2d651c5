"""Training tiles kept in memory and on disk, and the data set that torch draws them from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from torch.utils.data import Dataset

from marrowscope.errors import DataError
from marrowscope.files import whole_file
from marrowscope.learning.detector.canvas import turned
from marrowscope.learning.detector.targets import centre_targets

TileMaker = Callable[[int, np.random.Generator], tuple[NDArray[np.uint8], NDArray[np.float32]]]
"""Gives the tile of a number: pixels ``(side, side, 3)`` uint8 RGB and its boxes ``(b, 4)`` in tile pixels."""


@dataclass(frozen=True, slots=True)
class TileSet:
    """``pixels (n, side, side, 3)`` uint8 RGB; ``boxes (m, 4)`` of all tiles, tile after tile; ``counts (n,)``."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        n, height, width = self.pixels.shape[:3]
        if height != width or self.pixels.shape[3:] != (3,):
            raise ValueError(f"pixels must have shape (n, side, side, 3), found {self.pixels.shape}")
        if self.counts.shape != (n,) or self.boxes.shape != (self.counts.sum(), 4):
            raise ValueError(
                f"expected {n} counts and {self.counts.sum()} boxes, found {self.counts.shape}, {self.boxes.shape}"
            )

    def __len__(self) -> int:
        return len(self.counts)

    def tile(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Pixels and boxes of one tile."""
        end = int(self.counts[: index + 1].sum())
        return self.pixels[index], self.boxes[end - int(self.counts[index]) : end]

    def save(self, path: Path) -> None:
        """Write as npz; the file appears whole or not at all."""
        with whole_file(path) as beside, beside.open("wb") as file:
            np.savez(file, pixels=self.pixels, boxes=self.boxes, counts=self.counts)

    @classmethod
    def load(cls, path: Path) -> TileSet:
        """Read what :meth:`save` wrote. Raises :class:`DataError` when the file is something else."""
        try:
            with np.load(path) as stored:
                return cls(stored["pixels"], stored["boxes"], stored["counts"])
        except (OSError, KeyError, ValueError) as error:
            raise DataError(f"{path} holds no training tiles ({error}); delete it and train again") from error


def make_tiles(maker: TileMaker, count: int, seed: int, *, silent: bool = False) -> TileSet:
    """``count`` tiles; tile ``i`` depends on ``(seed, i)`` alone."""
    numbers = track(range(count), "making tiles", disable=silent)
    made = [maker(number, np.random.default_rng((seed, number))) for number in numbers]
    return TileSet(
        np.stack([pixels for pixels, _ in made]),
        np.concatenate([boxes for _, boxes in made]).astype(np.float32).reshape(-1, 4),
        np.array([len(boxes) for _, boxes in made]),
    )


class TurnedTiles(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Tiles in one of eight orientations, with their targets: pixels ``(3, side, side)``, heat, box, weight."""

    def __init__(self, tiles: TileSet, seed: int) -> None:
        self.tiles = tiles
        self._ends = np.cumsum(tiles.counts)
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        boxes = self.tiles.boxes[self._ends[index] - self.tiles.counts[index] : self._ends[index]]
        pixels, boxes = turned(self.tiles.pixels[index], boxes, int(self._rng.integers(8)))
        heat, box, weight = centre_targets(boxes, pixels.shape[0])
        return (
            torch.from_numpy(pixels).permute(2, 0, 1),
            torch.from_numpy(heat)[None],
            torch.from_numpy(box),
            torch.from_numpy(weight),
        )
