"""Pictures of single cells: the Barcelona PBC set, sets with a folder a class, and sets with a table of labels.

All readers give :class:`CellPictures`; :func:`decode` turns those into one array of pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.taxonomy import CELL_TYPES, PBC_TYPES

PBC_SPACING = 0.20
"""um per pixel of the PBC pictures, by the size of their red cells (the set states none)."""

PBC_SIDE = 180
"""Pixels a side of the PBC pictures used here (the few larger ones are trimmed about their centre)."""

MLL_UNNAMED = ("ABE", "FGC", "HAC", "LYI", "NIF")
"""Classes of the MLL set (Matek et al., Blood 2021; 138: 1917-1927) that the taxonomy does not name."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class CellPictures:
    """Files of single cells: ``labels (n,)`` index ``classes``; ``splits`` name train, val or test; um per pixel."""

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    spacing: float

    def __len__(self) -> int:
        return len(self.files)

    def split(self, name: str) -> CellPictures:
        """Those of one split. Raises :class:`DataError` when it has none."""
        keep = [index for index, split in enumerate(self.splits) if split == name]
        if not keep:
            raise DataError(f"no picture is in the split {name!r}; the table has {sorted(set(self.splits))}")
        files, splits = tuple(self.files[i] for i in keep), tuple(self.splits[i] for i in keep)
        return CellPictures(files, self.labels[keep], splits, self.classes, self.spacing)


def read_pbc(folder: Path) -> CellPictures:
    """The Barcelona PBC set with its eleven classes (Acevedo et al., Data in Brief 2020; 30: 105474)."""
    return read_table(folder / "labels.csv", PBC_TYPES, PBC_SPACING)


def read_table(path: Path, classes: Sequence[str], spacing: float, source: str | None = None) -> CellPictures:
    """Pictures listed in a CSV with ``file`` (relative to it), ``label`` and, optionally, ``split`` and ``source``.

    Only rows with one of ``classes`` and, if given, of one ``source`` are kept; without ``split`` all are "test".
    """
    try:
        table = pl.read_csv(path, schema_overrides={"file": pl.String, "label": pl.String}, glob=False)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; give the folder that holds it with --data DIR") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"{path} is not a table of labels ({error}); expected columns file,label[,split]") from error
    lost = {"file", "label", *(["source"] if source is not None else [])} - set(table.columns)
    if lost:
        raise DataError(f"{path} has columns {table.columns}; expected also {sorted(lost)}")
    if nameless := table["file"].null_count() + table["label"].null_count():
        raise DataError(f"{path} lacks {nameless} of its files or labels; expected both in every row: drop the others")
    if source is not None:
        table = table.filter(pl.col("source") == source)
    labels = [_taxonomy_name(label, path) for label in table["label"]]
    keep = [index for index, label in enumerate(labels) if label in classes]
    splits = table["split"].to_list() if "split" in table.columns else ["test"] * len(table)
    return _pictures(
        ((path.parent / table["file"][i], labels[i], splits[i]) for i in keep), tuple(classes), spacing, str(path)
    )


def read_folders(
    folder: Path, classes: Sequence[str], spacing: float, split: str = "test", leave_out: Sequence[str] = ()
) -> CellPictures:
    """Pictures in one folder a class (subfolders allowed, as in the MLL set), named by the taxonomy or an alias.

    Folders in ``leave_out`` (:data:`MLL_UNNAMED`, say) are passed over; any other name that nobody knows is an error.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; expected one with a folder a class inside")
    rows = []
    for child in sorted(path for path in folder.iterdir() if path.is_dir() and path.name not in leave_out):
        name = _taxonomy_name(child.name, folder)
        if name in classes:
            rows += [(file, name, split) for file in sorted(child.rglob("*")) if file.suffix.lower() in SUFFIXES]
    return _pictures(rows, tuple(classes), spacing, str(folder))


def _taxonomy_name(label: str, where: Path) -> str:
    """The taxonomy's name for a label of a data set; raises :class:`DataError` for one that nobody knows."""
    if label in CELL_TYPES:
        return label
    for cell_type in CELL_TYPES.values():
        if label in cell_type.aliases.values():
            return cell_type.name
    raise DataError(f"{where}: unknown class {label!r}; use the taxonomy's names: {', '.join(CELL_TYPES)}")


def _pictures(
    rows: Iterable[tuple[Path, str, str]], classes: tuple[str, ...], spacing: float, where: str
) -> CellPictures:
    rows = list(rows)
    if not rows:
        raise DataError(f"{where} holds no picture of the classes {', '.join(classes)}")
    index = {name: number for number, name in enumerate(classes)}
    files, names, splits = zip(*rows, strict=True)
    return CellPictures(files, np.array([index[name] for name in names], np.int64), splits, classes, spacing)


def decode(pictures: CellPictures, side: int) -> NDArray[np.uint8]:
    """Pixels ``(n, side, side, 3)`` RGB about the centre of each picture; smaller ones are mirrored outwards.

    Raises :class:`DataError` naming the first file that is no picture.
    """
    pixels = np.empty((len(pictures), side, side, 3), np.uint8)
    for row, file in zip(pixels, pictures.files, strict=True):
        row[:] = centred(read_picture(file), side)
    return pixels


def read_picture(file: Path) -> NDArray[np.uint8]:
    """RGB ``(height, width, 3)``. Raises :class:`DataError` when the file is missing or no picture."""
    picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError(f"{file} is missing or is no readable picture; restore it or drop its row from the table")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def centred(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square of ``side`` pixels about the centre, mirrored outwards where the picture is smaller."""
    height, width = picture.shape[:2]
    rows, columns = np.arange(side) + (height - side) // 2, np.arange(side) + (width - side) // 2
    return picture[_mirrored(rows, height)[:, None], _mirrored(columns, width)]


def _mirrored(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices reflected at the edges without repeating the edge pixel: -1 -> 1, size -> size - 2."""
    if size == 1:
        return np.zeros_like(index)
    period = 2 * (size - 1)
    folded = np.abs(index) % period
    inside: NDArray[np.int64] = np.minimum(folded, period - folded)
    return inside
