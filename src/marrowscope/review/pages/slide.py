"""The page of a slide: deep zoom with its regions and cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nicegui
from nicegui import run, ui
from starlette.requests import Request

from marrowscope.review.access.identity import Identity, current_identity
from marrowscope.review.api.views import types_view
from marrowscope.review.counted import FLAG_BITS
from marrowscope.review.database import ReviewError
from marrowscope.review.pages.frame import STATIC_URL, CaseTabs, Desk, frame
from marrowscope.review.pages.reading import locked_for, proposes, reading_asked, tabs_of, within_reach
from marrowscope.review.pages.scripts import begin_scripts

FIRST_OPENING = 120.0
"""Seconds that reading the cells of a case for the first time may take: a million need a few."""

_LEAFLET = Path(nicegui.__file__).parent / "elements" / "leaflet" / "dist"


class Viewer(
    ui.element,
    component="../static/viewer_element.js",
    esm={"marrowscope-review": "../static", "nicegui-leaflet": str(_LEAFLET)},
):
    """The slide; ``given`` is what the page knows before it has asked for anything."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self._props["given"] = given


def add_slide_page(desk: Desk) -> None:
    """``/cases/{case}/slides/{slide}``: optional ``?cell=17`` flies to a cell, ``?reading=`` another reading."""

    def prepared(
        case: int, slide: int, cell: int | None, asked: str | None, identity: Identity
    ) -> tuple[CaseTabs, dict[str, Any]]:
        texts = desk.texts
        with desk.workstation.case(case) as state:
            reading = reading_asked(state, asked, identity, texts)
            told = desk.workstation.slide_of(state, slide)
            given = {
                "case": case,
                "slide": slide,
                "label": told.label,
                "reading": reading,
                "asked": asked,
                "actor": identity.name,
                "observers": list(state.observers),
                "proposes": proposes(state, reading, identity, desk.workstation),
                "locked": locked_for(state, reading, identity, texts),
                "cell": within_reach(cell),
                "types": types_view(),
                "flags": list(FLAG_BITS),
                "words": {**texts.part("viewer"), **texts.part("settle"), **texts.part("errors")},
            }
            return tabs_of(state, desk.workstation, f"slide-{slide}"), given

    @ui.page("/cases/{case}/slides/{slide}", response_timeout=FIRST_OPENING)
    async def slide_page(
        request: Request, case: int, slide: int, cell: int | None = None, reading: str | None = None
    ) -> None:
        identity = current_identity(request)
        try:
            found = await run.io_bound(prepared, case, slide, cell, reading, identity)
        except ReviewError as error:
            with frame(desk, request, desk.texts("viewer.not_open")):
                ui.label(desk.workstation.told(error)).props("role=alert").style("padding: 24px")
            return
        if found is None:  # the server is being stopped
            return
        tabs, given = found
        begin_scripts("viewer")
        ui.add_head_html(f'<link rel="stylesheet" href="{STATIC_URL}/viewer.css">')
        with frame(desk, request, f"{tabs.title} · {given['label']}", tabs):
            Viewer(given)
