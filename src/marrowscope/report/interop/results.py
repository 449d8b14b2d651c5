"""What a report says as a list of results, before it becomes FHIR or HL7: the rules of the export live here, once.

Two of them are stricter than those of the page. A number that the pack does not back (a type that it does not recognise
on its own held-out cells) stands on the page beside its mark and remark, which a laboratory system would drop: here it
is "not assessable" until a person has signed. And a partial differential carries no reference ranges, because a
receiving system would hold its percentages against them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from marrowscope.differential.result import Ratio, TypeRow
from marrowscope.report.content import ReportContent
from marrowscope.report.facts import banner, counted_at
from marrowscope.report.geojson import NAMESPACE
from marrowscope.report.interop.codes import CODES, Code, comment_code
from marrowscope.report.signature import COMMENT_FIELDS, Identifiers, Signature
from marrowscope.report.signed import amendment, headline, lines_of, observers_words, work_words
from marrowscope.report.view import NOT_RECOGNISED, doubt_words, printable

NOT_A_DIAGNOSIS = "Research use only. Not a diagnosis."

Status = Literal["preliminary", "final", "amended"]
Reason = Literal["unsupported", "not-performed", "positive-infinity"]
"""Why there is no value, in words of FHIR's data-absent-reason."""

Unit = Literal["%", "{ratio}", "{cells}"]
"""Units of UCUM; the curly ones are annotations of the unit one."""


@dataclass(frozen=True, slots=True)
class Result:
    """One number of the report, or why there is none.

    ``value`` is None exactly when ``absent`` has the words for it. ``low`` and ``high`` are of the 95 % interval, in
    the unit of the value; ``high`` alone may be missing (open above). ``outside`` is H or L when the whole interval
    lies outside ``reference``. ``counts`` are cells by code.
    """

    code: Code
    unit: Unit
    value: float | int | None
    counts: tuple[tuple[Code, int], ...] = ()
    low: float | None = None
    high: float | None = None
    reference: tuple[float, float] | None = None
    outside: Literal["", "H", "L"] = ""
    absent: str = ""
    reason: Reason = "unsupported"
    per_mm2: float | None = None
    note: str = ""


def signature_of(content: ReportContent) -> Signature | None:
    """The signature under the report, if there is one."""
    return None if content.review is None else content.review.signature


def status(content: ReportContent) -> Status:
    """Preliminary until a person has signed, then final, and amended from the second version on."""
    signature = signature_of(content)
    if signature is None:
        return "preliminary"
    return "final" if signature.version == 1 else "amended"


def reported_at(content: ReportContent) -> datetime | None:
    """The moment of the signature, else that of the count, else None."""
    signature = signature_of(content)
    return counted_at(content) if signature is None else signature.at


@dataclass(frozen=True, slots=True)
class Head:
    """What stands at the head of an export: who is meant, how far the report is, when and by whom it was made.

    ``named`` as :func:`identities` gives it, ``reported`` as :func:`reported_at`.
    """

    named: Callable[[str], UUID]
    identifiers: Identifiers
    status: Status
    reported: datetime | None
    signature: Signature | None


def head_of(content: ReportContent) -> Head:
    """The head of a report's export."""
    identifiers = content.review.identifiers if content.review else Identifiers()
    return Head(identities(content), identifiers, status(content), reported_at(content), signature_of(content))


def results(content: ReportContent) -> tuple[Result, ...]:
    """Cells counted, every type of the differential, M:E, and what was counted outside the differential."""
    differential = content.differential
    counted = Result(CODES["cells-counted"], "{cells}", differential.total)
    others = (
        Result(CODES[other.type], "{cells}", other.count, per_mm2=_rounded(other.per_mm2, 1))
        for other in differential.others
    )
    rows = (_row(row, content) for row in differential.rows)
    return (counted, *rows, *(_ratio(ratio) for ratio in differential.ratios), *others)


def _row(row: TypeRow, content: ReportContent) -> Result:
    code, pack = CODES[row.type], content.pack.name
    note = printable(row.note or "")
    if not row.assessable:
        because = f"not assessable: the pack {pack} does not tell this type"
        return Result(code, "%", None, absent=f"{because} ({note})" if note else because)
    if row.percent_rounded is None:
        return Result(code, "%", None, absent="not assessable: no cell was counted", reason="not-performed")
    unbacked = not row.recognised
    if unbacked and status(content) == "preliminary":
        return Result(code, "%", None, absent=f"not assessable: the pack {pack} does not recognise this type")
    reference = None
    if row.reference_low is not None and row.reference_high is not None and not content.differential.partial:
        reference = (row.reference_low, row.reference_high)
    return Result(
        code,
        "%",
        row.percent_rounded,
        counts=((CODES["count"], row.count or 0),),
        low=_rounded(row.low, 1),
        high=_rounded(row.high, 1),
        reference=reference,
        outside="" if unbacked or reference is None else _outside(row, reference),
        note=". ".join(filter(None, (note, NOT_RECOGNISED[:1].upper() + NOT_RECOGNISED[1:] if unbacked else ""))),
    )


def _outside(row: TypeRow, reference: tuple[float, float]) -> Literal["", "H", "L"]:
    if row.low is not None and row.low > reference[1]:
        return "H"
    return "L" if row.high is not None and row.high < reference[0] else ""


def _ratio(ratio: Ratio) -> Result:
    code = CODES["me-ratio-without-blasts" if "without blasts" in ratio.title else "me-ratio-with-blasts"]
    if ratio.withheld:
        return Result(code, "{ratio}", None, absent=f"withheld: {ratio.withheld.removeprefix('withheld: ')}")
    counts = ((CODES["myeloid"], ratio.myeloid), (CODES["erythroid"], ratio.erythroid))
    low, high = _rounded(ratio.low, 2), _rounded(ratio.high, 2)
    if ratio.value is None:
        words = "no erythroblast was counted" + ("" if low is None else f": at least {low:.2f}")
        return Result(code, "{ratio}", None, counts, low, absent=words, reason="positive-infinity")
    return Result(code, "{ratio}", round(ratio.value, 2), counts, low, high)


def remarks(content: ReportContent) -> tuple[str, ...]:
    """Everything that must be read with the numbers, a sentence or two each; what forbids to trust them comes first."""
    differential, review = content.differential, content.review
    told = [NOT_A_DIAGNOSIS, banner(content), doubt_words(differential), differential.title]
    if review is None:
        told.append("Counted by a program; no person has reviewed it.")
    else:
        told += [headline(review), amendment(review.signature), work_words(review.work)]
        if review.observers:
            told.append(f"Cells also read by {observers_words(review)}")
    told += [flag.text for flag in differential.flags]
    told += [*differential.notes, *content.quality]
    told.append(f"Pack {content.pack.name} {content.pack.version}, SHA-256 {content.pack_sha256}")
    if review is not None and review.signature is not None:
        if review.signature.account:
            told.append(f"Signed with the account {review.signature.account}")
        told.append(f"Log of the edits, SHA-256 {review.signature.log_sha256}")
    return tuple(dict.fromkeys(printable(words) for words in told if words))


def comments(content: ReportContent) -> tuple[tuple[Code, str], ...]:
    """What the reviewer wrote: comments in the order of the report, then the conclusion; only those with words."""
    if content.review is None:
        return ()
    told = [(comment_code(name), content.review.comments.get(name, "")) for name in COMMENT_FIELDS]
    told.append((CODES["conclusion"], content.review.conclusion))
    return tuple((code, lines_of(text)) for code, text in told if text.strip())


def identities(content: ReportContent) -> Callable[[str], UUID]:
    """UUIDs of the parts of the report by name: the same for equal reports, others for the next version.

    Only ``order`` is the same for the report of a count and all versions of its review, so that a receiver finds what a
    final report or an amendment replaces. They are made of a hash of all that the report says, ``order`` of the
    fingerprints of the counts, so that they tell nobody the name of a slide or of a person.
    """
    parts = (content.slide.label, content.case, content.pack_sha256, content.differential, content.review)
    state = hashlib.sha256("\n".join(map(repr, parts)).encode(errors="replace")).hexdigest()
    order = _order(content) or f"report/{state}/order"

    def named(part: str) -> UUID:
        return uuid5(NAMESPACE, order if part == "order" else f"report/{state}/{part}")

    return named


def _order(content: ReportContent) -> str:
    """What the number of the order is made of; empty where a report knows neither its case nor its counts."""
    if content.review and content.review.case_sha256:
        return f"case/{content.review.case_sha256}/order"
    one = content.run.get("fingerprint")
    counts = content.run.get("fingerprints") or ([one] if one else [])
    return f"counts/{hashlib.sha256(' '.join(counts).encode()).hexdigest()}/order" if counts else ""


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
