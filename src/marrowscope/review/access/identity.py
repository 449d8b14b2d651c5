"""Who a request comes from, for the routes behind the guard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, HTTPException
from starlette.requests import HTTPConnection

from marrowscope.review.access.users import Role

STATE = "identity"
"""The key of ``scope["state"]``: ``request.state.identity``."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from. ``session`` names the session or token (no secret), None on one's own computer.

    ``csrf`` is what a state-changing request must carry in ``X-CSRF-Token`` or the field ``csrf``; None where nothing
    is asked for (one's own computer, tokens of programs).
    """

    name: str
    role: Role
    session: str | None = None
    csrf: str | None = None

    def may(self, needed: Role) -> bool:
        """Whether the role of this user is ``needed`` or a higher one."""
        return self.role.may(needed)


LOCAL = Identity("local", Role.ADMIN)
"""Whoever sits at the computer that the review runs on, without a login."""


def current_identity(request: HTTPConnection) -> Identity:
    """Who the request or websocket comes from, as the guard found; a dependency of FastAPI.

    Raises an HTTP error 401 on a public route without a login.
    """
    identity = request.scope.get("state", {}).get(STATE)
    if not isinstance(identity, Identity):
        raise HTTPException(401, "Log in first.")
    return identity


def require(role: Role) -> Callable[[Identity], Identity]:
    """A dependency of FastAPI: the identity, when it has ``role`` or a higher one; an HTTP error 403 otherwise."""

    def required(identity: Annotated[Identity, Depends(current_identity)]) -> Identity:
        if not identity.may(role):
            raise HTTPException(
                403, f"This needs the role {role}; {identity.name} has the role {identity.role}. Ask an admin."
            )
        return identity

    return required
