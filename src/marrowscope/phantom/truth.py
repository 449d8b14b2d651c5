"""What is true of a phantom: its cells and its parts, kept beside the slide as ``NAME.truth.json.gz``."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from shapely.geometry import Polygon, mapping, shape
from shapely.geometry.base import BaseGeometry

from marrowscope.errors import DataError
from marrowscope.geometry import Size, Spacing

SCHEMA = "marrowscope.phantom.truth"
SCHEMA_VERSION = 1
TRUTH_ENDING = ".truth.json.gz"

CELL_SCHEMA: dict[str, pl.DataType] = {
    "type": pl.String(),
    "x0": pl.Float64(),
    "y0": pl.Float64(),
    "x1": pl.Float64(),
    "y1": pl.Float64(),
    "in_trail": pl.Boolean(),
    "in_blood": pl.Boolean(),
}
"""One row a nucleated cell; box tight round nucleus and cytoplasm, level-0 pixels."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Cells (``CELL_SCHEMA``) and polygons in level-0 pixels.

    ``trails`` exclude the particles; ``blood`` is None without a strip of peripheral blood. Cells inside particles are
    drawn indistinct and are not listed: ``notes`` says so. ``options`` are those of the phantom.
    """

    size: Size
    spacing: Spacing
    cells: pl.DataFrame
    smear: Polygon
    particles: tuple[Polygon, ...]
    trails: tuple[Polygon, ...]
    blood: Polygon | None
    options: dict[str, Any]
    notes: tuple[str, ...] = ()


def truth_path(slide: Path) -> Path:
    """Where the truth of a slide lies: ``NAME.truth.json.gz`` beside ``NAME.tif``."""
    return slide.with_name(f"{slide.stem}{TRUTH_ENDING}")


def write_truth(path: Path, truth: Truth) -> None:
    """Write the truth file, whole or not at all; the same truth gives the same bytes."""
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "size": list(truth.size),
        "spacing": [truth.spacing.x, truth.spacing.y],
        "options": truth.options,
        "notes": list(truth.notes),
        "polygons": {
            "smear": mapping(truth.smear),
            "particles": [mapping(p) for p in truth.particles],
            "trails": [mapping(p) for p in truth.trails],
            "blood": None if truth.blood is None else mapping(truth.blood),
        },
        "cells": truth.cells.to_dict(as_series=False),
    }
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def read_truth(path: Path | str) -> Truth:
    """Read the truth of a phantom, given its slide or its truth file. Raises ``DataError`` for anything else."""
    path = Path(path)
    file = path if path.name.endswith(TRUTH_ENDING) else truth_path(path)
    try:
        document = json.loads(gzip.decompress(file.read_bytes()))
    except FileNotFoundError:
        raise DataError(f"no truth beside {path.name}: expected {file.name}; is it a phantom?") from None
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{file.name} is damaged ({error}); render the phantom again") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise DataError(f"{file.name} is no truth file of a phantom")
    if document["schema_version"] != SCHEMA_VERSION:
        found = document["schema_version"]
        raise DataError(
            f"{file.name} has schema version {found}, this program reads {SCHEMA_VERSION}: update marrowscope"
        )
    polygons = document["polygons"]
    return Truth(
        size=Size(*document["size"]),
        spacing=Spacing(*document["spacing"]),
        cells=pl.DataFrame(document["cells"], schema=CELL_SCHEMA),
        smear=_polygon(polygons["smear"]),
        particles=tuple(_polygon(p) for p in polygons["particles"]),
        trails=tuple(_polygon(p) for p in polygons["trails"]),
        blood=None if polygons["blood"] is None else _polygon(polygons["blood"]),
        options=document["options"],
        notes=tuple(document["notes"]),
    )


def _polygon(value: dict[str, Any]) -> Polygon:
    geometry: BaseGeometry = shape(value)
    if not isinstance(geometry, Polygon):
        raise DataError(f"a polygon was expected in the truth file, found {geometry.geom_type}")
    return geometry
