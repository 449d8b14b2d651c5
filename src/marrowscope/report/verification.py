"""The verification of a pack as files: ``evaluation.json``, ``matches.parquet`` and ``verification.html`` to print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.judging import IOU
from marrowscope.files import whole_file, write_json
from marrowscope.report.html import TEMPLATES, environment
from marrowscope.report.verification_page import verification_page
from marrowscope.report.verified import Verification

SCHEMA = "marrowscope.evaluation"
SCHEMA_VERSION = 1

MATCHES_SCHEMA: dict[str, pl.DataType] = {
    "slide": pl.String(),
    "id": pl.String(),
    "truth": pl.String(),
    "called": pl.String(),
    "iou": pl.Float64(),
    "certainty": pl.Float64(),
}
"""One row a labelled cell that was asked for; ``called`` null: missed, and then so are ``iou`` and ``certainty``."""


def write_verification(content: Verification, folder: Path) -> None:
    """Write the three files into ``folder``, each whole or not at all. Raises ``OutputError``."""
    write_json(folder / "evaluation.json", verification_facts(content))
    with whole_file(folder / "matches.parquet") as beside:
        matches(content).write_parquet(beside)
    with whole_file(folder / "verification.html") as beside:
        beside.write_text(render_verification(content), encoding="utf-8")


def matches(content: Verification) -> pl.DataFrame:
    """The labelled cells that were asked for, with :data:`MATCHES_SCHEMA`."""
    rows: list[tuple[Any, ...]] = []
    for told, judged in zip(content.judged, content.summary.slides, strict=True):
        cells = judged.cells
        rows += [
            (told.name, told.ids[label], truth, called, iou, certainty)
            for label, truth, called, iou, certainty in zip(
                cells.label.tolist(), cells.truth, cells.called, cells.iou, cells.certainty, strict=True
            )
            if label >= 0
        ]
    return pl.DataFrame(rows, schema=MATCHES_SCHEMA, orient="row").with_columns(
        pl.col("iou", "certainty").fill_nan(None)
    )


def verification_facts(content: Verification) -> dict[str, Any]:
    """What ``evaluation.json`` holds. Percentages of the differential are in points, all other shares in 0..1."""
    summary = content.summary
    slides = []
    judged = iter(summary.slides)
    for slide in content.slides:
        facts: dict[str, Any] = {
            "name": slide.name,
            "labels": slide.labels,
            "phantom": slide.phantom,
            "error": slide.error,
        }
        if slide.error is None:
            one = next(judged)
            facts |= {
                "complete": one.complete,
                "asked": one.asked,
                "missed": one.missed,
                "outside": one.outside,
                "border": one.border,
                "met": one.met,
                "detections_without_a_label": one.unlabelled,
                "detections_not_judged": plain(one.passed),
                "counted": slide.counted,
                "seconds": slide.seconds,
                "differential_total": one.true_total,
                "differential": plain(one.differential),
                "notes": list(slide.notes),
            }
        slides.append(facts)
    names = ("strict", "tolerant", "confusion", "kappa", "unsure", "right_when_sure", "detection", "differential")
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "phantom": content.phantom,
        "time": content.time.isoformat(timespec="seconds"),
        "pack": {"name": content.pack.name, "version": content.pack.version, "sha256": content.pack_sha256},
        "versions": dict(content.versions),
        "options": plain(content.options),
        "iou": IOU,
        "redrawn": summary.unit,
        "slides": slides,
        **{name: plain(getattr(summary, name)) for name in names},
        "time_for_cells": plain(summary.time),
    }


def plain(value: Any) -> Any:
    """Dataclasses, arrays and numbers as JSON has them; what is no finite number becomes null."""
    if isinstance(value, Proportion):
        low, high = value.interval if value.total else (None, None)
        return {"count": value.count, "total": value.total, "value": plain(value.value), "low": low, "high": high}
    if is_dataclass(value) and not isinstance(value, type):
        return {part.name: plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value.value if isinstance(value, Enum) else str(value) if isinstance(value, Path) else value


def render_verification(content: Verification) -> str:
    """``verification.html`` as text: one file that needs no network and no script."""
    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "verification.css"))
    return environment().get_template("verification.html.j2").render(page=verification_page(content), style=style)
