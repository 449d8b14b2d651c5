"""Pictures of single cells named: a table, a summary for programs, and a page of pictures by type."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from marrowscope.cells.pictures import NamedPictures
from marrowscope.errors import MarrowscopeError, OutputError
from marrowscope.files import whole_file, write_json
from marrowscope.packs.contract import PackContract
from marrowscope.report.evidence import named
from marrowscope.report.gallery import second_type
from marrowscope.report.pictures import jpeg_uri
from marrowscope.report.sheet import single_cells_page
from marrowscope.report.view import NARROW, certainty_words, printable, whole
from marrowscope.slides.cell_picture import fitted
from marrowscope.slides.protocol import Picture
from marrowscope.taxonomy import CELL_TYPES

FILES = ("classes.parquet", "classes.html", "skipped.csv", "classes.json")
"""What is written, in that order, so that a folder with the last is complete; ``skipped.csv`` only where a picture was
skipped."""

PER_TYPE = 24
"""Pictures of each type on the page."""

SHOWN_PIXELS = 152
"""Side of a picture in the page: twice the least that a screen gives it."""

MOST_FOLDERS = 60
MOST_SKIPPED = 20
OWN_COLOUR = "#8b8697"
"""Of a class that the taxonomy does not know."""


@dataclass(frozen=True, slots=True)
class PictureView:
    """One picture of the page."""

    uri: str
    title: str
    words: str
    unsure: bool
    anomalous: bool


def write_classes(
    found: NamedPictures,
    pack: PackContract,
    folder: Path,
    read: Callable[[Path], Picture],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write :data:`FILES` into ``folder`` and return the summary, which is ``facts`` and the counts.

    ``read`` gives the picture of a cell again, for the page. Raises ``OutputError`` when the folder cannot be written.
    """
    table = found.table
    (folder / "classes.json").unlink(missing_ok=True)
    with whole_file(folder / "classes.parquet") as beside:
        table.write_parquet(beside)
    numbers = dict(table.get_column("type").value_counts().iter_rows())
    summary: dict[str, Any] = {
        **facts,
        "pictures": table.height,
        "types": {name: numbers.get(name, 0) for name in pack.classes},
        "unsure": int(table["unsure"].sum()),
        "anomalous": _flagged(table, "anomalous") if pack.anomaly else None,
        "skipped": len(found.skipped),
    }
    with whole_file(folder / "classes.html") as beside:
        beside.write_bytes(render_classes(found, pack, read).encode(errors="replace"))
    (folder / "skipped.csv").unlink(missing_ok=True)
    if found.skipped:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("file", "problem"), *found.skipped])
        with whole_file(folder / "skipped.csv") as beside:
            beside.write_bytes(text.getvalue().encode(errors="replace"))
    write_json(folder / "classes.json", summary)
    return summary


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What :func:`write_classes` returned for ``folder``; None where there is no table, or one without its end.

    Raises ``OutputError`` for a table whose summary is damaged.
    """
    path = folder / "classes.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read ({error}): choose another folder with -o, or add --force") from error


def read_classes(folder: Path) -> NamedPictures:
    """The named pictures that stand in ``folder``. Raises ``OutputError`` where they are damaged."""
    try:
        table, skipped = pl.read_parquet(folder / "classes.parquet"), []
        if (folder / "skipped.csv").is_file():
            with (folder / "skipped.csv").open(encoding="utf-8", newline="") as lines:
                skipped = [(Path(row["file"]), row["problem"]) for row in csv.DictReader(lines)]
    except (OSError, KeyError, pl.exceptions.PolarsError) as error:
        words = f"the table in {folder} cannot be read ({error}): choose another folder with -o, or add --force"
        raise OutputError(words) from error
    return NamedPictures(table, tuple(skipped))


def render_classes(found: NamedPictures, pack: PackContract, read: Callable[[Path], Picture]) -> str:
    """The page as text: counts, what lay in which folder, what was skipped, and the least certain of each type."""
    table = found.table
    side = None
    if pack.classifier is not None and pack.classifier.spacing is not None:
        side = pack.classifier.crop * pack.classifier.spacing
    order = sorted(pack.classes, key=list(CELL_TYPES).index) if not pack.free_words else pack.classes
    by_type = {name: table.filter(type=name) for name in order}
    page = {
        "figures": _figures(found, pack),
        "anomaly": pack.anomaly is not None,
        "types": [_type_row(pack.title_of(name), name, rows, table.height) for name, rows in by_type.items()],
        "note": (
            "The share is of the pictures given, which are no differential count: nothing says how they were chosen. "
            f"Certainty is the {'' if pack.certainty_doubt else 'calibrated '}probability of the type; below "
            f"{pack.unsure_below:g} a type is unsure."
        ),
        "folders": _folders(table, pack),
        "skipped": _skipped(found),
        "lead": f"Of each type the least certain, at most {PER_TYPE}, as the pack saw them.",
        "side_um": side,
        "galleries": [
            gallery for name, rows in by_type.items() if rows.height and (gallery := _gallery(name, rows, pack, read))
        ],
    }
    return single_cells_page("classes.html.j2", pack, page=page)


def _figures(found: NamedPictures, pack: PackContract) -> list[dict[str, str]]:
    table, n = found.table, found.table.height
    unsure = int(table["unsure"].sum())
    figures = [
        ("Pictures named", whole(n), f"{len(pack.classes)} types"),
        ("Unsure", whole(unsure), f"{_percent(unsure, n)} of the pictures"),
    ]
    if pack.anomaly is not None:
        odd = _flagged(table, "anomalous")
        figures.append(("Anomalous", whole(odd), f"{_percent(odd, n)}: unlike what the pack was trained on"))
    figures.append(("Skipped", whole(len(found.skipped)), "could not be used"))
    return [{"name": name, "value": value, "detail": detail} for name, value, detail in figures]


def _type_row(title: str, name: str, rows: pl.DataFrame, total: int) -> dict[str, str]:
    median = rows["certainty"].median()
    return {
        "title": title,
        "colour": _colour(name),
        "number": whole(rows.height),
        "share": _percent(rows.height, total),
        "certainty": certainty_words(median) if isinstance(median, float) else "",
        "unsure": whole(int(rows["unsure"].sum())),
        "anomalous": whole(_flagged(rows, "anomalous")),
    }


def _folders(table: pl.DataFrame, pack: PackContract) -> list[dict[str, str]]:
    """What the pictures of each folder were named; none when they lie in one, or in too many to read."""
    folder = pl.col("file").str.replace(r"/?[^/]*$", "").alias("folder")
    counted = table.select(folder, "type").group_by("folder", "type").len().sort("len", descending=True)
    names = sorted(counted["folder"].unique().to_list())
    if not 1 < len(names) <= MOST_FOLDERS:
        return []
    rows = []
    for name in names:
        here = counted.filter(folder=name)
        types = [f"{pack.title_of(kind)} {whole(number)}" for _, kind, number in here.iter_rows()]
        rows.append(
            {"name": printable(name or "."), "number": whole(int(here["len"].sum())), "types": ", ".join(types)}
        )
    return rows


def _skipped(found: NamedPictures) -> list[str]:
    lines = [printable(problem) for _, problem in found.skipped[:MOST_SKIPPED]]
    more = len(found.skipped) - len(lines)
    return lines + ([f"and {whole(more)} more, in skipped.csv"] if more else [])


def _gallery(name: str, rows: pl.DataFrame, pack: PackContract, read: Callable[[Path], Picture]) -> dict[str, object]:
    shown = rows.sort("certainty", "file").head(PER_TYPE)
    cells = []
    for row in shown.iter_rows(named=True):
        try:
            picture = read(Path(row["file"]))
        except MarrowscopeError:  # it vanished since it was named
            continue
        second, probability = second_type(row, pack.classes)
        after = f"; next: {named(pack.title_of(second), probability)}" if second else ""
        words = [certainty_words(row["certainty"]), *(flag for flag in row["flags"] if flag != "anomalous")]
        cells.append(
            PictureView(
                uri=jpeg_uri(_shown(picture), 84),
                title=printable(row["file"]) + after,
                words=", ".join(words),
                unsure=row["unsure"],
                anomalous="anomalous" in row["flags"],
            )
        )
    summary = f"{whole(rows.height)} picture{'' if rows.height == 1 else 's'}"
    if len(cells) < rows.height:
        summary += f", the {len(cells)} least certain shown"
    return {"title": pack.title_of(name), "colour": _colour(name), "summary": summary, "cells": cells}


def _shown(picture: Picture) -> Picture:
    return fitted(picture, SHOWN_PIXELS) if len(picture) > SHOWN_PIXELS else picture


def _flagged(table: pl.DataFrame, word: str) -> int:
    return int(table["flags"].list.contains(word).sum())


def _percent(part: int, total: int) -> str:
    return f"{100 * part / total:.1f}{NARROW}%"


def _colour(name: str) -> str:
    return CELL_TYPES[name].colour if name in CELL_TYPES else OWN_COLOUR
