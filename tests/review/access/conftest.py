"""A small app behind the guard, a database of its own for each test, cheap passwords and a clock to turn."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import Depends, FastAPI, Request, WebSocket
from sqlalchemy import Engine
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from marrowscope.review.access.clock import SteadyClock
from marrowscope.review.access.guard import Guard
from marrowscope.review.access.headers import SecurityHeaders
from marrowscope.review.access.identity import Identity, current_identity, require
from marrowscope.review.access.limits import LoginLimiter
from marrowscope.review.access.login import login_router
from marrowscope.review.access.rules import Rules, local_rules, users_rules
from marrowscope.review.access.sessions import Sessions, Tokens
from marrowscope.review.access.users import Role, Users
from marrowscope.review.database import FILE_NAME, open_database

PASSWORD = "correct horse battery"
PORT = 8080
ADDRESS = "http://review.example:8080"
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Time:
    """What the computer's clock and its stopwatch say."""

    wall: float = 1_800_000_000.0
    stopwatch: float = 0.0

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.stopwatch += seconds


@dataclass
class Review:
    """A review with users: anna reads, rita reviews, sven signs, otto is the admin."""

    file: Path
    engine: Engine
    time: Time
    users: Users
    sessions: Sessions
    tokens: Tokens
    rules: Rules
    limiter: LoginLimiter
    owners: dict[str, Identity] = field(default_factory=dict)
    check_seconds: float = 0.05

    def app(self) -> SecurityHeaders:
        app = small_app()
        app.include_router(login_router(self.users, self.sessions, self.rules, limiter=self.limiter))
        guard = Guard(
            app,
            self.rules,
            self.sessions,
            self.tokens,
            page_owner=self.owners.get,
            check_seconds=self.check_seconds,
        )
        return SecurityHeaders(guard, behind_tls=self.rules.behind_tls)

    def client(self, address: str = ADDRESS) -> TestClient:
        return TestClient(self.app(), base_url=address, follow_redirects=False)

    def logged_in(self, name: str, address: str = ADDRESS) -> tuple[TestClient, str]:
        """A browser with the session of a user, and the session's CSRF token."""
        opened = self.sessions.open(name)
        client = self.client(address)
        client.cookies.set(self.rules.cookie, opened.token)
        return client, opened.csrf


def connect(client: TestClient, path: str, headers: dict[str, str] | None = None) -> WebSocketTestSession:
    """A websocket to where the client's requests go: the client alone would ask for a host of its own."""
    return client.websocket_connect(f"ws://{client.base_url.netloc.decode()}{path}", headers=headers or {})


def small_app(static: Path | None = None) -> FastAPI:
    """Pages, an interface, websockets: one of each kind."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    def first() -> HTMLResponse:
        return HTMLResponse("<h1>cases</h1>", headers={"X-NiceGUI-Content": "page"})

    @app.get("/health")
    def health() -> PlainTextResponse:
        return PlainTextResponse("ok")

    @app.get("/picture")
    def picture() -> Response:
        return Response(b"\x89PNG", media_type="image/png", headers={"Cache-Control": "private, max-age=60"})

    @app.get("/api/v1/me")
    def me(identity: Identity = Depends(current_identity)) -> dict[str, str]:
        return {"name": identity.name, "role": identity.role}

    @app.post("/api/v1/edit")
    def edit(identity: Identity = Depends(require(Role.REVIEWER))) -> dict[str, str]:
        return {"by": identity.name}

    @app.put("/api/v1/sign")
    def sign(identity: Identity = Depends(require(Role.SIGNER))) -> dict[str, str]:
        return {"by": identity.name}

    @app.post("/form")
    async def form(request: Request) -> dict[str, str]:
        return {"body": (await request.body()).decode()}

    @app.websocket("/api/v1/live")
    async def live(socket: WebSocket, identity: Identity = Depends(current_identity)) -> None:
        await socket.accept()
        try:
            while True:
                await socket.send_text(f"{identity.name}: {await socket.receive_text()}")
        except WebSocketDisconnect:
            pass

    @app.websocket("/_nicegui_ws/socket.io/")
    async def page(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(socket.query_params["client_id"])
        try:
            while True:
                await socket.send_text(await socket.receive_text())
        except WebSocketDisconnect:
            pass

    if static is not None:
        app.mount("/static", StaticFiles(directory=static))
    return app


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("empty") / FILE_NAME
    engine = open_database(f"sqlite:///{file}")
    users = Users(engine, hasher=CHEAP)
    for name, role in (("anna", Role.READER), ("rita", Role.REVIEWER), ("sven", Role.SIGNER), ("otto", Role.ADMIN)):
        users.add(name, PASSWORD, role)
    engine.dispose()
    return file


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def review(empty_database: Path, tmp_path: Path, time: Time) -> Iterator[Review]:
    file = tmp_path / FILE_NAME
    shutil.copyfile(empty_database, file)
    engine = open_database(f"sqlite:///{file}")
    clock = SteadyClock(lambda: time.wall, lambda: time.stopwatch)
    yield Review(
        file,
        engine,
        time,
        Users(engine, hasher=CHEAP),
        Sessions(engine, clock=clock),
        Tokens(engine, clock=clock),
        users_rules("0.0.0.0", PORT, ["review.example"]),
        LoginLimiter(lambda: time.stopwatch),
    )
    engine.dispose()


@pytest.fixture
def local() -> TestClient:
    app = Guard(small_app(), local_rules("127.0.0.1", PORT))
    return TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)
