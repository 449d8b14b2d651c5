"""What a reviewed report says of its review, in words: made once, laid out twice (HTML and PDF)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from marrowscope.differential.result import TypeRow
from marrowscope.report.content import ReportContent
from marrowscope.report.signature import (
    COMMENT_FIELDS,
    IDENTIFIER_TITLES,
    EarlierResult,
    Identifiers,
    Review,
    Signature,
    Work,
)
from marrowscope.report.view import FactView, printable, span, whole
from marrowscope.taxonomy import CELL_TYPES

NOT_SIGNED = "Under review: this draft is not signed"
NOTHING = "–"
"""Stands where nothing was entered: a signed page has no blank line that somebody could fill in later."""


@dataclass(frozen=True, slots=True)
class EarlierRow:
    """One type: its percentage in the earlier result and now, with the interval of now."""

    title: str
    before: str
    now: str
    interval: str


@dataclass(frozen=True, slots=True)
class EarlierView:
    """The earlier result of the case beside the present one; ``note`` says what the comparison cannot tell."""

    heading: str
    rows: tuple[EarlierRow, ...]
    total_before: str
    total_now: str
    note: str


@dataclass(frozen=True, slots=True)
class ReviewView:
    """Everything that a review adds to a report; texts of ``comments`` and ``conclusion`` may have several lines."""

    headline: str
    signed: bool
    amendment: str
    identifiers: tuple[FactView, ...]
    comments: tuple[FactView, ...]
    conclusion: str
    earlier: EarlierView | None
    work: str
    signature: tuple[FactView, ...]


def review_view(content: ReportContent) -> ReviewView | None:
    """The words of the review; None for a report without one."""
    review = content.review
    if review is None:
        return None
    signature = review.signature
    return ReviewView(
        headline=headline(review),
        signed=signature is not None,
        amendment=amendment(signature),
        identifiers=identifier_facts(review.identifiers),
        comments=tuple(FactView(name, lines_of(review.comments.get(name, "")) or NOTHING) for name in COMMENT_FIELDS),
        conclusion=lines_of(review.conclusion) or NOTHING,
        earlier=None if review.earlier is None else _earlier(review.earlier, content),
        work=work_words(review.work),
        signature=_signature(review, content),
    )


def headline(review: Review) -> str:
    """Who signed which version when; or that nobody has."""
    signature = review.signature
    if signature is None:
        return NOT_SIGNED
    who = ", ".join(filter(None, (printable(signature.name.strip()), printable(signature.role.strip()))))
    return f"Reviewed and signed by {who}, {moment_words(signature.at)}, version {signature.version}"


def amendment(signature: Signature | None) -> str:
    """Which version this one amends and why; empty for a first version."""
    if signature is None or signature.version == 1:
        return ""
    return f"Amends version {signature.version - 1}, which it replaces. Reason: {printable(signature.reason.strip())}"


def identifier_facts(identifiers: Identifiers) -> tuple[FactView, ...]:
    """Those that were entered, in the order of the report."""
    facts = []
    for name, title in IDENTIFIER_TITLES.items():
        value = getattr(identifiers, name)
        if value:
            facts.append(FactView(title, day_words(value) if isinstance(value, date) else printable(value)))
    return tuple(facts)


def work_words(work: Work) -> str:
    """What the person did, and what nobody did: a count in which few cells were looked at is mostly the pack's."""
    if work.looked_at == work.cells:
        looked = "All of the" if work.cells != 1 else "The"
        looked += f" {_cells(work.cells)} {_were(work.cells)} looked at by a person"
    elif work.looked_at:
        looked = f"{whole(work.looked_at)} of {_cells(work.cells)} {_were(work.looked_at)} looked at by a person"
    else:
        by = "both observers" if work.by_one else "a person"
        looked = f"None of the {_cells(work.cells)} was looked at by {by}"
    parts = [looked]
    if work.by_one:
        parts.append(f"{whole(work.by_one)} by one of two observers alone")
    if work.retyped:
        parts.append(f"{whole(work.retyped)} {_were(work.retyped)} given another type")
    if work.added:
        parts.append(f"{whole(work.added)} that the program had missed {_were(work.added)} added")
    if work.outside:
        parts.append(
            f"{whole(work.outside)} of these {'lies' if work.outside == 1 else 'lie'} outside of the counted fields "
            f"and {_were(work.outside)} not counted"
        )
    if work.deleted:
        parts.append(f"{whole(work.deleted)} {_were(work.deleted)} deleted")
    words = f"{_listed(parts)}. "
    if rest := work.cells - work.looked_at:
        keep = "cell has" if rest == 1 else "cells have"
        words += f"The other {whole(rest)} {keep} the type that the pack gave. "
    if work.unsure:
        words += f"{_cells(work.unsure)} {'is' if work.unsure == 1 else 'are'} still unsure."
    else:
        words += "No cell is left unsure."
    return words


def _earlier(earlier: EarlierResult, content: ReportContent) -> EarlierView:
    """Every type of either result, in the order of the taxonomy."""
    present = {row.type: row for row in content.differential.rows}
    names = [name for name in CELL_TYPES if name in present or name in earlier.percentages]
    when = "" if earlier.on is None else f", {day_words(earlier.on)}"
    title = printable(earlier.title)
    heading = f"{printable(earlier.label)}{when}: {title[:1].lower()}{title[1:]}"
    note = "Two counts differ by chance alone, and by how they were made; that they differ is no proof of a change."
    return EarlierView(
        heading=heading,
        rows=tuple(_earlier_row(name, earlier, present.get(name)) for name in names),
        total_before=NOTHING if earlier.total is None else whole(earlier.total),
        total_now=whole(content.differential.total),
        note=note,
    )


def _earlier_row(name: str, earlier: EarlierResult, row: TypeRow | None) -> EarlierRow:
    unknown = "not assessable"
    before = NOTHING
    if name in earlier.percentages:
        value = earlier.percentages[name]
        before = unknown if value is None else f"{value:.1f}"
    if row is None:
        return EarlierRow(CELL_TYPES[name].title, before, NOTHING, "")
    if not row.assessable:
        return EarlierRow(row.title, before, unknown, "")
    now = NOTHING if row.percent_rounded is None else f"{row.percent_rounded:.1f}"
    return EarlierRow(row.title, before, now, span(row.low, row.high, 1))


def _signature(review: Review, content: ReportContent) -> tuple[FactView, ...]:
    """The block under which the name stands: it ties the page to the log, the version and the pack."""
    signature = review.signature
    observers = FactView("Cells also read by", observers_words(review))
    pack = FactView("Pack", f"{content.pack.name} {content.pack.version}, SHA-256 {content.pack_sha256}")
    if signature is None:
        facts = [FactView("Signed by", "nobody: a draft"), observers, pack]
    else:
        facts = [
            FactView("Signed by", printable(signature.name.strip())),
            FactView("Role", printable(signature.role.strip())),
            FactView("Account", printable(signature.account)),
            FactView("Signed on", moment_words(signature.at)),
            FactView("Version", str(signature.version)),
            FactView("Reason of the amendment", printable(signature.reason.strip())),
            observers,
            pack,
            FactView("Log of the edits, SHA-256", signature.log_sha256),
        ]
    return tuple(fact for fact in facts if fact.value)


def observers_words(review: Review) -> str:
    """Who read the cells, and how they agreed; empty where one person did."""
    names = ", ".join(printable(name) for name in review.observers)
    return f"{names}, each blind. {printable(review.observed)}" if names and review.observed else names


def lines_of(text: str) -> str:
    """Text of a person, line by line, each as it can be shown; empty lines at either end are left out."""
    return "\n".join(printable(line).rstrip() for line in text.strip().splitlines())


def moment_words(moment: datetime) -> str:
    """A moment in UTC, "27 November 2026, 10:14 UTC"."""
    return f"{day_words(moment)}, {moment:%H:%M} UTC"


def day_words(day: date) -> str:
    """A day, "27 November 2026"."""
    return f"{day.day} {day:%B} {day.year}"


def _cells(number: int) -> str:
    return f"{whole(number)} {'cell' if number == 1 else 'cells'}"


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def _listed(parts: list[str]) -> str:
    """ "a; b, c and d": what follows the first is part of it or beside it."""
    first, *rest = parts
    if not rest:
        return first
    *most, last = rest
    return f"{first}; {', '.join(most)}{' and ' if most else ''}{last}"
