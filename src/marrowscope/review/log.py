"""The append-only log of a database: rows written one after the other, each in a transaction of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, false, insert, select, update
from sqlalchemy.exc import IntegrityError

from marrowscope.review.chain import BEGINNING, Entry, first_fault, next_entry
from marrowscope.review.database import Missing, ReviewError, StorageError, sqlite_url, storage_errors
from marrowscope.review.tables import cases, documents, log

LARGEST = 2**31 - 1
"""Number of a case or a row: what every database keeps in an integer."""

OUTLINED = ("open", "add_slide", "appoint", "dismiss", "finish")
"""Kinds of rows that :mod:`marrowscope.review.outlines` tells."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last row of a case's log, and the status of the case."""

    case: int
    n: int
    hash: str
    status: str


@dataclass(frozen=True, slots=True)
class Document:
    """A frozen file of a signed version."""

    version: int
    name: str
    sha256: str
    content: bytes


class Stale(ReviewError):
    """Somebody else's edit came in between: look at it, then decide again."""


class NotAsSigned(ReviewError):
    """A frozen file is not the one that was signed: somebody changed the database by hand."""


class EditLog:
    """Reads and adds rows. Safe for several threads, and for several programs on one database."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._whole: dict[int, tuple[int, str]] = {}
        """Of each case the last row up to which its log was found whole, and the hash of that row."""

    def open_case(self, actor: str, title: str, slides: Sequence[Mapping[str, Any]], source: str | None) -> int | None:
        """Begin a case with its slides; its number. None when a case of this ``source`` was opened before."""
        rows: list[tuple[str, Mapping[str, Any]]] = [("open", {"title": title})]
        rows += [("add_slide", slide) for slide in slides]
        try:
            with storage_errors("the case was not opened"), self.engine.begin() as connection:
                made = connection.execute(insert(cases).values(head_n=0, head_hash="", status="counted", source=source))
                assert made.inserted_primary_key is not None
                head = Head(int(made.inserted_primary_key[0]), 0, "", "counted")
                for kind, payload in rows:
                    entry = self._add(connection, head, actor, "main", kind, payload, None)
                    head = Head(entry.case, entry.n, entry.hash, head.status)
                return head.case
        except StorageError as error:
            if isinstance(error.__cause__, IntegrityError) and source in self.sources():
                return None
            raise

    def sources(self) -> set[str]:
        """Of all cases: the folders of results that they were opened for."""
        with storage_errors("the cases cannot be read"), self._reading() as connection:
            return {name for (name,) in connection.execute(select(cases.c.source)) if name is not None}

    def add(
        self,
        case: int,
        actor: str,
        reading: str,
        kind: str,
        payload: Mapping[str, Any],
        *,
        expected_n: int,
        status: str | None = None,
        files: Sequence[Document] = (),
    ) -> Entry:
        """Add one row, if ``expected_n`` is still the last one: what was checked against the state then still holds.

        ``status`` and ``files`` are written in the same transaction. Raises ``Stale`` when another row came in
        between, ``StorageError`` when the row could not be written, ``Missing`` when there is no such case.
        """
        with storage_errors("nothing was kept of this edit"), self.engine.begin() as connection:
            head = self._locked_head(connection, case)
            if head.n != expected_n:
                raise Stale(f"case {case} has {head.n} rows by now, {expected_n} were known")
            entry = self._add(connection, head, actor, reading, kind, payload, status)
            for file in files:
                connection.execute(
                    insert(documents).values(
                        case_id=case,
                        version=file.version,
                        name=file.name,
                        sha256=file.sha256,
                        size=len(file.content),
                        content=file.content,
                    )
                )
            return entry

    def since(self, case: int, n: int = 0, limit: int | None = None) -> list[Entry]:
        """The rows of a case after row ``n``, in order; not more than ``limit``."""
        with storage_errors("the log cannot be read"), self._reading() as connection:
            return self._since(connection, case, n, limit)

    def news(self, known: Mapping[int, Head]) -> tuple[list[Head], list[Entry]]:
        """All cases, and of those whose head is not the known one the rows after it that an outline tells, in order.

        Those are the rows that open a case, put slides into it, appoint and dismiss observers or say that one has
        finished, and the last row.
        """
        told = select(log).join(cases, cases.c.id == log.c.case_id).order_by(log.c.case_id, log.c.n)
        told = told.where(log.c.kind.in_(OUTLINED) | (log.c.n == cases.c.head_n))
        with storage_errors("the cases cannot be read"), self._reading() as connection:
            heads = [Head(*row) for row in connection.execute(_HEADS.order_by(cases.c.id))]
            if not known:  # all of them at once
                return heads, [Entry(*row) for row in connection.execute(told)]
            entries: list[Entry] = []
            for head in heads:
                before = known.get(head.case)
                if before != head:
                    since = before.n if before is not None and before.n < head.n else 0
                    news = told.where(log.c.case_id == head.case, log.c.n > since)
                    entries += [Entry(*row) for row in connection.execute(news)]
            return heads, entries

    def heads(self) -> list[Head]:
        """All cases, in the order in which they were opened."""
        with storage_errors("the cases cannot be read"), self._reading() as connection:
            return [Head(*row) for row in connection.execute(_HEADS.order_by(cases.c.id))]

    def head(self, case: int) -> Head:
        """Raises ``Missing`` when there is no such case."""
        with storage_errors("the case cannot be read"), self._reading() as connection:
            return self._head(connection, case)

    def fault(self, case: int) -> str | None:
        """What is wrong with the log or the frozen files of a case, in words; None when all is as it was written."""
        return self._fault(case, 0, BEGINNING)

    def new_fault(self, case: int) -> str | None:
        """What is wrong with the rows, and the files signed in them, that came since the log was last found whole.

        Reads those and the one row before them: what a page can ask for every few seconds. A row further back that was
        changed since is found by :meth:`fault` alone.
        """
        known = self._whole.get(case)
        if known is not None:
            n, hash_ = known
            last = self.since(case, n - 1, 1) if n else []
            if [entry.hash for entry in last] == [hash_]:
                return self._fault(case, n, hash_)
        return self.fault(case)

    def _fault(self, case: int, after_n: int, after_hash: str) -> str | None:
        """The first fault behind a row; remembers up to where the log is whole."""
        self._whole.pop(case, None)
        with storage_errors("the log cannot be read"), self._reading() as connection:
            head = self._head(connection, case)
            entries = self._since(connection, case, after_n)
            if found := first_fault(entries, head.n, head.hash, after_n, after_hash):
                return found
            signed = {
                (entry.content["version"], name): sha256
                for entry in entries
                if entry.kind == "sign"
                for name, sha256 in entry.content["files"].items()
            }
            first = min((version for version, _ in signed), default=None) if after_n else 0
            query = select(documents.c.version, documents.c.name, documents.c.content).where(
                documents.c.case_id == case, false() if first is None else documents.c.version >= first
            )
            for version, name, content in connection.execute(query):
                if hashlib.sha256(content).hexdigest() != signed.pop((version, name), None):
                    return f"the file {name} of version {version} is not the one that was signed"
            for version, name in signed:
                return f"the file {name} of version {version} is missing"
        self._whole[case] = head.n, head.hash
        return None

    def document(self, case: int, version: int, name: str) -> Document | None:
        """A frozen file, or None. Raises ``NotAsSigned`` when it, or the log up to its signature, was changed."""
        query = select(documents.c.version, documents.c.name, documents.c.sha256, documents.c.content).where(
            documents.c.case_id == case, documents.c.version == version, documents.c.name == name
        )
        with storage_errors("the file cannot be read"), self._reading() as connection:
            row = connection.execute(query).one_or_none()
            entries = [] if row is None else self._since(connection, case, 0)
        if row is None:
            return None
        found = Document(*row)
        signed = [entry for entry in entries if entry.kind == "sign" and entry.content["version"] == version]
        told = signed[0].content["files"].get(name) if signed else None
        if hashlib.sha256(found.content).hexdigest() != told:
            raise NotAsSigned(f"the file {name} of version {version} is not the one that was signed")
        if fault := first_fault(entries[: signed[0].n], signed[0].n, signed[0].hash):
            raise NotAsSigned(f"version {version} is not the one that was signed: {fault}")
        return replace(found, sha256=told)

    def _reading(self) -> Connection:
        """What is read in one block is of one moment, whatever others write meanwhile."""
        options: dict[str, Any] = {"reads": True}
        if self.engine.dialect.name != "sqlite":
            options["isolation_level"] = "REPEATABLE READ"
        return self.engine.connect().execution_options(**options)

    @staticmethod
    def _head(connection: Connection, case: int, *, lock: bool = False) -> Head:
        query = _HEADS.where(cases.c.id == case)
        known = 0 <= case <= LARGEST
        row = connection.execute(query.with_for_update() if lock else query).one_or_none() if known else None
        if row is None:
            raise Missing(f"there is no case {case}: choose one of the list")
        return Head(*row)

    def _locked_head(self, connection: Connection, case: int) -> Head:
        return self._head(connection, case, lock=True)

    @staticmethod
    def _since(connection: Connection, case: int, n: int, limit: int | None = None) -> list[Entry]:
        query = select(log).where(log.c.case_id == case, log.c.n > n).order_by(log.c.n).limit(limit)
        return [Entry(*row) for row in connection.execute(query)]

    @staticmethod
    def _add(
        connection: Connection,
        head: Head,
        actor: str,
        reading: str,
        kind: str,
        payload: Mapping[str, Any],
        status: str | None,
    ) -> Entry:
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = next_entry(head.case, head.n + 1, at, actor, reading, kind, payload, head.hash or BEGINNING)
        connection.execute(
            insert(log).values(
                case_id=entry.case,
                n=entry.n,
                at=entry.at,
                actor=entry.actor,
                reading=entry.reading,
                kind=entry.kind,
                payload=entry.payload,
                previous=entry.previous,
                hash=entry.hash,
            )
        )
        connection.execute(
            update(cases)
            .where(cases.c.id == entry.case)
            .values(head_n=entry.n, head_hash=entry.hash, status=status or head.status)
        )
        return entry


_HEADS = select(cases.c.id, cases.c.head_n, cases.c.head_hash, cases.c.status)


def faults_of_file(path: Path) -> dict[int, str]:
    """What is wrong with the logs and frozen files of a SQLite database that is not in use, by number of the case."""
    engine = create_engine(sqlite_url(path))
    try:
        log_of_file = EditLog(engine)
        faults = {head.case: log_of_file.fault(head.case) for head in log_of_file.heads()}
    finally:
        engine.dispose()
    return {case: fault for case, fault in faults.items() if fault is not None}


def faults_in_words(faults: Mapping[int, str]) -> str:
    """For a message: the first few of them."""
    told = [f"case {case}: {fault}" for case, fault in list(faults.items())[:3]]
    return "; ".join(told) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")
