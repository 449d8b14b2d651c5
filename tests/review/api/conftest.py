"""The interface as a program sees it: one's own computer, and people with roles by tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from marrowscope.review.access.guard import protect
from marrowscope.review.access.rules import local_rules, users_rules
from marrowscope.review.access.sessions import Sessions, Tokens
from marrowscope.review.access.users import Role, Users
from marrowscope.review.api.app import PREFIX, add_interface, new_app
from marrowscope.review.counting import CountQueue, Run
from marrowscope.review.pictures.shelf import Shelf
from marrowscope.review.uploads import Uploads
from marrowscope.review.workstation import Workstation

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Interface:
    """Asks the interface as one person."""

    client: TestClient

    def get(self, path: str, status: int = 200) -> Any:
        return self._checked(self.client.get(PREFIX + path), status)

    def post(self, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        return self._checked(self.client.post(PREFIX + path, json=body, **more), status)

    def edit(self, case: int, edit: dict[str, Any], reading: str = "main", status: int = 201, **more: Any) -> Any:
        return self.post(f"/cases/{case}/edits", {"edit": edit, "reading": reading, **more}, status)

    @staticmethod
    def _checked(response: Any, status: int) -> Any:
        assert response.status_code == status, response.text
        return response.json() if "json" in response.headers["content-type"] else response


@pytest.fixture
def run() -> Run | None:
    """How the queue counts; None: in a process of its own."""
    return None


@pytest.fixture
def interface(workstation: Workstation, run: Run | None) -> Iterator[Interface]:
    """The one person at this computer."""
    app = new_app()
    queue = CountQueue(workstation, run=run)
    add_interface(app, workstation, Shelf(), queue, Uploads(workstation.root, 30_000_000))
    rules = local_rules("127.0.0.1", 8765)
    with TestClient(protect(app, rules), base_url="http://127.0.0.1:8765") as client:
        yield Interface(client)
    queue.close()


@pytest.fixture
def people(workstation: Workstation) -> Callable[[str], Interface]:
    """A person of a review with a login: anna reads, rita and rolf review, sven signs."""
    engine = workstation.log.engine
    users, tokens = Users(engine, hasher=CHEAP), Tokens(engine)
    roles = {"anna": Role.READER, "rita": Role.REVIEWER, "rolf": Role.REVIEWER, "sven": Role.SIGNER}
    for name, role in roles.items():
        users.add(name, "correct horse battery", role)
    workstation.people = lambda: {"rita", "rolf", "sven"}
    app = new_app()
    add_interface(app, workstation, Shelf(), CountQueue(workstation, [workstation.root]))
    app_behind = protect(app, users_rules("review.example", 8080), Sessions(engine), tokens)

    def as_person(name: str) -> Interface:
        headers = {"Authorization": f"Bearer {tokens.make(name, 'test', 1)}"}
        return Interface(TestClient(app_behind, base_url="http://review.example:8080", headers=headers))

    return as_person
