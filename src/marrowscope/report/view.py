"""What a report says, in words and formatted numbers: made once, laid out twice (HTML and PDF).

Everything here is plain text. Renderers escape it; nothing in a view is markup, except the bars, which are SVG made of
numbers only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import floor
from string import ascii_lowercase

from marrowscope.differential.result import (
    CorrectedRow,
    Correction,
    Differential,
    Flag,
    OtherCount,
    Ratio,
    TypeRow,
    Verdict,
)
from marrowscope.report.bars import Axis, interval_bar, shared_axis
from marrowscope.report.content import ReportContent
from marrowscope.report.signature import COMMENT_FIELDS as COMMENT_FIELDS  # part of what reports say
from marrowscope.taxonomy import CELL_TYPES, Lineage

NARROW = "\u202f"
"""Narrow no-break space, between a number and its sign."""


def certainty_words(probability: float) -> str:
    """``87 %``, ``<1 %``, ``>99 %``: a certainty as every page and table says it, never none and never all.

    Whole percents are cut, not rounded: 0.698 is 69 %, and below the 70 % under which a cell is unsure.
    """
    whole_percent = floor(100 * probability + 1e-6)  # 0.29 is 28.999... in binary
    bound = "<1" if whole_percent < 1 else ">99" if probability >= 0.995 else f"{whole_percent}"
    return f"{bound}{NARROW}%"


LINEAGES: dict[str, str] = {
    Lineage.BLAST: "Blasts",
    Lineage.NEUTROPHIL: "Neutrophil granulopoiesis",
    Lineage.EOSINOPHIL: "Eosinophils",
    Lineage.BASOPHIL: "Basophils and mast cells",
    Lineage.MONOCYTE: "Monocytes",
    Lineage.ERYTHROID: "Erythropoiesis",
    Lineage.LYMPHOID: "Lymphocytes and plasma cells",
    Lineage.MEGAKARYOCYTE: "Megakaryocytes",
    Lineage.OTHER: "Other",
}

_BADGES: dict[Verdict, tuple[str, str]] = {
    "above": ("▲", "above"),
    "not decided": ("◆", "not decided"),
    "not assessable": ("○", "not assessable"),
    "note": ("●", "note"),
    "below": ("▼", "below"),
}
"""Sign and word of a verdict, in the order in which flags are listed: colour is never the only difference."""


@dataclass(frozen=True, slots=True)
class RowView:
    """One row of the NDC table.

    ``mark`` is ``▲`` or ``▼`` when the whole interval is outside the reference range, ``○`` for a type that the pack
    does not recognise; ``note`` is short enough to stand in the row, a longer one is a footnote and ``footnote`` its
    letter. ``corrected`` and its interval are empty where nothing was corrected.
    """

    type: str
    title: str
    colour: str
    assessable: bool
    count: str
    percent: str
    mark: str
    interval: str
    corrected: str
    corrected_interval: str
    reference: str
    note: str
    footnote: str
    bar: str


@dataclass(frozen=True, slots=True)
class GroupView:
    """The rows of one lineage; ``count`` and ``percent`` are empty unless every row can be assessed."""

    title: str
    count: str
    percent: str
    rows: tuple[RowView, ...]


@dataclass(frozen=True, slots=True)
class FlagsView:
    """All flags of one verdict: its sign and word, and a sentence a flag."""

    verdict: str
    sign: str
    word: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FigureView:
    """One of the figures at the head of the report: title, value, its interval or unit, and what stands behind it."""

    title: str
    value: str
    beside: str
    detail: str


@dataclass(frozen=True, slots=True)
class FactView:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class TableView:
    groups: tuple[GroupView, ...]
    total: str
    total_percent: str
    axis: Axis
    has_references: bool
    has_corrected: bool
    others: tuple[FactView, ...]
    footnotes: tuple[FactView, ...]
    notes: tuple[str, ...]


def table_view(content: ReportContent) -> TableView:
    """The NDC table, grouped by lineage in the order of the taxonomy."""
    differential = content.differential
    rows = differential.rows
    axis = shared_axis(rows)
    long = dict.fromkeys(row.note for row in rows if row.note and len(row.title + row.note) > NOTE_IN_ROW)
    letters = dict(zip(long, ascii_lowercase, strict=False))
    corrected = {row.type: row for row in differential.corrected.rows} if differential.corrected else {}
    groups = tuple(
        _group(
            LINEAGES.get(lineage, lineage.capitalize()), tuple(members), axis, letters, differential.partial, corrected
        )
        for lineage, members in groupby(rows, key=lambda row: row.lineage)
    )
    rounded = [row.percent_rounded for row in rows if row.percent_rounded is not None]
    has_references = any(row.reference_low is not None for row in rows)
    convention = differential.convention
    level = percent_words(100 * convention.level)
    notes = [f"{level} intervals ({INTERVALS[convention.interval]}) tell the sampling error, not the models’ errors."]
    if rounded:
        notes.append("Percentages are rounded so that they add up to 100.0.")
    marks = {row.mark for group in groups for row in group.rows}
    if UNRECOGNISED in marks:
        notes.append(f"{UNRECOGNISED} {NOT_RECOGNISED}")
    if marks & {"▲", "▼"}:
        notes.append("▲ ▼ the whole interval lies above or below the reference range.")
    if has_references and differential.partial:
        notes.append("Reference ranges are those of a complete count; this partial one is not held against them.")
    notes += [tidy(note) for note in differential.notes if note not in content.quality]
    notes += [tidy(note) for note in correction_notes(differential.corrected)]
    return TableView(
        groups=groups,
        total=whole(differential.total),
        total_percent=f"{sum(rounded):.1f}" if rounded else "–",
        axis=axis,
        has_references=has_references,
        has_corrected=bool(corrected),
        others=tuple(FactView(other.title, _other(other)) for other in differential.others),
        footnotes=tuple(FactView(letter, tidy(note)) for note, letter in letters.items()),
        notes=tuple(notes),
    )


UNRECOGNISED = "○"
NOT_RECOGNISED = (
    "not recognised: the pack called fewer than half of its held-out cells of the type right, or it had none; the "
    "number tells neither that such cells are there nor that they are not."
)

NOTE_IN_ROW = 36
"""Letters of a title and a note that still stand in one row; longer notes become footnotes."""

INTERVALS = {"wilson": "Wilson", "sequence": "confidence sequence, valid at any stop"}


def correction_notes(correction: Correction | None) -> list[str]:
    """What a reader must know of the corrected percentages, or why there are none."""
    if correction is None:
        return []
    if correction.withheld:
        return [f"Not corrected for the pack’s confusions: {correction.withheld}."]
    text = (
        "Corrected: what would have been counted if the pack confused no types, by its confusions on held-out data "
        f"({correction.data}); the bootstrapped interval carries what is not known of them, and the sampling error. "
        f"{correction.assumption}"
    )
    return [text]


def _group(
    title: str,
    rows: Sequence[TypeRow],
    axis: Axis,
    letters: Mapping[str, str],
    partial: bool,
    corrected: Mapping[str, CorrectedRow],
) -> GroupView:
    views = tuple(_row(row, axis, letters, partial, corrected.get(row.type)) for row in rows)
    count = percent = ""
    if len(rows) > 1 and all(row.assessable for row in rows):
        count = whole(sum(row.count or 0 for row in rows))
        shares = [row.percent_rounded for row in rows if row.percent_rounded is not None]
        percent = f"{sum(shares):.1f}" if shares else ""
    return GroupView(title, count, percent, views)


def _row(
    row: TypeRow, axis: Axis, letters: Mapping[str, str], partial: bool, corrected: CorrectedRow | None
) -> RowView:
    note = row.note or ""
    return RowView(
        type=row.type,
        title=row.title,
        colour=CELL_TYPES[row.type].colour,
        assessable=row.assessable,
        count="" if row.count is None else whole(row.count),
        percent="–" if row.percent_rounded is None else f"{row.percent_rounded:.1f}",
        mark=_mark(row, partial),
        interval=span(row.low, row.high, 1),
        corrected="" if corrected is None else f"{corrected.percent_rounded:.1f}",
        corrected_interval="" if corrected is None else span(corrected.low, corrected.high, 1),
        reference=span(row.reference_low, row.reference_high, None),
        note="" if note in letters else tidy(note),
        footnote=letters.get(note, ""),
        bar=interval_bar(row, axis),
    )


def _mark(row: TypeRow, partial: bool) -> str:
    if row.assessable and not row.recognised:
        return UNRECOGNISED
    if partial or row.low is None or row.high is None or row.reference_low is None or row.reference_high is None:
        return ""
    if row.low > row.reference_high:
        return "▲"
    return "▼" if row.high < row.reference_low else ""


def _other(other: OtherCount) -> str:
    if other.per_mm2 is None:
        return whole(other.count)
    return f"{whole(other.count)} ({other.per_mm2:.1f}{NARROW}per{NARROW}mm²)"


def flag_views(flags: Sequence[Flag]) -> tuple[FlagsView, ...]:
    """Doubts about the slide itself, then the flags by verdict, those that ask for attention first."""
    views = []
    about_slide = [flag for flag in flags if flag.code == "slide"]
    others = [flag for flag in flags if flag.code != "slide"]
    for verdict, group in [("note", about_slide), *((verdict, others) for verdict in _BADGES)]:
        sign, word = _BADGES[verdict]
        if texts := tuple(tidy(flag.text) for flag in group if flag.verdict == verdict):
            views.append(FlagsView(verdict.replace(" ", "-"), sign, word, texts))
    return tuple(views)


def figure_views(differential: Differential) -> tuple[FigureView, ...]:
    """The figures at the head: cells counted, each M:E ratio, megakaryocytes."""
    seen = [f"of {whole(differential.detected)} nucleated cells found"]
    if differential.unsure:
        seen.append(f"{whole(differential.unsure)} unsure")
    figures = [FigureView("Cells counted", whole(differential.total), "", ", ".join(seen))]
    figures += [_ratio(ratio) for ratio in differential.ratios]
    for other in differential.others:
        if other.type == "megakaryocyte":
            density = "" if other.per_mm2 is None else f"{other.per_mm2:.1f}{NARROW}per{NARROW}mm²"
            area = f"in {differential.area_mm2:.2f}{NARROW}mm²"
            figures.append(FigureView(other.title + "s", whole(other.count), density, area))
    return tuple(figures)


def doubt_words(differential: Differential) -> str:
    """What must be known before any number: that the pack is unsure of most cells; empty where it is not."""
    unsure, total = differential.unsure, differential.total
    if 2 * unsure <= total:
        return ""
    return (
        f"UNSURE: the pack is unsure of {whole(unsure)} of the {whole(total)} cells "
        f"({100 * unsure / total:.0f}{NARROW}%); rely on no percentage here before a person has gone through them"
    )


def _ratio(ratio: Ratio) -> FigureView:
    detail = f"{whole(ratio.myeloid)} myeloid : {whole(ratio.erythroid)} erythroid"
    if ratio.withheld:
        return FigureView(ratio.title, "withheld", "", ratio.withheld.removeprefix("withheld: "))
    value = "–" if ratio.value is None else f"{ratio.value:.2f}"
    if ratio.low is None:
        return FigureView(ratio.title, value, "", detail)
    beside = f"at least {ratio.low:.2f}" if ratio.high is None else f"{ratio.low:.2f}–{ratio.high:.2f}"
    return FigureView(ratio.title, value, beside, detail)


def printable(text: str) -> str:
    """A name as it can be shown: control characters and bytes that are no text become a replacement character."""
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "\ufffd" for sign in text)


def tidy(text: str) -> str:
    """Plain typing as print has it: en dashes in ranges, narrow spaces before %, the micro sign, square millimetres."""
    text = re.sub(r"(?<![\w.-])(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)(?![\w-])", r"\1–\2", printable(text))
    return re.sub(r"\bum\b", "µm", text.replace(" %", f"{NARROW}%")).replace("mm2", "mm²")


def whole(number: int) -> str:
    """A count, with commas between thousands."""
    return f"{number:,}"


def percent_words(value: float) -> str:
    return f"{value:.4g}{NARROW}%"


def span(low: float | None, high: float | None, decimals: int | None) -> str:
    """``low–high``, or nothing when either is unknown; ``decimals`` None prints as many as are needed."""
    if low is None or high is None:
        return ""
    if decimals is None:
        return f"{low:g}–{high:g}"
    return f"{low:.{decimals}f}–{high:.{decimals}f}"
