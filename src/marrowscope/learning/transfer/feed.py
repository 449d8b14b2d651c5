"""Pictures for training: decoded and prepared once, kept as one array, and dealt out in batches.

Legend: ``n`` pictures, ``s`` pixels a side, ``b`` pictures in a batch. A batch is gathered while the network works on
the one before; what is random about a picture is made where the network is
(:mod:`marrowscope.learning.transfer.augmenting`), so that there is nothing to wait for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple
from pathlib import Path
from time import perf_counter
from typing import Literal

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor

from marrowscope.errors import DataError, how_many
from marrowscope.files import whole_file
from marrowscope.learning.datasets.cell_sets import CellSet, read_cell_picture
from marrowscope.learning.transfer.preparing import Prepare

Pictures = NDArray[np.uint8]
"""``(n, s, s, 3)`` RGB, in memory or a file that is mapped into it."""

Batch = tuple[Tensor, Tensor]
"""Pictures ``(b, s, s, 3)`` uint8 and labels ``(b,)``."""

VERSION = 2
"""Changed when the same files would be prepared to other pixels."""

ON_DEVICE_SHARE = 0.3
"""Of a GPU's free memory: a set that takes no more is kept there whole."""


def prepared_pictures(
    cells: CellSet,
    side: int,
    prepare: Prepare,
    cache: Path | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Pictures:
    """All pictures of a set as the network will see them, in its order.

    With ``cache`` they are written to that folder under a name made of the content of the files and of how they are
    prepared, and mapped from there; a second call finds them. Without it they are kept in memory. Raises
    :class:`DataError` for a picture that cannot be used, ``OutputError`` when the folder cannot be written.
    """
    threads = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    shape = (len(cells), side, side, 3)

    def fill(pictures: Pictures) -> Pictures:
        def one(row: int) -> None:
            pictures[row] = prepare(read_cell_picture(cells.files[row]), side, cells.spacing)

        for done, _ in enumerate(threads.map(one, range(len(cells))), start=1):
            progress(done / len(cells))
        return pictures

    with threads:
        if cache is None:
            return fill(np.empty(shape, np.uint8))
        digests = threads.map(lambda file: hashlib.sha256(file.read_bytes()).digest(), cells.files)
        content = hashlib.sha256(repr((VERSION, side, cells.spacing, astuple(prepare))).encode() + b"".join(digests))
        path = cache / f"pictures-{content.hexdigest()[:24]}.npy"
        if not path.is_file():
            with whole_file(path) as beside:
                mapped = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
                fill(mapped)
                mapped.flush()
                del mapped
    # Copy on write: nobody writes, but torch warns of arrays that could not be written.
    mapped_again: Pictures = np.load(path, mmap_mode="c")
    return mapped_again


class Feed:
    """Batches of the pictures ``rows``, for a trainer's loop; of several processes each is dealt its own.

    ``sampling``: "as given" takes every picture once an epoch, in random order; "balanced" takes as many, each class
    equally often; "in order" takes every one in its order, to evaluate. A last batch that would be smaller is left out
    of training. ``batch`` is that of all processes together. Raises :class:`DataError` for no picture.
    """

    def __init__(
        self,
        pictures: Pictures,
        labels: NDArray[np.int64],
        rows: NDArray[np.int64],
        batch: int,
        *,
        sampling: Literal["as given", "balanced", "in order"] = "in order",
        seed: int = 0,
        device: torch.device | None = None,
    ) -> None:
        if not len(rows):
            raise DataError("there is no picture to take batches of; give a larger set or another way to part it")
        self.pictures, self.labels = torch.from_numpy(pictures), torch.from_numpy(labels)
        self.rows, self.batch, self.sampling, self.seed = rows, batch, sampling, seed
        self.epoch, self.waited = 0, 0.0
        self._place = np.arange(len(pictures))
        if device is not None and device.type == "cuda":
            self._keep_on(device)

    batch_sampler = None  # Lightning asks for it where there is a sampler

    @property
    def sampler(self) -> Feed:
        """Where Lightning looks for :meth:`set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches = len(self.rows) / self.batch
        return -(-len(self.rows) // self.batch) if self.sampling == "in order" else max(1, int(batches))

    def __deepcopy__(self, memo: object) -> Feed:
        return self

    def order(self) -> NDArray[np.int64]:
        """The pictures of this epoch."""
        if self.sampling == "in order":
            return self.rows
        random = np.random.default_rng((self.seed, self.epoch))
        if self.sampling == "as given":
            return random.permutation(self.rows)
        found = self.labels.numpy()[self.rows]
        members = [self.rows[found == label] for label in np.unique(found)]
        turns = -(-len(self.rows) // len(members))
        columns = []
        for own in members:
            drawn = [random.permutation(own) for _ in range(-(-turns // len(own)))]
            columns.append(np.concatenate(drawn)[:turns])
        order = np.stack(columns, axis=1).ravel()[: len(self.rows)]
        random.shuffle(order)
        return order

    def __iter__(self) -> Iterator[Batch]:
        """The batches; :attr:`waited` grows by the seconds that the caller had to wait for them."""
        started = perf_counter()
        order, own = self.order(), self.batch
        several = torch.distributed.is_available() and torch.distributed.is_initialized()
        if several and self.sampling != "in order":
            world, rank = torch.distributed.get_world_size(), torch.distributed.get_rank()
            own = max(2, self.batch // world)
            order = order[: len(order) // world * world][rank::world]
        starts = range(0, len(self) * own, own)
        with ThreadPoolExecutor(1) as helper:
            ahead: list[Future[Batch]] = []
            for start in starts:
                ahead.append(helper.submit(self._gather, order[start : start + own]))
                if len(ahead) < 3 and start != starts[-1]:
                    continue
                batch = ahead.pop(0).result()
                self.waited += perf_counter() - started
                yield batch
                started = perf_counter()
            for left in ahead:
                batch = left.result()
                self.waited += perf_counter() - started
                yield batch
                started = perf_counter()

    def _gather(self, rows: NDArray[np.int64]) -> Batch:
        places = torch.from_numpy(self._place[rows]).to(self.pictures.device)
        pictures = self.pictures.index_select(0, places)
        return pictures, self.labels[torch.from_numpy(rows)].to(pictures.device)

    def _keep_on(self, device: torch.device) -> None:
        """Put the pictures of these rows on a GPU that has room."""
        free, _ = torch.cuda.mem_get_info(device)
        if self.pictures[0].numel() * len(self.rows) < ON_DEVICE_SHARE * free:
            self._place[self.rows] = np.arange(len(self.rows))
            self.pictures = self.pictures[torch.from_numpy(self.rows)].to(device)


def class_weights(labels: NDArray[np.int64], classes: int) -> Tensor:
    """Cells / (classes with cells x cells of the class), 0 for a class without one: scikit-learn's "balanced"."""
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    weights = np.where(present, len(labels) / (present.sum() * np.maximum(counts, 1)), 0.0)
    return torch.from_numpy(weights.astype(np.float32))


def unlearnable(cells: CellSet, rows: NDArray[np.int64]) -> list[str]:
    """Sentences about classes without a cell to learn from, which a network can never name rightly.

    Raises :class:`DataError` when fewer than two classes have one.
    """
    counts = np.bincount(cells.labels[rows], minlength=len(cells.classes))
    everywhere = np.bincount(cells.labels, minlength=len(cells.classes))
    if (counts > 0).sum() < 2:
        found = ", ".join(name for name, count in zip(cells.classes, counts, strict=True) if count) or "none"
        raise DataError(
            f"two classes or more need cells to learn from; found cells of: {found}. Put the pictures of each class "
            "into a folder of its own, or part the set another way"
        )
    return [
        f"{name}: no cell to learn from ({how_many(int(total), 'cell')} elsewhere), so no network can name it"
        for name, count, total in zip(cells.classes, counts, everywhere, strict=True)
        if not count
    ]
