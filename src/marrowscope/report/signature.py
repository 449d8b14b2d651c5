"""What a person did to a case and put a name under: the part of a report that no program can write.

A report without a :class:`Review` is what the program counted. Dates and times are of the wall, not of the machine:
``datetime`` values carry UTC, ``date`` values are days as they were entered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Self

from marrowscope.differential.result import Differential
from marrowscope.errors import DataError
from marrowscope.taxonomy import CELL_TYPES

COMMENT_FIELDS: tuple[str, ...] = (
    "Erythropoiesis",
    "Granulopoiesis",
    "Megakaryocytes",
    "Lymphocytes",
    "Plasma cells",
    "Dysplasia",
    "Haemodilution",
)
"""Headings of the ICSH report that a person fills in."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who stands for a version of a report, and for which state of the case.

    ``at`` is the moment of signing, UTC. ``log_sha256`` is the hash of the last edit in the case's log at that moment:
    with it anybody can check that the log was not changed afterwards. ``reason`` says why the version before was
    amended. ``account`` is the login of who signed, beside the name as it was typed; empty where nobody logs in. Raises
    ``ValueError`` when a part is missing or contradicts another.
    """

    name: str
    role: str
    at: datetime
    log_sha256: str
    version: int = 1
    reason: str = ""
    account: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a signature needs a name")
        if self.at.utcoffset() is None:
            raise ValueError(f"the time of a signature must say its zone, found {self.at.isoformat()}")
        if not re.fullmatch(r"[0-9a-f]{64}", self.log_sha256):
            raise ValueError(f"log_sha256 must be 64 hexadecimal digits, found {self.log_sha256!r}")
        if self.version < 1:
            raise ValueError(f"versions begin with 1, found {self.version}")
        if (self.version > 1) != bool(self.reason.strip()):
            raise ValueError(f"version {self.version}: an amendment, and nothing else, has a reason")
        object.__setattr__(self, "at", self.at.astimezone(UTC))


@dataclass(frozen=True, slots=True)
class Work:
    """What was done to the cells by hand, in numbers of cells.

    ``cells`` is how many the case has at the end, with those ``added`` (the detector had missed them) and without those
    ``deleted`` (they are no cells). A person ``looked_at`` so many of them, confirming, adding or moving
    them or giving them another type (``retyped``). ``unsure`` of them are so at the end; ``outside``: so many of those
    added lie outside of the counted fields, and so are not in the differential; ``by_one``: so many were looked at by
    one of two observers alone, and are not among those ``looked_at``. Raises ``ValueError`` for numbers that cannot be
    true.
    """

    cells: int
    looked_at: int
    retyped: int = 0
    added: int = 0
    deleted: int = 0
    unsure: int = 0
    outside: int = 0
    by_one: int = 0

    def __post_init__(self) -> None:
        numbers = {part.name: getattr(self, part.name) for part in fields(self)}
        of_the_cells = (self.looked_at + self.by_one, self.retyped, self.added, self.unsure)
        if min(numbers.values()) < 0 or max(of_the_cells) > self.cells:
            raise ValueError(f"these numbers of cells cannot be true: {numbers}")


@dataclass(frozen=True, slots=True)
class Identifiers:
    """Whom and what the specimen is from, as far as it was entered; it stays out of logs, addresses and file names."""

    patient_name: str = ""
    patient_id: str = ""
    date_of_birth: date | None = None
    specimen_id: str = ""
    site: str = ""
    collected: date | None = None

    def __post_init__(self) -> None:
        for name in IDENTIFIER_TITLES:
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, value.strip())

    @property
    def name_a_patient(self) -> bool:
        """Whether anything of it is of the patient and not of the specimen alone."""
        return bool(self.patient_name or self.patient_id or self.date_of_birth)

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """The identifiers from what was typed into fields of their names; empty fields are not entered.

        Raises ``DataError`` for a date that is not written as 2026-11-27; the message does not repeat what was typed.
        """
        typed = {name: text.strip() for name, text in texts.items() if text.strip()}
        days = {}
        for name in ("date_of_birth", "collected"):
            if text := typed.pop(name, ""):
                try:
                    days[name] = date.fromisoformat(text)
                except ValueError:
                    title = IDENTIFIER_TITLES[name].lower()
                    raise DataError(f"the {title} is no date: write year, month and day, as in 2026-11-27") from None
        return cls(**typed, **days)  # type: ignore[arg-type]


IDENTIFIER_TITLES: dict[str, str] = {
    "patient_name": "Patient",
    "patient_id": "Patient ID",
    "date_of_birth": "Date of birth",
    "specimen_id": "Specimen ID",
    "site": "Site",
    "collected": "Collected on",
}
"""Fields of :class:`Identifiers` and what they are called, in the order in which they are printed."""


@dataclass(frozen=True, slots=True)
class EarlierResult:
    """An earlier differential of the same patient: percentages by type of the taxonomy, None for "not assessable".

    ``total`` is its denominator in cells, None when it is not known.
    """

    label: str
    on: date | None
    percentages: Mapping[str, float | None]
    title: str = "Nucleated differential count"
    total: int | None = None

    def __post_init__(self) -> None:
        if unknown := [name for name in self.percentages if name not in CELL_TYPES]:
            raise ValueError(f"unknown cell types {unknown}; known: {', '.join(CELL_TYPES)}")

    @classmethod
    def of(cls, differential: Differential, label: str, on: date | None) -> Self:
        """The percentages of a differential of ours, rounded as it printed them."""
        percentages = {row.type: row.percent_rounded if row.assessable else None for row in differential.rows}
        return cls(label, on, percentages, differential.title, differential.total)


@dataclass(frozen=True, slots=True)
class Review:
    """All that a person added to a report; without a signature it is a draft, and every output says so.

    ``comments`` maps headings of :data:`COMMENT_FIELDS` to text of any number of lines. ``observers`` are those who
    read the cells beside the one who signs, ``observed`` says how they agreed. ``case_sha256`` is the same for all
    versions of a case, and of no other: the number of its order is made of it. Without one it is made of the counts, as
    in their own reports. Raises ``ValueError`` for a heading that no report has.
    """

    work: Work
    signature: Signature | None = None
    comments: Mapping[str, str] = field(default_factory=dict)
    conclusion: str = ""
    identifiers: Identifiers = Identifiers()
    earlier: EarlierResult | None = None
    observers: tuple[str, ...] = ()
    observed: str = ""
    case_sha256: str = ""

    def __post_init__(self) -> None:
        if unknown := [heading for heading in self.comments if heading not in COMMENT_FIELDS]:
            raise ValueError(f"no headings of the report: {unknown}; expected {', '.join(COMMENT_FIELDS)}")
