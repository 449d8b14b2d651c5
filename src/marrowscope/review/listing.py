"""The list of cases: what can be told of each without reading its cells, and what is wrong with broken ones.

Of a case that is in memory the list tells what the review made of it; of another one what the count left in its folder.
A fault of one case never keeps the others from being listed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from marrowscope.errors import MarrowscopeError
from marrowscope.review.case import SlideOfCase
from marrowscope.review.log import Head
from marrowscope.review.outlines import Outline
from marrowscope.review.result_files import not_as_reviewed, sha256_of
from marrowscope.review.workstation import Workstation
from marrowscope.runs import read_run

DECIDED = ("above", "not decided")
"""Verdicts of flags that the list tells: what somebody must look at."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case in the list.

    ``flags``: number of flags by verdict of :data:`DECIDED`; ``of_count``: they are those of the count, and people have
    worked on the case since; ``quality``: notes of the count; ``unsure`` cells left to look at and ``looked`` at share
    (0..1), None where only the cells could tell; ``fault``: why it cannot be opened. ``observers`` who read it blind,
    those of them who have ``finished``, and differences left to settle: ``differing``, None where only the cells could
    tell.
    """

    case: int
    title: str
    status: str
    edits: int
    slides: tuple[str, ...]
    cells: int
    flags: Mapping[str, int]
    of_count: bool
    quality: tuple[str, ...]
    unsure: int | None
    looked: float | None
    last_at: str
    last_actor: str
    fault: str | None
    phantom: bool
    observers: tuple[str, ...]
    finished: tuple[str, ...]
    differing: int | None


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a folder of results tells: verdicts by code of the flag."""

    verdicts: Mapping[str, str]
    unsure: int
    phantom: bool
    quality: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Now:
    """How a case stands at row ``n`` of its log."""

    n: int
    unsure: int
    looked: float
    differing: int
    verdicts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Broken:
    words: str


_Stamps = tuple[tuple[int, int] | None, ...]
"""When the files of a folder were written, and how large they are."""


class Listing:
    """Lists the cases of a workstation; what files tell is kept until they change."""

    def __init__(self, workstation: Workstation) -> None:
        self._workstation = workstation
        self._kept: dict[Path, tuple[_Stamps, _Counted | _Broken]] = {}
        self._kept_pooled: dict[Path, tuple[_Stamps, Mapping[str, str] | None]] = {}
        self._stood: dict[int, _Now] = {}

    def rows(self) -> list[Row]:
        """All cases, in the order in which they were opened."""
        self._workstation.memory.tidy()  # a page that waits asks for the list: nobody else may be there to do it
        return [self._row(outline) for outline in self._workstation.outlines().values()]

    def _row(self, outline: Outline) -> Row:
        head, slides, observed = outline.head, outline.slides, outline.observed
        counted = [self._counted(slide) for slide in slides]
        good = [one for one in counted if isinstance(one, _Counted)]
        faults = [one.words for one in counted if isinstance(one, _Broken)]
        verdicts = self._pooled(outline.title, slides) if len(slides) > 1 else None
        if verdicts is None:
            verdicts = {code: verdict for one in reversed(good) for code, verdict in one.verdicts.items()}
        unsure: int | None = None
        looked: float | None = None
        differing: int | None = None
        of_count = head.status != "counted"
        if head.status == "counted":
            unsure, looked = sum(one.unsure for one in good), 0.0
        try:
            if (now := self._now(head)) is not None:
                of_count, differing = False, now.differing
                unsure, looked = now.unsure, now.looked
                verdicts = now.verdicts
        except MarrowscopeError as error:
            faults.append(self._workstation.told(error))
        return Row(
            case=head.case,
            title=outline.title,
            status=head.status,
            edits=head.n,
            slides=tuple(slide.label for slide in slides),
            cells=sum(slide.cells for slide in slides),
            flags={verdict: sum(found == verdict for found in verdicts.values()) for verdict in DECIDED},
            of_count=of_count and bool(verdicts),
            quality=tuple(dict.fromkeys(note for one in good for note in one.quality)),
            unsure=None if faults else unsure,
            looked=None if faults else looked,
            last_at=outline.last_at,
            last_actor=outline.last_actor,
            fault=faults[0] if faults else None,
            phantom=any(one.phantom for one in good),
            observers=observed.observers,
            finished=observed.finished,
            differing=differing,
        )

    def _now(self, head: Head) -> _Now | None:
        """How a case stands if it is in memory, or was when its last row was written."""
        if (found := self._workstation.in_memory(head.case, head.n)) is not None:
            done = found.looked
            verdicts = {flag.code: flag.verdict for flag in found.differential.flags}
            looked = done.looked / done.cells if done.cells else 0.0
            self._stood[head.case] = _Now(found.n, done.unsure, looked, done.differing, verdicts)
        now = self._stood.get(head.case)
        return now if now is not None and now.n >= head.n else None

    def _counted(self, slide: SlideOfCase) -> _Counted | _Broken:
        """What the folder of a slide tells, read again only when its files change."""
        folder = self._workstation.root / slide.folder
        files = tuple(_stamp(folder / name) for name in ("run.json", "differential.json", "cells.parquet"))
        kept = self._kept.get(folder)
        if kept is None or kept[0] != files:
            kept = self._kept[folder] = files, _look_into(folder, slide)
        return kept[1]

    def _pooled(self, title: str, slides: Sequence[SlideOfCase]) -> Mapping[str, str] | None:
        """The verdicts of the differential that the count pooled for several smears; None where it did not."""
        if Path(title).name != title:
            return None
        folder = self._workstation.root / title
        files = tuple(_stamp(folder / name) for name in ("run.json", "differential.json"))
        kept = self._kept_pooled.get(folder)
        if kept is None or kept[0] != files:
            kept = self._kept_pooled[folder] = files, _pooled_verdicts(folder, len(slides))
        return kept[1]


def _pooled_verdicts(folder: Path, smears: int) -> Mapping[str, str] | None:
    try:
        run = read_run(folder)
        if run is None or run.get("case") != folder.name or len(run.get("smears", ())) != smears:
            return None
        return _verdicts(json.loads((folder / "differential.json").read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _look_into(folder: Path, slide: SlideOfCase) -> _Counted | _Broken:
    try:
        read = {"run.json": (folder / "run.json").read_bytes()}
        run = json.loads(read["run.json"])
    except (OSError, ValueError):
        run = None
    if not isinstance(run, dict):
        return _Broken(f"The results of {slide.label} are gone or damaged (run.json): bring the folder back.")
    try:
        read["differential.json"] = (folder / "differential.json").read_bytes()
        differential = json.loads(read["differential.json"])
        told = _verdicts(differential), int(differential["unsure"]), bool(differential["phantom"])
        quality = tuple(str(note) for note in run.get("quality", ()))
    except (OSError, ValueError, KeyError, TypeError):
        return _Broken(f"differential.json of {slide.label} is gone or damaged: bring the folder back from a backup.")
    try:
        found = pl.scan_parquet(folder / "cells.parquet").select(pl.len()).collect().item()
    except (OSError, pl.exceptions.PolarsError):
        return _Broken(f"cells.parquet of {slide.label} is gone or damaged: bring the folder back from a backup.")
    if found != slide.cells:
        return _Broken(
            f"{slide.label} was counted again ({found:,} cells, {slide.cells:,} were reviewed): bring its folder back."
        )
    for name, content in read.items():  # what was parsed, not what lies there by now
        found_sha256 = sha256_of(name, content)
        if slide.files.get(name, found_sha256) != found_sha256:
            return _Broken(f"{not_as_reviewed(name, slide.label)}.")
    return _Counted(*told, quality)


def _verdicts(differential: Mapping[str, Any]) -> Mapping[str, str]:
    return {str(flag["code"]): str(flag["verdict"]) for flag in differential["flags"]}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        told = path.stat()
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size
