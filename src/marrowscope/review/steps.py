"""What a case that two observers read waits for, as a person sees it: one word, which pages turn into a sentence."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from marrowscope.review.chain import Entry

Step = Literal["", "read", "wait", "others_read", "settle"]
"""Nothing to do with observers; read it blind; wait for the other observer; others read it; look at the differences."""


def step_of(observers: Collection[str], finished: Collection[str], status: str, name: str) -> Step:
    """The step of the person ``name`` in a case."""
    if not observers or status == "signed":
        return ""
    if len(finished) == len(observers):
        return "settle"
    if name not in observers:
        return "others_read"
    return "wait" if name in finished else "read"


@dataclass(frozen=True, slots=True)
class Observed:
    """Who reads a case blind and who has finished, from the rows of its log alone."""

    observers: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()

    def after(self, entry: Entry) -> Observed:
        """With the next row; rows of other kinds change nothing."""
        match entry.kind:
            case "appoint":
                return Observed(tuple(entry.content["observers"]))
            case "dismiss":
                return Observed()
            case "finish":
                return Observed(self.observers, (*self.finished, entry.actor))
            case _:
                return self
