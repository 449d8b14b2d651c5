"""``marrowscope backup``: the database of a review, whole, while it is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of results with a review in it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the backup shall lie.")],
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="The database that the review was started with, if not OUT's own.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier backup.")] = False,
) -> None:
    """Back up the review of a folder of results: its cases, logs, signed files and users.

    [bold]marrowscope backup results review-backup.sqlite[/bold] may run while people work. Copy the folder of results
    too: the cells and what was counted lie there. The logs are checked in the copy: one that was changed by hand is
    told. PostgreSQL has its own program: pg_dump.
    """
    from marrowscope.errors import OutputError
    from marrowscope.review.database import ReviewError, backup, open_database, review_file, sqlite_url
    from marrowscope.review.log import faults_in_words, faults_of_file

    if file.exists() and not force:
        raise OutputError(f"{file} exists: choose another name, or replace it with --force")
    instead = "PostgreSQL is backed up with its own program: pg_dump --format custom --file FILE NAME"
    own = review_file(output, database, instead)
    if not own.is_file():
        raise ReviewError(f"{output} holds no review yet ({own.name}): there is nothing to back up")
    if file.resolve() == own.resolve():
        raise OutputError(f"{file} is the review itself: give the backup another place")
    engine = open_database(sqlite_url(own))
    try:
        backup(engine, file)
    finally:
        engine.dispose()
    typer.echo(f"{file} holds the review of {output}; bring it back with: marrowscope restore {file} {output}")
    if faults := faults_of_file(file):
        raise ReviewError(
            f"the backup was made, but the review was changed by hand ({faults_in_words(faults)}): keep it apart from "
            "earlier backups"
        )
