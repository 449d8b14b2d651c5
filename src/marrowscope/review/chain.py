"""The hash chain of a log: each row carries the hash of the one before, so that no row can be changed unseen.

hash(n) = SHA-256 of the JSON list [case, n, at, actor, reading, kind, payload, hash(n - 1)]
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BEGINNING = "0" * 64
"""What stands as the previous hash of the first row."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log. ``at`` is UTC, ISO 8601; ``payload`` is canonical JSON (:func:`canonical`)."""

    case: int
    n: int
    at: str
    actor: str
    reading: str
    kind: str
    payload: str
    previous: str
    hash: str

    @property
    def content(self) -> dict[str, Any]:
        """The payload as a dictionary."""
        content: dict[str, Any] = json.loads(self.payload)
        return content


def canonical(payload: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: the same payload always gives the same text."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def next_entry(
    case: int, n: int, at: str, actor: str, reading: str, kind: str, payload: Mapping[str, Any], previous: str
) -> Entry:
    """The row that follows the row with the hash ``previous``."""
    text = canonical(payload)
    return Entry(
        case, n, at, actor, reading, kind, text, previous, _hash(case, n, at, actor, reading, kind, text, previous)
    )


def first_fault(
    entries: Iterable[Entry], head_n: int, head_hash: str, after_n: int = 0, after_hash: str = BEGINNING
) -> str | None:
    """What is wrong with the log of a case, in words, or None: its rows in order, and what the case says of its last.

    ``entries`` are the rows after row ``after_n``, whose hash is known to be ``after_hash``; without it all rows. Only
    the first fault is told; all rows behind it are in doubt.
    """
    previous, n = after_hash, after_n
    for entry in entries:
        n += 1
        if entry.n != n:
            return f"row {n} of the log is missing"
        if entry.previous != previous:
            return f"row {n} of the log does not follow the row before it"
        told = entry.case, entry.n, entry.at, entry.actor, entry.reading, entry.kind, entry.payload, entry.previous
        if entry.hash != _hash(*told):
            return f"row {n} of the log was changed after it was written"
        previous = entry.hash
    if n < head_n:
        return f"rows {n + 1} to {head_n} of the log are missing"
    if (n, previous if n else "") != (head_n, head_hash):
        return f"the log does not end in row {head_n}, as the case says"
    return None


def _hash(case: int, n: int, at: str, actor: str, reading: str, kind: str, payload: str, previous: str) -> str:
    told = json.dumps([case, n, at, actor, reading, kind, payload, previous], ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()
