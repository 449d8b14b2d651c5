"""``report.pdf``: the same words and pictures as the HTML page, set by typst on A4.

Typst runs in this process with the fonts of its own wheel, so that the same content gives the same bytes on every
machine. Words travel as JSON and pictures as SVG with their pixels inside: nothing of a slide's name is ever read as
markup, and no temporary file is written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typst

from marrowscope.cells.gallery import PER_TYPE
from marrowscope.files import whole_file
from marrowscope.report.bars import axis_labels
from marrowscope.report.content import ReportContent
from marrowscope.report.evidence import EvidenceView
from marrowscope.report.gallery import BAR_UM, GalleryView
from marrowscope.report.page import report_page
from marrowscope.report.pictures import KINDS, legend_mark, overview_style
from marrowscope.report.view import COMMENT_FIELDS

if TYPE_CHECKING:
    from typst import PDFStandard

TEMPLATE = Path(__file__).with_name("templates") / "report.typ"

STANDARDS: list[PDFStandard] = ["a-2a", "ua-1"]
"""PDF/A-2a for archives and PDF/UA-1 for screen readers; both ask for a date."""

LACKING = (
    "UNREADABLE LETTERS: the computer that made this page has no font for some of them, which stand as empty boxes; "
    "report.html shows them."
)

_GAP = 0.07
"""Space between two pictures of a gallery, in sides of a picture."""

_BAR_STYLE = (
    "<style>.grid{stroke:#e3e0e8;stroke-width:.7;fill:none}.band{fill:#cfdde6}.span{stroke:#1c1a21;stroke-width:1.3;fill:none}"
    ".dot{fill:#1c1a21}.tick{font-family:'Libertinus Serif';font-size:10.5px;fill:#5d5967}</style>"
)
_KEY = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 26 10" width="26" height="10">'
    '<path class="span" d="M2 5H24M2 2v6M24 2v6"/><circle class="dot" cx="12" cy="5" r="2.8"/></svg>'
)


def write_pdf(content: ReportContent, path: Path) -> None:
    """Write ``report.pdf``. Raises ``OutputError`` when it cannot be written."""
    document = render_pdf(content)
    with whole_file(path) as beside:
        beside.write_bytes(document)


def render_pdf(content: ReportContent) -> bytes:
    """The PDF as bytes; equal contents give equal bytes.

    Names in scripts that typst's own fonts lack (Chinese, say) are set with the fonts of this machine; where it has
    none of them the page says so, and is no PDF/A.
    """
    page = report_page(content)
    phantom = "phantom · " if page.banner else ""
    table = asdict(page.table)
    for group in table["groups"]:
        for row in group["rows"]:
            row["bar"] = _styled(row["bar"], _BAR_STYLE)
    document: dict[str, Any] = {
        "title": page.title,
        "label": page.label,
        "short_label": page.label if len(page.label) <= 50 else f"{page.label[:49]}…",
        "case": page.case,
        "date": _date(page.date),
        "footer": f"{phantom}{page.pack} · {page.program}",
        "banner": page.banner,
        "doubt": page.doubt,
        "lacking": "",
        "figures": [asdict(figure) for figure in page.figures],
        "flags": [asdict(flags) for flags in page.flags],
        "table": table,
        "axis": _styled(axis_labels(page.table.axis), _BAR_STYLE),
        "key": _styled(_KEY, _BAR_STYLE),
        "overview": asdict(page.overview),
        "legend": [
            {"mark": _styled(legend_mark(kind), overview_style(0.9)), "words": KINDS[kind]}
            for kind in page.overview.shows
        ],
        "facts": [asdict(fact) for fact in page.facts],
        "regions": [asdict(region) for region in page.regions],
        "smears": [asdict(smear) for smear in page.smears],
        "quality": page.quality,
        "comment_fields": COMMENT_FIELDS,
        "review": None if page.review is None else asdict(page.review),
        "evidence": None if page.evidence is None else _evidence(page.evidence),
        "galleries": [
            {
                "title": gallery.title,
                "colour": gallery.colour,
                "summary": gallery.summary,
                "strip": _strip(gallery),
                "words": [cell.words for cell in gallery.cells],
            }
            for gallery in page.galleries
        ],
        "per_row": PER_TYPE,
        "gap": _GAP / (PER_TYPE + (PER_TYPE - 1) * _GAP),
        "bar_um": f"{BAR_UM:g}",
        "method": [asdict(fact) for fact in page.method],
    }
    standards = STANDARDS if page.date else []
    for system_fonts in (False, True):
        with suppress(typst.TypstError):  # a letter that these fonts lack; anything else fails again below
            return _typeset(document, system_fonts=system_fonts, standards=standards)
    return _typeset(document | {"lacking": LACKING}, system_fonts=True, standards=[])


def _typeset(document: dict[str, Any], *, system_fonts: bool, standards: list[PDFStandard]) -> bytes:
    made = typst.compile(
        TEMPLATE.read_bytes(),
        format="pdf",
        ignore_system_fonts=not system_fonts,
        sys_inputs={"content": json.dumps(document)},
        pdf_standards=standards,
    )
    return bytes(made)


def _date(moment: datetime | None) -> dict[str, int] | None:
    if moment is None:
        return None
    moment = moment.astimezone(UTC)
    return {part: getattr(moment, part) for part in ("year", "month", "day", "hour", "minute", "second")}


def _styled(svg: str, style: str) -> str:
    """An SVG that brings its own style, as it has no page to take one from."""
    head, _, rest = svg.partition(">")
    return f"{head}>{style}{rest}"


def _strip(gallery: GalleryView) -> str:
    """One row of cell pictures with their scale bars, as SVG; a picture is 100 wide."""
    bar = 100 * BAR_UM / gallery.side_um
    return _row([_picture(cell.uri, bar, cell.unsure, cell.anomalous) for cell in gallery.cells], PER_TYPE)


def _evidence(view: EvidenceView) -> dict[str, Any]:
    """The least certain cells: words, and a row of three pictures a cell."""
    bar = 100 * BAR_UM / view.side_um
    cells = [
        {
            "strip": _row(
                [
                    _picture(cell.uri, bar, cell.unsure, cell.anomalous),
                    _picture(cell.first_uri),
                    _picture(cell.second_uri),
                ],
                3,
            ),
            "words": [cell.label, cell.first, cell.second],
            "below": " · ".join(filter(None, (cell.where, cell.words))),
        }
        for cell in view.cells
    ]
    return {"summary": view.summary, "meaning": view.meaning, "limits": view.limits, "cells": cells}


def _row(pictures: Sequence[str], places: int) -> str:
    """Pictures of 100 by 100 beside each other, in a row with room for so many."""
    width = 100 * (places + (places - 1) * _GAP)
    placed = (
        f'<g transform="translate({100 * (1 + _GAP) * place:.1f} 0)">{picture}</g>'
        for place, picture in enumerate(pictures)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.1f} 100" width="{width:.1f}" height="100">'
        f"{''.join(placed)}</svg>"
    )


def _picture(uri: str, bar: float = 0.0, unsure: bool = False, anomalous: bool = False) -> str:
    """A picture in its frame, broken for an unsure cell, with a filled corner for an anomalous one; a scale bar."""
    frame = ' stroke="#7a4a00" stroke-width="2" stroke-dasharray="6 4"' if unsure else ' stroke="#d0ccd8"'
    parts = [
        f'<image width="100" height="100" preserveAspectRatio="xMidYMid slice" href="{escape(uri)}"/>',
        f'<rect x=".5" y=".5" width="99" height="99" fill="none"{frame}/>',
    ]
    if anomalous:
        parts.append('<path d="M76 0H100V24Z" fill="#1c1a21" stroke="#fff" stroke-width="2"/>')
    if bar:
        parts.append(
            f'<path d="M5 94h{bar:.1f}" stroke="#fff" stroke-opacity=".75" stroke-width="5"/>'
            f'<path d="M5 94h{bar:.1f}" stroke="#000" stroke-width="2.6"/>'
        )
    return "".join(parts)
