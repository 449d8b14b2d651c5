"""The list of cases."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request

from marrowscope.review.pages.frame import Desk, frame


def add_cases_page(desk: Desk) -> None:
    """``/``: all cases with their status."""

    @ui.page("/")
    def cases_page(request: Request) -> None:
        with frame(desk, request, desk.texts("frame.cases")):
            told = desk.workstation.titles()
            for head in desk.workstation.heads():
                ui.link(f"{told[head.case][0]} · {head.status}", f"/cases/{head.case}")
