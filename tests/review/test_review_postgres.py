"""The log on a real PostgreSQL: the same promises as on SQLite."""

from __future__ import annotations

import importlib
import shutil
import threading
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from marrowscope.review.database import ReviewError, StorageError, backup, open_database
from marrowscope.review.edits import Confirm, Retype, Undo
from marrowscope.review.log import EditLog, Stale
from marrowscope.review.outlines import Outlines
from marrowscope.review.workstation import open_workstation

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def database(postgres_database: str) -> str:
    return postgres_database


def opened(log: EditLog, edits: int) -> int:
    case = log.open_case("ann", "case 17", [], None)
    assert case is not None
    for number in range(edits):
        log.add(case, "ann", "main", "confirm", {"cells": {"0": [number]}}, expected_n=number + 1)
    return case


@pytest.mark.parametrize("deed", ["UPDATE log SET actor = 'eve'", "DELETE FROM log", "TRUNCATE log"])
def test_the_database_itself_refuses_to_change_rows(database: str, deed: str) -> None:
    log = EditLog(open_database(database))
    case = opened(log, 2)
    with log.engine.connect() as connection, pytest.raises(DBAPIError, match="never changed"):
        connection.execute(text(deed))
    assert log.fault(case) is None
    log.engine.dispose()


def test_the_chain_finds_what_was_done_by_hand(database: str) -> None:
    log = EditLog(open_database(database))
    case = opened(log, 3)
    with log.engine.begin() as connection:
        connection.execute(text("ALTER TABLE log DISABLE TRIGGER log_stays"))
        connection.execute(text("UPDATE log SET actor = 'eve' WHERE n = 2"))
    assert log.fault(case) == "row 2 of the log was changed after it was written"
    log.engine.dispose()


def test_threads_of_two_programs_lose_nothing(database: str) -> None:
    logs = [EditLog(open_database(database)) for _ in range(2)]
    case = opened(logs[0], 0)
    outlines = Outlines(logs[1])
    assert outlines.now()[case].head.n == 1

    def work(log: EditLog, actor: str) -> None:
        for number in range(10):
            while True:
                try:
                    log.add(case, actor, "main", "confirm", {"cells": {"0": [number]}}, expected_n=log.head(case).n)
                    break
                except Stale:
                    continue

    threads = [threading.Thread(target=work, args=(logs[n % 2], f"reviewer {n}")) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logs[0].head(case).n == 41
    assert outlines.now() == Outlines(logs[0]).now()
    assert outlines.now()[case].last_actor.startswith("reviewer")
    assert logs[1].fault(case) is None
    for log in logs:
        log.engine.dispose()


def test_a_look_at_the_chain_while_others_write_is_of_one_moment(database: str) -> None:
    log = EditLog(open_database(database))
    case = opened(log, 0)
    faults: list[str | None] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            faults.append(log.fault(case))

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(120):
        log.add(case, "ann", "main", "confirm", {"cells": {"0": [number]}}, expected_n=number + 1)
    ended.set()
    looking.join()
    assert set(faults) == {None}
    log.engine.dispose()


def test_a_review_works_and_goes_on(database: str, results: Path) -> None:
    workstation = open_workstation(results, database)
    case = workstation.heads()[0].case
    workstation.edit(case, "ann", "main", Retype(cells={0: [1, 2]}, to="blast"))
    workstation.edit(case, "ben", "main", Confirm(cells={1: [0]}))
    workstation.edit(case, "ann", "main", Undo())
    again = open_workstation(results, database)
    assert len(again.heads()) == 1
    assert again.differential(case, "main") == workstation.differential(case, "main")
    assert not (results / "review.sqlite").exists()
    with pytest.raises(ReviewError, match="pg_dump"):
        backup(again.log.engine, results / "copy.sqlite")
    for one in (workstation, again):
        one.log.engine.dispose()


def test_no_confirmed_edit_is_lost(database: str, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(results / "pooled")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    found = importlib.import_module("review_kills").kill_edits(results, 5, database=database)
    assert (found.kills, found.lost, found.broken) == (5, 0, 0)
    assert found.kept >= 5


def test_a_server_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        open_database(f"postgresql://nobody@/none?host={tmp_path}")
