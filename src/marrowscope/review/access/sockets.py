"""A websocket that lives no longer than the session it was opened with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from starlette.types import Message, Receive, Send

NICEGUI_SOCKET = "/_nicegui_ws/"
POLICY_VIOLATION = 1008
RELOAD_PAGE = '42["try_reconnect"]'
"""What makes a page of NiceGUI load again: it then shows the login, and no longer what was on the screen."""

Still = Callable[[bool], Awaitable[bool]]
"""Whether the session still holds; the argument says whether somebody did something since the last question."""


class CheckedSocket:
    """Stands between a server and an app: asks every few seconds whether the session still holds, else closes.

    Of a page of NiceGUI (``is_page``) only events count as somebody doing something: it also sends signs of life of
    its own accord, which must not keep an abandoned session open.
    """

    def __init__(self, receive: Receive, send: Send, still: Still, seconds: float, *, is_page: bool) -> None:
        self._receive, self._send, self._still = receive, send, still
        self._seconds, self._is_page = seconds, is_page
        self._checked, self._used, self._over = monotonic(), False, False
        self._coming: asyncio.Future[Message] | None = None

    async def receive(self) -> Message:
        """The next message of the browser, or a disconnect when the session is over."""
        while not self._over:
            if self._coming is None:
                self._coming = asyncio.ensure_future(self._receive())
            await asyncio.wait({self._coming}, timeout=max(0.0, self._checked + self._seconds - monotonic()))
            message = None
            if self._coming.done():
                message, self._coming = self._coming.result(), None
                self._used |= self._is_use(message)
            if monotonic() - self._checked >= self._seconds and not await self._holds():
                break
            if message is not None:
                return message
        return {"type": "websocket.disconnect", "code": POLICY_VIOLATION, "reason": ""}

    async def send(self, message: Message) -> None:
        """Pass a message to the browser, unless the socket was closed here."""
        if not self._over:
            await self._send(message)

    def leave(self) -> None:
        """Stop waiting for the browser: the app is done with this socket."""
        if self._coming is not None:
            self._coming.cancel()

    async def _holds(self) -> bool:
        used, self._used, self._checked = self._used, False, monotonic()
        if await self._still(used):
            return True
        self._over = True
        if self._is_page:
            await self._send({"type": "websocket.send", "text": RELOAD_PAGE})
        await self._send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "the session is over"})
        return False

    def _is_use(self, message: Message) -> bool:
        if message["type"] != "websocket.receive":
            return False
        text = message.get("text") or ""
        return not self._is_page or text.startswith(('42["event"', "45"))
