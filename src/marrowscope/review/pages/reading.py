"""Which reading of a case a person comes to, whether it may be changed, and the head of the case's pages."""

from __future__ import annotations

from marrowscope.review.access.identity import Identity
from marrowscope.review.access.users import Role
from marrowscope.review.case import ADJUDICATED, MAIN, CaseState, blind
from marrowscope.review.log import LARGEST
from marrowscope.review.pages.frame import CaseTabs
from marrowscope.review.texts import Texts
from marrowscope.review.workstation import Hidden, Workstation


def within_reach(number: int | None) -> int | None:
    """A number of an address, made small enough for a script: that there is none so large is said there."""
    return None if number is None else max(-1, min(number, LARGEST))


def reading_for(state: CaseState, identity: Identity) -> str:
    """The reading that a person comes to: the own blind one, adjudicated once all have finished, else main."""
    if not state.observers:
        return MAIN
    if not state.read_blind:
        return ADJUDICATED
    return blind(identity.name) if identity.name in state.observers else MAIN


def reading_asked(state: CaseState, asked: str | None, identity: Identity, texts: Texts) -> str:
    """The reading of an address, or the one that the person comes to.

    Raises ``Missing`` when there is none of that name, ``Hidden`` when it is another observer's alone.
    """
    name = asked or reading_for(state, identity)
    Workstation.reading(state, name)
    if not Workstation.may_see(state, name, identity.name):
        raise Hidden(texts("reading.hidden"))
    return name


def locked_for(state: CaseState, reading: str, identity: Identity, texts: Texts) -> str:
    """Why this person cannot change this reading, in words; empty when it can be changed."""
    if not identity.may(Role.REVIEWER):
        return texts("reading.locked_role")
    if state.frozen:
        return texts("reading.locked_signed")
    if state.observers and reading == MAIN:
        return texts("reading.locked_blind", observers=" & ".join(state.observers))
    if state.observers and reading not in (ADJUDICATED, blind(identity.name)):
        return texts("reading.locked_other")
    if not state.observers and reading != MAIN:
        return texts("reading.locked_dismissed")
    if reading == blind(identity.name) and identity.name in state.finished:
        return texts("reading.locked_finished")
    return ""


def proposes(state: CaseState, reading: str, identity: Identity, workstation: Workstation) -> int:
    """Which observer this person is (1 or 2), where an observer's word on a difference is a proposal; 0 elsewhere."""
    mine = reading == ADJUDICATED and workstation.people is not None and identity.name in state.observers
    return 1 + state.observers.index(identity.name) if mine else 0


def tabs_of(state: CaseState, workstation: Workstation, here: str) -> CaseTabs:
    """The head of a page of a case."""
    return CaseTabs(
        case=state.number,
        title=state.title,
        status=state.status,
        slides=tuple(slide.label for slide in state.slides),
        here=here,
        phantom=any(workstation.counted(slide).differential.phantom for slide in state.slides),
    )
