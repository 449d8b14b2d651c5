"""What a report says of the slide itself: its facts, its regions, and when it was counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from marrowscope.report.content import ReportContent
from marrowscope.report.pictures import KINDS
from marrowscope.report.view import NARROW, FactView, printable, whole


def banner(content: ReportContent) -> str:
    """The line that a phantom report carries; empty for all others."""
    if content.pack.phantom or content.differential.phantom:
        return "PHANTOM: generated slide, for demonstration and tests"
    return ""


GENERIC = "generic-tiff"
"""OpenSlide's vendor of a TIFF that names none."""


def slide_facts(content: ReportContent) -> tuple[FactView, ...]:
    """What is known of the slide and its count, beside the label; of a case the count alone."""
    differential = content.differential
    number = "field" if differential.fields == 1 else "fields"
    counted = f"{whole(differential.fields)} {number}, {differential.area_mm2:.2f}{NARROW}mm²"
    facts = [FactView("Counted", counted), FactView("Ended", printable(differential.stopped)), *_doubts(content)]
    if date := date_words(content):
        facts.append(FactView("Date", date))
    return (*(_scan_facts(content) if content.case is None else ()), *facts)


def _doubts(content: ReportContent) -> list[FactView]:
    """How many cells were unsure and how many anomalous, of all that were found."""
    cells = content.cells
    if cells.is_empty():
        return []

    def share(flag: str) -> str:
        number = cells.filter(pl.col("flags").list.contains(flag)).height
        return f"{whole(number)} of {whole(cells.height)} cells ({100 * number / cells.height:.1f}{NARROW}%)"

    no_score = content.pack.anomaly is None
    odd = "not told: the pack has no anomaly score" if no_score else share("anomalous")
    return [FactView("Unsure", share("unsure")), FactView("Anomalous", odd)]


def _scan_facts(content: ReportContent) -> list[FactView]:
    """What the scanner tells; of the slide's properties only those listed here are ever shown."""
    slide = content.slide
    shown = {"specimen": "Specimen", "site": "Site", "stain": "Stain", "vendor": "Vendor", "scanner": "Scanner"}
    facts = [
        FactView(title, printable(slide.properties[key]))
        for key, title in shown.items()
        if slide.properties.get(key, GENERIC) != GENERIC
    ]
    if slide.properties.get("objective"):
        facts.append(FactView("Objective", f"{printable(slide.properties['objective']).rstrip('xX×')}×"))
    facts.append(FactView("Spacing", spacing_words(content)))
    x, y = slide.bounds.width * slide.spacing.x / 1000, slide.bounds.height * slide.spacing.y / 1000
    facts.append(FactView("Scanned area", f"{x:.1f} × {y:.1f}{NARROW}mm"))
    return facts


def date_words(content: ReportContent) -> str:
    """The time of the count, for people; empty when it is not known."""
    moment = counted_at(content)
    return "" if moment is None else f"{moment.day} {moment:%B %Y, %H:%M %Z}".strip()


def counted_at(content: ReportContent) -> datetime | None:
    """The time of the count as the run tells it (ISO 8601)."""
    time = content.run.get("time")
    return datetime.fromisoformat(time) if isinstance(time, str) else None


def spacing_words(content: ReportContent) -> str:
    """The spacing and where it comes from."""
    spacing, source = content.slide.spacing, content.slide.spacing_source
    if abs(spacing.x - spacing.y) < 1e-4 * spacing.x:
        value = f"{spacing.x:.4g}"
    else:
        value = f"{spacing.x:.4g} × {spacing.y:.4g}"
    return f"{value}{NARROW}µm/px, {'from the file' if source == 'file' else source}"


@dataclass(frozen=True, slots=True)
class RegionView:
    number: str
    kind: str
    area: str
    score: str
    cells: str


REGIONS_LISTED = 8


def region_views(content: ReportContent) -> tuple[RegionView, ...]:
    """The best regions with the cells that were found in each; what is left over is summed in one last line.

    None for a case: each of its smears has a report of its own.
    """
    if content.case is not None:
        return ()
    counts = dict(content.cells.get_column("region").value_counts().iter_rows())
    regions = content.finding.regions
    spacing = content.slide.spacing
    listed = regions if len(regions) <= REGIONS_LISTED else regions[: REGIONS_LISTED - 1]
    views = [
        RegionView(
            str(place),
            KINDS.get(region.kind, region.kind),
            f"{spacing.area_mm2(region.polygon.area):.2f}",
            f"{region.score:.2f}",
            whole(counts.get(region.name, 0)),
        )
        for place, region in enumerate(listed, 1)
    ]
    if rest := regions[len(listed) :]:
        area = spacing.area_mm2(sum(region.polygon.area for region in rest))
        cells = whole(sum(counts.get(region.name, 0) for region in rest))
        views.append(RegionView(f"{len(listed) + 1}–{len(regions)}", "further regions", f"{area:.2f}", "", cells))
    return tuple(views)


@dataclass(frozen=True, slots=True)
class SmearView:
    label: str
    cells: str
    fields: str
    area: str


def smear_views(content: ReportContent) -> tuple[SmearView, ...]:
    """The smears of a case and what each gave; empty for a slide."""
    return tuple(
        SmearView(printable(smear.label), whole(smear.total), whole(smear.fields), f"{smear.area_mm2:.2f}")
        for smear in content.smears
    )
