"""``marrowscope restore``: a backup of a review in the place of its database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup that marrowscope backup made.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of results that it belongs to.")],
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="sqlite:///FILE, for a review that is not in OUT.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the review that is there.")] = False,
) -> None:
    """Bring the review of a folder of results back from a backup. Stop the review first.

    [bold]marrowscope restore review-backup.sqlite results[/bold] looks at the backup before it touches anything, its
    logs too: one that was changed by hand does not replace a review. What was done after the backup is lost. PostgreSQL
    has its own program: pg_restore.
    """
    from marrowscope.review.database import ReviewError, check_backup, restore, review_file
    from marrowscope.review.log import faults_in_words, faults_of_file

    instead = "PostgreSQL is brought back with its own program: pg_restore --dbname NAME FILE"
    place = review_file(output, database, instead)
    if not output.is_dir():
        raise ReviewError(f"{output} is no folder: bring the folder of results back first, then its review")
    if not file.is_file():
        raise ReviewError(f"there is no file {file}: give a backup that marrowscope backup made")
    check_backup(file)
    faults = faults_of_file(file)
    if faults and place.exists():
        raise ReviewError(
            f"{file} was changed by hand ({faults_in_words(faults)}) and does not replace {place}: take an earlier "
            "backup, or move the review away first"
        )
    restore(file, place, force=force)
    typer.echo(f"the review of {output} is as it was backed up; open it with: marrowscope review {output}")
    if faults:
        raise ReviewError(f"it was changed by hand before that ({faults_in_words(faults)}): it is not to be relied on")
