"""Slides that are counted from the page: a queue, one count at a time, each in a process of its own.

A process of its own keeps the server responsive, and takes no case with it when a broken slide crashes a library. It
ends when the server does, whatever ended that: its standard input is closed then. A count that was cut off goes on from
its last field when it is asked for again.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Literal

from marrowscope.batch import check_case_folder
from marrowscope.errors import MarrowscopeError, OutputError, SlideError
from marrowscope.review.workstation import Refused, Workstation
from marrowscope.runs import output_names, read_run, slide_identity
from marrowscope.slides import open_slide, require_spacing

Status = Literal["waiting", "counting", "done", "failed", "stopped"]

KEPT = 50
"""Finished counts that the page still shows."""

COMMAND = (sys.executable, "-m", "marrowscope.review.counting_process")


@dataclass(slots=True)
class Job:
    """One count: what was asked, how far it is, what became of it (the number of its case, or a fault in words)."""

    id: int
    actor: str
    title: str
    slides: tuple[Path, ...]
    pack: str
    cells: int | Literal["all"]
    spacing: float | None
    specimen: str = "marrow"
    status: Status = "waiting"
    stage: str = ""
    done: float = 0.0
    case: int | None = None
    fault: str | None = None
    process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def over(self) -> bool:
        """Nothing more will happen to it."""
        return self.status in ("done", "failed", "stopped")


Run = Callable[[Job, Mapping[str, Any], Callable[[Mapping[str, Any]], None]], None]
"""Counts a job: what the process is asked, and who is told each line that it says."""


class CountQueue:
    """Counts one case after the other into the folder of a workstation.

    ``folders``: slides are taken from these only (and from what lies in them); None: from anywhere on this computer.
    """

    def __init__(
        self,
        workstation: Workstation,
        folders: Sequence[Path] | None = None,
        run: Run | None = None,
    ) -> None:
        self._workstation = workstation
        self._folders = None if folders is None else tuple(folder.resolve() for folder in folders)
        self._run = run or run_apart
        self._numbers = count(1)
        self._jobs: list[Job] = []
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = Lock()
        self._worker: Thread | None = None

    def add(
        self,
        actor: str,
        paths: Sequence[Path],
        pack: str,
        *,
        title: str = "",
        cells: int | Literal["all"] = 500,
        spacing: float | None = None,
        specimen: str = "marrow",
    ) -> Job:
        """Put a case into the queue: several slides are smears of one case.

        Everything that can be known before the count is checked here. Raises ``Refused``, ``SlideError`` and
        ``SpacingError`` with what to do.
        """
        slides = tuple(dict.fromkeys(paths))
        if not slides:
            raise Refused("choose a slide to count")
        for slide in slides:
            self._check(slide, spacing)
        if len({slide_identity(slide) for slide in slides}) < len(slides):
            raise Refused("the same slide was given twice: give each smear once")
        labels = output_names(slides)
        title = title.strip() or labels[0]
        if len(slides) > 1:
            self._check_title(title, labels)
        for slide, label in zip(slides, labels, strict=True):
            self._check_folder(slide, label)
        with self._lock:
            job = Job(next(self._numbers), actor, title, slides, pack, cells, spacing, specimen)
            self._jobs.append(job)
            over = [one for one in self._jobs if one.over]
            self._jobs = [one for one in self._jobs if one not in over[: max(0, len(over) - KEPT)]]
            if self._worker is None:
                self._worker = Thread(target=self._work, name="counting", daemon=True)
                self._worker.start()
        self._waiting.put(job)
        return job

    def jobs(self) -> list[Job]:
        """All that wait or are counted, and the last that are over, in the order in which they were asked for."""
        with self._lock:
            return list(self._jobs)

    def in_work(self) -> set[str]:
        """Folders of results that are counted or wait: they get their case when the count is over."""
        return {label for job in self.jobs() if not job.over for label in output_names(job.slides)}

    def stop(self, number: int) -> None:
        """Take a count out of the queue, or end it; what it counted so far is kept for the next time."""
        with self._lock:
            for job in self._jobs:
                if job.id == number and not job.over:
                    job.status = "stopped"
                    if job.process is not None:
                        job.process.terminate()

    def close(self) -> None:
        """Stop everything, at the end of the server."""
        for job in self.jobs():
            self.stop(job.id)
        self._waiting.put(None)

    def _check(self, slide: Path, spacing: float | None) -> None:
        try:
            resolved, there = slide.resolve(), slide.exists()
        except (OSError, RuntimeError, ValueError) as error:  # too long, a ring of links, no name at all
            raise SlideError(f"{slide.name[:80]} cannot be the path of a slide: check it") from error
        if self._folders is not None and not any(resolved.is_relative_to(folder) for folder in self._folders):
            raise Refused(
                f"{slide} does not lie in a folder of slides of this server: upload it, or ask an admin to start the "
                "review with --slides FOLDER"
            )
        if not there:
            raise SlideError(f"there is no file {slide} on the computer that the review runs on: check the path")
        with open_slide(slide, spacing) as opened:
            require_spacing(opened)

    def _check_title(self, title: str, labels: Sequence[str]) -> None:
        try:
            check_case_folder(title, labels, self._workstation.root)
        except OutputError as error:
            words = "give the case another title, without / and \\, which no slide or case has here"
            raise Refused(f"several slides become one case, in a folder of the title {title!r}: {words}") from error

    def _check_folder(self, slide: Path, label: str) -> None:
        run = read_run(self._workstation.root / label)
        if run is None:
            return
        if run.get("slide_sha256") != slide_identity(slide):
            raise Refused(f"another slide of the name {label} was counted here already: rename the file, then add it")
        if (case := self._case_of({label})) is not None:
            raise Refused(f"{label} was counted already: it is in case {case}; look for it in the list")

    def _case_of(self, labels: set[str]) -> int | None:
        """The case that holds these folders of results."""
        for case, slides in self._workstation.slides().items():
            if labels <= {Path(slide.folder).name for slide in slides}:
                return case
        return None

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            with self._lock:
                if job.status != "waiting":
                    continue
                job.status = "counting"
            try:
                self._count(job)
            except MarrowscopeError as error:
                self._end(job, "failed", self._workstation.told(error))
            except Exception as error:  # noqa: BLE001 - a defect in one count must not end the queue
                self._end(job, "failed", f"unforeseen {type(error).__name__}: please report it")

    def _count(self, job: Job) -> None:
        several = len(job.slides) > 1
        asked = {
            "slides": [str(slide.resolve()) for slide in job.slides],
            "output": str(self._workstation.root),
            "pack": job.pack,
            "cells": job.cells,
            "spacing": job.spacing,
            "specimen": job.specimen,
            "case": job.title if several else None,
        }
        faults: list[str] = []
        finished = False

        def told(line: Mapping[str, Any]) -> None:
            nonlocal finished
            if "stage" in line:
                job.stage, job.done = str(line["stage"]), float(line["done"])
            if "faults" in line:
                finished = True
                faults.extend(str(fault) for fault in line["faults"])

        self._run(job, asked, told)
        if job.status == "stopped":
            return
        if not finished:
            faults.append("the count ended before it was finished: try again; it goes on where it stopped")
        if faults:
            self._end(job, "failed", "; ".join(dict.fromkeys(faults)))
            return
        labels = output_names(job.slides)
        folders = [self._workstation.root / label for label in labels]
        source = job.title if several else labels[0]
        job.case = self._workstation.open_case(job.actor, job.title, folders, source) or self._case_of(set(labels))
        self._end(job, "done", None)

    def _end(self, job: Job, status: Status, fault: str | None) -> None:
        with self._lock:
            if job.status != "stopped":
                job.status, job.fault, job.process = status, fault, None


def run_apart(job: Job, asked: Mapping[str, Any], told: Callable[[Mapping[str, Any]], None]) -> None:
    """Count in a process of its own; what is asked goes through its input, so that no list of processes shows it."""
    with subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, encoding="utf-8"
    ) as process:
        job.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        if job.status == "stopped":
            process.terminate()
        try:
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                told(json.loads(line))
        except (BrokenPipeError, ValueError):
            process.kill()  # it ended or said nonsense: the caller sees that it did not finish
