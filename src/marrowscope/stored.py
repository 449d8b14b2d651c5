"""A finished run read back from its folder, as the content that it was written from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from marrowscope.cells.gallery import read_missing
from marrowscope.cells.table import cell_schema
from marrowscope.differential.result import Differential
from marrowscope.errors import PackError, RegionError
from marrowscope.geometry import Box
from marrowscope.packs.contract import ANY
from marrowscope.packs.loading import Pack
from marrowscope.pipeline import OVERVIEW_PIXELS, explain_doubtful, slide_facts
from marrowscope.regions import load_regions
from marrowscope.report.content import ReportContent
from marrowscope.report.writing import WRITERS
from marrowscope.runs import read_run
from marrowscope.slides import Slide, overview


def counted_as(run: Mapping[str, Any]) -> str:
    """The specimen that a run was counted for; one that names none assumed none.

    Raises ``TypeError`` or ``ValueError`` when its options are damaged.
    """
    return str(dict(run.get("options", {})).get("specimen", ANY))


def read_content(folder: Path, slide: Slide, pack: Pack) -> ReportContent | None:
    """The content of a finished run of ``slide`` with ``pack``; None when the folder holds none that can be read.

    The pack takes on the specimen of the run. A table of cells of an earlier version is none, nor is a run for a
    specimen that the pack does not know. Pictures of cells are read from the slide again.
    """
    run = read_run(folder)
    if run is None or not all((folder / name).is_file() for name in WRITERS):
        return None
    try:
        differential = Differential.model_validate_json((folder / "differential.json").read_bytes())
        cells = pl.read_parquet(folder / "cells.parquet")
        finding = load_regions(folder / "regions.geojson", slide)
        fields = tuple(Box(*corners) for corners in run["fields"])
        label, source, quality = run["slide"], run["spacing_source"], tuple(run["quality"])
        pack = pack.for_specimen(counted_as(run))
    except (OSError, KeyError, TypeError, ValueError, RegionError, PackError, pl.exceptions.PolarsError):
        return None
    contract = pack.contract
    if cells.schema != pl.Schema(cell_schema(contract.classes)):
        return None
    spacing, side = contract.cell_pictures
    pictures = read_missing(slide, cells, {}, spacing, side)
    crops, evidence = explain_doubtful(slide, cells, pictures, pack)
    picture, downsample = overview(slide, OVERVIEW_PIXELS)
    return ReportContent(
        slide=slide_facts(slide, label, source),
        pack=contract,
        pack_sha256=pack.sha256,
        differential=differential,
        cells=cells,
        finding=finding,
        overview=picture,
        overview_downsample=downsample,
        crops=crops,
        crop_spacing=spacing,
        run=run,
        quality=quality,
        fields=fields,
        evidence=evidence,
        card=pack.card,
    )
