"""The log: rows are added and never changed, the chain finds what was done by hand, threads and programs share it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, inspect

from marrowscope.review import database
from marrowscope.review.chain import BEGINNING, Entry, canonical, first_fault, next_entry
from marrowscope.review.database import Missing, ReviewError, StorageError, backup, open_database, restore
from marrowscope.review.log import Document, EditLog, Stale


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'review.sqlite'}"


@pytest.fixture
def log(tmp_path: Path) -> EditLog:
    return EditLog(open_database(url(tmp_path)))


def opened(log: EditLog, edits: int = 0) -> int:
    case = log.open_case("ann", "case 17", [], None)
    assert case is not None
    for number in range(edits):
        log.add(case, "ann", "main", "confirm", {"cells": {"0": [number]}}, expected_n=number + 1)
    return case


def by_hand(log: EditLog, *deeds: str) -> None:
    """Write into the database as one who knows SQL would, triggers taken away."""
    with closing(sqlite3.connect(str(log.engine.url.database))) as connection:
        connection.execute("DROP TRIGGER IF EXISTS log_no_update")
        connection.execute("DROP TRIGGER IF EXISTS log_no_delete")
        connection.execute("DROP TRIGGER IF EXISTS documents_no_update")
        for deed in deeds:
            connection.execute(deed)
        connection.commit()


def test_rows_follow_each_other(log: EditLog) -> None:
    case = opened(log, 3)
    rows = log.since(case)
    assert [row.n for row in rows] == [1, 2, 3, 4]
    assert rows[0].previous == BEGINNING
    assert [row.previous for row in rows[1:]] == [row.hash for row in rows[:-1]]
    assert log.head(case).hash == rows[-1].hash
    assert log.since(case, 3) == rows[3:]
    assert log.fault(case) is None


def test_a_stale_edit_is_refused_and_leaves_nothing(log: EditLog) -> None:
    case = opened(log, 2)
    with pytest.raises(Stale):
        log.add(case, "ben", "main", "confirm", {"cells": {"0": [9]}}, expected_n=2)
    assert log.head(case).n == 3
    with pytest.raises(Missing, match="no case 99"):
        log.add(99, "ben", "main", "confirm", {}, expected_n=0)


@pytest.mark.parametrize("deed", ["UPDATE log SET actor = 'eve'", "DELETE FROM log"])
def test_the_database_itself_refuses_to_change_rows(log: EditLog, deed: str) -> None:
    opened(log, 2)
    with (
        closing(sqlite3.connect(str(log.engine.url.database))) as connection,
        pytest.raises(sqlite3.IntegrityError, match="never changed"),
    ):
        connection.execute(deed)


@pytest.mark.parametrize(
    ("deed", "found"),
    [
        ('UPDATE log SET payload = \'{"cells":{"0":[7]}}\' WHERE n = 3', "row 3 of the log was changed"),
        ("UPDATE log SET at = '2020-01-01T00:00:00.000+00:00' WHERE n = 2", "row 2 of the log was changed"),
        ("UPDATE log SET reading = 'blind:eve' WHERE n = 2", "row 2 of the log was changed"),
        ("DELETE FROM log WHERE n = 3", "row 3 of the log is missing"),
        ("DELETE FROM log WHERE n >= 4", "rows 4 to 5 of the log are missing"),
        ("UPDATE log SET hash = previous WHERE n = 5", "row 5 of the log was changed"),
        ("UPDATE cases SET head_n = 4", "does not end in row 4"),
    ],
)
def test_the_chain_finds_what_was_done_by_hand(log: EditLog, deed: str, found: str) -> None:
    case = opened(log, 4)
    by_hand(log, deed)
    assert found in (log.fault(case) or "")


def test_rows_that_are_new_are_checked_alone_and_old_ones_when_all_are(log: EditLog) -> None:
    case = opened(log, 4)
    read: list[tuple[int, int | None]] = []
    since = log._since

    def counted(connection: Connection, case: int, n: int, limit: int | None = None) -> list[Entry]:
        read.append((n, limit))
        return since(connection, case, n, limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "_since", counted)
        assert log.new_fault(case) is None
        assert read == [(0, None)], "once all of it"
        log.add(case, "ann", "main", "confirm", {"cells": {"0": [9]}}, expected_n=5)
        assert log.new_fault(case) is None
        assert read[1:] == [(4, 1), (5, None)], "then one known row and those after it"
    by_hand(log, "UPDATE log SET actor = 'eve' WHERE n = 3")
    assert log.new_fault(case) is None
    assert "row 3" in (log.fault(case) or "")
    assert "row 3" in (log.new_fault(case) or ""), "known to be broken it is looked through again"
    by_hand(log, "UPDATE log SET actor = 'ann' WHERE n = 3")
    assert log.fault(case) is None
    log.add(case, "ann", "main", "confirm", {"cells": {"0": [10]}}, expected_n=6)
    by_hand(log, "UPDATE log SET payload = '{}' WHERE n = 7")
    assert "row 7" in (log.new_fault(case) or "")
    by_hand(log, "DELETE FROM log WHERE n > 5", "UPDATE cases SET head_n = 5")
    assert log.new_fault(case) is not None


def test_a_signed_file_changed_by_hand_is_found(log: EditLog) -> None:
    case = opened(log)
    file = Document(1, "report.pdf", "cd0aa9856147b6c5b4ff2b7dfee5da20aa38253099ef1b4a64aced233c9afe29", b"ok")
    log.add(case, "ann", "main", "sign", {"version": 1, "files": {file.name: file.sha256}}, expected_n=1, files=[file])
    assert log.fault(case) is not None, "the hash above is not that of the content"
    other = opened(log)
    file = replace(file, sha256="2689367b205c16ce32ed4200942b8b8b1e262dfc70d9bc9fbc77c49699a4f1df")
    log.add(other, "ann", "main", "sign", {"version": 1, "files": {file.name: file.sha256}}, expected_n=1, files=[file])
    assert log.fault(other) is None
    assert log.document(other, 1, "report.pdf") == file
    by_hand(log, f"UPDATE documents SET content = x'6e6f' WHERE case_id = {other}")
    assert "not the one that was signed" in (log.fault(other) or "")


@given(
    st.lists(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=3), max_size=6),
    st.data(),
)
def test_any_change_of_any_row_is_found(payloads: list[dict[str, int | str]], data: st.DataObject) -> None:
    rows: list[Entry] = []
    for n, payload in enumerate(payloads, start=1):
        previous = rows[-1].hash if rows else BEGINNING
        rows.append(next_entry(1, n, "2026-11-27T10:00:00", "ann", "main", "describe", payload, previous))
    head = (len(rows), rows[-1].hash if rows else "")
    assert first_fault(rows, *head) is None
    if not rows:
        return
    place = data.draw(st.integers(0, len(rows) - 1))
    changed = replace(rows[place], payload=canonical({"other": 1}), actor=data.draw(st.text(max_size=5)) + "!")
    assert first_fault([*rows[:place], changed, *rows[place + 1 :]], *head) is not None
    assert first_fault([*rows[:place], *rows[place + 1 :]], *head) is not None


def test_many_threads_lose_nothing(log: EditLog) -> None:
    case = opened(log)
    kept: list[int] = []

    def work(actor: str) -> None:
        for number in range(15):
            while True:
                try:
                    entry = log.add(
                        case, actor, "main", "confirm", {"cells": {"0": [number]}}, expected_n=log.head(case).n
                    )
                except Stale:
                    continue
                kept.append(entry.n)
                break

    threads = [threading.Thread(target=work, args=(f"reviewer {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept) == list(range(2, 62))
    assert log.fault(case) is None


def test_one_source_is_opened_once(log: EditLog, tmp_path: Path) -> None:
    other = EditLog(open_database(url(tmp_path)))
    assert log.open_case("ann", "smear", [], "smear") == 1
    assert other.open_case("ben", "smear", [], "smear") is None
    assert len(other.heads()) == 1


def test_a_backup_holds_everything_and_comes_back(log: EditLog, tmp_path: Path) -> None:
    case = opened(log, 5)
    backup(log.engine, tmp_path / "kept.sqlite")
    log.add(case, "ann", "main", "confirm", {"cells": {"0": [9]}}, expected_n=6)
    with pytest.raises(ReviewError, match="--force"):
        restore(tmp_path / "kept.sqlite", tmp_path / "review.sqlite")
    restore(tmp_path / "kept.sqlite", tmp_path / "back.sqlite")
    back = EditLog(open_database(f"sqlite:///{tmp_path / 'back.sqlite'}"))
    assert back.since(case) == log.since(case)[:6]
    assert back.fault(case) is None
    (tmp_path / "no.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(ReviewError, match="no backup"):
        restore(tmp_path / "no.sqlite", tmp_path / "new.sqlite")
    assert not (tmp_path / "new.sqlite").exists()


def schema(engine: Engine, deed: str) -> None:
    with closing(sqlite3.connect(str(engine.url.database))) as connection:
        connection.execute(deed)
        connection.commit()


def test_schemas_of_other_versions_are_refused(log: EditLog, tmp_path: Path) -> None:
    opened(log, 1)
    schema(log.engine, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ReviewError, match="newer marrowscope"):
        open_database(url(tmp_path))
    (tmp_path / "other").mkdir()
    with closing(sqlite3.connect(tmp_path / "other" / "review.sqlite")) as connection:
        connection.execute("CREATE TABLE birds (name)")
    with pytest.raises(ReviewError, match="another program"):
        open_database(url(tmp_path / "other"))


def test_databases_that_cannot_be_used_say_so(tmp_path: Path) -> None:
    (tmp_path / "review.sqlite").write_bytes(b"this is no database, whatever its name says" * 50)
    with pytest.raises(StorageError, match=r"review\.sqlite cannot be used: file is not a database"):
        open_database(url(tmp_path))
    with pytest.raises(StorageError, match="unable to open"):
        open_database(f"sqlite:///{tmp_path / 'gone' / 'review.sqlite'}")
    with pytest.raises(ReviewError, match="--database takes"):
        open_database("mysql://localhost/x")
    with pytest.raises(ReviewError, match="--database"):
        open_database("no url")


def test_nothing_is_restored_under_a_running_review(log: EditLog, tmp_path: Path) -> None:
    case = opened(log, 2)
    backup(log.engine, tmp_path / "kept.sqlite")
    log.add(case, "ann", "main", "confirm", {"cells": {"0": [9]}}, expected_n=3)
    with pytest.raises(ReviewError, match="in use: stop the review first"):
        restore(tmp_path / "kept.sqlite", tmp_path / "review.sqlite", force=True)
    assert log.head(case).n == 4
    log.engine.dispose()
    restore(tmp_path / "kept.sqlite", tmp_path / "review.sqlite", force=True)
    back = EditLog(open_database(url(tmp_path)))
    assert back.head(case).n == 3
    assert back.fault(case) is None
    for name in ("kept.sqlite", "review.sqlite"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, "others may not read it"


def test_an_older_schema_is_brought_up_to_date_only_when_asked(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).with_name("migrations")))
    engine = create_engine(url(tmp_path))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    old = EditLog(create_engine(url(tmp_path)))
    case = opened(old, 3)
    old.engine.dispose()
    with pytest.raises(ReviewError, match=r"schema 0001 of an earlier marrowscope.*--upgrade"):
        open_database(url(tmp_path))
    log = EditLog(open_database(url(tmp_path), upgrade=True))
    assert log.head(case).n == 4
    assert log.fault(case) is None
    assert {"users", "sessions"} <= set(inspect(log.engine).get_table_names())


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_that_is_gone_takes_no_edit_with_it(log: EditLog, tmp_path: Path, replaced: bool) -> None:
    case = opened(log, 1)
    backup(log.engine, tmp_path / "kept.sqlite")
    (tmp_path / "review.sqlite").unlink()
    if replaced:
        (tmp_path / "kept.sqlite").rename(tmp_path / "review.sqlite")
    with pytest.raises(StorageError, match="deleted or replaced while the review was running"):
        log.add(case, "ann", "main", "confirm", {"cells": {"0": [1]}}, expected_n=2)
    log.engine.dispose()
    with pytest.raises(StorageError, match="deleted or replaced"):
        log.heads()
    if not replaced:
        assert not (tmp_path / "review.sqlite").exists(), "no empty one is made in its place"


def test_a_clock_that_runs_backwards_changes_no_order(log: EditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    case = opened(log)
    times = iter([datetime(2026, 11, 27, 12, tzinfo=UTC), datetime(2026, 11, 27, 11, tzinfo=UTC)])

    class Backwards(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return next(times)

    monkeypatch.setattr("marrowscope.review.log.datetime", Backwards)
    for number in range(2):
        log.add(case, "ann", "main", "confirm", {"cells": {"0": [number]}}, expected_n=number + 1)
    rows = log.since(case)
    assert [row.n for row in rows] == [1, 2, 3]
    assert rows[2].at < rows[1].at
    assert log.fault(case) is None


def test_a_locked_database_says_so_and_keeps_nothing(
    log: EditLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    case = opened(log)
    monkeypatch.setattr("marrowscope.review.database.BUSY_SECONDS", 0.1)
    impatient = EditLog(open_database(url(tmp_path)))
    with closing(sqlite3.connect(tmp_path / "review.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match=r"nothing was kept of this edit.*locked"):
            impatient.add(case, "ann", "main", "confirm", {"cells": {"0": [1]}}, expected_n=1)
        other.execute("ROLLBACK")
    assert log.head(case).n == 1
    impatient.add(case, "ann", "main", "confirm", {"cells": {"0": [1]}}, expected_n=1)
    assert log.fault(case) is None
