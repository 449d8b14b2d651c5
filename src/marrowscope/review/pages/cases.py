"""The list of cases."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request

from marrowscope.review.access.users import Role
from marrowscope.review.pages.elements import STYLE, words
from marrowscope.review.pages.frame import Desk, frame


class CasesList(ui.element, component="../static/cases_element.js", esm={"marrowscope-review": "../static"}):
    """The table of cases, with what makes new ones for those who may."""

    def __init__(self, texts: dict[str, object], faults: dict[str, str], *, may_edit: bool) -> None:
        super().__init__()
        self._props["texts"] = texts
        self._props["faults"] = faults
        self._props["mayEdit"] = may_edit


def add_cases_page(desk: Desk) -> None:
    """``/``: all cases with their status."""

    @ui.page("/")
    def cases_page(request: Request) -> None:
        with frame(desk, request, desk.texts("frame.cases")) as identity:
            ui.add_head_html(STYLE)
            faults = {name: desk.workstation.told(why) for name, why in desk.workstation.not_taken_up.items()}
            CasesList(words(desk, "frame", "cases"), faults, may_edit=identity.may(Role.REVIEWER))
