"""What a layout lists: pictures with their class, split and patient as names tell them, and how folders are walked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from marrowscope.errors import DataError, how_many
from marrowscope.learning.datasets.pictures import PICTURES, is_picture_file

ClassWords = Mapping[str, tuple[str, str | None]]
"""Class word of a set to its title for people and the taxonomy's name for it, None where it has none."""

SYSTEM = re.compile(r"^(\.|__MACOSX$|Thumbs\.db$|desktop\.ini$)")
"""Files that operating systems leave in folders; they are of no set and are passed over."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A picture as its set names it: ``word`` is its class there; "" for a split, patient or fold that is not told."""

    file: Path
    word: str
    split: str = ""
    patient: str = ""
    fold: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A set before its pictures are looked at. ``known`` gives title and taxonomy name of classes, in their order."""

    name: str
    whose: str
    rows: list[Listed]
    known: ClassWords
    spacing: float | None = None
    skipped: list[str] = field(default_factory=list)


def say(skipped: list[str], rows: Sequence[Listed], why: str, thing: str = "picture") -> None:
    """Add a sentence on rows that are left out: how many, why, and the first of them. Nothing for none."""
    if rows:
        skipped.append(f"{how_many(len(rows), thing)} {why} (first: {rows[0].file.name})")


def say_unlisted(skipped: list[str], root: Path, listed: Iterable[Path], why: str) -> None:
    """Add a sentence on the pictures below a folder that are not among ``listed``."""
    known = {_spelled(file) for file in listed}
    say(skipped, [Listed(file, "") for file in pictures_below([root])[0] if _spelled(file) not in known], why)


def _spelled(file: Path) -> str:
    return os.path.normcase(os.path.abspath(file))  # noqa: PTH100 - without the way through links, which takes long


def folders_in(root: Path) -> list[Path]:
    """The folders directly below, in order of their names."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not SYSTEM.match(p.name)) if root.is_dir() else []


def pictures_below(roots: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """All pictures below, links that lead nowhere too, and all other files and linked folders, in order of names."""
    pictures: list[Path] = []
    others: list[Path] = []
    for root in roots:
        for path in sorted(root.rglob("*")):
            link = path.is_symlink()
            if (path.is_dir() and not link) or any(SYSTEM.match(part) for part in path.relative_to(root).parts):
                continue
            is_picture = path.suffix.lower() in PICTURES and is_picture_file(path)
            (pictures if is_picture else others).append(path)
    return pictures, others


def rows_of_folders(folders: Sequence[Path], skipped: list[str]) -> list[Listed]:
    """The pictures below each folder, which is their class; other files and empty folders are said in ``skipped``."""
    rows = []
    for child in folders:
        files, others = pictures_below([child])
        rows += [Listed(file, child.name) for file in files]
        linked = [path for path in others if path.is_dir()]
        if linked:
            skipped.append(f"{how_many(len(linked), 'linked folder')} in {child.name} (first: {linked[0].name})")
        if number := len(others) - len(linked):
            skipped.append(
                f"{how_many(number, 'file')} in {child.name} that {'is' if number == 1 else 'are'} no picture"
            )
        if not files:
            skipped.append(f"class {child.name}: its folder is empty")
    return rows


def table_of(root: Path) -> Path | None:
    """``labels.csv`` of a folder, else its only CSV file with the columns ``file`` and ``label``; a file is itself."""
    if root.is_file():
        return root
    if (root / "labels.csv").is_file():
        return root / "labels.csv"
    tables = tables_in(root)
    return tables[0] if len(tables) == 1 else None


def tables_in(root: Path) -> list[Path]:
    """The CSV files directly in a folder that have the columns ``file`` and ``label``."""
    return [path for path in sorted(root.glob("*.csv")) if path.is_file() and {"file", "label"} <= _header(path)]


def _header(path: Path) -> set[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return set(lines.readline().strip().split(","))


def read_labels(table: Path) -> pl.DataFrame:
    """A table with ``file`` and ``label``, all columns as words. Raises :class:`DataError` when it is none."""
    lines = read_table(table)
    demand(lines, {"file", "label"}, table)
    return lines


def read_table(table: Path) -> pl.DataFrame:
    """Any CSV, all columns as words. Raises :class:`DataError` when it is none, or two columns have one name."""
    try:
        lines = pl.read_csv(table, infer_schema_length=0, glob=False)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        words = f"{table} is not a table of labels ({error}); expected columns file,label, saved as CSV in UTF-8"
        raise DataError(words) from error
    for name in lines.columns:
        twice = re.fullmatch(r"(.+)_duplicated_\d+", name)  # as polars renames them
        if twice and twice[1] in lines.columns:
            raise DataError(f"{table} has the column {twice[1]} more than once; expected each once: drop the others")
    return lines


def demand(lines: pl.DataFrame, columns: set[str], table: Path) -> None:
    """Raise :class:`DataError` when a table lacks some of ``columns``."""
    lost = sorted(columns - set(lines.columns))
    if lost:
        found = ", ".join(lines.columns)
        raise DataError(f"{table} has the columns {found}; expected also {', '.join(lost)}, with commas between")
