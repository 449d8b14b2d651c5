"""The page of a case: its differential, its cells as a gallery, and one cell closely."""

from __future__ import annotations

from html import escape
from typing import Any
from urllib.parse import quote

from nicegui import run, ui
from starlette.requests import Request

from marrowscope.review.access.identity import Identity, current_identity
from marrowscope.review.api.app import PREFIX
from marrowscope.review.api.views import types_view
from marrowscope.review.case import CaseState
from marrowscope.review.counted import FLAG_BITS
from marrowscope.review.database import ReviewError
from marrowscope.review.pages.frame import STATIC_URL, CaseTabs, Desk, frame
from marrowscope.review.pages.reading import locked_for, proposes, reading_asked, tabs_of, within_reach
from marrowscope.review.pages.scripts import begin_scripts
from marrowscope.review.pictures.sprites import SHEET

_AS_BROWSERS = "!'()*"
"""What ``encodeURIComponent`` leaves as it is besides letters, digits and ``-_.~``: both must ask for one address."""


FIRST_OPENING = 120.0
"""Seconds that reading the cells of a case for the first time may take: a million need a few."""


class Gallery(ui.element, component="../static/gallery_element.js", esm={"marrowscope-review": "../static"}):
    """The gallery; ``given`` is what the page knows before it has asked for any cell."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self._props["given"] = given


def add_gallery_page(desk: Desk) -> None:
    """``/cases/{case}``: optional ``?slide=0&cell=17`` opens at a cell, ``?reading=`` another reading."""

    def prepared(case: int, asked: str | None, identity: Identity) -> tuple[CaseTabs, dict[str, Any]]:
        with desk.workstation.case(case) as state:
            reading = reading_asked(state, asked, identity, desk.texts)
            given = _given(state, reading, identity, desk)
            return tabs_of(state, desk.workstation, "cells"), {**given, "asked": asked}

    @ui.page("/cases/{case}", response_timeout=FIRST_OPENING)
    async def gallery_page(
        request: Request, case: int, slide: int = 0, cell: int | None = None, reading: str | None = None
    ) -> None:
        try:
            found = await run.io_bound(prepared, case, reading, current_identity(request))
        except ReviewError as error:
            with frame(desk, request, desk.texts("gallery.not_open")):
                ui.label(desk.workstation.told(error)).props("role=alert").style("padding: 24px")
            return
        if found is None:  # the server is being stopped
            return
        tabs, given = found
        given["cell"] = None if cell is None else {"slide": within_reach(slide), "row": within_reach(cell)}
        _begin_early(case, given["reading"], given["slides"], sheets=cell is None)
        with frame(desk, request, tabs.title, tabs):
            Gallery(given)


def _given(state: CaseState, reading: str, identity: Identity, desk: Desk) -> dict[str, Any]:
    scored = desk.workstation.scores_anomalies(state)
    nothing_left = {} if scored else {"nothing_left": desk.texts("gallery.no_unsure_left")}
    return {
        "case": state.number,
        "reading": reading,
        "actor": identity.name,
        "locked": locked_for(state, reading, identity, desk.texts),
        "slides": [{"slide": slide.number, "label": slide.label, "cells": slide.cells} for slide in state.slides],
        "observers": list(state.observers),
        "proposes": proposes(state, reading, identity, desk.workstation),
        "types": types_view(),
        "bits": FLAG_BITS,
        "scored": scored,
        "steps": dict(desk.texts.part("steps")),
        "words": {
            **desk.texts.part("gallery"),
            **desk.texts.part("settle"),
            **nothing_left,
            "locked_signed": desk.texts("reading.locked_signed"),
        },
    }


def _begin_early(case: int, reading: str, slides: list[dict[str, Any]], *, sheets: bool) -> None:
    """Let the browser fetch the cells, and the ``sheets`` that the gallery begins with, while it makes the page."""
    start = f"{PREFIX}/cases/{case}"
    about = [f"{start}/slides/{slide['slide']}" for slide in slides]
    asked = f"?reading={quote(reading, safe=_AS_BROWSERS)}"
    paths = [*about, *(f"{path}/cells{asked}" for path in about), f"{start}/differential{asked}"]
    if sheets:
        most = 2 if len(slides) == 1 else 1
        for path, slide in zip(about, slides, strict=True):
            paths += [f"{path}/sheets/{number}.jpg" for number in range(min(most, -(-slide["cells"] // SHEET)))]
    # Not ``defer`` nor plain: those wait for the styles of the page.
    asked_for = escape(" ".join(paths))
    ui.add_head_html(
        f'<script async fetchpriority="high" src="{STATIC_URL}/early.js" data-paths="{asked_for}"></script>'
    )
    begin_scripts("gallery")
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC_URL}/gallery.css">')
