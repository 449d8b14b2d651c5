"""The users of a review, their roles and passwords."""

from __future__ import annotations

import re
import time
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, Engine, delete, insert, select, update

from marrowscope.review.access.clock import Clock
from marrowscope.review.access.tables import api_tokens, sessions, users
from marrowscope.review.database import ReviewError, storage_errors

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
"""Characters; without an upper bound a login could be made to hash megabytes."""

NAME = re.compile(r"[a-z][a-z0-9._@-]{0,63}")
RESERVED = frozenset({"local", "system"})
"""Names that the log uses for somebody without a login."""


class Role(StrEnum):
    """What a user may do. Each role may also do what those before it may."""

    READER = "reader"
    REVIEWER = "reviewer"
    SIGNER = "signer"
    ADMIN = "admin"

    def may(self, needed: Role) -> bool:
        """Whether this role is ``needed`` or a higher one."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class User:
    """A user; ``created`` and ``disabled`` are seconds since 1970, UTC."""

    name: str
    role: Role
    created: float
    disabled: float | None


class Users:
    """Adds, changes and checks the users of a database. Safe for several threads.

    ``hasher`` holds the parameters of argon2; a password whose hash has other ones is hashed again when it is next
    given. Every method may raise ``StorageError``.
    """

    def __init__(self, engine: Engine, *, hasher: PasswordHasher | None = None, clock: Clock = time.time) -> None:
        self._engine, self._clock = engine, clock
        self._hasher = hasher or PasswordHasher()

    def add(self, name: str, password: str, role: Role) -> User:
        """Let somebody in. Raises ``ReviewError`` for a name or password that cannot be, or a name that is taken."""
        name, hashed = _checked_name(name), self._hashed(name, password)
        with storage_errors("the user was not added"), self._engine.begin() as connection:
            earlier = self._find(connection, name)
            if earlier is not None:
                raise ReviewError(
                    f"there is a user {name} already"
                    if earlier.disabled is None
                    else f"{name} was a user and was removed; the log still names them, so nobody else gets that name: "
                    f"choose another one, or let the same person in again with marrowscope users restore {name}"
                )
            added = User(name, role, self._clock(), None)
            connection.execute(insert(users).values(name=name, password=hashed, role=role.value, created=added.created))
            return added

    def remove(self, name: str) -> None:
        """Let a user in no more; sessions and tokens end. The row stays, because the log names the user.

        Raises ``ReviewError`` for an unknown user and for the last admin.
        """
        with storage_errors("the user was not removed"), self._engine.begin() as connection:
            name = self._active(connection, name).name
            self._keep_an_admin(connection, name)
            connection.execute(update(users).where(users.c.name == name).values(disabled=self._clock()))
            connection.execute(delete(sessions).where(sessions.c.user == name))
            connection.execute(
                update(api_tokens)
                .where(api_tokens.c.user == name, api_tokens.c.revoked.is_(None))
                .values(revoked=self._clock())
            )

    def restore(self, name: str, password: str) -> User:
        """Let a removed user in again, with a new password. Raises ``ReviewError`` when there is none."""
        name = _folded(name)
        hashed = self._hashed(name, password)
        with storage_errors("the user was not let in again"), self._engine.begin() as connection:
            found = self._find(connection, name)
            if found is None or found.disabled is None:
                raise ReviewError(f"no user {name} was removed: marrowscope users list names all")
            connection.execute(update(users).where(users.c.name == name).values(disabled=None, password=hashed))
            return User(found.name, found.role, found.created, None)

    def set_password(self, name: str, password: str) -> None:
        """Give a new password; all sessions of the user end. Raises ``ReviewError`` as :meth:`add` does."""
        hashed = self._hashed(_folded(name), password)
        with storage_errors("the password was not changed"), self._engine.begin() as connection:
            name = self._active(connection, name).name
            connection.execute(update(users).where(users.c.name == name).values(password=hashed))
            connection.execute(delete(sessions).where(sessions.c.user == name))

    def set_role(self, name: str, role: Role) -> None:
        """Give another role; all sessions end, so that no open page goes on with the old one.

        Raises ``ReviewError`` for an unknown user, and for the last admin when the new role is a lower one.
        """
        with storage_errors("the role was not changed"), self._engine.begin() as connection:
            name = self._active(connection, name).name
            if role is not Role.ADMIN:
                self._keep_an_admin(connection, name)
            connection.execute(update(users).where(users.c.name == name).values(role=role.value))
            connection.execute(delete(sessions).where(sessions.c.user == name))

    def all(self) -> list[User]:
        """Every user by name, removed ones too."""
        with storage_errors("the users cannot be read"), self._reading() as connection:
            return [_user(*row) for row in connection.execute(_USERS.order_by(users.c.name))]

    def check(self, name: str, password: str) -> User | None:
        """The user whose password this is, or None. It takes as long for a name that does not exist."""
        name, decoy = _folded(name), self._decoy
        password = unicodedata.normalize("NFKC", password)
        query = select(users.c.name, users.c.role, users.c.created, users.c.disabled, users.c.password)
        with storage_errors("the users cannot be read"), self._reading() as connection:
            row = connection.execute(query.where(users.c.name == name)).one_or_none()
        hashed = decoy if row is None or len(password) > LONGEST_PASSWORD else row.password
        try:
            self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return None
        if row is None or row.disabled is not None:
            return None
        if self._hasher.check_needs_rehash(hashed):
            again = self._hasher.hash(password)
            with storage_errors("the password was not hashed again"), self._engine.begin() as connection:
                same = (users.c.name == name) & (users.c.password == hashed)
                connection.execute(update(users).where(same).values(password=again))
        return _user(row.name, row.role, row.created, row.disabled)

    @cached_property
    def _decoy(self) -> str:
        """A hash of nothing, checked for names that do not exist."""
        return self._hasher.hash("")

    def _hashed(self, name: str, password: str) -> str:
        password = unicodedata.normalize("NFKC", password)
        if len(password) < SHORTEST_PASSWORD:
            raise ReviewError(
                f"the password has {len(password)} characters, at least {SHORTEST_PASSWORD} are needed: a few words in "
                "a row are easy to remember"
            )
        if len(password) > LONGEST_PASSWORD:
            raise ReviewError(f"the password has {len(password)} characters, at most {LONGEST_PASSWORD} are taken")
        if len(set(password)) < 5 or password.casefold().strip() == name:
            raise ReviewError("this password is too easy to guess: take a few words in a row")
        return self._hasher.hash(password)

    def _reading(self) -> Connection:
        return self._engine.connect().execution_options(reads=True)

    @staticmethod
    def _find(connection: Connection, name: str) -> User | None:
        row = connection.execute(_USERS.where(users.c.name == name).with_for_update()).one_or_none()
        return None if row is None else _user(*row)

    def _active(self, connection: Connection, name: str) -> User:
        found = self._find(connection, _folded(name))
        if found is None or found.disabled is not None:
            raise ReviewError(f"there is no user {_folded(name)}: marrowscope users list names all")
        return found

    @staticmethod
    def _keep_an_admin(connection: Connection, leaving: str) -> None:
        query = select(users.c.name).where(users.c.role == Role.ADMIN.value, users.c.disabled.is_(None))
        if set(connection.execute(query.with_for_update()).scalars()) == {leaving}:
            raise ReviewError(f"{leaving} is the last admin: make somebody else an admin first")


def _folded(name: str) -> str:
    return name.strip().casefold()


def _checked_name(name: str) -> str:
    name = _folded(name)
    if not NAME.fullmatch(name):
        raise ReviewError(
            f"{name!r} cannot be the name of a user: at most 64 letters a to z, digits and . _ @ -, a letter first"
        )
    if name in RESERVED:
        raise ReviewError(f"the name {name} is reserved: choose another one")
    return name


def _user(name: str, role: str, created: float, disabled: float | None) -> User:
    return User(name, Role(role), created, disabled)


_USERS = select(users.c.name, users.c.role, users.c.created, users.c.disabled)
