"""Pictures of single cells to try a pack with."""

from __future__ import annotations

from nicegui import ui
from starlette.requests import Request

from marrowscope.review.pages.elements import STYLE, words
from marrowscope.review.pages.frame import Desk, frame
from marrowscope.review.trying import LARGEST_BYTES, MOST_PICTURES


class TryCells(ui.element, component="../static/try_element.js", esm={"marrowscope-review": "../static"}):
    """Drop pictures, see types."""

    def __init__(self, texts: dict[str, object]) -> None:
        super().__init__()
        self._props["texts"] = texts
        self._props["mostPictures"] = MOST_PICTURES
        self._props["largestBytes"] = LARGEST_BYTES


def add_try_page(desk: Desk) -> None:
    """``/try``: pictures of single cells named at once; nothing is kept."""

    @ui.page("/try")
    def try_page(request: Request) -> None:
        with frame(desk, request, desk.texts("frame.try")):
            ui.add_head_html(STYLE)
            TryCells(words(desk, "try_cells"))
