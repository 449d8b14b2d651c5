"""The database of the review: SQLite in WAL mode beside the results, or PostgreSQL by URL; its schema and backups."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from marrowscope.errors import MarrowscopeError
from marrowscope.files import whole_file

FILE_NAME = "review.sqlite"
"""The database of a folder of results, in that folder."""

OWNER_ONLY = 0o600
"""Rights of the database and its backups: they hold what patients are called and hashes of passwords."""

BUSY_SECONDS = 10.0
"""How long a write waits for another program's before it gives up."""

_MIGRATIONS = Path(__file__).with_name("migrations")


class ReviewError(MarrowscopeError):
    """The database or a case cannot be used as asked; nothing was written."""


class Missing(ReviewError):
    """There is no such case, slide, cell or file."""


class StorageError(ReviewError):
    """The database is locked, full, gone or damaged."""


def open_database(url: str, *, upgrade: bool = False) -> Engine:
    """Connect, and make the tables in an empty database.

    ``url`` is SQLAlchemy's (``sqlite:///FILE``, ``postgresql://USER@HOST/NAME``). ``upgrade`` brings an older schema up
    to date; without it an older one is refused. Raises ``StorageError`` when the database cannot be reached or is no
    database, ``ReviewError`` for a schema of another version.
    """
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            tables = inspect(connection).get_table_names()
            if tables and "alembic_version" not in tables:
                raise ReviewError(
                    f"{shown(engine.url)} is a database of another program: name another one with --database"
                )
            now, newest = schema_of(connection), _scripts().get_current_head()
            if (
                now is not None
                and now != newest
                and now not in {script.revision for script in _scripts().walk_revisions()}
            ):
                raise ReviewError(
                    f"{shown(engine.url)} was made by a newer marrowscope (schema {now}, this one knows {newest}): "
                    "install that version"
                )
            if now not in (None, newest) and not upgrade:
                raise ReviewError(
                    f"{shown(engine.url)} has the schema {now} of an earlier marrowscope, this one needs {newest}: "
                    "back it up with marrowscope backup, then start once with --upgrade"
                )
            if now != newest:
                _migrate(connection)
        if engine.dialect.name == "sqlite":
            _keep_to_this_file(engine)
            if now is None:
                Path(str(engine.url.database)).chmod(OWNER_ONLY)
    except ReviewError:
        engine.dispose()
        raise
    except (SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        raise StorageError(f"{shown(engine.url)} cannot be used: {first_line(error)}") from error
    return engine


def shown(url: URL) -> str:
    """A database for a message: the file, or the URL without its password."""
    return str(url.database) if url.get_backend_name() == "sqlite" else url.render_as_string(hide_password=True)


def first_line(error: BaseException) -> str:
    """What a database said, without SQL and values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]


def schema_of(connection: Connection) -> str | None:
    """The version of the schema; None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn what a database raises into a ``StorageError`` that says what was not done."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StorageError(f"{what}: the database says: {first_line(error)}; try again when that is mended") from error


def review_file(output: Path, database: str | None, instead: str) -> Path:
    """The SQLite file of a review: that of the folder of results, unless a URL names another one.

    Raises ``ReviewError`` when the URL is none, or names a PostgreSQL, with ``instead`` for what to type.
    """
    if database is None:
        return output / FILE_NAME
    try:
        url = make_url(database)
    except ArgumentError as error:
        raise ReviewError(f"--database: {error}") from None
    if url.get_backend_name() != "sqlite" or not url.database:
        raise ReviewError(instead)
    return Path(url.database)


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def backup(engine: Engine, path: Path) -> None:
    """Copy a SQLite database to ``path``, whole, while it is in use.

    Raises ``ReviewError`` for PostgreSQL (its own ``pg_dump`` does that), ``OutputError`` when it cannot be written.
    """
    if engine.dialect.name != "sqlite":
        raise ReviewError("PostgreSQL is backed up with its own program: pg_dump --format custom --file FILE NAME")
    with (
        whole_file(path) as beside,
        closing(sqlite3.connect(str(engine.url.database))) as source,
        closing(sqlite3.connect(beside)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")
    path.chmod(OWNER_ONLY)


def restore(backup_file: Path, path: Path, *, force: bool = False) -> None:
    """Put a backup in the place of the database ``path``, which no program may have open.

    Raises ``ReviewError`` when the backup is none, or when ``path`` exists and ``force`` is not set.
    """
    check_backup(backup_file)
    if path.exists():
        if not force:
            raise ReviewError(f"{path} exists: move it away, or replace it with --force")
        _refuse_in_use(path)
    try:
        with (
            closing(_read_only(backup_file)) as source,
            whole_file(path) as beside,
            closing(sqlite3.connect(beside)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise ReviewError(f"{backup_file} is no backup of a review: {error}") from error
    path.chmod(OWNER_ONLY)


def check_backup(file: Path) -> None:
    """Raise ``ReviewError`` when a file is no backup of a review, or a damaged one."""
    try:
        with closing(_read_only(file)) as source:
            found = source.execute("PRAGMA integrity_check").fetchone()[0]
            tables = {name for (name,) in source.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        raise ReviewError(f"{file} is no backup of a review: {error}") from error
    if found != "ok" or not {"alembic_version", "cases", "log"} <= tables:
        raise ReviewError(f"{file} is no backup of a review, or a damaged one: {found}")


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{file}?mode=ro", uri=True)


def _refuse_in_use(path: Path) -> None:
    """Raise ``ReviewError`` when a program has the database open; without one its log is folded into the file itself.

    Leaving WAL mode needs the file alone, so that it succeeds only when nobody else has it open.
    """
    try:
        with closing(sqlite3.connect(path, timeout=0)) as there:
            alone = there.execute("PRAGMA journal_mode=DELETE").fetchone()[0] == "delete"
    except sqlite3.OperationalError:
        alone = False
    except sqlite3.DatabaseError:
        return  # damaged: that is what a backup is for
    if not alone:
        raise ReviewError(f"{path} is in use: stop the review first (Ctrl-C), then restore again")


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ReviewError(f"--database takes sqlite:///FILE or postgresql://USER@HOST/NAME, found {shown(parsed)}")
        if parsed.get_backend_name() == "sqlite":
            engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
            event.listen(engine, "connect", _set_up_sqlite)
            event.listen(engine, "begin", _begin_immediate)
            return engine
        return create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=10)
    except ArgumentError as error:
        raise ReviewError(f"--database: {error}") from error
    except ModuleNotFoundError as error:
        raise ReviewError("PostgreSQL needs its driver: pip install 'marrowscope[department]'") from error


def _set_up_sqlite(connection: Any, _: object) -> None:
    """WAL lets readers read while one writes; FULL keeps a confirmed edit through a loss of power."""
    connection.isolation_level = None  # SQLAlchemy's events say when a transaction begins
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    """Take the lock to write at once: two writers that begin as readers could not both go on."""
    deed = "BEGIN" if connection.get_execution_options().get("reads") else "BEGIN IMMEDIATE"
    connection.exec_driver_sql(deed)


def _keep_to_this_file(engine: Engine) -> None:
    """Refuse to go on when the database file is deleted or replaced.

    SQLite would write on into the deleted file, where no edit is ever found again, or make an empty one.
    """
    path = str(engine.url.database)
    opened = _identity(path)

    def check(*_: object) -> None:
        if _identity(path) != opened:
            raise StorageError(
                f"{path} was deleted or replaced while the review was running, and nothing is written: bring it back, "
                "then start the review again"
            )

    event.listen(engine, "do_connect", check)
    event.listen(engine, "begin", check, insert=True)


def _identity(path: str) -> tuple[int, int] | None:
    """What tells a file from another one of its name; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _migrate(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
