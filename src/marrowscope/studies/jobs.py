"""A study as a list of jobs, each in a process and a folder of its own.

``OUT/jobs/NAME/`` holds ``begun.json`` (the question that the job answers), what the job writes, ``log.txt`` (all that
it printed) and, last, ``job.json``: a job that has one is done and is not done again. A job that crashes leaves
``failure.json`` and takes no other with it. A folder that answers another question (another recipe, other data) is
refused before anything starts.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, ForkServerProcess, SpawnContext, SpawnProcess
from pathlib import Path
from time import perf_counter, process_time
from types import FrameType
from typing import Any

from marrowscope import __version__
from marrowscope.errors import DataError, MarrowscopeError
from marrowscope.files import write_json
from marrowscope.options import Progress, silent
from marrowscope.studies.telling import JobLines, Tell, untold

SCHEMA = 1

GRACE = 10.0
"""Seconds that a job has to end itself when the study is ended before it is killed."""


@dataclass(frozen=True, slots=True)
class Job:
    """One independent piece of a study.

    ``work(folder, **arguments)`` is a function of a module (it is pickled by name); what it returns stands under
    ``facts`` in ``job.json``. ``question`` is all that decides the result: recipe, rows, identity of the data. Jobs of
    one ``kind`` take about equally long. A job starts when those named in ``needs`` are done; ``alone``: only when no
    other runs, and none starts beside it (what measures time).
    """

    name: str
    kind: str
    work: Callable[..., Mapping[str, Any]]
    arguments: Mapping[str, Any]
    question: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    alone: bool = False

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(_plain(self.question), sort_keys=True).encode()).hexdigest()


class State(StrEnum):
    """What became of a job."""

    DONE = "done"
    EARLIER = "done earlier"
    FAILED = "failed"
    WAITING = "not started: time was up"
    BLOCKED = "not started: a job that it needs is not done"


@dataclass(slots=True)
class JobsRun:
    """State of every job by name, in the order given, and the message of each that failed."""

    states: dict[str, State] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def count(self, *states: State) -> int:
        return sum(state in states for state in self.states.values())

    @property
    def complete(self) -> bool:
        return self.count(State.DONE, State.EARLIER) == len(self.states)


def read_job(folder: Path) -> dict[str, Any] | None:
    """The ``job.json`` of a finished job, or None; a damaged one counts as none, so the job is done again."""
    return _read(folder / "job.json")


def check_jobs(jobs: Sequence[Job], output: Path) -> None:
    """Raise ``DataError`` for the first job whose folder answers another question; nothing is changed."""
    for job in jobs:
        _look(job, output / "jobs" / job.name, force=False)


def run_jobs(
    jobs: Sequence[Job],
    output: Path,
    *,
    processes: int = 1,
    threads: int = 1,
    minutes: float | None = None,
    force: bool = False,
    progress: Progress = silent,
    tell: Tell = untold,
    preload: Sequence[str] = (),
) -> JobsRun:
    """Do what is not done yet, ``processes`` jobs at a time with ``threads`` threads each.

    After ``minutes`` no job starts any more, nor before that one that would not fit by what its kind took so far.
    Where there are several GPUs each job sees one of them, that with the fewest jobs at the time. ``tell`` hears of
    each job that ends. ``preload`` names modules that take long to import: where processes can be forked they are
    imported once, for all jobs; they must not start threads or touch a GPU when imported.
    ``force`` makes the jobs again whose folders answer another question; finished ones that fit stay. Raises
    ``DataError`` for such folders without it, before anything starts; after SIGINT ``KeyboardInterrupt``, after SIGTERM
    ``SystemExit`` with the code 143, both when all jobs have ended.
    """
    names = [job.name for job in jobs]
    if len(set(names)) != len(names):
        raise ValueError("two jobs of a study have the same name")
    run, took = JobsRun(), dict[str, float]()
    for job in jobs:
        done = _look(job, output / "jobs" / job.name, force)
        run.states[job.name] = State.WAITING if done is None else State.EARLIER
        if done is not None:
            took[job.kind] = max(took.get(job.kind, 0.0), float(done["seconds"]))
    started, pending = perf_counter(), [job for job in jobs if run.states[job.name] is State.WAITING]
    running: dict[int, tuple[Job, SpawnProcess | ForkServerProcess, float]] = {}
    lines = JobLines(len(jobs), run.count(State.EARLIER), processes, tell)
    context, devices, on = _context(preload), _devices(), dict[int, str]()

    def fits(job: Job) -> bool:
        left = float("inf") if minutes is None else 60 * minutes - (perf_counter() - started)
        return left > 0 and took.get(job.kind, 0.0) <= left

    def ready(job: Job) -> bool:
        return all(run.states.get(name) in {State.DONE, State.EARLIER} for name in job.needs)

    def lost(job: Job) -> bool:
        return any(run.states.get(name) is State.FAILED for name in job.needs)

    with _noted_signals() as signals:
        try:
            while True:
                for job in [job for job in pending if ready(job) and fits(job)]:
                    beside = [other for other, _, _ in running.values()]
                    if len(beside) >= processes or any(other.alone for other in beside) or (job.alone and beside):
                        break
                    pending.remove(job)
                    busy = [on[other] for other in running] if devices else []
                    device = min(devices, key=busy.count) if devices else None
                    with _surroundings(threads, device) as surroundings:  # libraries read them when they are loaded
                        given = (job, output / "jobs" / job.name, threads, surroundings)
                        process = context.Process(target=_in_process, args=given)
                        process.start()
                    running[process.sentinel] = (job, process, perf_counter())
                    if device is not None:
                        on[process.sentinel] = device
                progress(
                    f"{run.count(State.DONE, State.EARLIER)} of {len(jobs)} jobs",
                    run.count(State.DONE, State.EARLIER, State.FAILED) / max(len(jobs), 1),
                    ", ".join(job.name for job, _, _ in running.values()),
                )
                if not running:
                    break
                finished = wait(list(running), timeout=1.0)
                if signals:
                    raise KeyboardInterrupt if signal.SIGINT in signals else SystemExit(128 + signals[0])
                for sentinel in [sentinel for sentinel in running if sentinel in finished]:
                    job, process, began = running.pop(sentinel)
                    process.join()
                    folder = output / "jobs" / job.name
                    if process.exitcode == 0 and read_job(folder) is not None:
                        run.states[job.name] = State.DONE
                        took[job.kind] = max(took.get(job.kind, 0.0), perf_counter() - began)
                    else:
                        run.states[job.name] = State.FAILED
                        run.failures[job.name] = _why(folder, process.exitcode)
                    now = perf_counter()
                    left = [(other, now - since) for other, _, since in running.values()]
                    left += [(other, 0.0) for other in pending if fits(other) and not lost(other)]
                    lines.end(job, now - began, failed=run.states[job.name] is State.FAILED, left=left)
        finally:
            _end([process for _, process, _ in running.values()])
    for job in pending:
        if any(run.states.get(name) not in {State.DONE, State.EARLIER, State.WAITING} for name in job.needs):
            run.states[job.name] = State.BLOCKED
    return run


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """SIGINT and SIGTERM as they come, for the loop to obey between two steps.

    An exception out of the handler could come after a process was begun and before anyone knew of it. Signals that are
    ignored stay ignored, and outside the main thread Python lets nobody listen.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        noted.append(number)

    here = threading.current_thread() is threading.main_thread()
    heard = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard} if here else {}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(processes: Sequence[SpawnProcess | ForkServerProcess]) -> None:
    """Ask all to end, and kill those that have not after :data:`GRACE` seconds."""
    for process in processes:
        process.terminate()
    until = perf_counter() + GRACE
    for process in processes:
        process.join(max(0.0, until - perf_counter()))
        process.kill()
        process.join()


def _devices() -> list[str]:
    """The GPUs that a process could see, as ``CUDA_VISIBLE_DEVICES`` names them; none when there is one or none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        found = [name.strip() for name in visible.split(",") if name.strip()]
    else:
        try:
            listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True).stdout
        except (OSError, subprocess.SubprocessError):
            return []
        found = re.findall(r"^GPU \d+: .*\(UUID: (GPU-[^)]+)\)", listed, re.MULTILINE)
    return found if len(found) > 1 else []


def _context(preload: Sequence[str]) -> SpawnContext | ForkServerContext:
    if not preload or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    return context


@contextmanager
def _surroundings(threads: int, device: str | None) -> Iterator[dict[str, str]]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    values = dict.fromkeys(names, str(threads)) | ({} if device is None else {"CUDA_VISIBLE_DEVICES": device})
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield values
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def failures(output: Path) -> dict[str, str]:
    """Jobs of a study that failed last time, by name, with the message; for the report."""
    found = {}
    for path in sorted((output / "jobs").rglob("failure.json")):
        if read_job(path.parent) is None:
            found[path.parent.relative_to(output / "jobs").as_posix()] = str((_read(path) or {}).get("error", "?"))
    return found


def versions() -> dict[str, str]:
    """Of Python, this program and the libraries that decide results and times."""
    found = {"python": platform.python_version(), "marrowscope": __version__}
    for name in ("torch", "torchvision", "timm", "lightning", "numpy", "polars"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _look(job: Job, folder: Path, force: bool) -> dict[str, Any] | None:
    """The finished answer to this very question, or None. Without ``force`` another question is an error."""
    for name in ("job.json", "begun.json"):
        earlier = _read(folder / name)
        if earlier is None:
            continue
        if earlier.get("fingerprint") == job.fingerprint and earlier.get("schema") == SCHEMA:
            return earlier if name == "job.json" else None
        if not force:
            raise DataError(
                f"{folder} was made with another recipe or other data ({_differs(earlier, job)}): choose another "
                "folder with -o, or make it again with --force"
            )
        shutil.rmtree(folder)
        return None
    return None


def _in_process(job: Job, folder: Path, threads: int, surroundings: Mapping[str, str]) -> None:
    """The life of one job, in its own process; everything that it prints goes into its log."""
    os.environ.update(surroundings)  # a forked process has those of its server
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "failure.json").unlink(missing_ok=True)
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    facts: dict[str, Any] = {"schema": SCHEMA, "name": job.name, "fingerprint": job.fingerprint}
    facts["question"] = _plain(job.question)
    write_json(folder / "begun.json", facts)
    started = perf_counter()
    try:
        found = _plain(job.work(folder, **job.arguments))
    except MarrowscopeError as error:
        _fail(folder, str(error))
    except Exception as error:  # noqa: BLE001 - whatever a job dies of must not take the others with it; exit code 1
        traceback.print_exc()
        _fail(folder, f"unforeseen {type(error).__name__}: {error} (see log.txt)")
    facts |= {"seconds": round(perf_counter() - started, 3), "processor_seconds": round(process_time(), 3)}
    facts |= {"threads": threads, "versions": versions()}
    write_json(folder / "job.json", facts | {"facts": found})


def _fail(folder: Path, message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    write_json(folder / "failure.json", {"error": message})
    sys.exit(1)


def _why(folder: Path, code: int | None) -> str:
    if (failure := _read(folder / "failure.json")) is not None:
        return str(failure.get("error"))
    words = f"its process was ended by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    message = f"{words} (is there memory enough? see log.txt)"
    write_json(folder / "failure.json", {"error": message})
    return message


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _plain(value: Any) -> Any:
    """As JSON will read it back, so that a stored question compares equal to a new one."""
    return json.loads(json.dumps(value, default=str))


def _differs(earlier: Mapping[str, Any], job: Job) -> str:
    """The first few values that differ, as ``recipe.epochs: 12, now 6``."""
    old = dict(_flat(earlier.get("question", {})))
    new = dict(_flat(_plain(job.question)))
    changed = [key for key in (*new, *(key for key in old if key not in new)) if old.get(key) != new.get(key)]
    words = [f"{key}: {_short(old.get(key))}, now {_short(new.get(key))}" for key in changed[:3]]
    return "; ".join(words) + (f"; {len(changed) - 3} more" if len(changed) > 3 else "") or "another version"


def _short(value: Any) -> str:
    words = "nothing" if value is None else str(value)
    return words if len(words) <= 30 else f"{words[:27]}..."


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value
