"""A case as its log tells it: slides, readings, words, observers, signed versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from marrowscope.review.adjudication import adjudicated
from marrowscope.review.chain import Entry
from marrowscope.review.counted import CellArrays
from marrowscope.review.reading import Reading
from marrowscope.review.slide_state import SlideState, Touched

MAIN = "main"
ADJUDICATED = "adjudicated"


def blind(observer: str) -> str:
    """The name of an observer's reading."""
    return f"blind:{observer}"


@dataclass(frozen=True, slots=True)
class SlideOfCase:
    """What the log holds of a slide: its number in the case, and what its results must be.

    ``files``: SHA-256 by name of the result files; empty in the rows of earlier versions.
    """

    number: int
    label: str
    folder: str
    slide_sha256: str
    pack: str
    pack_version: str
    pack_sha256: str
    cells: int
    cells_sha256: str
    files: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, payload: dict[str, Any]) -> Self:
        """From the row of the log that put it into the case."""
        told = dict(payload)
        return cls(told.pop("slide"), **told)

    @property
    def results(self) -> dict[str, str]:
        """SHA-256 by name of all result files that the log knows: at least the cells."""
        return {"cells.parquet": self.cells_sha256, **self.files}


@dataclass(frozen=True, slots=True)
class Signed:
    """One signed version."""

    version: int
    n: int
    at: str
    actor: str
    content: dict[str, Any]
    reason: str = ""
    """Why the version before was amended."""


CellsOf = Callable[[SlideOfCase], CellArrays]
"""The cells of a slide as the count left them; raises ``ReviewError`` where they cannot be read."""


@dataclass(slots=True)
class CaseState:
    """A case after row ``n`` of its log. ``words`` by field; ``finished``: observers who have read to the end."""

    number: int
    cells_of: CellsOf
    title: str = ""
    n: int = 0
    hash: str = ""
    origin: str = ""
    """The hash of its first row: it stays, and no other case has it."""
    slides: list[SlideOfCase] = field(default_factory=list)
    readings: dict[str, Reading] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    worded: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By field the row of the log that wrote its words, and who did."""
    observers: tuple[str, ...] = ()
    finished: set[str] = field(default_factory=set)
    signed: list[Signed] = field(default_factory=list)
    amending: str | None = None
    """The reason of the amendment that is being made."""
    touched_by_hand: bool = False

    @property
    def frozen(self) -> bool:
        """Signed, and not being amended."""
        return bool(self.signed) and self.amending is None

    @property
    def status(self) -> str:
        """``counted``, ``in review`` or ``signed``."""
        return "signed" if self.frozen else "in review" if self.touched_by_hand else "counted"

    @property
    def version(self) -> int:
        """The version that is being made, or that was signed last."""
        return len(self.signed) + (0 if self.frozen else 1)

    @property
    def read_blind(self) -> bool:
        """Whether observers are still reading, each for himself."""
        return bool(self.observers) and len(self.finished) < len(self.observers)

    @property
    def final(self) -> str:
        """The reading that is signed."""
        return ADJUDICATED if self.observers else MAIN

    def apply(self, entry: Entry) -> Touched:
        """Take up the next row of the log; which cells of its reading it changed."""
        touched: Touched = {}
        payload = entry.content
        match entry.kind:
            case "open":
                self.title, self.origin = payload["title"], entry.hash
                self.readings[MAIN] = Reading({})
            case "add_slide":
                self._add_slide(SlideOfCase.of(payload))
            case "describe":
                self.words[payload["field"]] = payload["text"]
                self.worded[payload["field"]] = entry.n, entry.actor
            case "appoint":
                self.observers = tuple(payload["observers"])
                self.finished = set()
                for observer in self.observers:
                    self.readings[blind(observer)] = Reading(self._counted())
            case "dismiss":
                self.observers, self.finished = (), set()
            case "finish":
                self.finished.add(entry.actor)
                if not self.read_blind:
                    one, other = (self.readings[blind(observer)] for observer in self.observers)
                    self.readings[ADJUDICATED] = adjudicated(one, other, self.observers)
            case "sign":
                self.signed.append(
                    Signed(payload["version"], entry.n, entry.at, entry.actor, payload, self.amending or "")
                )
                self.amending = None
            case "amend":
                self.amending = payload["reason"]
            case _:
                touched = self.readings[entry.reading].apply(entry)
        self.touched_by_hand |= entry.kind not in ("open", "add_slide")
        self.n, self.hash = entry.n, entry.hash
        return touched

    def _add_slide(self, slide: SlideOfCase) -> None:
        self.slides.append(slide)
        self.readings[MAIN].slides[slide.number] = SlideState.of(self.cells_of(slide))

    def _counted(self) -> dict[int, SlideState]:
        return {slide.number: SlideState.of(self.cells_of(slide)) for slide in self.slides}
