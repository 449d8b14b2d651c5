"""The program's own scripts and styles, packed once and kept: a page of a browser that was never here needs 40 of them.

NiceGUI serves each through all of its layers and packs it anew for each browser, half a megabyte of Quasar among them.
"""

from __future__ import annotations

import gzip
import re

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FILES = re.compile(r"(?:/_nicegui/[0-9][\w.]*/(?:static|libraries|components|esm)|/static)(?:/[\w@-][\w.@-]*)+")
"""Files of the program, which stay as they are while it runs. Without ``..``, by which a file would have any number of
addresses."""

MOST = 500
"""Files that are kept; a page needs 40."""

PACKED = ("text/", "application/javascript", "application/json", "image/svg")
LEVEL = 9
"""It takes longer than packing lightly, once."""

_CONDITIONS = ("range", "if-none-match", "if-modified-since")


class KeptFiles:
    """Answers for files of ``app`` that were asked for before (ASGI). All else goes through."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: dict[str, tuple[MutableHeaders, bytes]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if not _is_plain(scope):
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path not in self._kept:
            status, headers, body = await self._asked(scope, receive)
            if status != 200:
                await _answer(send, status, headers, body)
                return
            if len(self._kept) < MOST:
                self._kept[path] = headers, body
        else:
            headers, body = self._kept[path]
        await _answer(send, 200, headers, body)

    async def _asked(self, scope: Scope, receive: Receive) -> tuple[int, MutableHeaders, bytes]:
        parts: list[bytes] = []
        status, headers = 500, MutableHeaders()

        async def take(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], MutableHeaders(raw=list(message["headers"]))
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        unpacked = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self.app({**scope, "headers": unpacked}, receive, take)
        body = b"".join(parts)
        if status == 200 and headers.get("content-type", "").startswith(PACKED) and "content-encoding" not in headers:
            body = await anyio.to_thread.run_sync(lambda: gzip.compress(body, LEVEL, mtime=0))
            headers["content-encoding"] = "gzip"
            headers["content-length"] = str(len(body))
            headers.add_vary_header("Accept-Encoding")
        return status, headers, body


def _is_plain(scope: Scope) -> bool:
    """A whole file is asked for by somebody who can unpack it."""
    if scope["type"] != "http" or scope["method"] != "GET" or scope["query_string"]:
        return False
    headers = Headers(scope=scope)
    return (
        FILES.fullmatch(scope["path"]) is not None
        and "gzip" in headers.get("accept-encoding", "")
        and not any(name in headers for name in _CONDITIONS)
    )


async def _answer(send: Send, status: int, headers: MutableHeaders, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers.raw)})
    await send({"type": "http.response.body", "body": body})
