"""The program that serves the review: interface and pages behind the guard, on one port."""

from __future__ import annotations

import logging
import socket
import threading
import time
import webbrowser
from contextlib import closing
from dataclasses import replace
from functools import partial

import typer
import uvicorn
from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from marrowscope.review.access.guard import protect
from marrowscope.review.access.identity import LOCAL
from marrowscope.review.access.login import login_router
from marrowscope.review.access.pages import page_owner
from marrowscope.review.access.rules import Rules, is_loopback, local_rules, users_rules
from marrowscope.review.access.sessions import Sessions, Tokens
from marrowscope.review.access.users import Role, Users
from marrowscope.review.api.app import add_interface, new_app
from marrowscope.review.counting import CountQueue
from marrowscope.review.database import ReviewError
from marrowscope.review.kept_files import KeptFiles
from marrowscope.review.pages import add_pages
from marrowscope.review.pages.frame import STATIC, STATIC_URL, Desk
from marrowscope.review.pictures.shelf import Shelf
from marrowscope.review.texts import Texts
from marrowscope.review.uploads import LARGEST_BYTES, MOST_BYTES, Uploads
from marrowscope.review.workstation import Workstation


def build_app(
    workstation: Workstation,
    rules: Rules,
    *,
    language: str = "en",
    largest_upload: int = LARGEST_BYTES,
    all_uploads: int = MOST_BYTES,
) -> FastAPI:
    """Interface, pages and login as one application, not yet behind the guard (:func:`guarded`).

    ``largest_upload``: bytes of a slide that comes through the browser; ``all_uploads``: of all of them together.
    """
    app, shelf, uploads = new_app(), Shelf(), Uploads(workstation.root, largest_upload, all_uploads)
    # Who sits at this computer may count any file of it; who logs in from elsewhere, what lies in folders of slides.
    folders = (workstation.root, *workstation.places.slides) if rules.users else None
    queue = CountQueue(workstation, folders)
    add_interface(app, workstation, shelf, queue, uploads)
    app.state.counts = queue
    engine = workstation.log.engine
    if rules.users:  # names of folders are for who starts the server
        workstation.places = replace(workstation.places, named=False)
    workstation.people = (lambda: _reviewers(Users(engine))) if rules.users else lambda: {LOCAL.name}
    if rules.users:
        app.include_router(login_router(Users(engine), Sessions(engine), rules))
    app.add_api_route("/health", _health, include_in_schema=False)
    app.mount(STATIC_URL, StaticFiles(directory=STATIC))
    add_pages(Desk(workstation, shelf, Texts(language), rules.users))
    # Without Tailwind, which would compile styles in the browser at each opening: the pages have their own.
    # Their files are packed anew for each browser: hard packing takes longer than it saves.
    ui.run_with(
        app,
        title="marrowscope",
        language="en-US",
        tailwind=False,
        gzip_middleware_factory=partial(GZipMiddleware, compresslevel=3),
        show_welcome_message=False,
        reconnect_timeout=10,
    )
    nicegui_app.config.socket_io_js_transports = ["websocket"]  # the guard refuses polling where people log in
    return app


def _reviewers(users: Users) -> set[str]:
    return {user.name for user in users.all() if user.disabled is None and user.role.may(Role.REVIEWER)}


def guarded(app: FastAPI, workstation: Workstation, rules: Rules) -> ASGIApp:
    """The application as it is served."""
    engine = workstation.log.engine
    return protect(KeptFiles(app), rules, Sessions(engine), Tokens(engine), page_owner=page_owner)


def serve(
    workstation: Workstation,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    browser: bool = True,
    login: bool = False,
    allowed_hosts: tuple[str, ...] = (),
    behind_tls: bool = False,
    largest_upload: int = LARGEST_BYTES,
    all_uploads: int = MOST_BYTES,
) -> None:
    """Serve until interrupted. Raises ``ReviewError`` when the port is taken, or nobody could log in."""
    with closing(_listen(host, port)) as listening:
        port = listening.getsockname()[1]
        if login or behind_tls or allowed_hosts or not is_loopback(host):
            rules = users_rules(host, port, allowed_hosts, behind_tls=behind_tls)
            if not any(user.disabled is None for user in Users(workstation.log.engine).all()):
                raise ReviewError(
                    f"--host {host} asks people to log in, and there is no user yet: add one with marrowscope users "
                    "add NAME --role admin"
                )
        else:
            rules = local_rules(host, port)
        app = build_app(workstation, rules, largest_upload=largest_upload, all_uploads=all_uploads)
        config = uvicorn.Config(
            guarded(app, workstation, rules),
            log_level="warning",
            access_log=False,  # addresses of pages are nobody's business
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=3,
        )
        server = uvicorn.Server(config)
        logging.getLogger("nicegui").setLevel(logging.WARNING)
        url = f"https://{allowed_hosts[0]}/" if behind_tls and allowed_hosts else _address(host, port, behind_tls)
        threading.Thread(target=_say_when_ready, args=(server, url, browser), daemon=True).start()
        try:
            server.run(sockets=[listening])
        finally:
            app.state.counts.close()


def _address(host: str, port: int, tls: bool) -> str:
    """What to type in a browser on this computer."""
    shown = "127.0.0.1" if host in ("0.0.0.0", "") else host
    return f"{'https' if tls else 'http'}://{f'[{shown}]' if ':' in shown else shown}:{port}/"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise ReviewError(
            f"cannot listen on {host}, port {port} ({error.strerror}): another review may run there; choose another "
            "port with --port, or 0 for a free one"
        ) from error
    return listening


def _say_when_ready(server: uvicorn.Server, url: str, browser: bool) -> None:
    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.02)
    typer.echo(f"The review is open at {url} (stop with Ctrl-C; every edit is kept at once)")
    if browser:
        webbrowser.open(url)


def _health() -> dict[str, str]:
    """For whatever watches the server."""
    return {"status": "up"}
