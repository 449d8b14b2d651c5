"""The report of a case: words, signature, versions, log; and its two observers."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request

from marrowscope.review.access.users import Role, Users
from marrowscope.review.edits import CONCLUSION, DAYS, EARLIER_CASE, FIELDS, IDENTIFIERS
from marrowscope.review.pages.elements import case_frame, person, words
from marrowscope.review.pages.frame import Desk

COMMENTS = tuple(field for field in FIELDS if field not in (CONCLUSION, EARLIER_CASE, *IDENTIFIERS))
"""Fields of the ICSH headings."""


class Report(ui.element, component="../static/report_element.js", esm={"marrowscope-review": "../static"}):
    """The differential, what people say about it, signature and log."""

    def __init__(self, texts: dict[str, object], case: int, who: dict[str, object]) -> None:
        super().__init__()
        self._props["texts"] = texts
        self._props["caseNumber"] = case
        self._props["person"] = who
        self._props["comments"] = list(COMMENTS)
        self._props["identifiers"] = list(IDENTIFIERS)
        self._props["days"] = sorted(DAYS)


class Observers(ui.element, component="../static/observers_element.js", esm={"marrowscope-review": "../static"}):
    """Who reads a case blind, and how they agree."""

    def __init__(self, texts: dict[str, object], case: int, who: dict[str, object], users: list[str]) -> None:
        super().__init__()
        self._props["texts"] = texts
        self._props["caseNumber"] = case
        self._props["person"] = who
        self._props["users"] = users


def add_report_pages(desk: Desk) -> None:
    """``/cases/{case}/report`` and ``/cases/{case}/observers``."""

    @ui.page("/cases/{case}/report")
    def report_page(request: Request, case: int) -> None:
        with case_frame(desk, request, case, "report") as identity:
            if identity is not None:
                Report(words(desk, "fields", "log", "report"), case, person(desk, identity))

    @ui.page("/cases/{case}/observers")
    def observers_page(request: Request, case: int) -> None:
        with case_frame(desk, request, case, "report") as identity:
            if identity is not None:
                Observers(words(desk, "observers"), case, person(desk, identity), _readers(desk))


def _readers(desk: Desk) -> list[str]:
    """Users who may read a case blind."""
    if not desk.login:
        return []
    users = Users(desk.workstation.log.engine).all()
    return [user.name for user in users if user.disabled is None and user.role.may(Role.REVIEWER)]
