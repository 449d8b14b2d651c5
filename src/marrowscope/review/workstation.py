"""What can be done with the cases of a folder of results: the one door for pages, interface and command line.

Everything that changes a case goes through :meth:`Workstation.edit`, :meth:`Workstation.sign` or
:meth:`Workstation.open_case`, which write one row of the log and answer when it is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from marrowscope.differential.references import ReferenceRanges
from marrowscope.differential.result import Differential
from marrowscope.review.allowed import Conflict, Hidden, People, Refused, allowed, reading_of
from marrowscope.review.case import MAIN, CaseState, SlideOfCase, blind
from marrowscope.review.counted import CellArrays, CountedSlide, Places, find_counts
from marrowscope.review.database import FILE_NAME, Missing, ReviewError, StorageError, open_database
from marrowscope.review.edits import Edit
from marrowscope.review.log import Document, EditLog, Head, Stale
from marrowscope.review.memory import CaseMemory, Done, OpenCase
from marrowscope.review.outlines import Outlines
from marrowscope.review.protection import fault_of, place_of, row_of_slide
from marrowscope.review.reading import Reading
from marrowscope.review.reviewed import Looked, looked, reviewed_differential
from marrowscope.review.taking_up import Wanted, wanted_cases
from marrowscope.review.unnamed import without_folders

__all__ = ["ACTOR", "Conflict", "Done", "Hidden", "Refused", "Workstation", "open_workstation"]

ACTOR = "marrowscope"
"""Who opens the cases of a folder of results."""


@dataclass(frozen=True, slots=True)
class Now:
    """How a case stands at row ``n`` of its log: what people did to its cells, and its differential."""

    n: int
    looked: Looked
    differential: Differential


Listener = Callable[[int], None]
"""Called with the number of a case that has changed."""


class Workstation:
    """The cases of one folder of results. Safe for several threads, and for several programs on one database."""

    def __init__(
        self,
        root: Path,
        log: EditLog,
        places: Places | None = None,
        references: ReferenceRanges | None = None,
        memory: CaseMemory | None = None,
    ) -> None:
        self.root = root
        self.log = log
        self.references = references
        self.listeners: list[Listener] = []
        self.people: People | None = None
        """Who may be an observer; None where nobody keeps a list."""
        self.not_taken_up: dict[str, str] = {}
        """Folders of results that no case was opened for, and why."""
        self.places = places or Places()
        self.memory = memory or CaseMemory()
        self.outlines = Outlines(log).now
        """Of each case what its log tells without its cells."""

    def take_up(self, leave: Collection[str] = ()) -> list[int]:
        """Open a case for each count of the folder that is in none: a pooled case for its smears, else one a slide.

        ``leave``: names of folders that somebody else will open a case for. What is left out besides is told in
        ``not_taken_up``, in words.
        """
        counts, pooled = find_counts(self.root)
        counts = {name: folder for name, folder in counts.items() if name not in leave}
        held: dict[str, list[int]] = {}
        for case, slides in self.slides().items():
            for slide in slides:
                held.setdefault(slide.folder, []).append(case)
        cases_of = {name: held.get(place_of(folder, self.root), []) for name, folder in counts.items()}
        wanted, refused = wanted_cases(counts, pooled, self.log.sources(), cases_of)
        self.not_taken_up = refused
        return [opened for one in wanted if (opened := self._take_up(one)) is not None]

    def _take_up(self, wanted: Wanted) -> int | None:
        try:
            return self.open_case(ACTOR, wanted.name, wanted.folders, source=wanted.name)
        except StorageError:
            raise
        except ReviewError as error:  # one broken folder does not keep the others from being reviewed
            self.not_taken_up[wanted.name] = str(error)
            return None

    def open_case(self, actor: str, title: str, folders: Sequence[Path], source: str | None = None) -> int | None:
        """Open a case for counted slides; its number, or None when one of this ``source`` exists."""
        slides = [
            row_of_slide(number, CountedSlide(folder, self.places), self.root) for number, folder in enumerate(folders)
        ]
        if len({slide["pack_sha256"] for slide in slides}) > 1:
            raise Refused("the slides of a case are counted with one pack: count them again with the same")
        case = self.log.open_case(actor, title, slides, source)
        if case is not None:
            self._tell(case)
        return case

    def heads(self) -> list[Head]:
        """All cases with their status, without reading their cells."""
        return self.log.heads()

    def titles(self) -> dict[int, tuple[str, list[str]]]:
        """Of each case its title and the labels of its slides."""
        return {case: (told.title, [slide.label for slide in told.slides]) for case, told in self.outlines().items()}

    def slides(self) -> dict[int, list[SlideOfCase]]:
        """Of each case what its log holds of its slides."""
        return {case: list(told.slides) for case, told in self.outlines().items()}

    def in_memory(self, number: int, seen: int) -> Now | None:
        """How a case stands at row ``seen`` or later, if it is in memory and nobody holds it.

        To ask this does not keep it there.
        """
        with self.memory.glance(number) as found:
            if found is None or not found.lock.acquire(timeout=0.1):  # somebody signs it, say
                return None
            try:
                if found.forgotten:
                    return None
                self._catch_up(found, seen)
                final = MAIN if found.state.read_blind else found.state.final
                return Now(found.state.n, self.looked(found.state, final), self._differential(found, final))
            finally:
                found.lock.release()

    @contextmanager
    def case(self, number: int, seen: int | None = None) -> Iterator[CaseState]:
        """A case as it is now, held for the time of the block: nothing changes under the reader.

        With ``seen`` a case at that row of the log, or a later one, is new enough: the database is not asked. Raises
        ``ReviewError`` when there is no such case, or its cells cannot be read.
        """
        with self._caught_up(number, seen) as found:
            yield found.state

    def slide(self, number: int, slide: int) -> CountedSlide:
        """The results of a slide of a case; once the case is open nobody waits for it. Raises ``Missing``."""
        with self._held(number) as found:
            if found.opened:
                return self.counted(self.slide_of(found.state, slide))
        with self._caught_up(number) as found:
            return self.counted(self.slide_of(found.state, slide))

    def changes(self, number: int, since: int, seen: int | None = None, limit: int | None = None) -> list[Done]:
        """The rows after row ``since``, at most ``limit``, with the cells that each changed in its reading.

        ``seen`` as in ``case``.
        """
        with self._caught_up(number, seen) as found:
            return found.history[since : None if limit is None else since + limit]

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
        with self._caught_up(number) as found:
            while True:
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
                    self._catch_up(found)
                    continue
                done = found.take(entry)
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
        with self._caught_up(number) as found:
            entry = self.log.add(
                number, actor, reading, "sign", payload, expected_n=expected_n, status="signed", files=files
            )
            done = found.take(entry)
        self._tell(number)
        return done

    def differential(self, number: int, reading: str) -> Differential:
        """The differential of a reading as it is now; of the final one of a signed case the one that was signed."""
        with self._caught_up(number) as found:
            return self._differential(found, reading)

    def _differential(self, found: OpenCase, reading: str) -> Differential:
        n, known = found.differentials.get(reading, (-1, None))
        if known is None or n != found.state.n:
            view = self.reading(found.state, reading)
            signed = self._signed(found.state) if found.state.frozen and reading == found.state.final else None
            slides = [self.counted(slide) for slide in found.state.slides]
            states = [view.slides[slide.number] for slide in found.state.slides]
            known = signed or reviewed_differential(slides, states, self.references)
            found.differentials[reading] = found.state.n, known
        return known

    def _signed(self, state: CaseState) -> Differential | None:
        """What was signed last, as it is frozen: the rules may have changed since. None where it cannot be read.

        Raises ``NotAsSigned`` when somebody changed it by hand.
        """
        document = self.log.document(state.number, state.signed[-1].version, "differential.json")
        try:
            return Differential.model_validate_json(document.content) if document else None
        except ValidationError:  # of a version whose differential had another form
            return None

    def looked(self, state: CaseState, reading: str) -> Looked:
        """What people did to the cells of a reading."""
        view, done = self.reading(state, reading), Looked(0, 0, 0, 0, 0, 0, 0, 0)
        for slide in state.slides:
            done += looked(view.slides[slide.number], self.counted(slide).cells)
        return done

    def scores_anomalies(self, state: CaseState) -> bool:
        """Whether the pack gave the cells of a case a score of anomaly; told by the cells, with the pack gone too."""
        return any(bool(np.isfinite(self.counted(slide).cells.anomaly).any()) for slide in state.slides)

    def told(self, error: Exception | str) -> str:
        """An error in words for people: without folders where they are not to know these."""
        return str(error) if self.places.named else without_folders(str(error))

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
        """The results of a slide of a case that is held, and through them its pixels and its pack."""
        folder = self.root / slide.folder
        return self.memory.slide(slide.folder, lambda: CountedSlide(folder, self.places, slide.results))

    def _cells_of(self, slide: SlideOfCase) -> CellArrays:
        counted = self.counted(slide)
        if fault := fault_of(counted, slide):
            raise ReviewError(fault)
        return counted.cells

    def _held(self, number: int) -> AbstractContextManager[OpenCase]:
        def begin() -> CaseState:
            self.log.head(number)
            return CaseState(number, self._cells_of)

        return self.memory.hold(number, begin)

    @contextmanager
    def _caught_up(self, number: int, seen: int | None = None) -> Iterator[OpenCase]:
        """The case with all rows of its log, for one alone. ``seen`` as in ``case``."""
        while True:
            with self._held(number) as found, found.lock:
                if found.forgotten:  # while we waited for the one who could not read it: what he left is half
                    continue
                self._catch_up(found, seen)
                yield found
                return

    def _catch_up(self, found: OpenCase, seen: int | None = None) -> None:
        """Take up the rows that others wrote. A case whose cells cannot be read is tried anew the next time."""
        if seen is not None and found.opened and found.state.n >= seen:
            return
        try:
            for entry in self.log.since(found.state.number, found.state.n):
                found.take(entry)
            found.opened = True
        except BaseException:
            self.memory.forget(found.state.number)
            raise

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
