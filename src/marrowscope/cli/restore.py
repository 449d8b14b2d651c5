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

    [bold]marrowscope restore review-backup.sqlite results[/bold] looks at the backup before it touches anything. What
    was done after the backup is lost. PostgreSQL has its own program: pg_restore.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    from marrowscope.review.database import FILE_NAME, ReviewError, restore

    place = output / FILE_NAME
    if database is not None:
        try:
            url = make_url(database)
        except ArgumentError as error:
            raise ReviewError(f"--database: {error}") from None
        if url.get_backend_name() != "sqlite" or not url.database:
            raise ReviewError("PostgreSQL is brought back with its own program: pg_restore --dbname NAME FILE")
        place = Path(url.database)
    if not output.is_dir():
        raise ReviewError(f"{output} is no folder: bring the folder of results back first, then its review")
    if not file.is_file():
        raise ReviewError(f"there is no file {file}: give a backup that marrowscope backup made")
    restore(file, place, force=force)
    typer.echo(f"the review of {output} is as it was backed up; open it with: marrowscope review {output}")
