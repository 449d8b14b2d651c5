"""Jobs of a study: each in a process of its own, resumed one by one, refused when another question made the folder."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pytest

from marrowscope.errors import DataError
from marrowscope.studies.jobs import Job, State, failures, read_job, run_jobs
from marrowscope.studies.telling import JobLines

WORK = """
import os, signal, time
from pathlib import Path
from marrowscope.errors import DataError

def work(folder, word, seconds=0.0):
    print("working on", word)
    if word == "crash":
        raise RuntimeError("a defect")
    if word == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if word == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "wrong":
        raise DataError("no cell of that type; label some")
    (folder / "pid.txt").write_text(str(os.getpid()))
    (folder / "device.txt").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    time.sleep(seconds)
    with (folder / "lines.txt").open("a") as handle:
        handle.write(word + " " + os.environ["OMP_NUM_THREADS"] + "\\n")
    return {"word": word}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that a new process can import, as the studies of the package are."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "work_of_a_test.py").write_text(WORK)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    importlib.invalidate_caches()
    return importlib.import_module("work_of_a_test")


def job(module: ModuleType, name: str, word: str = "well", needs: tuple[str, ...] = (), **arguments: object) -> Job:
    return Job(name, "test", module.work, {"word": word, **arguments}, {"recipe": {"word": word, "epochs": 3}}, needs)


def test_a_crashed_job_takes_no_other_with_it(module: ModuleType, tmp_path: Path) -> None:
    jobs = [
        job(module, "fold-0/plain", "crash"),
        job(module, "fold-1/plain"),
        job(module, "fold-2/plain", "killed"),
        job(module, "fold-3/plain", "wrong"),
        job(module, "time", needs=("fold-1/plain",)),
        job(module, "more", needs=("fold-0/plain",)),
    ]
    told: list[str] = []
    run = run_jobs(jobs, tmp_path, processes=2, threads=3, tell=told.append)
    assert told[0] == "6 jobs, 2 at a time"
    assert sorted(line.partition(": ")[0] for line in told[1:]) == [f"job {k} of 6" for k in range(1, 6)]
    assert sum(" failed after " in line for line in told) == 3
    assert re.fullmatch(r"job 5 of 6: \S+ (done in|failed after) \d+ s", told[5])  # the last has no rest
    assert list(run.states.values()) == [
        *(State.FAILED, State.DONE, State.FAILED, State.FAILED, State.DONE, State.BLOCKED)
    ]
    assert run.failures["fold-0/plain"].startswith("unforeseen RuntimeError: a defect")
    assert "signal 9" in run.failures["fold-2/plain"]
    assert run.failures["fold-3/plain"] == "no cell of that type; label some"
    assert failures(tmp_path) == run.failures
    assert not run.complete
    done = read_job(tmp_path / "jobs/fold-1/plain")
    assert done is not None
    assert (done["facts"], done["threads"]) == ({"word": "well"}, 3)
    assert "working on well" in (tmp_path / "jobs/fold-1/plain/log.txt").read_text()
    assert (tmp_path / "jobs/fold-1/plain/lines.txt").read_text() == "well 3\n"


DEVICES = """#!/bin/sh
echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5c1d)'
echo 'GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-77ab)'
"""


@pytest.mark.parametrize(
    ("visible", "seen"),
    [("2, 5", {"2", "5"}), (None, {"GPU-5c1d", "GPU-77ab"}), ("3", {"3"}), ("", {""})],
)
def test_each_job_sees_one_of_several_devices(
    module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: set[str]
) -> None:
    if visible is None:
        listing = tmp_path / "nvidia-smi"
        listing.write_text(DEVICES)
        listing.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    run_jobs([job(module, name, seconds=1.0) for name in ("one", "two")], tmp_path, processes=2)
    found = [(tmp_path / "jobs" / name / "device.txt").read_text() for name in ("one", "two")]
    assert set(found) == seen  # two at a time are on two devices
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible


def test_the_rest_is_told_by_what_each_kind_took() -> None:
    """Two at a time: what runs is counted by what is left of it, a kind that is not known yet by the mean of all."""
    told: list[str] = []

    def of(name: str, kind: str) -> Job:
        return Job(name, kind, dict, {}, {}, alone=kind == "time")

    lines = JobLines(6, 1, 2, told.append)
    lines.end(of("one", "plain"), 100, failed=True, left=[(of("two", "plain"), 50), (of("three", "plain"), 0)])
    lines.end(of("two", "plain"), 100, failed=False, left=[(of("three", "plain"), 50), (of("four", "cascade"), 0)])
    lines.end(of("three", "cascade"), 300, failed=False, left=[(of("four", "cascade"), 0), (of("time", "time"), 0)])
    lines.end(of("four", "cascade"), 8000, failed=False, left=[])
    assert told == [
        "6 jobs, 1 of them done earlier, 2 at a time",
        "job 2 of 6: one failed after 2 min",
        "job 3 of 6: two done in 2 min; the rest may take 2 min",
        "job 4 of 6: three done in 5 min; the rest may take 8 min",
        "job 5 of 6: four done in 2.2 h",
    ]


def test_a_second_run_does_only_what_is_left(module: ModuleType, tmp_path: Path) -> None:
    run_jobs([job(module, "a"), job(module, "b", "crash")], tmp_path)
    told: list[str] = []
    run = run_jobs([job(module, "a"), job(module, "c")], tmp_path, tell=told.append)
    assert told[0] == "2 jobs, 1 of them done earlier, 1 at a time"
    assert run.states == {"a": State.EARLIER, "c": State.DONE}
    assert (tmp_path / "jobs/a/lines.txt").read_text().count("well") == 1


def test_a_job_of_another_recipe_is_refused_before_anything_starts(module: ModuleType, tmp_path: Path) -> None:
    run_jobs([job(module, "a")], tmp_path)
    changed = job(module, "a", "other")
    with pytest.raises(DataError, match=r"recipe.word: well, now other\).*-o, or make it again with --force"):
        run_jobs([job(module, "b"), changed], tmp_path)
    assert not (tmp_path / "jobs/b").exists()
    run = run_jobs([job(module, "b"), changed], tmp_path, force=True)
    assert run.complete
    assert (tmp_path / "jobs/a/lines.txt").read_text() == "other 1\n"


def test_a_begun_checkpoint_of_another_recipe_is_refused(module: ModuleType, tmp_path: Path) -> None:
    """A training that was cut off leaves its checkpoint: another recipe must not go on from it."""
    run_jobs([job(module, "a", "killed")], tmp_path)
    assert not (tmp_path / "jobs/a/job.json").exists()
    with pytest.raises(DataError, match="made with another recipe or other data"):
        run_jobs([job(module, "a")], tmp_path)


def test_a_damaged_job_file_is_no_result(module: ModuleType, tmp_path: Path) -> None:
    run_jobs([job(module, "a")], tmp_path)
    (tmp_path / "jobs/a/job.json").write_text("{")
    assert run_jobs([job(module, "a")], tmp_path).states == {"a": State.DONE}


def test_when_time_is_up_nothing_more_starts(module: ModuleType, tmp_path: Path) -> None:
    started = time.monotonic()
    run = run_jobs([job(module, str(n), seconds=1.2) for n in range(4)], tmp_path, minutes=1.5 / 60)
    assert run.states["0"] is State.DONE
    assert run.count(State.WAITING) >= 2
    assert time.monotonic() - started < 30
    assert json.loads((tmp_path / "jobs/0/job.json").read_text())["seconds"] >= 1.2


def test_nothing_starts_that_would_not_fit(module: ModuleType, tmp_path: Path) -> None:
    run_jobs([job(module, "a", seconds=1.5)], tmp_path)
    run = run_jobs([job(module, "a", seconds=1.5), job(module, "b")], tmp_path, minutes=1 / 60)
    assert run.states == {"a": State.EARLIER, "b": State.WAITING}


STUDY = """
import signal, sys
from pathlib import Path
import work_of_a_test
from marrowscope.cli import main
from marrowscope.studies import jobs, study

def run(data, output, options, progress):
    word = data.name
    asked = [jobs.Job(str(n), "test", work_of_a_test.work, {"word": word, "seconds": 100}, {}) for n in range(3)]
    return jobs.run_jobs(asked, output, processes=options.jobs)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts the tests with & ignores it
    jobs.GRACE = 1.0 if sys.argv[1] == "stubborn" else 60.0
    study.STUDIES["of-a-test"] = "study_of_a_test"
    main(["study", "run", "of-a-test", "--data", sys.argv[1], "-o", sys.argv[2], "--jobs", "2"])
"""


@pytest.mark.parametrize(
    ("sent", "word", "code"),
    [(signal.SIGTERM, "well", 143), (signal.SIGINT, "well", 130), (signal.SIGTERM, "stubborn", 143)],
)
def test_a_study_that_is_ended_ends_its_jobs(
    module: ModuleType, tmp_path: Path, sent: signal.Signals, word: str, code: int
) -> None:
    """Only the study gets the signal, as from a batch system or a container; both jobs are in the middle of a sleep."""
    (tmp_path / "code" / "study_of_a_test.py").write_text(STUDY)
    command = [sys.executable, tmp_path / "code" / "study_of_a_test.py", word, tmp_path / "out"]
    running = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(tmp_path / "code")})
    pids: list[int] = []
    try:
        until = time.monotonic() + 60
        while len(pids) < 2 and time.monotonic() < until and running.poll() is None:
            time.sleep(0.1)
            pids = [int(text) for path in tmp_path.glob("out/jobs/*/pid.txt") if (text := path.read_text())]
        assert len(pids) == 2
        started = time.monotonic()
        running.send_signal(sent)
        assert running.wait(timeout=40) == code
        assert time.monotonic() - started < 30
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
    finally:
        running.kill()
        running.wait()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert read_job(tmp_path / "out/jobs/0") is None
    assert failures(tmp_path / "out") == {}  # a second run goes on; nothing failed
    assert not (tmp_path / "out/jobs/2").exists()
