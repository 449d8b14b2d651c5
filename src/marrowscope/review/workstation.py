"""What can be done with the cases of a folder of results: the one door for pages, interface and command line.

Everything that changes a case goes through :meth:`Workstation.edit`, :meth:`Workstation.sign` or
:meth:`Workstation.open_case`, which write one row of the log and answer when it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import Any

from marrowscope.differential.references import ReferenceRanges
from marrowscope.differential.result import Differential
from marrowscope.review.allowed import Conflict, Hidden, People, Refused, allowed, reading_of
from marrowscope.review.case import MAIN, CaseState, SlideOfCase, blind
from marrowscope.review.chain import Entry
from marrowscope.review.counted import CellArrays, CountedSlide, Places, find_counts
from marrowscope.review.database import FILE_NAME, Missing, ReviewError, StorageError, open_database
from marrowscope.review.edits import (
    Edit,
)
from marrowscope.review.log import Document, EditLog, Head, Stale
from marrowscope.review.reading import Reading
from marrowscope.review.reviewed import Looked, looked, reviewed_differential
from marrowscope.review.slide_state import Touched

__all__ = ["ACTOR", "Conflict", "Done", "Hidden", "Refused", "Workstation", "open_workstation"]

ACTOR = "marrowscope"
"""Who opens the cases of a folder of results."""


@dataclass(frozen=True, slots=True)
class Done:
    """An edit that is kept: its row of the log, and the cells that it changed in its reading."""

    entry: Entry
    touched: Touched


@dataclass(slots=True)
class _Open:
    """A case in memory, with the lock that its users take, and the history of what its rows touched."""

    state: CaseState
    lock: RLock = field(default_factory=RLock)
    history: list[Done] = field(default_factory=list)
    by_key: dict[tuple[str, str], Done] = field(default_factory=dict)
    differentials: dict[str, tuple[int, Differential]] = field(default_factory=dict)
    opened: bool = False
    """Its log was read to the end once: the slides are known, and stay."""


Listener = Callable[[int], None]
"""Called with the number of a case that has changed."""


class Workstation:
    """The cases of one folder of results. Safe for several threads, and for several programs on one database."""

    def __init__(
        self, root: Path, log: EditLog, places: Places | None = None, references: ReferenceRanges | None = None
    ) -> None:
        self.root = root
        self.log = log
        self.references = references
        self.listeners: list[Listener] = []
        self.people: People | None = None
        """Who may be an observer; None where nobody keeps a list."""
        self.not_taken_up: dict[str, str] = {}
        """Folders of results that no case could be opened for, and why."""
        self.places = places or Places()
        self._cases: dict[int, _Open] = {}
        self._slides: dict[str, CountedSlide] = {}
        self._lock = Lock()

    def take_up(self) -> list[int]:
        """Open a case for each count of the folder that has none: a pooled case for its smears, else one a slide."""
        counts, pooled = find_counts(self.root)
        known = self.log.sources()
        opened = []
        taken = set()
        for name, smears in pooled.items():
            if set(smears) <= counts.keys():
                taken |= set(smears)
                opened += self._take_up(name, [counts[smear] for smear in smears], known)
        for name, folder in counts.items():
            if name not in taken:
                opened += self._take_up(name, [folder], known)
        return opened

    def _take_up(self, name: str, folders: Sequence[Path], known: set[str]) -> list[int]:
        if name in known:
            return []
        try:
            case = self.open_case(ACTOR, name, folders, source=name)
        except StorageError:
            raise
        except ReviewError as error:  # one broken folder does not keep the others from being reviewed
            self.not_taken_up[name] = str(error)
            return []
        self.not_taken_up.pop(name, None)
        return [] if case is None else [case]

    def open_case(self, actor: str, title: str, folders: Sequence[Path], source: str | None = None) -> int | None:
        """Open a case for counted slides; its number, or None when one of this ``source`` exists."""
        slides = [self._told(number, folder) for number, folder in enumerate(folders)]
        if len({slide["pack_sha256"] for slide in slides}) > 1:
            raise Refused("the slides of a case are counted with one pack: count them again with the same")
        case = self.log.open_case(actor, title, slides, source)
        if case is not None:
            self._tell(case)
        return case

    def _told(self, number: int, folder: Path) -> dict[str, Any]:
        counted = CountedSlide(folder, self.places)
        pack = counted.run["pack"]
        inside = folder.resolve().is_relative_to(self.root.resolve())
        return {
            "slide": number,
            "label": counted.label,
            "folder": folder.resolve().relative_to(self.root.resolve()).as_posix() if inside else str(folder.resolve()),
            "slide_sha256": counted.run["slide_sha256"],
            "pack": pack["name"],
            "pack_version": pack["version"],
            "pack_sha256": pack["sha256"],
            "cells": len(counted.cells),
            "cells_sha256": counted.cells_sha256,
        }

    def heads(self) -> list[Head]:
        """All cases with their status, without reading their cells."""
        return self.log.heads()

    def titles(self) -> dict[int, tuple[str, list[str]]]:
        """Of each case its title and the labels of its slides."""
        told: dict[int, tuple[str, list[str]]] = {}
        for entry in self.log.beginnings():
            if entry.kind == "open":
                told[entry.case] = entry.content["title"], []
            else:
                told[entry.case][1].append(entry.content["label"])
        return told

    def slides(self) -> dict[int, list[SlideOfCase]]:
        """Of each case what its log holds of its slides."""
        told: dict[int, list[SlideOfCase]] = {}
        for entry in self.log.beginnings():
            if entry.kind == "add_slide":
                told.setdefault(entry.case, []).append(SlideOfCase.of(entry.content))
        return told

    def in_memory(self, number: int) -> tuple[Looked, Differential] | None:
        """What people did to a case and its differential, if the case is in memory and nobody holds it."""
        with self._lock:
            found = self._cases.get(number)
        if found is None or not found.lock.acquire(timeout=0.1):  # somebody signs it, say
            return None
        try:
            self._catch_up(found)
            final = MAIN if found.state.read_blind else found.state.final
            return self.looked(found.state, final), self.differential(number, final)
        finally:
            found.lock.release()

    @contextmanager
    def case(self, number: int, seen: int | None = None) -> Iterator[CaseState]:
        """A case as it is now, held for the time of the block: nothing changes under the reader.

        With ``seen`` a case at that row of the log, or a later one, is new enough: the database is not asked. Raises
        ``ReviewError`` when there is no such case, or its cells cannot be read.
        """
        found = self._open(number)
        with found.lock:
            self._catch_up(found, seen)
            yield found.state

    def slide(self, number: int, slide: int) -> CountedSlide:
        """The results of a slide of a case; once the case is open nobody waits for it. Raises ``Missing``."""
        found = self._open(number)
        if not found.opened:
            with found.lock:
                self._catch_up(found)
        return self.counted(self.slide_of(found.state, slide))

    def changes(self, number: int, since: int, seen: int | None = None) -> list[Done]:
        """The rows after row ``since``, with the cells that each changed in its reading; ``seen`` as in ``case``."""
        found = self._open(number)
        with found.lock:
            self._catch_up(found, seen)
            return found.history[since:]

    def edit(
        self, number: int, actor: str, reading: str, edit: Edit, known_n: int | None = None, key: str | None = None
    ) -> Done:
        """Make an edit and answer when it is kept.

        ``known_n``: the last row that the person had seen. ``key``: a word that is the same only when the same edit is
        asked for again, as its answer was lost: it is made once, and the answer is that of the first time. Raises
        ``Refused`` when the case does not allow it,
        ``Conflict`` when somebody else changed the same cells after ``known_n``, ``StorageError`` when it could not be
        written.
        """
        found = self._open(number)
        with found.lock:
            while True:
                self._catch_up(found)
                if key is not None and (actor, key) in found.by_key:
                    return found.by_key[actor, key]
                payload = {**allowed(found.state, actor, reading, edit, known_n, self.people)}
                if key is not None:
                    payload["key"] = key
                try:
                    entry = self.log.add(
                        number, actor, reading, edit.kind, payload, expected_n=found.state.n, status="in review"
                    )
                except Stale:
                    continue
                done = self._take(found, entry)
                break
        self._tell(number)
        return done

    def record_signature(
        self,
        number: int,
        actor: str,
        reading: str,
        payload: Mapping[str, Any],
        files: Sequence[Document],
        expected_n: int,
    ) -> Done:
        """Keep a signature with its files, if the case is still as it was signed; raises ``Stale`` when it is not.

        :func:`marrowscope.review.signing.sign` makes and checks what is kept here.
        """
        found = self._open(number)
        with found.lock:
            self._catch_up(found)
            entry = self.log.add(
                number, actor, reading, "sign", payload, expected_n=expected_n, status="signed", files=files
            )
            done = self._take(found, entry)
        self._tell(number)
        return done

    def differential(self, number: int, reading: str) -> Differential:
        """The differential of a reading as it is now."""
        found = self._open(number)
        with found.lock:
            self._catch_up(found)
            n, known = found.differentials.get(reading, (-1, None))
            if known is None or n != found.state.n:
                view = self.reading(found.state, reading)
                slides = [self.counted(slide) for slide in found.state.slides]
                states = [view.slides[slide.number] for slide in found.state.slides]
                known = reviewed_differential(slides, states, self.references)
                found.differentials[reading] = found.state.n, known
            return known

    def looked(self, state: CaseState, reading: str) -> Looked:
        """What people did to the cells of a reading."""
        view, done = self.reading(state, reading), Looked(0, 0, 0, 0, 0, 0, 0, 0)
        for slide in state.slides:
            done += looked(view.slides[slide.number], self.counted(slide).cells)
        return done

    @staticmethod
    def slide_of(state: CaseState, number: int) -> SlideOfCase:
        """Raises ``Missing`` when the case has no such slide."""
        if not 0 <= number < len(state.slides):
            raise Missing(f"the case has {len(state.slides)} slides, there is no slide {number}")
        return state.slides[number]

    @staticmethod
    def reading(state: CaseState, name: str) -> Reading:
        """Raises ``Missing`` when the case has no such reading."""
        return reading_of(state, name)

    @staticmethod
    def may_see(state: CaseState, reading: str, actor: str) -> bool:
        """Whether a person may look at a reading: a blind one is its observer's alone until both have finished."""
        return not (state.read_blind and reading.startswith("blind:") and reading != blind(actor))

    def counted(self, slide: SlideOfCase) -> CountedSlide:
        """The results of a slide, and through them its pixels and its pack."""
        with self._lock:
            if slide.folder not in self._slides:
                self._slides[slide.folder] = CountedSlide(self.root / slide.folder, self.places)
            return self._slides[slide.folder]

    def _cells_of(self, slide: SlideOfCase) -> CellArrays:
        counted = self.counted(slide)
        if counted.cells_sha256 != slide.cells_sha256:
            raise ReviewError(
                f"the cells of {slide.label} are not those that were reviewed: its folder was counted again or "
                "changed; bring it back from a backup"
            )
        return counted.cells

    def _open(self, number: int) -> _Open:
        with self._lock:
            found = self._cases.get(number)
        if found is None:
            self.log.head(number)
            with self._lock:
                found = self._cases.setdefault(number, _Open(CaseState(number, self._cells_of)))
        return found

    def _catch_up(self, found: _Open, seen: int | None = None) -> None:
        """Take up the rows that others wrote. A case whose cells cannot be read is tried anew the next time."""
        if seen is not None and found.opened and found.state.n >= seen:
            return
        try:
            for entry in self.log.since(found.state.number, found.state.n):
                self._take(found, entry)
            found.opened = True
        except BaseException:
            with self._lock:
                self._cases.pop(found.state.number, None)
            raise

    @staticmethod
    def _take(found: _Open, entry: Entry) -> Done:
        done = Done(entry, found.state.apply(entry))
        found.history.append(done)
        if key := entry.content.get("key"):
            found.by_key[entry.actor, key] = done
        return done

    def _tell(self, number: int) -> None:
        for listener in list(self.listeners):
            listener(number)


def open_workstation(
    root: Path,
    database: str | None = None,
    *,
    places: Places | None = None,
    references: ReferenceRanges | None = None,
    upgrade: bool = False,
) -> Workstation:
    """Open the review of a folder of results, and a case for each count that has none yet.

    ``database`` is a URL; without one it is the file ``review.sqlite`` in the folder. Raises ``ReviewError`` when the
    folder holds no results, and as :func:`marrowscope.review.database.open_database` does.
    """
    if not root.is_dir():
        raise ReviewError(f"{root} is no folder: give the one that marrowscope count wrote its results into (-o)")
    engine = open_database(database or f"sqlite:///{(root / FILE_NAME).resolve()}", upgrade=upgrade)
    workstation = Workstation(root, EditLog(engine), places, references)
    workstation.take_up()
    return workstation
