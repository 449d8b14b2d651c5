"""What the log tells of each case without its cells: title, slides, observers, last row. Kept, and caught up with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from marrowscope.review.case import SlideOfCase
from marrowscope.review.chain import Entry
from marrowscope.review.log import EditLog, Head
from marrowscope.review.steps import Observed


@dataclass(frozen=True, slots=True)
class Outline:
    """A case up to the row ``head``, written at ``last_at`` by ``last_actor``."""

    head: Head
    title: str = ""
    slides: tuple[SlideOfCase, ...] = ()
    observed: Observed = field(default_factory=Observed)
    last_at: str = ""
    last_actor: str = ""

    def after(self, entry: Entry) -> Outline:
        """With the next row that says something here; ``head`` stays."""
        more = replace(self, last_at=entry.at, last_actor=entry.actor, observed=self.observed.after(entry))
        match entry.kind:
            case "open":
                return replace(more, title=entry.content["title"])
            case "add_slide":
                return replace(more, slides=(*self.slides, SlideOfCase.of(entry.content)))
            case _:
                return more


class Outlines:
    """Of all cases. The list is asked for every few seconds: rows that were read are not read again.

    Safe for several threads, and for several programs on one database.
    """

    def __init__(self, log: EditLog) -> None:
        self._log = log
        self._lock = Lock()
        self._known: Mapping[int, Outline] = {}

    def now(self) -> Mapping[int, Outline]:
        """By number of the case, in the order in which they were opened."""
        with self._lock:
            heads, entries = self._log.news({case: known.head for case, known in self._known.items()})
            found: dict[int, Outline] = {}
            for head in heads:
                known = self._known.get(head.case)
                # A log that did not grow but changed is another one: the database was exchanged.
                grown = known is not None and (known.head == head or known.head.n < head.n)
                found[head.case] = replace(known, head=head) if known is not None and grown else Outline(head)
            for entry in entries:
                found[entry.case] = found[entry.case].after(entry)
            self._known = found
            return found
