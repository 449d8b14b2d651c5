"""Public fields of blood with boxes of white cells: TXL-PBC and BCCD (both MIT), at one spacing, leaks removed.

Both sets are annotated with white cells, red cells and platelets; here a white cell is a positive and all else is
background. The sets share pictures with each other and with the single-cell PBC set, across their published splits.
:func:`without_leaks` takes every picture out of the training part that has a twin in any part kept for choosing or
testing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import polars
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.learning.datasets.twins import find_twins, thumbnail

Split = Literal["train", "val", "test"]

SPACING_BY_SIZE: dict[tuple[int, int], float] = {
    (575, 575): 0.057,
    (640, 480): 0.074,
    (360, 363): 0.10,
    (366, 369): 0.10,
}
"""um per pixel by width and height of the pictures, from the size of their red cells (7.2 um).

Pictures of another size are left out: the 416 x 416 ones of TXL-PBC are BCCD fields squashed to a square.
"""


@dataclass(frozen=True, slots=True)
class BoxPicture:
    """One field: ``pixels (h, w, 3)`` uint8 RGB; ``boxes (n, 4)`` float32 x0, y0, x1, y1 of its white cells.

    ``red_cells (m, 4)`` are those of its red cells. All are at the spacing that was asked for; ``thumbnail`` is that
    of the published picture.
    """

    source: str
    name: str
    split: Split
    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    red_cells: NDArray[np.float32]
    thumbnail: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LeakReport:
    """How many pictures were read, and how many left a split because a twin of theirs is kept for judging."""

    read: dict[str, int]
    twins_dropped: dict[str, int]
    kept: dict[str, int]


def read_txl_pbc(folder: Path, spacing: float) -> list[BoxPicture]:
    """The TXL-PBC fields of known spacing. Raises :class:`DataError` when the folder is not that set."""
    return _read(folder, "txl_pbc", spacing, lambda file: _split_name(Path(file).parent.name))


def read_bccd(folder: Path, spacing: float) -> list[BoxPicture]:
    """The BCCD fields with their VOC splits. Raises :class:`DataError` when the folder is not that set."""
    splits: dict[str, Split] = {}
    for split in ("train", "val", "test"):
        names = folder / "ImageSets" / "Main" / f"{split}.txt"
        if not names.is_file():
            raise DataError(f"{folder} is not the BCCD set: there is no {names.relative_to(folder)}")
        splits |= dict.fromkeys(names.read_text().split(), _split_name(split))
    return _read(folder, "bccd", spacing, lambda file: splits[Path(file).stem])


def without_leaks(
    pictures: Sequence[BoxPicture], protected: Sequence[NDArray[np.float32]] = ()
) -> tuple[dict[Split, list[BoxPicture]], LeakReport]:
    """The pictures by split, each in one split only: a test picture wins over its twins in val, those over train.

    ``protected`` holds thumbnails of pictures of other sets that training must not have seen either. Twins within
    val and test are counted once; within train they may stay.
    """
    by_split: dict[Split, list[BoxPicture]] = {"train": [], "val": [], "test": []}
    for picture in pictures:
        by_split[picture.split].append(picture)
    test = _once(by_split["test"])
    val = _without_twins(_once(by_split["val"]), [picture.thumbnail for picture in by_split["test"]])
    judged = [picture.thumbnail for split in ("test", "val") for picture in by_split[_split_name(split)]]
    train = _without_twins(by_split["train"], [*judged, *protected])
    kept: dict[Split, list[BoxPicture]] = {"train": train, "val": val, "test": test}
    return kept, LeakReport(
        read={split: len(found) for split, found in by_split.items()},
        twins_dropped={split: len(by_split[split]) - len(kept[split]) for split in kept},
        kept={split: len(found) for split, found in kept.items()},
    )


def resample(picture: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """The picture ``factor`` times as large, by area averaging when it shrinks."""
    height, width = picture.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as RGB ``(h, w, 3)``. Raises :class:`DataError` when it cannot be read."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"cannot read the picture {path}: fetch the data set again or remove the file from its table")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _read(folder: Path, source: str, spacing: float, split_of: Callable[[str], Split]) -> list[BoxPicture]:
    table = folder / "boxes.csv"
    if not table.is_file():
        raise DataError(f"no box data in {folder}: expected {table.name} with file, class, xmin, ymin, xmax, ymax")
    boxes = polars.read_csv(table, schema_overrides=dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), polars.Float32))
    pictures = []
    # A row may be there several times: one TXL-PBC test picture lists its only white cell six times.
    for (file,), rows in boxes.unique(maintain_order=True).group_by("file", maintain_order=True):
        pixels = read_rgb(folder / str(file))
        native = SPACING_BY_SIZE.get((pixels.shape[1], pixels.shape[0]))
        if native is None:
            continue
        small = resample(pixels, native / spacing)
        scale = np.tile((small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]), 2).astype(np.float32)
        white, red = (
            rows.filter(polars.col("class") == name).select("xmin", "ymin", "xmax", "ymax").to_numpy().reshape(-1, 4)
            for name in ("WBC", "RBC")
        )
        pictures.append(
            BoxPicture(
                source,
                Path(str(file)).name,
                split_of(str(file)),
                small,
                white.astype(np.float32) * scale,
                red.astype(np.float32) * scale,
                thumbnail(pixels),
            )
        )
    return pictures


def _split_name(name: str) -> Split:
    match name:
        case "train" | "val" | "test":
            return name
    raise DataError(f"unknown split {name!r}: expected train, val or test")


def _once(pictures: list[BoxPicture]) -> list[BoxPicture]:
    """The pictures without the later ones of each pair of twins."""
    thumbnails = [picture.thumbnail for picture in pictures]
    later = {int(b) for a, b in find_twins(thumbnails, thumbnails) if a < b}
    return [picture for index, picture in enumerate(pictures) if index not in later]


def _without_twins(pictures: list[BoxPicture], thumbnails: Iterable[NDArray[np.float32]]) -> list[BoxPicture]:
    twins = {int(a) for a, _ in find_twins([picture.thumbnail for picture in pictures], list(thumbnails))}
    return [picture for index, picture in enumerate(pictures) if index not in twins]
