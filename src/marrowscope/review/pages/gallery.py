"""The page of a case: its differential, its cells as a gallery, and one cell closely."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote

from nicegui import ui
from starlette.requests import Request

from marrowscope.review.access.identity import Identity, current_identity
from marrowscope.review.access.users import Role
from marrowscope.review.api.app import PREFIX
from marrowscope.review.api.views import types_view
from marrowscope.review.case import ADJUDICATED, MAIN, CaseState, blind
from marrowscope.review.counted import FLAG_BITS
from marrowscope.review.database import Missing, ReviewError
from marrowscope.review.pages.frame import STATIC_URL, CaseTabs, Desk, frame
from marrowscope.review.texts import Texts
from marrowscope.review.workstation import Workstation

_AS_BROWSERS = "!'()*"
"""What ``encodeURIComponent`` leaves as it is besides letters, digits and ``-_.~``: both must ask for one address."""


class Gallery(ui.element, component="../static/gallery_element.js", esm={"marrowscope-review": "../static"}):
    """The gallery; ``given`` is what the page knows before it has asked for any cell."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self._props["given"] = given


def reading_for(state: CaseState, actor: str) -> str:
    """The reading that a person comes to: the own one of a blind case, what both agree on once they have finished."""
    if not state.observers:
        return MAIN
    if not state.read_blind:
        return ADJUDICATED
    return blind(actor) if actor in state.observers else MAIN


def locked_for(state: CaseState, reading: str, identity: Identity, texts: Texts) -> str:
    """Why this person cannot change this reading, in words; empty when it can be changed."""
    if not identity.may(Role.REVIEWER):
        return texts("gallery.locked_reader")
    if state.frozen:
        return texts("gallery.locked_signed")
    if state.observers and reading == MAIN:
        return texts("gallery.locked_blind", observers=" & ".join(state.observers))
    if state.observers and reading not in (ADJUDICATED, blind(identity.name)):
        return texts("gallery.locked_other")
    if reading == blind(identity.name) and identity.name in state.finished:
        return texts("gallery.locked_finished")
    return ""


def add_gallery_page(desk: Desk) -> None:
    """``/cases/{case}``: optional ``?slide=0&cell=17`` opens at a cell, ``?reading=`` another reading."""

    @ui.page("/cases/{case}")
    def gallery_page(
        request: Request, case: int, slide: int = 0, cell: int | None = None, reading: str | None = None
    ) -> None:
        identity = current_identity(request)
        try:
            with desk.workstation.case(case) as state:
                name = reading or reading_for(state, identity.name)
                desk.workstation.reading(state, name)
                if not desk.workstation.may_see(state, name, identity.name):
                    raise Missing(desk.texts("gallery.hidden"))
                given = _given(state, name, identity, desk)
                tabs = _tabs(state, desk.workstation)
        except ReviewError as error:
            with frame(desk, request, desk.texts("gallery.not_open")):
                ui.label(str(error)).props("role=alert").style("padding: 24px")
            return
        given["asked"] = reading
        given["cell"] = None if cell is None else {"slide": slide, "row": cell}
        _begin_early(case, name, given["slides"], sheets=cell is None)
        with frame(desk, request, tabs.title, tabs):
            Gallery(given)


def _given(state: CaseState, reading: str, identity: Identity, desk: Desk) -> dict[str, Any]:
    return {
        "case": state.number,
        "reading": reading,
        "actor": identity.name,
        "locked": locked_for(state, reading, identity, desk.texts),
        "slides": [{"slide": slide.number, "label": slide.label} for slide in state.slides],
        "types": types_view(),
        "bits": FLAG_BITS,
        "words": desk.texts.part("gallery"),
    }


def _tabs(state: CaseState, workstation: Workstation) -> CaseTabs:
    counts = [workstation.counted(slide).differential for slide in state.slides]
    return CaseTabs(
        case=state.number,
        title=state.title,
        status=state.status,
        slides=tuple(slide.label for slide in state.slides),
        here="cells",
        phantom=any(differential.phantom for differential in counts),
    )


def _begin_early(case: int, reading: str, slides: list[dict[str, Any]], *, sheets: bool) -> None:
    """Let the browser fetch the cells, and the ``sheets`` that the gallery begins with, while it makes the page."""
    start = f"{PREFIX}/cases/{case}"
    about = [f"{start}/slides/{slide['slide']}" for slide in slides]
    asked = f"?reading={quote(reading, safe=_AS_BROWSERS)}"
    paths = [*about, *(f"{path}/cells{asked}" for path in about), f"{start}/differential{asked}"]
    if sheets:
        first = (0, 1) if len(slides) == 1 else (0,)
        paths += [f"{path}/sheets/{number}.jpg" for path in about for number in first]
    ui.add_head_html(
        f'<link rel="stylesheet" href="{STATIC_URL}/gallery.css">'
        f'<script src="{STATIC_URL}/early.js" data-paths="{escape(" ".join(paths))}"></script>'
    )
