"""HL7 v2.5.1: one ORU^R01 message, UTF-8, segments ended by carriage returns, without the frame of a transport.

Segments: MSH, PID (only when a patient was entered), OBR with the remarks as NTE, an OBX for every number, its interval
and its counts, an OBX for every comment, SPM. The fields are listed in docs/methods/interop.md. Delimiters inside of
texts are escaped as chapter 2.7 says; line breaks become ``\\.br\\``, other control characters ``\\Xdd\\``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

from marrowscope.files import whole_file
from marrowscope.report.content import ReportContent
from marrowscope.report.interop.codes import CODES, LOINC_SCHEME, SCHEME, Code
from marrowscope.report.interop.results import Head, Result, comments, head_of, remarks, results
from marrowscope.report.signature import Identifiers
from marrowscope.report.view import printable

STATUS = {"preliminary": "P", "final": "F", "amended": "C"}
"""Of tables 0085 (results) and 0123 (report)."""

_ESCAPES = {"\\": "\\E\\", "|": "\\F\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\"}
_TO_ESCAPE = re.compile(r"\r\n|[\\|^&~\x00-\x1f\x7f]")

Component = str | Sequence[str]
Field = str | Sequence[Component]
"""One field: a text, or its components, each a text or its subcomponents; all of them still without escapes."""


def write_hl7(content: ReportContent, path: Path) -> None:
    """Write the message as a file. Raises ``OutputError`` when it cannot be written."""
    message = hl7_message(content).encode()
    with whole_file(path) as beside:
        beside.write_bytes(message)


def hl7_message(content: ReportContent) -> str:
    """The message as text; equal contents give equal text."""
    head = head_of(content)
    moment, identifiers = _moment(head.reported), head.identifiers
    segments = [_header(content, head.named("message"), moment)]
    if identifiers.name_a_patient:
        segments.append(_patient(identifiers))
    segments.append(_request(head, moment))
    segments += [_segment("NTE", str(n), "L", words) for n, words in enumerate(remarks(content), 1)]
    segments += _observations(content, head)
    segments.append(_specimen(identifiers))
    return "".join(f"{segment}\r" for segment in segments)


def escaped(text: str) -> str:
    """Text as it may stand in a component; what no UTF-8 can carry becomes a replacement character."""
    text = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return _TO_ESCAPE.sub(lambda found: _escape(found[0]), text)


def _escape(sign: str) -> str:
    if sign in ("\r\n", "\n", "\r"):
        return "\\.br\\"
    return _ESCAPES.get(sign) or f"\\X{ord(sign):02X}\\"


def _segment(name: str, *fields: Field) -> str:
    """A segment; empty fields and components at its end are left out."""
    return "|".join([name, *map(_joined, fields)]).rstrip("|")


def _joined(field: Field) -> str:
    components = [field] if isinstance(field, str) else field
    parts = (("&".join(map(escaped, [part] if isinstance(part, str) else part))) for part in components)
    return "^".join(parts).rstrip("^")


def _header(content: ReportContent, message: UUID, moment: str) -> str:
    """MSH, whose first two fields are the delimiters themselves. Phantoms are sent as training, "T"."""
    processing = "T" if content.pack.phantom or content.differential.phantom else "P"
    kind = ("ORU", "R01", "ORU_R01")
    fields: list[Field] = ["MARROWSCOPE", "", "", "", moment, "", kind, message.hex[:20], processing, "2.5.1"]
    return _segment("MSH|^~\\&", *fields, "", "", "", "", "", "UNICODE UTF-8")


def _patient(identifiers: Identifiers) -> str:
    """PID. The name stays whole in its first component: nobody said which part of it is the family's."""
    number, name = printable(identifiers.patient_id), printable(identifiers.patient_name)
    return _segment("PID", "1", "", number, "", name, "", _day(identifiers.date_of_birth))


def _request(head: Head, moment: str) -> str:
    fields: dict[int, Field] = {
        1: "1",
        3: (head.named("order").hex[:20], "MARROWSCOPE"),
        4: _coded(CODES["differential"]),
        7: _day(head.identifiers.collected),
        22: moment,
        24: "HM",
        25: STATUS[head.status],
    }
    if head.signature is not None:
        fields[32] = (("", printable(head.signature.name.strip())),)
    return _numbered("OBR", fields)


def _observations(content: ReportContent, head: Head) -> Iterator[str]:
    """OBX and their NTE, numbered through; what belongs to one number shares its OBX-4."""
    common: dict[int, Field] = {11: STATUS[head.status], 14: _day(head.identifiers.collected)}
    if head.signature is not None:
        common[16] = ("", printable(head.signature.name.strip()))
    by_pack = common | {18: (f"{content.pack.name} {content.pack.version}", "MARROWSCOPE")}
    number = 0
    for group, result in enumerate(results(content), 1):
        note = result.note
        for fields in _numbers(result):
            number += 1
            yield _numbered("OBX", {1: str(number), 4: str(group), **fields, **by_pack})
            if note:  # of the first of them, which is the value
                yield _segment("NTE", "1", "L", note)
                note = ""
    for code, text in comments(content):
        number += 1
        yield _numbered("OBX", {1: str(number), 2: "FT", 3: _coded(code), 5: text, **common})


def _numbers(result: Result) -> Iterator[dict[int, Field]]:
    """The value of a result (NM, or ST with why there is none), its interval (ST) and its counts (NM)."""
    value: dict[int, Field] = {3: _coded(result.code)}
    if result.value is None:
        value |= {2: "ST", 5: result.absent}
    else:
        value |= {2: "NM", 5: _plain(result.value), 6: _unit(result.unit)}
        if result.reference is not None:
            value[7] = "-".join(map(_plain, result.reference))
        value[8] = result.outside
    yield value
    if result.low is not None:
        digits = 1 if result.unit == "%" else 2
        low, high = (None if end is None else f"{end:.{digits}f}" for end in (result.low, result.high))
        interval = f">={low}" if high is None else f"{low}-{high}"
        yield {2: "ST", 3: _part(result.code, CODES["interval-95"]), 5: interval, 6: _unit(result.unit)}
    for code, count in result.counts:
        yield {2: "NM", 3: _part(result.code, code), 5: str(count), 6: _unit("{cells}")}
    if result.per_mm2 is not None:
        yield {2: "NM", 3: _part(result.code, CODES["per-mm2"]), 5: _plain(result.per_mm2), 6: _unit("/mm2")}


def _specimen(identifiers: Identifiers) -> str:
    fields: dict[int, Field] = {1: "1", 2: printable(identifiers.specimen_id), 4: _coded(CODES["marrow-smear"])}
    fields |= {8: ("", printable(identifiers.site)), 17: _day(identifiers.collected)}
    return _numbered("SPM", fields)


def _numbered(name: str, fields: dict[int, Field]) -> str:
    return _segment(name, *(fields.get(place, "") for place in range(1, max(fields) + 1)))


def _coded(code: Code) -> Sequence[str]:
    """LOINC first where it was checked, else our own code."""
    own = (code.code, code.title, SCHEME)
    return (loinc.code, loinc.name, LOINC_SCHEME, *own) if (loinc := code.exported_loinc) else own


def _part(whole: Code, part: Code) -> Sequence[str]:
    return f"{whole.code}.{part.code}", f"{whole.title}: {part.title}", SCHEME


def _unit(unit: str) -> Sequence[str]:
    return unit, unit, "UCUM"


def _plain(value: float) -> str:
    return f"{value:.10g}"


def _day(day: date | None) -> str:
    return "" if day is None else f"{day:%Y%m%d}"


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y%m%d%H%M%S%z}"
