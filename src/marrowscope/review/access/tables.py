"""The tables of users, of their sessions, and of tokens for programs.

Passwords are kept as argon2 hashes, tokens as SHA-256: neither can be read back. Times are seconds since 1970, UTC.
"""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Integer, String, Table

from marrowscope.review.tables import metadata

users = Table(
    "users",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("password", String(255), nullable=False),
    Column("role", String(16), nullable=False),
    Column("created", Double, nullable=False),
    Column("disabled", Double),
)
"""One row a user, for ever: the log names users, so a name is never given to somebody else."""

sessions = Table(
    "sessions",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("user", String(64), ForeignKey("users.name"), nullable=False, index=True),
    Column("csrf", String(64), nullable=False),
    Column("created", Double, nullable=False),
    Column("seen", Double, nullable=False),
    Column("expires", Double, nullable=False),
)
"""One row a login that is not over."""

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sha256", String(64), nullable=False, unique=True),
    Column("user", String(64), ForeignKey("users.name"), nullable=False, index=True),
    Column("label", String(128), nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("revoked", Double),
    sqlite_autoincrement=True,
)
"""One row a token of a program, revoked ones too."""
