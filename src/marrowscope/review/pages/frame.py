"""What stands around every page: head with the way round, light or dark, who is logged in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path

from nicegui import ui
from starlette.requests import Request

from marrowscope.review.access.identity import Identity, current_identity
from marrowscope.review.access.pages import LEAVE_WHEN_OVER
from marrowscope.review.pictures.shelf import Shelf
from marrowscope.review.texts import Texts
from marrowscope.review.workstation import Workstation

STATIC = Path(__file__).parent.parent / "static"
STATIC_URL = "/static"
"""Where the files of ``static`` are served."""


_LOG_OUT = """() => fetch("/logout", {
    method: "POST", headers: {"X-CSRF-Token": document.querySelector('meta[name="csrf"]').content}
}).then(() => { location.href = "/login"; })"""


STATUSES = ("counted", "in_review", "signed")
"""Of a case; its pages show each as soon as it is one (``static/case_status.js``)."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What every page works with."""

    workstation: Workstation
    shelf: Shelf
    texts: Texts
    login: bool
    """Whether people log in, so that there is something to log out of."""


@dataclass(frozen=True, slots=True)
class CaseTabs:
    """The head of a page of a case: its number, title and status, and which of its pages this is."""

    case: int
    title: str
    status: str
    slides: tuple[str, ...]
    here: str
    """``cells``, ``slide`` or ``report``."""
    phantom: bool = False


@contextmanager
def frame(desk: Desk, request: Request, title: str, tabs: CaseTabs | None = None) -> Iterator[Identity]:
    """The page around what the block makes; gives who is looking."""
    identity = current_identity(request)
    texts = desk.texts
    ui.page_title(f"{title} · {texts('frame.brand')}")
    ui.dark_mode(None)
    ui.add_head_html(
        f'<meta name="csrf" content="{escape(identity.csrf or "", quote=True)}">'
        f'<link rel="stylesheet" href="{STATIC_URL}/review.css">'
    )
    if desk.login:
        ui.add_head_html(LEAVE_WHEN_OVER)
    with ui.element("header").classes("frame-head w-full").props("role=banner"):
        _link("/", texts("frame.brand"), "brand")
        _link("/", texts("frame.cases"), current=tabs is None and title == texts("frame.cases"))
        if tabs is not None:
            _case_links(tabs, texts)
        ui.element("span").classes("space")
        ui.label(texts("frame.research_use")).classes("quiet")
        _link("/try", texts("frame.try"), current=title == texts("frame.try"))
        ui.element("button").classes("plain").props(
            f'id=light-dark type=button aria-label="{texts("frame.light_dark")}"'
        ).on("click", js_handler="() => Quasar.Dark.toggle()")
        if desk.login:
            ui.label(f"{identity.name} ({identity.role.value})").classes("quiet")
            ui.button(texts("frame.log_out"), color=None).classes(replace="plain").props("flat no-caps").on(
                "click", js_handler=_LOG_OUT
            )
    if tabs is not None and tabs.phantom:
        ui.label(texts("frame.phantom")).classes("phantom w-full")
    yield identity


def _case_links(tabs: CaseTabs, texts: Texts) -> None:
    title = ui.label(tabs.title).classes("case-title")
    title._props["title"] = tabs.title  # a long one is cut short
    status = ui.label(texts(f"frame.status_{tabs.status.replace(' ', '_')}")).classes("quiet")
    status._props |= {"id": "case-status", **{f"data-{name}": texts(f"frame.status_{name}") for name in STATUSES}}
    start = f"/cases/{tabs.case}"
    _link(start, texts("frame.cells"), current=tabs.here == "cells")
    for number, label in enumerate(tabs.slides):
        words = texts("frame.slide") if len(tabs.slides) == 1 else f"{texts('frame.slide')} {number + 1}"
        _link(f"{start}/slides/{number}", words, current=tabs.here == f"slide-{number}").tooltip(label)
    _link(f"{start}/report", texts("frame.report"), current=tabs.here == "report")


def _link(target: str, words: str, classes: str = "", *, current: bool = False) -> ui.link:
    link = ui.link(words, target).classes(replace=classes)
    if current:
        link.props('aria-current="page"')
    return link
