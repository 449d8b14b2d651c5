"""Ten reviewers work on one case at once, through the real server: is any confirmed edit lost, is any answer an error?

    python benchmarks/review_crowd.py RESULTS [--seconds 120] [--reviewers 10] [--database URL]

RESULTS is a folder of results of ``marrowscope count`` with one case; it is copied, never changed. Every reviewer logs
in with a token of the own, gives random cells other types, confirms, deletes and undoes as fast as the answers come,
and remembers number and hash of every edit that was confirmed. Being told that somebody else changed the same cells
meanwhile is no error: the reviewer looks again and goes on. At the end every remembered edit must be in the log, the
chain whole, and the counts that the server gives equal to those that a plain replay of the log gives.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from marrowscope.review.access.sessions import Tokens
from marrowscope.review.access.users import Role, Users
from marrowscope.review.chain import Entry
from marrowscope.review.client import ClientError, ReviewClient
from marrowscope.review.counted import TYPE_NAMES
from marrowscope.review.edits import Confirm, Delete, Retype, Undo
from marrowscope.review.workstation import Workstation, open_workstation

TYPES = ("blast", "promyelocyte", "monocyte", "lymphocyte", "plasma_cell")


@dataclass
class Crowd:
    """What came of it."""

    confirmed: dict[int, str] = field(default_factory=dict)
    conflicts: int = 0
    refused: int = 0
    errors: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    lost: int = 0
    fault: str | None = None
    counts_agree: bool = False


@contextmanager
def served(root: Path, database: str | None, *options: str) -> Iterator[str]:
    """A review of ``root`` in a process of its own; its address."""
    command = [sys.executable, "-m", "marrowscope", "review", str(root), "--no-browser", "--port", "0", *options]
    if database:
        command += ["--database", database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        words = server.stdout.readline().split()
        address = next((word for word in words if word.startswith("http")), None)
        try:
            if address is None:
                raise SystemExit("the review did not start")
            yield address
        finally:
            server.terminate()


def crowd(root: Path, *, seconds: float, reviewers: int, database: str | None = None) -> Crowd:
    """Let ``reviewers`` work for so many seconds on the first case of ``root``, whose database is written to."""
    workstation = open_workstation(root, database)
    case = workstation.heads()[0].case
    tokens = [_user(workstation, f"reviewer-{number}") for number in range(reviewers)]
    found, lock = Crowd(), threading.Lock()
    with served(root, database, "--login") as address:
        until = time.monotonic() + seconds
        threads = [
            threading.Thread(target=_work, args=(address, token, number, case, until, found, lock))
            for number, token in enumerate(tokens)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with ReviewClient(address, tokens[0]) as review:
            told = review.differential(case)["differential"]
    rows = workstation.log.since(case)
    hashes = {row.n: row.hash for row in rows}
    found.lost = sum(hashes.get(n) != told_hash for n, told_hash in found.confirmed.items())
    found.fault = workstation.log.fault(case)
    with workstation.case(case) as state:
        model = {
            (slide.number, cell): TYPE_NAMES[code]
            for slide in state.slides
            for cell, code in enumerate(workstation.counted(slide).cells.types)
        }
    counts = replay(model, rows)
    shown = {row["type"]: row["count"] for row in told["rows"] if row["count"]}
    shown |= {row["type"]: row["count"] for row in told["others"] if row["count"]}
    found.counts_agree = shown == {name: number for name, number in counts.items() if number}
    workstation.log.engine.dispose()
    return found


def replay(model: dict[tuple[int, int], str], rows: Sequence[Entry]) -> Counter[str]:
    """The counts by the log alone, in the plainest way: of each cell what every edit that holds calls it, in order."""
    called: dict[tuple[int, int], dict[int, str | None]] = {cell: {0: name} for cell, name in model.items()}

    def now(cell: tuple[int, int]) -> str | None:
        return called[cell][max(called[cell])]

    for row in rows:
        content = row.content
        if row.kind == "undo":
            for words in called.values():
                words.pop(content["of"], None)
        elif row.kind in ("retype", "confirm", "delete"):
            for cell in ((int(slide), cell) for slide, told in content["cells"].items() for cell in told):
                called[cell][row.n] = {"retype": content.get("to"), "confirm": now(cell), "delete": None}[row.kind]
    return Counter(name for name in map(now, called) if name is not None)


def _user(workstation: Workstation, name: str) -> str:
    engine = workstation.log.engine
    Users(engine).add(name, "a long enough password of " + name, Role.REVIEWER)
    return Tokens(engine).make(name, "benchmark", 1)


def _work(address: str, token: str, number: int, case: int, until: float, found: Crowd, lock: threading.Lock) -> None:
    draw = random.Random(number)
    with ReviewClient(address, token) as review:
        cells = len(review.cells(case))
        known = review.case(case)["n"]
        while time.monotonic() < until:
            chosen = {0: draw.sample(range(cells), draw.randint(1, 5))}
            deed = draw.random()
            edit = (
                Retype(cells=chosen, to=draw.choice(TYPES))
                if deed < 0.7
                else Confirm(cells=chosen)
                if deed < 0.9
                else Undo()
                if deed < 0.98
                else Delete(cells={0: chosen[0][:1]})
            )
            started = time.monotonic()
            try:
                answer = review.edit(case, edit, known_n=known)
            except ClientError as error:
                with lock:
                    found.conflicts += error.kind == "conflict"
                    found.refused += error.kind == "refused"
                    if error.kind not in ("conflict", "refused"):
                        found.errors.append(f"{error.status} {error}")
                known = review.case(case)["n"]
                continue
            known = answer["n"]
            with lock:
                found.confirmed[answer["change"]["n"]] = answer["change"]["hash"]
                found.seconds.append(time.monotonic() - started)


def main() -> None:
    """Copy, let them work, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--reviewers", type=int, default=10)
    parser.add_argument("--database")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = shutil.copytree(given.results, Path(folder) / "results", ignore=shutil.ignore_patterns("review.sqlite*"))
        found = crowd(root, seconds=given.seconds, reviewers=given.reviewers, database=given.database)
    median = 1000 * statistics.median(found.seconds)
    print(
        f"{len(found.confirmed)} edits confirmed in {given.seconds:g} s by {given.reviewers} reviewers, "
        f"median {median:.0f} ms"
    )
    print(f"{found.conflicts} conflicts told, {found.refused} refused; {len(found.errors)} errors {found.errors[:3]}")
    print(f"{found.lost} lost; chain: {found.fault or 'whole'}; counts equal to the log: {found.counts_agree}")


if __name__ == "__main__":
    main()
