"""``marrowscope review``: the workstation in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrowscope.cli.console import DATABASE_VARIABLE


def command(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder with results of marrowscope count.")],
    host: Annotated[str, typer.Option(help="Address to listen on; any but this machine's own asks for a login.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    database: Annotated[
        str | None,
        typer.Option(
            metavar="URL", envvar=DATABASE_VARIABLE, help="postgresql://USER@HOST/NAME; default: OUT/review.sqlite."
        ),
    ] = None,
    slides: Annotated[
        list[Path] | None, typer.Option(help="Folder to look for slides that were moved; may be given several times.")
    ] = None,
    pack: Annotated[
        list[Path] | None, typer.Option(help="Folder of a pack that is not installed; may be given several times.")
    ] = None,
    reference_ranges: Annotated[Path | None, typer.Option(help="Your laboratory's reference ranges (TOML).")] = None,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Name under which browsers reach the server, where it asks for a login.")
    ] = None,
    behind_tls: Annotated[
        bool, typer.Option("--behind-tls", help="A reverse proxy with TLS stands in front (docs/deploy.md).")
    ] = False,
    login: Annotated[
        bool, typer.Option("--login", help="Ask for a login on this machine too (marrowscope users add).")
    ] = False,
    largest_upload: Annotated[
        float, typer.Option(min=0.001, metavar="GB", help="Largest slide that is taken through the browser.")
    ] = 20.0,
    all_uploads: Annotated[
        float, typer.Option(min=0.001, metavar="GB", help="What all slides that came through the browser may take.")
    ] = 500.0,
    upgrade: Annotated[
        bool, typer.Option("--upgrade", help="Bring the database of an earlier version up to date.")
    ] = False,
) -> None:
    """Review counted slides in the browser: look at every cell, correct, comment, sign.

    [bold]marrowscope review results[/bold] opens the page for the folder that [bold]marrowscope count -o results[/bold]
    wrote. Each edit is kept at once, in OUT/review.sqlite; stop with Ctrl-C and start again at any time. On this
    machine's own address nobody else can reach it and it asks for no login; on any other address it asks for users
    (marrowscope users add).
    """
    from marrowscope.differential.references import load_references
    from marrowscope.review.counted import Places
    from marrowscope.review.server import serve
    from marrowscope.review.workstation import open_workstation

    workstation = open_workstation(
        output,
        database,
        places=Places(tuple(slides or ()), tuple(pack or ())),
        references=load_references(reference_ranges) if reference_ranges else None,
        upgrade=upgrade,
    )
    serve(
        workstation,
        host=host,
        port=port,
        browser=browser,
        login=login,
        allowed_hosts=tuple(allowed_host or ()),
        behind_tls=behind_tls,
        largest_upload=int(largest_upload * 1e9),
        all_uploads=int(all_uploads * 1e9),
    )
