"""The cases that are in memory: read from their logs when they are first asked for, let go when nobody needs them.

Nothing is lost with a case that is let go: it is read again from its log, keys of edits and all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock, RLock
from time import monotonic

from marrowscope.differential.result import Differential
from marrowscope.review.case import CaseState
from marrowscope.review.chain import Entry
from marrowscope.review.counted import CountedSlide
from marrowscope.review.slide_state import Touched

MOST_CELLS = 2_000_000
"""Cells of all cases in memory, each reading of a case counted: about 1 GB with what is drawn of them."""

ROW = 4
"""A row of a log takes as much memory as so many cells."""

IDLE_SECONDS = 900.0
"""How long a case stays that nobody asks for: a page that is open asks every few seconds."""

IN_USE_SECONDS = 60.0
"""How long a case stays that was used, although there is too much: pages ask every few seconds, one after the other."""

CEILING = 2
"""So many times the room is never exceeded by cases that nobody holds, however lately they were used."""


@dataclass(frozen=True, slots=True)
class Done:
    """An edit that is kept: its row of the log, and the cells that it changed in its reading."""

    entry: Entry
    touched: Touched


@dataclass(slots=True)
class OpenCase:
    """A case in memory, with the lock that its users take, and the history of what its rows touched."""

    state: CaseState
    lock: RLock = field(default_factory=RLock)
    history: list[Done] = field(default_factory=list)
    by_key: dict[tuple[str, str], Done] = field(default_factory=dict)
    differentials: dict[str, tuple[int, Differential]] = field(default_factory=dict)
    opened: bool = False
    """Its log was read to the end once: the slides are known, and stay."""
    forgotten: bool = False
    """It could not be read, and what was read of it is half."""
    holders: int = 0
    used: float = 0.0
    size: int = 0
    """In cells, as of the last time that it was used."""

    def take(self, entry: Entry) -> Done:
        """Take up the next row of its log."""
        done = Done(entry, self.state.apply(entry))
        self.history.append(done)
        if key := entry.content.get("key"):
            self.by_key[entry.actor, key] = done
        return done


LetGo = Callable[[int, frozenset[str]], None]
"""Called with the number of a case that has left the memory, and the folders of the slides that left it too."""


class CaseMemory:
    """Keeps the cases used last, up to ``most_cells`` in all, and none for longer than ``idle_seconds`` without use.

    A case that somebody holds stays, and so does the one used last until it is idle. Those that were used in the last
    ``in_use_seconds`` may take :data:`CEILING` times the room: two open pages do not push each other out. Slides go
    with the last case that they are in. Safe for several threads.
    """

    def __init__(
        self,
        most_cells: int = MOST_CELLS,
        idle_seconds: float = IDLE_SECONDS,
        clock: Callable[[], float] = monotonic,
        in_use_seconds: float = IN_USE_SECONDS,
    ) -> None:
        self.most_cells = most_cells
        self.idle_seconds = idle_seconds
        self.in_use_seconds = in_use_seconds
        self.listeners: list[LetGo] = []
        self._clock = clock
        self._cases: OrderedDict[int, OpenCase] = OrderedDict()
        self._slides: dict[str, CountedSlide] = {}
        self._size = 0
        self._lock = Lock()

    def numbers(self) -> list[int]:
        """The cases that are in memory, the one used last at the end."""
        with self._lock:
            return list(self._cases)

    @contextmanager
    def hold(self, number: int, make: Callable[[], CaseState]) -> Iterator[OpenCase]:
        """The case, which stays in memory for the time of the block; one that is not there is begun by ``make``."""
        with self._lock:
            found = self._cases.get(number)
            if found is not None:
                found.holders += 1
        if found is None:
            state = make()
            with self._lock:
                found = self._cases.setdefault(number, OpenCase(state))
                found.holders += 1
        try:
            yield found
        finally:
            with self._lock:
                found.holders -= 1
                found.used = self._clock()
                if self._cases.get(number) is found:
                    self._cases.move_to_end(number)
                    self._measure(found)
            self.tidy()

    @contextmanager
    def glance(self, number: int) -> Iterator[OpenCase | None]:
        """The case if it is in memory, held for the time of the block; that is no use of it that keeps it there."""
        with self._lock:
            found = self._cases.get(number)
            if found is not None:
                found.holders += 1
        try:
            yield found
        finally:
            if found is not None:
                with self._lock:
                    found.holders -= 1

    def forget(self, number: int) -> None:
        """Let a case go that could not be read, whoever holds it: the next one who asks tries anew."""
        with self._lock:
            if (found := self._cases.pop(number, None)) is not None:
                self._size -= found.size
                found.size = 0
                found.forgotten = True
            gone = self._slides_of_none()
        self._tell({number}, gone)

    def slide(self, folder: str, make: Callable[[], CountedSlide]) -> CountedSlide:
        """The results of a slide of a case that is held; ``make`` reads them."""
        with self._lock:
            if folder not in self._slides:
                self._slides[folder] = make()
            return self._slides[folder]

    def tidy(self) -> None:
        """Let go what is idle, and what was used longest ago while there is too much."""
        gone: set[int] = set()
        slides: frozenset[str] = frozenset()
        with self._lock:
            now = self._clock()
            for number, found in list(self._cases.items()):  # the one used longest ago first
                unused = now - found.used
                room = self.most_cells * (1 if unused >= self.in_use_seconds else CEILING)
                idle, crowded = unused >= self.idle_seconds, self._size > room and len(self._cases) > 1
                if not (idle or crowded):
                    break
                if not found.holders:
                    del self._cases[number]
                    self._size -= found.size
                    gone.add(number)
            if gone:
                slides = self._slides_of_none()
        self._tell(gone, slides)

    def _measure(self, found: OpenCase) -> None:
        cells = sum(slide.cells for slide in found.state.slides) * max(1, len(found.state.readings))
        size = cells + ROW * len(found.history)
        self._size += size - found.size
        found.size = size

    def _slides_of_none(self) -> frozenset[str]:
        """Take the slides out that no case in memory has. While a case is being read nobody knows which it has."""
        if not all(found.opened for found in self._cases.values()):
            return frozenset()
        needed = {slide.folder for found in self._cases.values() for slide in found.state.slides}
        gone = frozenset(self._slides.keys() - needed)
        for folder in gone:
            del self._slides[folder]
        return gone

    def _tell(self, cases: set[int], slides: frozenset[str]) -> None:
        for number in cases:
            for listener in list(self.listeners):
                listener(number, slides)
