"""The kinds of edits: what a row of the log may hold. The table in docs/methods/review.md says what each does."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from marrowscope.report.view import COMMENT_FIELDS
from marrowscope.taxonomy import CELL_TYPES

IDENTIFIERS: tuple[str, ...] = (
    "patient_name",
    "patient_id",
    "date_of_birth",
    "specimen_id",
    "site",
    "collected",
)
"""What may be entered of a patient and a specimen; it stays in the log of the case and goes into its report only."""

DAYS = frozenset({"date_of_birth", "collected"})
"""Identifiers that are dates, written as 2026-11-27."""

CONCLUSION = "conclusion"

EARLIER_CASE = "earlier_case"
"""The number of the case that holds the patient's earlier result."""

CASE_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
"""What may stand there, if anything."""

FIELDS: tuple[str, ...] = (
    *(name.lower().replace(" ", "_") for name in COMMENT_FIELDS),
    CONCLUSION,
    EARLIER_CASE,
    *IDENTIFIERS,
)
"""Everything that can be described in words."""

MOST_CELLS = 200_000
"""Of one edit."""

Text = Annotated[str, StringConstraints(max_length=20_000)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128, strip_whitespace=True)]
Number = Annotated[int, Field(ge=0, le=2**31 - 1)]
Cells = dict[Number, Annotated[list[Number], Field(min_length=1, max_length=MOST_CELLS)]]


class _Edit(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    def payload(self) -> dict[str, Any]:
        """What the log holds besides the kind."""
        return self.model_dump(mode="json", exclude={"kind"})


def _known(name: str) -> str:
    if name not in CELL_TYPES:
        raise ValueError(f"unknown cell type {name!r}; known: {', '.join(CELL_TYPES)}")
    return name


class _OfCells(_Edit):
    cells: Annotated[Cells, Field(min_length=1)]

    @field_validator("cells")
    @classmethod
    def _once(cls, cells: dict[int, list[int]]) -> dict[int, list[int]]:
        return {slide: sorted(set(numbers)) for slide, numbers in sorted(cells.items())}


class Retype(_OfCells):
    """Give cells another type."""

    kind: Literal["retype"] = "retype"
    to: str

    _type = field_validator("to")(_known)


MOST_CONFIRMED = 400
"""Of one confirmation: more cells than fit on a screen have not been looked at."""


class Confirm(_OfCells):
    """Say that cells were looked at and stay what they are."""

    kind: Literal["confirm"] = "confirm"

    @model_validator(mode="after")
    def _on_one_screen(self) -> Self:
        if (number := sum(map(len, self.cells.values()))) > MOST_CONFIRMED:
            raise ValueError(
                f"at most {MOST_CONFIRMED} cells can be said to have been looked at at once, as no more fit on a "
                f"screen; these are {number:,}"
            )
        return self


class Delete(_OfCells):
    """Take cells out of the count."""

    kind: Literal["delete"] = "delete"


class _Boxed(_Edit):
    slide: Number
    box: tuple[float, float, float, float]

    @model_validator(mode="after")
    def _has_area(self) -> Self:
        x0, y0, x1, y1 = self.box
        if not (-1e9 < x0 < x1 < 1e9 and -1e9 < y0 < y1 < 1e9):
            raise ValueError(f"a box is [x0, y0, x1, y1] in level-0 pixels with x0 < x1 and y0 < y1, found {self.box}")
        return self


class Add(_Boxed):
    """A cell that the detector missed; its number is given by the log."""

    kind: Literal["add"] = "add"
    to: str
    cell: Number | None = None

    _type = field_validator("to")(_known)


class Move(_Boxed):
    """Give a cell another box."""

    kind: Literal["move"] = "move"
    cell: Number


class Undo(_Edit):
    """Take the last own edit of this reading back; the log names it."""

    kind: Literal["undo"] = "undo"
    of: int | None = None


class Redo(_Edit):
    """Do the edit again that was last taken back."""

    kind: Literal["redo"] = "redo"
    of: int | None = None


class Describe(_Edit):
    """Words about the case: a comment, the conclusion, an identifier."""

    kind: Literal["describe"] = "describe"
    field: str
    text: Text

    @field_validator("field")
    @classmethod
    def _field(cls, name: str) -> str:
        if name not in FIELDS:
            raise ValueError(f"unknown field {name!r}; known: {', '.join(FIELDS)}")
        return name

    @model_validator(mode="after")
    def _is_a_day(self) -> Self:
        if self.field in DAYS and self.text.strip():
            try:
                date.fromisoformat(self.text.strip())
            except ValueError:
                words = "is no date: write year, month and day, as in 2026-11-27"
                raise ValueError(f"{self.field.replace('_', ' ')} {words}") from None
        return self

    @model_validator(mode="after")
    def _is_a_case(self) -> Self:
        if self.field == EARLIER_CASE and (text := self.text.strip()) and not CASE_NUMBER.fullmatch(text):
            raise ValueError("the earlier case is a number of the list of cases, of at most 9 digits, or nothing")
        return self


class Appoint(_Edit):
    """Two observers read the case blind, each for himself."""

    kind: Literal["appoint"] = "appoint"
    observers: tuple[Name, Name]

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.observers[0] == self.observers[1]:
            raise ValueError("two observers are two people: name two")
        return self


class Dismiss(_Edit):
    """End the reading by two observers: the case is read together again, as it was before."""

    kind: Literal["dismiss"] = "dismiss"
    reason: Annotated[str, StringConstraints(min_length=3, max_length=2000, strip_whitespace=True)]


class Finish(_Edit):
    """An observer has read the case to the end."""

    kind: Literal["finish"] = "finish"


class Amend(_Edit):
    """Open a signed case again, as its next version."""

    kind: Literal["amend"] = "amend"
    reason: Annotated[str, StringConstraints(min_length=3, max_length=2000, strip_whitespace=True)]


CellEdit = Retype | Confirm | Delete | Add | Move
"""Edits of cells: those that can be undone."""

Edit = Annotated[
    Retype | Confirm | Delete | Add | Move | Undo | Redo | Describe | Appoint | Dismiss | Finish | Amend,
    Field(discriminator="kind"),
]
"""What a person can ask for by the interface; ``open``, ``add_slide`` and ``sign`` have their own."""
