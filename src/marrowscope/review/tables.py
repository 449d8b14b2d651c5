"""The tables of the review's database: cases, the append-only log of edits, frozen documents.

Users and sessions are in :mod:`marrowscope.review.access.tables`. What the cells are now is in no table: it is derived
from the results of the count and the log.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

metadata = MetaData()
"""All tables of the review."""

cases = Table(
    "cases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("head_n", Integer, nullable=False, default=0),
    Column("head_hash", String(64), nullable=False, default=""),
    Column("status", String(16), nullable=False, default="counted"),
    Column("source", String(512), unique=True),
    sqlite_autoincrement=True,
)
"""One row a case: number and hash of the last row of its log (a cut-off end is found by them), its status, and the
folder of results that it was opened for, so that two servers do not open it twice."""

log = Table(
    "log",
    metadata,
    Column("case_id", Integer, ForeignKey("cases.id"), primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("actor", String(128), nullable=False),
    Column("reading", String(160), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("payload", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    CheckConstraint("n > 0"),
)
"""One row an edit, never changed or deleted: triggers refuse it."""

documents = Table(
    "documents",
    metadata,
    Column("case_id", Integer, ForeignKey("cases.id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("name", String(128), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
"""The files of a signed version, frozen; their hashes stand in the row of the log that signed them."""
