"""Signing a case: what must be settled before, and the files of the reviewed report that are frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import BoundedSemaphore, Lock

from marrowscope.batch import CASE_FILES
from marrowscope.errors import MarrowscopeError
from marrowscope.report.content import ReportContent
from marrowscope.report.html import render_html
from marrowscope.report.interop.dicom import write_dicom
from marrowscope.report.interop.fhir import write_fhir
from marrowscope.report.interop.hl7 import write_hl7
from marrowscope.report.signature import Signature
from marrowscope.report.writing import WRITERS
from marrowscope.review.access.identity import LOCAL
from marrowscope.review.case import CaseState
from marrowscope.review.contents import Contents, draw, earlier_version, ordered_by, take
from marrowscope.review.database import ReviewError
from marrowscope.review.edits import CONCLUSION
from marrowscope.review.log import Document, Stale
from marrowscope.review.protection import fault_of
from marrowscope.review.settling import settled_alone
from marrowscope.review.slide_file import SlideGone
from marrowscope.review.workstation import Done, Refused, Workstation

LEAST_CELLS = 300
"""ICSH 2008 asks for at least 300 cells, for 500 when a precise percentage of an abnormal type is needed."""


@dataclass(frozen=True, slots=True)
class Check:
    """Something to settle before signing. One that is ``needed`` cannot be passed over; another can, by its code.

    One that is not ``assessable`` stands in nobody's way, and is told all the same.
    """

    code: str
    met: bool
    needed: bool
    words: str
    assessable: bool = True


def checks(workstation: Workstation, state: CaseState) -> tuple[Check, ...]:
    """What stands between a case and its signature."""
    if state.read_blind:
        waiting = " and ".join(name for name in state.observers if name not in state.finished)
        return (Check("observers", False, True, f"{waiting} must finish reading first."),)
    done = workstation.looked(state, state.final)
    total = workstation.differential(state.number, state.final).total
    return (
        Check(
            "unsure",
            not done.unsure,
            True,
            f"{done.unsure:,} unsure cells were not looked at." if done.unsure else "All unsure cells were looked at.",
        ),
        Check(
            "differing",
            not done.differing,
            True,
            f"{done.differing:,} cells that the observers call differently are not settled."
            if done.differing
            else "No difference between observers is left.",
        ),
        *_settled_alone(state),
        *_away(workstation, state),
        Check(
            "cells", total >= LEAST_CELLS, False, f"{total:,} cells were counted; ICSH asks for {LEAST_CELLS} or more."
        ),
        _anomalous(done.anomalous) if workstation.scores_anomalies(state) else NO_ANOMALY_SCORE,
        Check(
            "looked",
            done.looked == done.cells,
            False,
            "All cells were looked at."
            if done.looked == done.cells
            else f"{done.looked:,} of {done.cells:,} cells were looked at{_by_one(done.by_one)}; the others are as the "
            "pack called them.",
        ),
        Check(
            "conclusion",
            bool(state.words.get(CONCLUSION, "").strip()),
            False,
            "A conclusion was written." if state.words.get(CONCLUSION, "").strip() else "There is no conclusion.",
        ),
    )


def _by_one(cells: int) -> str:
    return f" by both observers or settled, {cells:,} by one alone" if cells else ""


NO_ANOMALY_SCORE = Check(
    "anomalous", True, False, "Anomalous cells are not assessable: the pack has no score of them.", assessable=False
)


def _anomalous(left: int) -> Check:
    words = f"{left:,} anomalous cells were not looked at." if left else "No anomalous cell is left."
    return Check("anomalous", not left, False, words)


def _away(workstation: Workstation, state: CaseState) -> Iterator[Check]:
    """Slides that are not to be found: the report shows their cells."""
    for slide in state.slides:
        try:
            workstation.counted(slide).slide  # noqa: B018 - finding it is all that is asked
        except SlideGone as error:
            words = str(error)
            yield Check("slide", False, True, f"{words[:1].upper()}{words[1:]}. The report shows its cells.")


def _settled_alone(state: CaseState) -> tuple[Check, ...]:
    alone = settled_alone(state) if state.observers else 0
    words = f"{alone:,} differences were settled by one observer alone, or by somebody who had not logged in."
    return (Check("alone", False, False, words),) if alone else ()


Writer = Callable[[ReportContent, Path], None]

OF_THE_CASE: Mapping[str, Writer] = {
    **{name: WRITERS[name] for name in CASE_FILES},
    "report.fhir.json": write_fhir,
    "report.hl7": write_hl7,
}
"""Files of a signed version and their writers."""

OF_A_SLIDE = ("cells.parquet", "cells.geojson.gz")
"""Files of each slide, whose coordinates are those of the slide; with several slides they are numbered."""

DICOM = "annotations.dcm"
"""The cells of a DICOM slide, for viewers of DICOM."""

ALWAYS = frozenset({*CASE_FILES, *OF_A_SLIDE})
"""Files that every signed version has; the others need an extra or a certain slide, and say why they are not there."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The files of a version, and of those that could not be made why."""

    files: Mapping[str, bytes]
    left_out: Mapping[str, str]


def render(contents: Contents) -> Rendered:
    """All files of a report in memory. Raises what the writers of :data:`ALWAYS` raise."""
    files: dict[str, bytes] = {}
    left_out: dict[str, str] = {}

    def make(name: str, write: Callable[[Path], None], *, needed: bool) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / name
            try:
                write(path)
            except MarrowscopeError as error:
                if needed:
                    raise
                left_out[name] = str(error)
            else:
                files[name] = path.read_bytes()

    for name, writer in OF_THE_CASE.items():
        make(name, partial(writer, contents.case), needed=name in ALWAYS)
    for number, (content, slide) in enumerate(contents.slides, start=1):
        several = len(contents.slides) > 1
        for name in OF_A_SLIDE:
            make(_numbered(name, number) if several else name, partial(WRITERS[name], content), needed=True)
        if slide is not None and content.slide.properties.get("vendor") == "dicom":
            name = _numbered(DICOM, number) if several else DICOM
            make(name, partial(write_dicom, content, slide), needed=False)
    return Rendered(files, left_out)


def _numbered(name: str, number: int) -> str:
    stem, _, endings = name.partition(".")
    return f"{stem}-{number}.{endings}"


class Busy(ReviewError):
    """Another report is being made; nothing was written."""


RENDERING_SECONDS = 60.0
"""How long a report waits for another one that is being made."""

_RENDERING = Lock()
_WAITING = BoundedSemaphore(6)
"""Places for those who wait: more of them would take the threads from people who work."""


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Making a report takes seconds of all cores. Who holds a case must not wait here."""
    busy = Busy("a report is being made: try again in a moment")
    if not _WAITING.acquire(blocking=False):
        raise busy
    try:
        if not _RENDERING.acquire(timeout=RENDERING_SECONDS):
            raise busy
        try:
            yield
        finally:
            _RENDERING.release()
    finally:
        _WAITING.release()


def preview(workstation: Workstation, number: int) -> str:
    """The report as it would be signed now, as a page; a draft, and it says so.

    Raises ``Refused`` while observers read, ``Busy`` when other reports are being made.
    """
    with _one_at_a_time():
        with workstation.case(number) as state:
            if state.read_blind:
                raise Refused("observers still read this case: there is no report before both have finished")
            taken = take(workstation, state)
        return render_html(draw(taken).case)


def sign(
    workstation: Workstation,
    number: int,
    actor: str,
    name: str,
    role: str,
    accept: frozenset[str] = frozenset(),
    *,
    seen_n: int | None = None,
    seen_earlier: int | None = None,
) -> Done:
    """Sign the final reading of a case as its next version and freeze its files.

    ``name`` and ``role`` are printed, and ``actor`` as the account; ``accept``: codes of checks that are not met and
    that the signer passes over; ``seen_n``: the row of the log that the signer looks at, and
    with it ``seen_earlier`` the signed version of the earlier case beside it. The case is held while its
    contents are taken, not while the files are made. Raises ``Refused`` when a check stands in the way, the log was
    changed by hand, or somebody changed the case since the signer looked; ``Busy`` as :func:`preview` does.
    """
    with _one_at_a_time():
        with workstation.case(number) as state:
            open_checks = _open_checks(workstation, state, accept, seen_n)
            if seen_n is not None and seen_earlier != earlier_version(workstation, state):
                raise Refused("the earlier result was signed anew since you looked: look at it again")
            account = "" if actor == LOCAL.name else actor
            signature = Signature(
                name,
                role,
                datetime.now(UTC),
                state.hash,
                version=state.version,
                reason=state.amending or "",
                account=account,
            )
            taken, reading, n = take(workstation, state, signature), state.final, state.n
            order = ordered_by(workstation, state)
        made = render(draw(taken))
        with workstation.case(number) as state:  # what was parsed is what the log knows; what lies there must be too
            _refuse_changed(workstation, state)
    documents = [
        Document(signature.version, file, hashlib.sha256(content).hexdigest(), content)
        for file, content in made.files.items()
    ]
    payload = {
        "version": signature.version,
        "name": name,
        "role": role,
        "at": signature.at.isoformat(),
        "log_sha256": signature.log_sha256,
        "passed_over": sorted(check.code for check in open_checks),
        "files": {document.name: document.sha256 for document in documents},
        "left_out": {name: workstation.told(why) for name, why in made.left_out.items()},
        "order": order,
    }
    try:
        return workstation.record_signature(number, actor, reading, payload, documents, n)
    except Stale:
        raise Refused("somebody changed the case while it was being signed: look at it again") from None


def _open_checks(workstation: Workstation, state: CaseState, accept: frozenset[str], seen_n: int | None) -> list[Check]:
    """The checks that are passed over. Raises ``Refused`` when the case cannot be signed as it stands."""
    if state.frozen:
        raise Refused(f"version {state.version} is signed already: amend the case to sign another one")
    if seen_n is not None and seen_n != state.n:
        raise Refused("somebody changed the case since you looked: look at it again")
    head = workstation.log.head(state.number)
    rewritten = "its log was written anew" if head.n <= state.n and head.hash != state.hash else None
    if fault := rewritten or workstation.log.fault(state.number):
        raise Refused(f"not signed: {fault}")
    _refuse_changed(workstation, state)
    found = [check for check in checks(workstation, state) if not check.met]
    for check in found:
        if check.needed or check.code not in accept:
            raise Refused(f"not signed: {check.words}")
    return found


def _refuse_changed(workstation: Workstation, state: CaseState) -> None:
    """Raise ``Refused`` when a file of the count, or the pack, is not the one that the case was opened with."""
    for slide in state.slides:
        counted = workstation.counted(slide)
        if fault := fault_of(counted, slide):
            raise Refused(f"not signed: {fault}")
        if counted.pack.sha256 != slide.pack_sha256:
            raise Refused(f"not signed: the pack of {slide.label} is not the one that counted it")
