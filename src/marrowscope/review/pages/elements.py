"""What the pages around the cells share: words and persons for their scripts, their style, pages of cases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui
from starlette.requests import Request

from marrowscope.review.access.identity import Identity
from marrowscope.review.access.users import Role
from marrowscope.review.database import ReviewError
from marrowscope.review.pages.frame import STATIC_URL, Desk, frame
from marrowscope.review.pages.reading import tabs_of

STYLE = f'<link rel="stylesheet" href="{STATIC_URL}/desk.css">'


def words(desk: Desk, *parts: str) -> dict[str, object]:
    """Parts of the catalogue for a script, and under ``errors`` what the server cannot say itself."""
    found: dict[str, object] = {"errors": dict(desk.texts.part("errors"))}
    for part in parts:
        found |= desk.texts.part(part)
    return found


def person(desk: Desk, identity: Identity) -> dict[str, object]:
    """Who looks at the page and what that person may do."""
    return {
        "name": identity.name,
        "login": desk.login,
        "mayEdit": identity.may(Role.REVIEWER),
        "maySign": identity.may(Role.SIGNER),
    }


@contextmanager
def case_frame(desk: Desk, request: Request, case: int, here: str) -> Iterator[Identity | None]:
    """The page of a case around what the block makes; None where it cannot be opened, which the page says."""
    try:
        with desk.workstation.case(case) as state:
            tabs = tabs_of(state, desk.workstation, here)
    except ReviewError as error:
        with frame(desk, request, desk.texts("frame.cases")):
            ui.add_head_html(STYLE)
            with ui.element("main").classes("desk"):
                ui.label(desk.workstation.told(error)).classes("bad").props("role=alert")
        yield None
        return
    with frame(desk, request, tabs.title, tabs) as identity:
        ui.add_head_html(STYLE)
        yield identity
