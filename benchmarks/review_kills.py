"""Kill the review at random moments during edits and count what is lost: no confirmed edit may be.

    python benchmarks/review_kills.py RESULTS [--kills 500] [--database URL] [--seed 1]

RESULTS is a folder of results of ``marrowscope count``; it is copied, never changed. Each round starts a process that
edits a case as fast as it can and tells each edit that is confirmed through a pipe, kills it with SIGKILL after a
random time (0 to 120 ms after its first edit), opens the database anew and looks: is every confirmed edit there, with
the hash that was confirmed, is the chain whole, and does the case open with all of it?
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from marrowscope.review.edits import Confirm, Delete, Describe, Retype, Undo
from marrowscope.review.workstation import Refused, Workstation, open_workstation


@dataclass
class Kills:
    """What came of it: kills, edits that were confirmed and are there, confirmed ones that are lost, broken chains."""

    kills: int = 0
    kept: int = 0
    lost: int = 0
    broken: int = 0
    unconfirmed: int = 0
    """Edits that are there though the process died before it could tell: none of them is half an edit."""


def kill_edits(root: Path, kills: int, *, database: str | None = None, seed: int = 1) -> Kills:
    """Kill ``kills`` processes that edit the first case of ``root``, whose database is written to."""
    draw, found = random.Random(seed), Kills()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["marrowscope.review.workstation"])
    known: dict[int, str] = {}
    before = open_workstation(root, database)
    begun = before.heads()[0].n
    before.log.engine.dispose()
    for number in range(kills):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_edit, args=(root, database, number, sending))
        process.start()
        sending.close()
        confirmed = _confirmed_until(receiving, draw.random() * 0.12, process.pid or 0)
        process.join()
        assert process.exitcode == -signal.SIGKILL, f"the editing process ended by itself: {process.exitcode}"
        known |= confirmed
        workstation = open_workstation(root, database)
        case = workstation.heads()[0].case
        rows = {entry.n: entry.hash for entry in workstation.log.since(case)}
        lost = [n for n, told in known.items() if rows.get(n) != told]
        with workstation.case(case) as state:
            whole = state.n == len(rows)
        found.kills += 1
        found.lost += len(lost)
        found.broken += workstation.log.fault(case) is not None or not whole
        found.unconfirmed = len(rows) - begun - len(known)
        workstation.log.engine.dispose()
    found.kept = len(known)
    return found


def _confirmed_until(receiving: Connection, seconds: float, pid: int) -> dict[int, str]:
    """What was confirmed until the process was killed, ``seconds`` after its first edit."""
    told = dict([receiving.recv()])
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    try:
        while True:
            told |= dict([receiving.recv()])
    except (EOFError, OSError):  # the pipe ends with the process, perhaps in the middle of a message
        return told


def _edit(root: Path, database: str | None, number: int, sending: Connection) -> None:
    workstation = open_workstation(root, database)
    case = workstation.heads()[0].case
    draw = random.Random(number)
    with workstation.case(case) as state:
        cells = len(state.readings["main"].slides[0])
    while True:
        _one(workstation, case, draw, cells, sending)


def _one(workstation: Workstation, case: int, draw: random.Random, cells: int, sending: Connection) -> None:
    chosen = {0: draw.sample(range(cells), 3)}
    edit = draw.choice(
        [
            Retype(cells=chosen, to=draw.choice(["blast", "monocyte", "lymphocyte"])),
            Confirm(cells=chosen),
            Delete(cells={0: chosen[0][:1]}),
            Describe(field="conclusion", text=f"{draw.random()}"),
            Undo(),
        ]
    )
    try:
        entry = workstation.edit(case, "ann", "main", edit).entry
    except Refused:
        return
    sending.send((entry.n, entry.hash))


def main() -> None:
    """Copy, kill, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--database")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = shutil.copytree(given.results, Path(folder) / "results", ignore=shutil.ignore_patterns("review.sqlite*"))
        started = time.perf_counter()
        found = kill_edits(root, given.kills, database=given.database, seed=given.seed)
        print(f"{found.kills} kills in {time.perf_counter() - started:.0f} s")
        print(f"{found.kept} confirmed edits, {found.lost} of them lost; {found.broken} times a broken chain")
        print(f"{found.unconfirmed} edits were kept whole whose confirmation the process did not live to tell")


if __name__ == "__main__":
    main()
