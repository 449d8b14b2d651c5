"""Pictures of single cells explained: a page, a picture a cell, and a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.cells.classification import Named
from marrowscope.cells.explain import Explanation
from marrowscope.errors import OutputError
from marrowscope.files import whole_file, write_json
from marrowscope.packs.contract import PackContract
from marrowscope.report.evidence import LIMITS, MEANING, SCALE, EvidenceCell, EvidenceView, captioned, overlay
from marrowscope.report.gallery import BAR_UM
from marrowscope.report.html import TEMPLATES, environment
from marrowscope.report.pictures import jpeg_uri
from marrowscope.report.view import printable
from marrowscope.slides.protocol import Picture

COLUMNS = ("file", "type", "certainty", "second_type", "second_certainty", "anomaly", "unsure", "anomalous", "method")
"""Columns of ``explanations.csv``; ``anomaly`` is empty when the pack has no score of it."""

SHEET_FILE = "explanations.json"
"""Written last: a folder that has one holds a whole sheet."""

PICTURE_PIXELS = 288
"""Side of each of the four parts of a cell's picture."""

Row = dict[str, str | float | bool | None]


def explained_rows(names: Sequence[str], found: Explanation, cells: Named, pack: PackContract) -> list[Row]:
    """One row a cell, with the keys of :data:`COLUMNS`."""
    rows: list[Row] = []
    for index, name in enumerate(names):
        probabilities = found.probabilities[index]
        first, second = int(found.types[index]), int(found.others[index])
        anomaly = None if cells.anomaly is None else float(cells.anomaly[index])
        rows.append(
            {
                "file": name,
                "type": pack.classes[first],
                "certainty": float(probabilities[first]),
                "second_type": pack.classes[second],
                "second_certainty": float(probabilities[second]),
                "anomaly": anomaly,
                "unsure": bool(probabilities[first] < pack.unsure_below),
                "anomalous": anomaly is not None and anomaly > 1,
                "method": found.method,
            }
        )
    return rows


def write_sheet(
    rows: Sequence[Row],
    crops: NDArray[np.uint8],
    found: Explanation,
    pack: PackContract,
    folder: Path,
    facts: Mapping[str, Any],
) -> None:
    """Write ``explanations.html``, ``explanations.csv``, for each cell ``NAME.png``, and last ``explanations.json``.

    A picture shows, side by side: the cell, the evidence for its type, for the second type, and for the first rather
    than the second. The JSON file holds ``facts`` and the rows; what an earlier one tells of goes first. Raises
    ``OutputError`` when the folder cannot be written.
    """
    remove_sheet(folder)
    for row, parts in zip(rows, _pictures(crops, found, PICTURE_PIXELS), strict=True):
        strip = np.concatenate(parts, axis=1)
        encoded = cv2.imencode(".png", cv2.cvtColor(strip, cv2.COLOR_RGB2BGR))[1].tobytes()
        with whole_file(folder / f"{row['file']}.png") as beside:
            beside.write_bytes(encoded)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    with whole_file(folder / "explanations.csv") as beside:
        beside.write_bytes(text.getvalue().encode(errors="replace"))
    with whole_file(folder / "explanations.html") as beside:
        beside.write_bytes(render_sheet(rows, crops, found, pack).encode(errors="replace"))
    write_json(folder / SHEET_FILE, {**facts, "cells": list(rows)})


def read_sheet(folder: Path) -> dict[str, Any] | None:
    """What ``explanations.json`` in ``folder`` holds; None where there is none, so that no sheet there is whole.

    Raises ``OutputError`` for a damaged one.
    """
    try:
        return dict(json.loads((folder / SHEET_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        words = f"{folder / SHEET_FILE} cannot be read ({error}): choose another folder with -o, or add --force"
        raise OutputError(words) from error


def remove_sheet(folder: Path) -> None:
    """Take away the sheet that lies in ``folder``, if it can be told what belongs to it."""
    with suppress(OutputError, KeyError, TypeError):
        for row in (read_sheet(folder) or {"cells": ()})["cells"]:
            (folder / f"{Path(row['file']).name}.png").unlink(missing_ok=True)
    (folder / SHEET_FILE).unlink(missing_ok=True)


def render_sheet(rows: Sequence[Row], crops: NDArray[np.uint8], found: Explanation, pack: PackContract) -> str:
    """The page as text: complete in itself, without a script."""
    spacing = pack.classifier.spacing if pack.classifier else None
    cells = []
    pictures = _pictures(crops, found, crops.shape[1])
    for row, (crop, first, second, _), *maps in zip(rows, pictures, found.maps, found.other_maps, strict=True):
        strongest = float(max(one.max() for one in maps))
        score = [f"anomaly {row['anomaly']:.2f}"] if isinstance(row["anomaly"], float) else []
        cells.append(
            EvidenceCell(
                label=printable(str(row["file"])),
                uri=jpeg_uri(crop, 86),
                first_uri=jpeg_uri(first, 84),
                second_uri=jpeg_uri(second, 84),
                first=captioned(pack.title_of(str(row["type"])), float(row["certainty"] or 0), maps[0], strongest),
                second=captioned(
                    pack.title_of(str(row["second_type"])), float(row["second_certainty"] or 0), maps[1], strongest
                ),
                words=", ".join([flag for flag in ("unsure", "anomalous") if row[flag]] + score),
                where="",
                unsure=bool(row["unsure"]),
                anomalous=bool(row["anomalous"]),
            )
        )
    evidence = EvidenceView(
        summary="Beside each cell, in grey, the evidence for its most probable and its second type: from green to "
        f"yellow it grows, the line runs at half of the largest. {SCALE}",
        meaning=MEANING[found.method],
        limits=LIMITS,
        side_um=crops.shape[1] * (spacing or 0.0),
        cells=tuple(cells),
    )
    return single_cells_page("sheet.html.j2", pack, evidence=evidence)


def single_cells_page(template: str, pack: PackContract, **values: object) -> str:
    """A page about pictures of single cells as text, complete in itself, without a script."""
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    return environment().get_template(template).render(pack=pack, bar_um=BAR_UM, style=style, **values)


def _pictures(
    crops: NDArray[np.uint8], found: Explanation, side: int
) -> Iterator[tuple[Picture, Picture, Picture, Picture]]:
    """Of each cell the picture and its three maps, ``side`` pixels each; enlarged first, so that lines stay fine."""
    for crop, *maps in zip(crops, found.maps, found.other_maps, found.contrast, strict=True):
        large, first, second, contrast = (
            cv2.resize(part, (side, side), interpolation=cv2.INTER_CUBIC) for part in (crop, *maps)
        )
        strongest = float(max(first.max(), second.max()))
        shown = [overlay(large, evidence, strongest) for evidence in (first, second)]
        yield large, shown[0], shown[1], overlay(large, contrast, float(np.abs(contrast).max()))


def _plain(value: str | float | bool | None) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else value
