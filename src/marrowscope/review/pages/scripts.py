"""The scripts of a page, told at its head: else a browser learns of a module from the one that imports it, in turn."""

from __future__ import annotations

from functools import cache
from html import escape

import nicegui
from nicegui import ui
from nicegui.dependencies import esm_modules

from marrowscope.review.pages.frame import STATIC

SHARED = ("api.js", "case_status.js", "certainty.js", "edit_request.js", "settle.js", "slide_watch.js")
OF_ANOTHER_ROOM = {"gallery": ("clock.js", "viewer/words.js")}


@cache
def preloads(room: str) -> str:
    """Links for the modules of ``static/ROOM`` and those that it shares; empty before a page has made them known.

    Not ``modulepreload``: that would begin before the import map of the page, which browsers refuse then.
    """
    key = next((key for key, module in esm_modules.items() if module.name == "marrowscope-review"), None)
    if key is None:
        return ""
    own = [path.relative_to(STATIC).as_posix() for path in sorted((STATIC / room).glob("*.js"))]
    start = f"/_nicegui/{nicegui.__version__}/esm/{key}"
    return "".join(
        f'<link rel="preload" as="script" crossorigin href="{escape(f"{start}/{name}")}">'
        for name in (*own, *SHARED, *OF_ANOTHER_ROOM.get(room, ()))
    )


def begin_scripts(room: str) -> None:
    """Let the browser fetch the modules of a page while it reads the others that they wait for."""
    ui.add_head_html(preloads(room))
