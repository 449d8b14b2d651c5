"""Nothing is open that is not on the public list: every route that is served, without a login and as a reader."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from marrowscope.review.access.rules import is_public
from marrowscope.review.access.sessions import Tokens
from marrowscope.review.access.users import Role, Users
from marrowscope.review.workstation import open_workstation

LIST_ROUTES = """
import json, sys
from pathlib import Path
from fastapi.routing import iter_route_contexts
from starlette.routing import Mount
from marrowscope.review.access.rules import users_rules
from marrowscope.review.server import build_app
from marrowscope.review.workstation import open_workstation

def routes(app, before=""):
    for route in app.routes:
        if isinstance(route, Mount):
            if getattr(route.app, "routes", None):
                yield from routes(route.app, before + route.path)
            else:
                yield before + route.path + "/", ["GET"]
    for found in iter_route_contexts([route for route in app.routes if not isinstance(route, Mount)]):
        yield before + found.path, sorted(found.methods or ["GET"])

workstation = open_workstation(Path(sys.argv[1]))
app = build_app(workstation, users_rules("127.0.0.1", 1))
assert not workstation.places.named, "who logs in is told no folder of the server"
print(json.dumps(list(routes(app))))
"""

PASSWORD = "a password that is long enough"
VALUES = {
    "case": "1",
    "slide": "0",
    "cell": "1",
    "sheet": "0",
    "z": "0",
    "x": "0",
    "y": "0",
    "version": "1",
    "name": "report.pdf",
    "key": "none",
    "path": "none",
    "job": "1",
    "upload": "1",
}


@pytest.fixture
def served(results: Path) -> Iterator[tuple[str, str]]:
    """A review that asks for a login: its address, and the token of a reader."""
    engine = open_workstation(results).log.engine
    users = Users(engine)
    users.add("anna", PASSWORD, Role.ADMIN)
    users.add("rita", PASSWORD, Role.READER)
    token = Tokens(engine).make("rita", "test", 1)
    engine.dispose()
    command = [sys.executable, "-m", "marrowscope", "review", str(results), "--no-browser", "--port", "0", "--login"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        words = server.stdout.readline().split()
        try:
            yield next(word for word in words if word.startswith("http")).rstrip("/"), token
        finally:
            server.terminate()


def all_routes(results: Path) -> list[tuple[str, str]]:
    listed = subprocess.run([sys.executable, "-c", LIST_ROUTES, results], check=True, capture_output=True, text=True)
    found = []
    for path, methods in json.loads(listed.stdout):
        for name in {part.strip("{}").partition(":")[0] for part in path.split("/") if part.startswith("{")}:
            value = VALUES.get(name, "1")
            path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
        for ending in (".jpg", ".png"):
            name = path.rpartition("/")[2]
            if name.startswith("{") and name.endswith(ending):
                path = path.replace(name, f"0{ending}")
        found += [(method, path) for method in methods if method not in ("HEAD", "OPTIONS")]
    return found


def test_without_a_login_nothing_is_open(served: tuple[str, str], results: Path) -> None:
    address, token = served
    routes = all_routes(results)
    assert len(routes) > 30
    assert not any("{" in path for _, path in routes), routes
    closed = [(method, path) for method, path in routes if not is_public(method, path)]
    assert ("POST", "/api/v1/cases/1/edits") in closed
    with httpx.Client(base_url=address) as http:
        for method, path in closed:
            answer = http.request(method, path)
            if path.startswith("/_nicegui_ws"):
                assert answer.status_code == 403, path
            elif path.startswith("/api/") or method != "GET":
                assert answer.status_code in (401, 403), (method, path, answer.status_code)
            else:
                assert answer.status_code in (303, 401), (method, path, answer.status_code)
                assert answer.headers.get("location", "/login").startswith("/login"), path
        as_reader = {"Authorization": f"Bearer {token}"}
        changing = [(method, path) for method, path in closed if path.startswith("/api/") and method != "GET"]
        assert changing
        for method, path in changing:
            if path != "/api/v1/try":  # a reader may try pictures: nothing is kept
                assert http.request(method, path, headers=as_reader).status_code == 403, (method, path)
        assert http.get("/api/v1/cases", headers=as_reader).status_code == 200
