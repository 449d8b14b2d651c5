"""The headers that keep browsers strict, on every answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from marrowscope.review.access.rules import PUBLIC_FILES

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Of everything that is no page: data, pictures, errors."""

PLAIN_PAGE = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of a page without scripts, such as the login."""

NICEGUI_PAGE = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Of pages of NiceGUI 3: scripts and styles inside the page, templates compiled in the browser; all from here."""

DOCUMENT = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""For a route to set on a ``report.html``: one file with its own styles and pictures, that may run nothing."""

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), serial=(), usb=()",
}
ONE_YEAR = "max-age=31536000"


class SecurityHeaders:
    """Adds the headers to what ``app`` answers (ASGI). A route's own ``Content-Security-Policy`` is kept."""

    def __init__(self, app: ASGIApp, *, behind_tls: bool = False) -> None:
        self.app = app
        self._behind_tls = behind_tls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_strict(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS.items():
                    headers[name] = value
                if self._behind_tls:
                    headers["Strict-Transport-Security"] = ONE_YEAR
                if "content-security-policy" not in headers:
                    page = headers.get("x-nicegui-content") == "page" and _kind(headers) == "text/html"
                    headers["Content-Security-Policy"] = NICEGUI_PAGE if page else NOTHING
                headers["Cache-Control"] = _cache(scope["path"], message["status"], headers)
            await send(message)

        await self.app(scope, receive, send_strict)


def _cache(path: str, status: int, headers: MutableHeaders) -> str:
    """Pages and data are kept nowhere, pictures by the person's browser only, the program's own files anywhere."""
    own = headers.get("cache-control", "")
    if status not in (200, 206, 304):
        return "no-store"
    if PUBLIC_FILES.fullmatch(path):
        return own or "no-cache"
    if _kind(headers).startswith("image/") or (status == 304 and own):
        return own if "private" in own or "no-store" in own else "private, no-cache"
    return "no-store"


def _kind(headers: MutableHeaders) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()
