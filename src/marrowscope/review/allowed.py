"""What a case allows now: every edit is held against the state of its case before it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from marrowscope.review.case import ADJUDICATED, MAIN, CaseState, blind
from marrowscope.review.database import Missing, ReviewError
from marrowscope.review.edits import (
    IDENTIFIERS,
    Add,
    Amend,
    Appoint,
    CellEdit,
    Describe,
    Dismiss,
    Edit,
    Finish,
    Redo,
    Undo,
)
from marrowscope.review.reading import Reading, Refusal
from marrowscope.review.settling import settling

People = Callable[[], set[str]]
"""Who may be an observer."""


class Refused(ReviewError):
    """The edit cannot be made as the case stands; nothing was written."""


class Hidden(Refused):
    """A blind reading is another observer's."""


class Conflict(Refused):
    """Somebody else changed the same cells meanwhile."""


def reading_of(state: CaseState, name: str) -> Reading:
    """A reading of a case; raises ``Missing`` when there is none of that name."""
    if name not in state.readings:
        raise Missing(f"the case has no reading {name!r}; it has {', '.join(state.readings)}")
    return state.readings[name]


def allowed(
    state: CaseState, actor: str, reading: str, edit: Edit, known_n: int | None, people: People | None = None
) -> Mapping[str, Any]:
    """What the log is to hold of an edit that the case allows now.

    ``known_n``: the last row that the person had seen; ``people``: who may be an observer, None where nobody keeps a
    list. Raises ``Refused``, ``Conflict``, or ``Missing`` for a reading that there is not.
    """
    if state.frozen and not isinstance(edit, Amend):
        raise Refused(f"version {state.version} is signed: amend the case to change it")
    if isinstance(edit, Describe | Appoint | Dismiss | Amend) and reading != MAIN:
        raise Missing(f"words and versions belong to the case, whose reading is {MAIN!r}; found {reading!r}")
    match edit:
        case Amend():
            if not state.frozen:
                raise Refused("the case is not signed, so there is nothing to amend")
            return edit.payload()
        case Describe():
            if state.read_blind and edit.field not in IDENTIFIERS:
                raise Refused("observers are reading blind: words are written when both have finished")
            n, writer = state.worded.get(edit.field, (0, actor))
            if known_n is not None and n > known_n and writer != actor:
                raise Conflict(f"{writer} has written into this field meanwhile: look at it, then decide")
            return edit.payload()
        case Appoint():
            if state.observers:
                raise Refused(f"the observers are {' and '.join(state.observers)} already")
            if state.readings[MAIN].may_undo(actor) is not None or state.touched_by_hand:
                raise Refused("two observers read from the beginning: this case has been worked on")
            if people is not None and (absent := set(edit.observers) - people()):
                raise Refused(
                    f"{' and '.join(sorted(absent))} cannot read this case: observers log in under their own names, as "
                    "reviewers (marrowscope users add)"
                )
            return edit.payload()
        case Dismiss():
            if not state.observers:
                raise Refused("no observers read this case")
            return edit.payload()
        case Finish():
            if reading != blind(actor) or actor not in state.observers:
                theirs = reading in map(blind, state.observers)
                raise (Hidden if theirs else Refused)("only an observer finishes a reading, the own one")
            if actor in state.finished:
                raise Refused("this reading is finished")
            return {}
    view = _may_edit(state, actor, reading)
    match edit:
        case Undo():
            of = view.may_undo(actor)
            if of is None:
                raise Refused("there is nothing to take back")
            if other := view.agreed_to(of):
                raise Refused(f"{other} has agreed to what you proposed: a third person can change it")
            return {"of": of}
        case Redo():
            of = view.may_redo(actor)
            if of is None:
                raise Refused("there is nothing to do again")
            if refusal := view.refuse_redo(actor) or _said_otherwise(state, view, reading, actor, people):
                raise (Conflict if refusal.conflict else Refused)(refusal.words)
            return {"of": of}
    payload = _checked_cells(view, edit, actor, known_n)
    if reading != ADJUDICATED:
        return payload
    found = settling(state, view, edit.kind, payload, actor, people_log_in=people is not None)
    if isinstance(found, Refusal):
        raise Refused(found.words)
    return found


def _said_otherwise(state: CaseState, view: Reading, reading: str, actor: str, people: People | None) -> Refusal | None:
    """Why what was taken back would not mean the same if it were done again now."""
    if reading != ADJUDICATED:
        return None
    kind, content = view.done_again(actor)
    plain = {name: value for name, value in content.items() if name not in ("proposes", "agrees", "key")}
    found = settling(state, view, kind, plain, actor, people_log_in=people is not None)
    if isinstance(found, Refusal):
        return found
    if any(found.get(name) != content.get(name) for name in ("proposes", "agrees")):
        return Refusal("the differences are not what they were then: look at the cells again")
    return None


def _may_edit(state: CaseState, actor: str, reading: str) -> Reading:
    view = reading_of(state, reading)
    if state.observers:
        if reading == MAIN:
            raise Refused(f"this case is read by {' and '.join(state.observers)}, each for himself")
        if reading != ADJUDICATED and reading != blind(actor):
            raise Hidden("a blind reading is its observer's alone")
        if reading == blind(actor) and actor in state.finished:
            raise Refused("this reading is finished")
    elif reading != MAIN:
        raise Refused("the observers of this reading were dismissed: the case is read together now")
    return view


def _checked_cells(view: Reading, edit: CellEdit, actor: str, known_n: int | None) -> Mapping[str, Any]:
    payload = edit.payload()
    if "cells" in payload:
        payload["cells"] = {str(slide): rows for slide, rows in payload["cells"].items()}
    if refusal := view.refuse(edit.kind, payload, actor, known_n):
        raise (Conflict if refusal.conflict else Refused)(refusal.words)
    if isinstance(edit, Add):
        payload["cell"] = len(view.slides[edit.slide])
    return payload
