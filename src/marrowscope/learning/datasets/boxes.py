"""Public fields of blood with boxes of white cells: TXL-PBC and BCCD (both MIT), at one spacing, in their own splits.

Both sets are annotated with white cells, red cells and platelets; here a white cell is a positive and all else is
background. Their published splits leak: learn from the clean ones (:mod:`marrowscope.learning.datasets.splits`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import polars
from numpy.typing import NDArray

from marrowscope.errors import DataError

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

    ``red_cells (m, 4)`` and ``platelets (p, 4)`` are those of the others. All are at the spacing that was asked for.
    """

    source: str
    name: str
    split: Split
    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    red_cells: NDArray[np.float32]
    platelets: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


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
    boxes = polars.read_csv(
        table, schema_overrides=dict.fromkeys(("xmin", "ymin", "xmax", "ymax"), polars.Float32), glob=False
    )
    pictures = []
    # A row may be there several times: one TXL-PBC test picture lists its only white cell six times.
    for (file,), rows in boxes.unique(maintain_order=True).group_by("file", maintain_order=True):
        pixels = read_rgb(folder / str(file))
        native = SPACING_BY_SIZE.get((pixels.shape[1], pixels.shape[0]))
        if native is None:
            continue
        small = resample(pixels, native / spacing)
        scale = np.tile((small.shape[1] / pixels.shape[1], small.shape[0] / pixels.shape[0]), 2).astype(np.float32)
        white, red, platelets = (
            rows.filter(polars.col("class") == name).select("xmin", "ymin", "xmax", "ymax").to_numpy().reshape(-1, 4)
            for name in ("WBC", "RBC", "Platelets")
        )
        pictures.append(
            BoxPicture(
                source,
                Path(str(file)).name,
                split_of(str(file)),
                small,
                white.astype(np.float32) * scale,
                red.astype(np.float32) * scale,
                platelets.astype(np.float32) * scale,
            )
        )
    return pictures


def _split_name(name: str) -> Split:
    match name:
        case "train" | "val" | "test":
            return name
    raise DataError(f"unknown split {name!r}: expected train, val or test")
