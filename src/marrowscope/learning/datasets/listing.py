"""What a layout lists: pictures with their class, split and patient as names tell them, and how folders are walked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from marrowscope.errors import DataError, how_many
from marrowscope.learning.datasets.pictures import PICTURES

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


def folders_in(root: Path) -> list[Path]:
    """The folders directly below, in order of their names."""
    return sorted(p for p in root.iterdir() if p.is_dir() and not SYSTEM.match(p.name)) if root.is_dir() else []


def pictures_below(roots: Iterable[Path]) -> tuple[list[Path], int]:
    """All pictures below, in order of their names, and how many other files there are."""
    files = [
        file
        for root in roots
        for file in sorted(root.rglob("*"))
        if file.is_file() and not any(SYSTEM.match(part) for part in file.relative_to(root).parts)
    ]
    pictures = [file for file in files if file.suffix.lower() in PICTURES]
    return pictures, len(files) - len(pictures)


def rows_of_folders(folders: Sequence[Path], skipped: list[str]) -> list[Listed]:
    """The pictures below each folder, which is their class; other files and empty folders are said in ``skipped``."""
    rows = []
    for child in folders:
        files, others = pictures_below([child])
        rows += [Listed(file, child.name) for file in files]
        if others:
            skipped.append(
                f"{how_many(others, 'file')} in {child.name} that {'is' if others == 1 else 'are'} no picture"
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
    tables = [path for path in root.glob("*.csv") if {"file", "label"} <= _header(path)]
    return tables[0] if len(tables) == 1 else None


def _header(path: Path) -> set[str]:
    with path.open(encoding="utf-8-sig", errors="replace") as lines:
        return set(lines.readline().strip().split(","))


def read_labels(table: Path) -> pl.DataFrame:
    """A table with ``file`` and ``label``, all columns as words. Raises :class:`DataError` when it is none."""
    lines = read_table(table)
    demand(lines, {"file", "label"}, table)
    return lines


def read_table(table: Path) -> pl.DataFrame:
    """Any CSV, all columns as words. Raises :class:`DataError` when it is none."""
    try:
        return pl.read_csv(table, infer_schema_length=0)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{table} is not a table of labels ({error}); expected columns file,label") from error


def demand(lines: pl.DataFrame, columns: set[str], table: Path) -> None:
    """Raise :class:`DataError` when a table lacks some of ``columns``."""
    lost = sorted(columns - set(lines.columns))
    if lost:
        found = ", ".join(lines.columns)
        raise DataError(f"{table} has the columns {found}; expected also {', '.join(lost)}, with commas between")
