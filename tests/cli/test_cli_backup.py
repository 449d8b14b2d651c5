"""A review backed up and brought back by the command line."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from marrowscope.cli import main
from marrowscope.review.database import FILE_NAME
from marrowscope.review.log import EditLog
from marrowscope.review.workstation import open_workstation


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with a review of one case, and no counts."""
    (tmp_path / "results").mkdir()
    log = log_of(tmp_path / "results")
    assert log.open_case("ann", "first", [], None) == 1
    log.engine.dispose()
    return tmp_path / "results"


def log_of(folder: Path) -> EditLog:
    return open_workstation(folder).log


def says(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> str:
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    assert left.value.code == code, told
    return " ".join((told.out + told.err).split())


def test_what_was_done_after_the_backup_is_gone_again(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.sqlite"
    log = log_of(results)
    assert "marrowscope restore" in says(capsys, 0, "backup", results, kept)
    log.open_case("ann", "second", [], None)
    assert "--force" in says(capsys, 1, "backup", results, kept)
    log.engine.dispose()
    assert "--force" in says(capsys, 1, "restore", kept, results)
    log = log_of(results)
    assert len(log.heads()) == 2, "a refusal changes nothing"
    log.engine.dispose()
    says(capsys, 0, "restore", kept, results, "--force")
    back = log_of(results)
    assert [head.case for head in back.heads()] == [1]
    assert back.fault(1) is None
    says(capsys, 0, "backup", results, kept, "--force")


def test_a_log_that_was_changed_by_hand_is_told_and_replaces_nothing(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(results / FILE_NAME)) as connection:
        connection.execute("DROP TRIGGER log_no_update")
        connection.execute("UPDATE log SET actor = 'eve'")
        connection.commit()
    kept = tmp_path / "kept.sqlite"
    assert "case 1: row 1 of the log was changed" in says(capsys, 1, "backup", results, kept)
    assert "does not replace" in says(capsys, 1, "restore", kept, results, "--force")
    (results / FILE_NAME).rename(tmp_path / "away.sqlite")
    assert "not to be relied on" in says(capsys, 1, "restore", kept, results)
    assert log_of(results).heads() != []


def test_what_cannot_be_done_is_told(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.sqlite"
    (tmp_path / "empty").mkdir()
    assert "nothing to back up" in says(capsys, 1, "backup", tmp_path / "empty", kept)
    assert not (tmp_path / "empty" / FILE_NAME).exists()
    url = "postgresql://user@localhost/review"
    assert "pg_dump" in says(capsys, 1, "backup", results, kept, "--database", url)
    assert "pg_restore" in says(capsys, 1, "restore", kept, results, "--database", url)
    assert "review itself" in says(capsys, 1, "backup", results, results / FILE_NAME, "--force")
    assert "no file" in says(capsys, 1, "restore", kept, results)
    kept.write_text("no database")
    assert "no backup" in says(capsys, 1, "restore", kept, results, "--force")
    assert len(log_of(results).heads()) == 1
    assert "no folder" in says(capsys, 1, "restore", kept, tmp_path / "absent")


def test_a_review_elsewhere_is_named_by_its_database(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, moved = tmp_path / "kept.sqlite", tmp_path / "elsewhere.sqlite"
    (results / FILE_NAME).rename(moved)
    url = f"sqlite:///{moved}"
    says(capsys, 0, "backup", results, kept, "--database", url)
    moved.unlink()
    says(capsys, 0, "restore", kept, results, "--database", url)
    assert moved.exists()
    assert not (results / FILE_NAME).exists()
