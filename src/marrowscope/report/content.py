"""Everything that a report shows, gathered once and rendered many times (HTML, PDF, tables, GeoJSON).

No renderer opens a slide: pictures arrive as arrays. Coordinates are level-0 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.cells.explain import Method
from marrowscope.differential.result import Differential
from marrowscope.geometry import Box, Size, Spacing
from marrowscope.packs.contract import PackContract
from marrowscope.regions.region import RegionFinding
from marrowscope.report.signature import Review
from marrowscope.slides.protocol import Picture


@dataclass(frozen=True, slots=True)
class SlideFacts:
    """What a report says about one slide; ``label`` is its name or its pseudonym."""

    label: str
    size: Size
    spacing: Spacing
    spacing_source: str
    """"file" or "given"."""
    reader: str
    bounds: Box
    properties: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SmearFacts:
    """What one smear gave to its case: cells counted in the differential, and the fields that held them."""

    label: str
    total: int
    fields: int
    area_mm2: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the evidence for the two most probable types of the least certain cells lay.

    ``maps`` gives for a ``cell_id`` two maps ``(2, s, s)``, of its type and of its second type, over its crop, with the
    meaning of :class:`marrowscope.cells.explain.Explanation`.
    """

    method: Method
    maps: Mapping[int, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class ReportContent:
    """One report, of a slide or of a case.

    In a case ``slide`` is the frame in which the smears stand side by side, and no slide: only its label is shown.

    ``cells`` follows the schema of ``marrowscope.cells.table`` (one row a cell, level-0 pixels). ``crops`` maps
    ``cell_id`` to an RGB picture of the cell at ``crop_spacing`` um per pixel, for the gallery: only the cells that
    the report shows. ``overview`` is the slide in RGB at ``overview_downsample`` level-0 pixels per pixel (x, y), its
    corner at the slide's origin.
    """

    slide: SlideFacts
    pack: PackContract
    pack_sha256: str
    differential: Differential
    cells: pl.DataFrame
    finding: RegionFinding
    overview: Picture
    overview_downsample: tuple[float, float]
    crops: Mapping[int, Picture]
    crop_spacing: float
    run: Mapping[str, Any] = field(default_factory=dict)
    """What ``run.json`` holds: versions, options, timings, ISO time of the count."""
    quality: tuple[str, ...] = ()
    """Quality notes in plain words."""
    case: str | None = None
    smears: tuple[SmearFacts, ...] = ()
    """The smears of a case, in the order in which they stand on the overview."""
    fields: tuple[Box, ...] = ()
    """The counting fields that were counted, for the overview; level-0 pixels."""
    evidence: Evidence | None = None
    """For the least certain cells; None when the pack's types cannot be explained."""
    card: str = ""
    """The pack's model card, Markdown."""
    review: Review | None = None
    """What a person added, to the reviewed ``differential`` and ``cells``; None for a report of what was counted."""
