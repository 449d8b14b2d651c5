"""One report with everything that it shows, ready to be laid out: the same for HTML and PDF."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from marrowscope.report.content import ReportContent
from marrowscope.report.evidence import EvidenceView, evidence_view
from marrowscope.report.facts import RegionView, SmearView, banner, counted_at, region_views, slide_facts, smear_views
from marrowscope.report.gallery import GalleryView, gallery_views
from marrowscope.report.method import method_statement, program, quality_notes
from marrowscope.report.pictures import Overview, draw_overview
from marrowscope.report.signed import ReviewView, review_view
from marrowscope.report.view import (
    FactView,
    FigureView,
    FlagsView,
    TableView,
    doubt_words,
    figure_views,
    flag_views,
    printable,
    table_view,
)


@dataclass(frozen=True, slots=True)
class ReportPage:
    """The parts of a report in the order in which they stand."""

    title: str
    label: str
    case: str | None
    banner: str
    doubt: str
    figures: tuple[FigureView, ...]
    flags: tuple[FlagsView, ...]
    table: TableView
    overview: Overview
    facts: tuple[FactView, ...]
    regions: tuple[RegionView, ...]
    smears: tuple[SmearView, ...]
    quality: tuple[str, ...]
    evidence: EvidenceView | None
    galleries: tuple[GalleryView, ...]
    method: tuple[FactView, ...]
    pack: str
    program: str
    date: datetime | None
    review: ReviewView | None


def report_page(content: ReportContent) -> ReportPage:
    """Draw and word everything that a report shows."""
    return ReportPage(
        title=content.differential.title,
        label=printable(content.slide.label),
        case=_case(content),
        banner=banner(content),
        doubt=doubt_words(content.differential),
        figures=figure_views(content.differential),
        flags=flag_views(content.differential.flags),
        table=table_view(content),
        overview=draw_overview(content),
        facts=slide_facts(content),
        regions=region_views(content),
        smears=smear_views(content),
        quality=quality_notes(content),
        evidence=evidence_view(content),
        galleries=gallery_views(content),
        method=method_statement(content),
        pack=f"{content.pack.name} {content.pack.version}",
        program=program(content),
        date=counted_at(content),
        review=review_view(content),
    )


def _case(content: ReportContent) -> str | None:
    """The name of the case, where the label does not begin with it."""
    if content.case is None or content.slide.label.startswith(content.case):
        return None
    return printable(content.case)
