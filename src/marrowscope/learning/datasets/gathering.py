"""What folders of pictures hold: the pictures, and the labels, splits and boxes that tables or folder names give them.

Tables are CSV files up to two folders deep with a column ``file``, relative to the table: with ``label`` (and
``split``) they label pictures, with ``xmin, ymin, xmax, ymax`` (and ``class``) they hold boxes. VOC lists
(``ImageSets/Main/train.txt`` ...) give splits. Where no table labels a set, its folders do: ``train``, ``val`` and
``test`` are splits, the first other folder is the class; such a folder without a picture is a class that is empty.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.learning.datasets.listing import folders_in, pictures_below
from marrowscope.learning.datasets.pictures import PICTURES, is_picture_file

CORNERS = ("xmin", "ymin", "xmax", "ymax")

SPLIT_FOLDERS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_NO_CLASS = {"images", "image", "img", "imgs", "pictures", "data"}


@dataclass(frozen=True, slots=True)
class Listed:
    """A picture of a set (``set_name``): its path, ``name`` for people, and what tables or folders say of it.

    ``boxes (n, 4)`` float64 are x0, y0, x1, y1 in its pixels; None where no table of boxes names the picture.
    """

    path: Path
    name: str
    set_name: str
    label: str | None = None
    split: str | None = None
    boxes: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Gathered:
    """Pictures by name; ``missing`` names what a table lists and no file is there for, ``empty`` folders of a class
    below which there is no picture.
    """

    pictures: tuple[Listed, ...]
    missing: tuple[str, ...]
    empty: tuple[str, ...] = ()


@dataclass(slots=True)
class _Tables:
    folder: Path
    labels: dict[str, str]
    splits: dict[str, str]
    boxes: dict[str, NDArray[np.float64]]

    def files(self) -> set[str]:
        return {*self.labels, *self.boxes}


def gather(folders: Sequence[Path]) -> Gathered:
    """All pictures below ``folders``.

    A folder with a table is a set, and where sets lie side by side, so is every other folder; else a set is a folder
    given. Raises :class:`DataError` where there is no picture at all, or a table cannot be read.
    """
    pictures: dict[Path, Listed] = {}
    missing: list[str] = []
    full: dict[Path, str] = {}  # folders that are a class of a set, and its name
    for folder in folders:
        found = _tables(folder)
        sets = {tables.folder: tables for tables in found}
        nested = bool(sets) and folder not in sets
        for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES and is_picture_file(p)):
            beside = folder / path.relative_to(folder).parts[0] if nested and path.parent != folder else folder
            home = next((parent for parent in path.parents if parent in sets), beside)
            real = Path(os.path.realpath(path))  # where Path.resolve raises for a link to itself
            if real not in pictures:
                pictures[real] = _listed(path, home, sets.get(home))
            if (of_class := _class_folder(path, home, sets.get(home))) is not None:
                full[of_class] = home.resolve().name
        for tables in found:
            absent = sorted(file for file in tables.files() if not _is_there(tables.folder / file))
            missing += [str(tables.folder / file) for file in absent]
    if not pictures and not missing:
        where = ", ".join(str(folder) for folder in folders)
        raise DataError(f"no picture in {where}: expected files that end in {', '.join(sorted(PICTURES))}")
    return Gathered(tuple(_one_name_each(pictures.values())), tuple(missing), tuple(_empty_beside(full)))


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name longer than any can be
        return False


def _listed(path: Path, home: Path, tables: _Tables | None) -> Listed:
    file = path.relative_to(home).as_posix()
    set_name = home.resolve().name
    name = f"{set_name}/{file}"
    parts = path.relative_to(home).parts[:-1]
    split = next((SPLIT_FOLDERS[part.lower()] for part in parts if part.lower() in SPLIT_FOLDERS), None)
    if tables is None or not tables.files():
        of_class = _class_folder(path, home, tables)
        return Listed(path, name, set_name, of_class.name if of_class else None, split)
    known_split = tables.splits.get(file) or tables.splits.get(path.stem) or split
    return Listed(path, name, set_name, tables.labels.get(file), known_split, tables.boxes.get(file))


def _class_folder(path: Path, home: Path, tables: _Tables | None) -> Path | None:
    """The folder that is a picture's class; None where a table labels its set, or no folder is one."""
    if tables is not None and tables.files():
        return None
    below = [parent for parent in reversed(path.parents) if parent.is_relative_to(home) and parent != home]
    return next((folder for folder in below if _may_be_class(folder)), None)


def _may_be_class(folder: Path) -> bool:
    return folder.name.lower() not in {*SPLIT_FOLDERS, *_NO_CLASS}


def _empty_beside(full: Mapping[Path, str]) -> list[str]:
    """Folders beside those of classes that hold no picture, by set and name."""
    found = []
    for parent, set_name in sorted({(folder.parent, name) for folder, name in full.items()}):
        for folder in folders_in(parent):
            if _may_be_class(folder) and folder not in full and not pictures_below([folder])[0]:
                split = f"{parent.name}/" if not _may_be_class(parent) else ""
                found.append(f"{set_name}/{split}{folder.name}")
    return found


def _one_name_each(pictures: Iterable[Listed]) -> list[Listed]:
    """Two folders of one name would give two pictures the same name: those get their whole path."""
    listed = list(pictures)
    counts: dict[str, int] = {}
    for picture in listed:
        counts[picture.name] = counts.get(picture.name, 0) + 1
    return [picture if counts[picture.name] == 1 else replace(picture, name=str(picture.path)) for picture in listed]


def _tables(root: Path) -> list[_Tables]:
    found: dict[Path, _Tables] = {}
    for path in sorted(path for pattern in ("*.csv", "*/*.csv", "*/*/*.csv") for path in root.glob(pattern)):
        if path.is_dir():
            continue
        try:
            table = pl.read_csv(path, infer_schema_length=0, glob=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise DataError(f"{path} is not a table ({error}); mend it or move it out of the folder") from error
        columns = set(table.columns)
        if "file" not in columns or not ({"label"} <= columns or set(CORNERS) <= columns):
            continue
        tables = found.setdefault(path.parent, _Tables(path.parent, {}, {}, {}))
        for column, into in (("label", tables.labels), ("split", tables.splits)):
            if column in columns:
                into |= {file: value for file, value in table.select("file", column).iter_rows() if file and value}
        if set(CORNERS) <= columns:
            tables.boxes |= _boxes(table, path)
    for folder, tables in found.items():
        for split in ("train", "val", "test"):
            names = folder / "ImageSets" / "Main" / f"{split}.txt"
            if names.is_file():
                tables.splits |= dict.fromkeys(names.read_text(encoding="utf-8").split(), split)
    return list(found.values())


def _boxes(table: pl.DataFrame, path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        numbers = table.with_columns(pl.col(CORNERS).str.strip_chars().cast(pl.Float64))
    except pl.exceptions.InvalidOperationError as error:
        raise DataError(f"{path}: a corner of a box is no number ({error}); expected pixels in {CORNERS}") from error
    groups = numbers.drop_nulls("file").group_by("file", maintain_order=True)
    return {str(file): rows.select(CORNERS).to_numpy() for (file,), rows in groups}
