"""The page to log in on, drawn by the server: no script, no NiceGUI, nothing before it is public but its style."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import anyio
from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from marrowscope.errors import how_many
from marrowscope.review.access.forms import FormTooLarge, form_fields, read_form
from marrowscope.review.access.headers import PLAIN_PAGE
from marrowscope.review.access.identity import STATE, Identity
from marrowscope.review.access.limits import LoginLimiter
from marrowscope.review.access.rules import Rules, safe_next
from marrowscope.review.access.sessions import LONGEST_SECONDS, Opened, Sessions
from marrowscope.review.access.users import User, Users
from marrowscope.review.database import ReviewError, StorageError

TEXTS = {
    "language": "en",
    "title": "Log in",
    "program": "marrowscope review",
    "name": "Name",
    "password": "Password",
    "log_in": "Log in",
    "help": "Forgotten? An admin gives you a new password.",
    "research": "For research use only.",
    "wrong": "Name or password is wrong.",
    "wait": "Too many failed logins. Try again in {time}.",
    "storage": "The database of the review does not answer. Try again in a moment.",
}
"""Everything that the page says."""

HASHED_AT_ONCE = 2
"""Passwords checked at the same time: each takes 64 MiB and all cores for a moment."""

_FOLDER = Path(__file__).with_name("templates")
_PAGES = Environment(loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined)
_log = logging.getLogger(__name__)


def login_router(users: Users, sessions: Sessions, rules: Rules, *, limiter: LoginLimiter | None = None) -> APIRouter:
    """``/login``, ``/logout`` and the style of the page, for a review with users. The guard stands before them."""
    router = APIRouter(include_in_schema=False)
    limits = LoginLimiter() if limiter is None else limiter  # an empty one is false
    hashing = anyio.CapacityLimiter(HASHED_AT_ONCE)

    @router.get("/login")
    async def show(request: Request) -> Response:
        target = safe_next(request.query_params.get("next"))
        return RedirectResponse(target, 303) if _known(request) else _page(target)

    @router.post("/login")
    async def log_in(request: Request) -> Response:
        try:
            fields = form_fields(await read_form(request.receive))
        except FormTooLarge:
            return _page("/", "wrong", 413)
        name, password, target = fields.get("name", ""), fields.get("password", ""), safe_next(fields.get("next"))
        address = request.client.host if request.client else ""
        if (wait := limits.attempt(name, address)) > 0:
            _log.warning("login refused: too many failures, %.0f s to wait, from %s", wait, address)
            seconds = math.ceil(wait)
            time = how_many(seconds, "second") if seconds < 90 else how_many(math.ceil(seconds / 60), "minute")
            page = _page(target, "wait", 429, time=time)
            page.headers["Retry-After"] = str(seconds)
            return page
        try:
            found = await anyio.to_thread.run_sync(_begin, users, sessions, name, password, limiter=hashing)
        except StorageError:
            return _page(target, "storage", 503)
        if found is None:
            _log.warning("login failed from %s", address)  # not the name: people type passwords into that field
            return _page(target, "wrong", 403)
        limits.succeeded(name, address)
        user, opened = found
        if (earlier := _known(request)) is not None and earlier.session is not None:
            await anyio.to_thread.run_sync(sessions.close, earlier.session)
        _log.info("login of %s from %s", user.name, address)
        answer = RedirectResponse(target, 303)
        answer.set_cookie(
            rules.cookie,
            opened.token,
            max_age=int(LONGEST_SECONDS),
            path="/",
            secure=rules.behind_tls,
            httponly=True,
            samesite="strict",
        )
        return answer

    @router.post("/logout")
    async def log_out(request: Request) -> Response:
        if (leaving := _known(request)) is not None and leaving.session is not None:
            await anyio.to_thread.run_sync(sessions.close, leaving.session)
            _log.info("logout of %s", leaving.name)
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(rules.cookie, path="/", secure=rules.behind_tls, httponly=True, samesite="strict")
        answer.headers["Clear-Site-Data"] = '"cache"'  # pictures of patients stay on no shared computer
        return answer

    @router.get("/login/style.css")
    async def style() -> Response:
        return Response(_STYLE, media_type="text/css")

    return router


def _begin(users: Users, sessions: Sessions, name: str, password: str) -> tuple[User, Opened] | None:
    user = users.check(name, password)
    if user is None:
        return None
    try:
        return user, sessions.open(user.name)
    except StorageError:
        raise
    except ReviewError:  # removed while the password was checked
        return None


def _known(request: Request) -> Identity | None:
    found = request.scope.get("state", {}).get(STATE)
    return found if isinstance(found, Identity) else None


def _page(target: str, problem: str | None = None, status: int = 200, *, time: str = "") -> HTMLResponse:
    said = TEXTS[problem].format(time=time) if problem else ""
    page = _PAGES.get_template("login.html").render(texts=TEXTS, next=target, problem=said)
    return HTMLResponse(page, status, {"Content-Security-Policy": PLAIN_PAGE})


_STYLE = (_FOLDER / "login.css").read_text(encoding="utf-8")
