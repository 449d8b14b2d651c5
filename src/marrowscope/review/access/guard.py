"""The guard before the whole review, pages, interface and websockets alike: it says who a request comes from, or no.

It stands outside of everything else, so that a route that somebody adds is closed until it is opened on purpose.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from urllib.parse import quote, urlencode

import anyio
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from marrowscope.review.access.forms import FORM_TYPE, LARGEST_FORM, FormTooLarge, form_fields, read_again, read_form
from marrowscope.review.access.headers import SecurityHeaders
from marrowscope.review.access.identity import LOCAL, STATE, Identity
from marrowscope.review.access.rules import (
    SAFE_METHODS,
    Refusal,
    Rules,
    host_fault,
    is_public,
    origin_fault,
    path_fault,
    trusted_scope,
)
from marrowscope.review.access.sessions import Session, Sessions, Tokens
from marrowscope.review.access.sockets import NICEGUI_SOCKET, POLICY_VIOLATION, CheckedSocket
from marrowscope.review.database import StorageError

CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"
"""The field of a small form; uploads and everything else send the header."""

BACKGROUND_HEADER = "x-background"
"""A page that asks by itself whether anything is new sends this: nobody is at work, so the session is not prolonged."""

CHECK_SECONDS = 5.0
"""How long a websocket may outlive its session."""

_NOBODY = "00000000-0000-0000-0000-000000000000"
_CLIENT_ID = re.compile(rb"(^|&)client_id=([^&]*)")

PageOwner = Callable[[str], Identity | None]
"""Who asked for an open page of NiceGUI, by its client id (:func:`marrowscope.review.access.pages.page_owner`)."""


def protect(
    app: ASGIApp,
    rules: Rules,
    sessions: Sessions | None = None,
    tokens: Tokens | None = None,
    *,
    page_owner: PageOwner | None = None,
) -> SecurityHeaders:
    """The app as it is served: behind the guard, and every answer with the headers that keep browsers strict."""
    return SecurityHeaders(Guard(app, rules, sessions, tokens, page_owner=page_owner), behind_tls=rules.behind_tls)


class Guard:
    """Lets requests and websockets through to ``app`` with an :class:`Identity` in ``scope["state"]``, or refuses them.

    With ``rules.users`` it needs ``sessions`` and ``tokens``. ``check_seconds``: how often an open websocket's session
    is looked up again.
    """

    def __init__(
        self,
        app: ASGIApp,
        rules: Rules,
        sessions: Sessions | None = None,
        tokens: Tokens | None = None,
        *,
        page_owner: PageOwner | None = None,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        if rules.users and (sessions is None or tokens is None):
            raise ValueError("a review with users needs their sessions and tokens")
        self.app, self._rules = app, rules
        self._sessions, self._tokens = sessions, tokens
        self._page_owner, self._check_seconds = page_owner, check_seconds
        self._threads = anyio.CapacityLimiter(8)  # of its own: busy routes must not keep others from being refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or websocket (ASGI)."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        scope = trusted_scope(scope, self._rules)
        headers = Headers(raw=scope["headers"])
        refusal = path_fault(scope["path"]) or host_fault(headers, scope["scheme"], self._rules)
        try:
            if scope["type"] == "http":
                await self._answer(scope, headers, receive, send, refusal)
            else:
                await self._connect(scope, headers, receive, send, refusal)
        except _Refused as refused:
            await _refuse(scope, headers, receive, send, refused.refusal)

    async def _answer(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send, refusal: Refusal | None
    ) -> None:
        changes = scope["method"] not in SAFE_METHODS
        by_token = self._rules.users and "authorization" in headers
        if refusal is None and changes and not by_token:
            refusal = origin_fault(headers, scope["scheme"])
        if refusal is not None:
            raise _Refused(refusal)
        if not self._rules.users:
            await self.app(_known(scope, LOCAL), receive, send)
            return
        public = is_public(scope["method"], scope["path"])
        if public and scope["path"] != "/login":
            await self.app(scope, receive, send)
            return
        if scope["path"].startswith(NICEGUI_SOCKET):
            raise _Refused(Refusal(403, "Pages speak to this server by websocket only."))
        used = not public and BACKGROUND_HEADER not in headers  # the page that asks whether it is over is no use either
        found = await self._find(headers, use=used)
        if public:
            await self.app(_known(scope, _identity(found)) if found else scope, receive, send)
            return
        if found is None:
            raise _Refused(Refusal(401, "Log in first."))
        if changes and found.csrf is not None:
            receive = await _check_csrf(headers, receive, found.csrf)
        await self.app(_known(scope, _identity(found)), receive, send)

    async def _connect(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send, refusal: Refusal | None
    ) -> None:
        by_token = self._rules.users and "authorization" in headers
        if refusal is None and not by_token:
            refusal = origin_fault(headers, scope["scheme"])
        if refusal is not None:
            raise _Refused(refusal)
        if not self._rules.users:
            await self.app(_known(scope, LOCAL), receive, send)
            return
        found = await self._find(headers, use=False)
        if found is None:
            raise _Refused(Refusal(401, "Log in first."))
        is_page = scope["path"].startswith(NICEGUI_SOCKET)
        if is_page:
            self._keep_to_own_page(scope, found)

        async def still(used: bool) -> bool:
            try:
                return await self._find(headers, use=used) == found
            except _Refused:
                return False

        socket = CheckedSocket(receive, send, still, self._check_seconds, is_page=is_page)
        try:
            await self.app(_known(scope, _identity(found)), socket.receive, socket.send)
        finally:
            socket.leave()

    def _keep_to_own_page(self, scope: Scope, found: Session) -> None:
        """Point a page of another session at none, so that it loads again as whoever is logged in now."""
        asked = _CLIENT_ID.search(scope["query_string"])
        if asked is None or self._page_owner is None:
            return
        owner = self._page_owner(asked[2].decode("latin-1"))
        if owner is not None and owner.session != found.id:
            scope["query_string"] = _CLIENT_ID.sub(rb"\1client_id=" + _NOBODY.encode(), scope["query_string"])

    async def _find(self, headers: Headers, *, use: bool) -> Session | None:
        assert self._sessions is not None
        assert self._tokens is not None
        sessions, tokens = self._sessions, self._tokens
        given = headers.get("authorization")
        cookies = cookie_parser(headers.get("cookie", ""))
        try:
            if given is not None:
                scheme, _, token = given.partition(" ")
                if scheme.lower() != "bearer":
                    return None
                return await anyio.to_thread.run_sync(tokens.find, token.strip(), limiter=self._threads)
            secret = cookies.get(self._rules.cookie)
            if not secret:
                return None
            return await anyio.to_thread.run_sync(lambda: sessions.find(secret, use=use), limiter=self._threads)
        except StorageError as error:
            raise _Refused(
                Refusal(503, "The database of the review does not answer. Try again in a moment.")
            ) from error


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.words)
        self.refusal = refusal


def _identity(found: Session) -> Identity:
    return Identity(found.user, found.role, found.id, found.csrf)


def _known(scope: Scope, identity: Identity) -> Scope:
    scope["state"] = {**scope.get("state", {}), STATE: identity}
    return scope


async def _check_csrf(headers: Headers, receive: Receive, expected: str) -> Receive:
    """Compare header or field with the session's; gives the body back to be read again."""
    given = headers.get(CSRF_HEADER)
    if given is None and headers.get("content-type", "").startswith(FORM_TYPE):
        try:
            body = await read_form(receive)
        except FormTooLarge:
            words = f"A form has at most {LARGEST_FORM} bytes; send X-CSRF-Token as a header."
            raise _Refused(Refusal(413, words)) from None
        given = form_fields(body).get(CSRF_FIELD)
        receive = read_again(body, receive)
    if given is None or not hmac.compare_digest(given.encode(), expected.encode()):
        raise _Refused(
            Refusal(403, "This did not come from a page of this session: load the page again, then repeat it.")
        )
    return receive


async def _refuse(scope: Scope, headers: Headers, receive: Receive, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": ""})  # the server answers with 403
        return
    await _refusal(scope, headers, refusal)(scope, receive, send)


def _refusal(scope: Scope, headers: Headers, refusal: Refusal) -> Response:
    path = scope["path"]
    extra = {"Retry-After": "5"} if refusal.status == 503 else {}
    if path == "/api" or path.startswith("/api/"):
        if refusal.status == 401:
            extra["WWW-Authenticate"] = "Bearer"
        return JSONResponse({"detail": refusal.words}, refusal.status, extra)
    if refusal.status == 401 and scope["method"] in ("GET", "HEAD") and _is_navigation(headers):
        target = quote(path, safe="/@:~")
        if scope["query_string"]:
            target += "?" + scope["query_string"].decode("latin-1")
        return RedirectResponse("/login" + ("" if target == "/" else "?" + urlencode({"next": target})), 303)
    return PlainTextResponse(refusal.words, refusal.status, extra)


def _is_navigation(headers: Headers) -> bool:
    """Whether a person opens a page, rather than a page a picture or a script."""
    accepted = headers.get("accept", "*/*")
    return headers.get("sec-fetch-mode", "navigate") == "navigate" and ("html" in accepted or "*/*" in accepted)
