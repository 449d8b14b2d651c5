"""Who is at the other end: sessions of people, begun by a login, and tokens of programs.

A session ends :data:`IDLE_SECONDS` after its last use and :data:`LONGEST_SECONDS` after the login, at logout, with a
new password or role, and when its user is removed. Only the SHA-256 of a token is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, insert, select, update

from marrowscope.review.access.clock import Clock, SteadyClock
from marrowscope.review.access.tables import api_tokens, sessions, users
from marrowscope.review.access.users import Role
from marrowscope.review.database import ReviewError, StorageError, storage_errors

IDLE_SECONDS = 30 * 60.0
LONGEST_SECONDS = 12 * 3600.0
SEEN_EVERY_SECONDS = 60.0
"""A use is written down at most so often: a session may end that much early, never late."""

LONGEST_TOKEN_DAYS = 366
TOKEN_PREFIX = "marrow_"
"""By it people, and programs that look for secrets, know what they see."""


@dataclass(frozen=True, slots=True)
class Session:
    """A valid session, or a valid token (then ``csrf`` is None). ``id`` is the SHA-256 of what was sent, no secret."""

    id: str
    user: str
    role: Role
    csrf: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """What a login gives: the secret for the cookie, kept nowhere else."""

    token: str
    csrf: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token of a program, without its secret. Times are seconds since 1970, UTC."""

    id: int
    user: str
    label: str
    created: float
    expires: float
    revoked: float | None


class Sessions:
    """The sessions of a database. Safe for several threads. Every method may raise ``StorageError``.

    A clock set back while the program runs is not followed (:class:`SteadyClock`); a session that was last seen in the
    future, because the clock was set back between two runs, is over.
    """

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock or SteadyClock()

    def open(self, user: str) -> Opened:
        """Begin a session of a user whose password was checked; sessions of anybody that are over are deleted.

        Raises ``ReviewError`` when the user was removed in between.
        """
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        with storage_errors("nobody was logged in"), self._engine.begin() as connection:
            _require_user(connection, user)
            now = self._clock()
            connection.execute(
                delete(sessions).where((sessions.c.expires <= now) | (sessions.c.seen <= now - IDLE_SECONDS))
            )
            row = {"user": user, "csrf": csrf, "created": now, "seen": now, "expires": now + LONGEST_SECONDS}
            connection.execute(insert(sessions).values(sha256=fingerprint(token), **row))
        return Opened(token, csrf)

    def find(self, token: str, *, use: bool = True) -> Session | None:
        """The session of a token, or None when there is none or it is over.

        ``use`` counts this as a sign of life; without it the session gets no longer.
        """
        key = fingerprint(token)
        query = (
            select(sessions, users.c.role)
            .join(users, users.c.name == sessions.c.user)
            .where(sessions.c.sha256 == key, users.c.disabled.is_(None))
        )
        with storage_errors("the session cannot be read"), _reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        now = self._clock()  # after the row was read, so that another thread cannot have seen it later than that
        if not (row.created <= row.seen <= now < min(row.expires, row.seen + IDLE_SECONDS)):
            with suppress(StorageError):
                self.close(key)
            return None
        if use and now - row.seen >= SEEN_EVERY_SECONDS:
            same = (sessions.c.sha256 == key) & (sessions.c.seen < now)
            with (
                suppress(StorageError),  # it then ends early; that is no reason to refuse what was asked for
                storage_errors("the session was not prolonged"),
                self._engine.begin() as connection,
            ):
                connection.execute(update(sessions).where(same).values(seen=now))
        return Session(key, row.user, Role(row.role), row.csrf)

    def close(self, id: str) -> None:
        """End one session: a logout."""
        with storage_errors("the session was not ended"), self._engine.begin() as connection:
            connection.execute(delete(sessions).where(sessions.c.sha256 == id))


class Tokens:
    """The tokens of programs. Safe for several threads. Every method may raise ``StorageError``."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine, self._clock = engine, clock or SteadyClock()

    def make(self, user: str, label: str, days: int) -> str:
        """A new token that may do what ``user`` may, for so many days. It cannot be shown again.

        Raises ``ReviewError`` for an unknown or removed user, an empty label, or days outside 1 to
        :data:`LONGEST_TOKEN_DAYS`.
        """
        if not 1 <= days <= LONGEST_TOKEN_DAYS:
            raise ReviewError(f"a token lives 1 to {LONGEST_TOKEN_DAYS} days, found {days}")
        if not 1 <= len(label.strip()) <= 128:
            raise ReviewError("a token needs a label of 1 to 128 characters that says which program has it")
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        with storage_errors("no token was made"), self._engine.begin() as connection:
            _require_user(connection, user)
            now = self._clock()
            row = {"user": user, "label": label.strip(), "created": now, "expires": now + days * 86400.0}
            connection.execute(insert(api_tokens).values(sha256=fingerprint(token), **row))
        return token

    def find(self, token: str) -> Session | None:
        """Who a token speaks for, or None when it is unknown, revoked or over."""
        query = (
            select(api_tokens.c.user, api_tokens.c.created, api_tokens.c.expires, users.c.role)
            .join(users, users.c.name == api_tokens.c.user)
            .where(api_tokens.c.sha256 == fingerprint(token), api_tokens.c.revoked.is_(None))
            .where(users.c.disabled.is_(None))
        )
        with storage_errors("the token cannot be read"), _reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None or not (row.created <= self._clock() < row.expires):
            return None
        return Session(fingerprint(token), row.user, Role(row.role), None)

    def all(self) -> list[Token]:
        """Every token in the order in which they were made, revoked ones too."""
        columns = api_tokens.c
        query = select(
            columns.id, columns.user, columns.label, columns.created, columns.expires, columns.revoked
        ).order_by(columns.id)
        with storage_errors("the tokens cannot be read"), _reading(self._engine) as connection:
            return [Token(*row) for row in connection.execute(query)]

    def revoke(self, id: int) -> None:
        """End a token. Raises ``ReviewError`` when there is none with this number that is not revoked yet."""
        with storage_errors("the token was not revoked"), self._engine.begin() as connection:
            valid = (api_tokens.c.id == id) & api_tokens.c.revoked.is_(None)
            done = connection.execute(update(api_tokens).where(valid).values(revoked=self._clock()))
            if done.rowcount != 1:
                raise ReviewError(f"there is no valid token {id}: marrowscope users tokens lists all")


def fingerprint(token: str) -> str:
    """SHA-256 of a token. Tokens are long and random, so a slow hash as for passwords is not needed."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def _require_user(connection: Connection, name: str) -> None:
    query = select(users.c.name).where(users.c.name == name, users.c.disabled.is_(None)).with_for_update()
    if connection.execute(query).one_or_none() is None:
        raise ReviewError(f"there is no user {name}: marrowscope users list names all")


def _reading(engine: Engine) -> Connection:
    return engine.connect().execution_options(reads=True)
