"""``marrowscope classify``: pictures of single cells in, their types out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from marrowscope.cells.pictures import NamedPictures
    from marrowscope.packs.contract import PackContract

SAID = 10
"""Pictures that were skipped and are named on the terminal; all are in ``skipped.csv``."""


def command(
    pictures: Annotated[
        list[Path],
        typer.Argument(help="Pictures of single cells, each cell in the middle; or folders, with the folders in them."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the table and the page.")],
    pack: Annotated[
        str, typer.Option(help="Models to name with: a name of 'marrowscope packs list', or a folder.")
    ] = "blood-11",
    spacing: Annotated[
        float | None, typer.Option(help="Um per pixel, for pictures that do not say; overrides those that do.")
    ] = None,
    specimen: Annotated[
        str, typer.Option(help="marrow or blood: which types are common; any: none more than another.")
    ] = "marrow",
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier table in the folder.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for the models; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary for programs instead of the table.")] = False,
) -> None:
    """Name the cells in pictures of single cells.

    [bold]marrowscope classify cells --pack ours -o named[/bold] writes classes.parquet (a row a picture: file, type,
    certainty, anomaly, unsure, flags and a probability for each type), classes.html (counts, and pictures by type) and
    classes.json. A picture that cannot be used does not stop the others: skipped.csv names it; the exit code is 1. The
    same command again answers from the folder.
    """
    from marrowscope.cells.pictures import cell_picture, find_pictures, name_pictures, spacing_doubt
    from marrowscope.cli.console import Stages, say_where
    from marrowscope.errors import PackError
    from marrowscope.options import SPECIMENS
    from marrowscope.packs import load_pack
    from marrowscope.report.classes import read_classes, read_summary, write_classes
    from marrowscope.runs import fingerprint, pictures_identity, require_no_count, require_same

    if specimen not in SPECIMENS:
        raise typer.BadParameter(f"--specimen knows {', '.join(SPECIMENS)}, found {specimen!r}")
    loaded = load_pack(pack).for_specimen(specimen)
    contract = loaded.contract.classifier
    if contract is None:
        raise PackError(
            f"the pack {loaded.contract.name} has no classifier of its own: its detector names cells on slides only "
            "(marrowscope count); choose a pack with one (marrowscope packs list)"
        )
    images = find_pictures(pictures, deep=True)
    options = {"spacing": spacing, "specimen": specimen}
    facts: dict[str, Any] = {
        "pack": {"name": loaded.contract.name, "version": loaded.contract.version, "sha256": loaded.sha256},
        "options": options,
        "spacing_doubt": spacing_doubt(images, spacing, contract),
        "certainty_doubt": loaded.contract.certainty_doubt,
        "fingerprint": fingerprint(pictures_identity(images), loaded.sha256, options),
    }
    require_no_count(output)
    earlier = None if force else read_summary(output)
    if earlier is not None:
        require_same(output, earlier, facts, "a table")
        summary, found, how = earlier, read_classes(output), "as named before; "
    else:
        with Stages(lines=True) as stages:

            def report(done: int) -> None:
                stages.report("naming", done / len(images), f"{done:,} of {len(images):,}")

            found, how = name_pictures(images, loaded, spacing=spacing, threads=threads, progress=report), ""
            stages.report("writing the page", 1.0)
            summary = write_classes(
                found, loaded.contract, output, lambda file: cell_picture(file, spacing, contract), facts
            )
    if as_json:
        typer.echo(json.dumps({**summary, "output": str(output)}, indent=2))
    else:
        _show(found, loaded.contract)
        for doubt in filter(None, (facts["spacing_doubt"], facts["certainty_doubt"])):
            typer.echo(f"note: {doubt}")
        say_where(f"{how}look at ", output / "classes.html")
    if found.skipped:
        for _, problem in found.skipped[:SAID]:
            typer.secho(f"marrowscope: {problem}", fg="red", err=True)
        named, all_of = len(images) - len(found.skipped), len(images)
        typer.echo(f"marrowscope: {named:,} of {all_of:,} pictures named; the others are in skipped.csv", err=True)
        raise typer.Exit(1)


def _show(found: NamedPictures, pack: PackContract) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from marrowscope.cli.console import stdout

    table = Table("type", box=box.SIMPLE_HEAD)
    for heading in ("pictures", "unsure", *(["anomalous"] if pack.anomaly else [])):
        table.add_column(heading, justify="right")
    for name in pack.classes:
        rows = found.table.filter(type=name)
        if not rows.height:
            continue
        cells: list[Any] = [Text(pack.title_of(name)), f"{rows.height:,}", f"{int(rows['unsure'].sum()):,}"]
        cells += [f"{int(rows['flags'].list.contains('anomalous').sum()):,}"] if pack.anomaly else []
        table.add_row(*cells)
    stdout.print(table)
