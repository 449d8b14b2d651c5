"""``marrowscope explain``: where in pictures of single cells the evidence for their types lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from marrowscope.cells.explain import Method
    from marrowscope.packs.contract import PackContract
    from marrowscope.slides.protocol import Picture

METHODS: dict[str, Method | None] = {"auto": None, "cam": "class activation", "occlusion": "occlusion"}


def command(
    images: Annotated[
        list[Path], typer.Argument(help="Pictures of single cells, each cell in the middle; or folders of them.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the page, the pictures and the table.")
    ] = None,
    pack: Annotated[
        str, typer.Option(help="Models to explain: a name of 'marrowscope packs list', or a folder.")
    ] = "blood-11",
    spacing: Annotated[
        float | None, typer.Option(help="Um per pixel, for pictures that do not say; overrides those that do.")
    ] = None,
    specimen: Annotated[
        str, typer.Option(help="marrow or blood: which types are common; any: none more than another.")
    ] = "marrow",
    method: Annotated[
        str, typer.Option(help="cam: class activation maps; occlusion; auto: cam where the pack's can be trusted.")
    ] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier sheet in the folder.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for the models; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for programs instead of the table.")] = False,
) -> None:
    """Show where in pictures of single cells the evidence for their types lies.

    [bold]marrowscope explain cell.png --spacing 0.2 -o sheet[/bold] names the cell and writes explanations.html,
    explanations.csv and for each cell a PNG: the cell, the evidence for its type, for the second type, and for the
    first rather than the second. A map shows on which places a type depended, not why, and proves no type right.
    A picture that cannot be read does not stop the others; the exit code is 1. The same command again answers from the
    folder.
    """
    import numpy as np

    from marrowscope.cells.classification import Classifier
    from marrowscope.cells.explain import explain
    from marrowscope.cells.pictures import cell_picture, find_pictures, spacing_doubt
    from marrowscope.cli.console import say_where, stdout
    from marrowscope.errors import DataError, OutputError, SlideError
    from marrowscope.options import SPECIMENS
    from marrowscope.packs import load_pack
    from marrowscope.report.sheet import explained_rows, read_sheet, write_sheet
    from marrowscope.runs import fingerprint, output_names, pictures_identity, require_no_count, require_same

    if method not in METHODS:
        raise typer.BadParameter(f"--method knows {', '.join(METHODS)}, found {method!r}")
    if specimen not in SPECIMENS:
        raise typer.BadParameter(f"--specimen knows {', '.join(SPECIMENS)}, found {specimen!r}")
    images = find_pictures(images, deep=False)
    if output is not None and (taken := [image for image in images if image.resolve().parent == output.resolve()]):
        raise OutputError(f"the sheet would be written over pictures such as {taken[0]}; choose another folder with -o")
    loaded = load_pack(pack).for_specimen(specimen)
    options = {"spacing": spacing, "specimen": specimen, "method": method}
    facts: dict[str, Any] = {
        "pack": {"name": loaded.contract.name, "version": loaded.contract.version, "sha256": loaded.sha256},
        "options": options,
        "spacing_doubt": spacing_doubt(images, spacing, loaded.contract.classifier),
        "certainty_doubt": loaded.contract.certainty_doubt,
        "fingerprint": fingerprint(pictures_identity(images), loaded.sha256, options),
    }
    if output is not None:
        require_no_count(output)
    earlier = read_sheet(output) if output is not None and not force else None
    if output is not None and earlier is not None:
        require_same(output, earlier, facts, "a sheet")
        rows, problems, how = list(earlier["cells"]), list(earlier["skipped"]), "as explained before; "
    else:
        classifier, how = Classifier(loaded, threads=threads), ""
        read: dict[str, Picture] = {}
        problems = []
        for image, name in zip(images, output_names(images), strict=True):
            try:
                read[name] = cell_picture(image, spacing, classifier.contract)
            except (SlideError, DataError) as error:
                problems.append(str(error))
        rows = []
        if read:
            crops = np.stack(list(read.values()))
            found = explain(crops, loaded, method=METHODS[method], threads=threads)
            rows = explained_rows(list(read), found, classifier.classify(crops), loaded.contract)
            if output is not None:
                write_sheet(rows, crops, found, loaded.contract, output, facts | {"skipped": problems})
    for problem in problems:
        typer.secho(f"marrowscope: {problem}", fg="red", err=True)
    if rows and as_json:
        typer.echo(json.dumps(rows, indent=2))
    elif rows:
        stdout.print(_table(rows, loaded.contract))
        for doubt in filter(None, (facts["spacing_doubt"], facts["certainty_doubt"])):
            typer.echo(f"note: {doubt}")
        if output is not None:
            say_where(f"{how}look at ", output / "explanations.html")
    if problems:
        if len(images) > 1:
            typer.echo(f"marrowscope: {len(rows)} of {len(images)} pictures explained", err=True)
        raise typer.Exit(1)


def _table(rows: list[dict[str, Any]], pack: PackContract) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from marrowscope.report.evidence import named

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("picture", "type", "second type"):
        table.add_column(heading)
    table.add_column("anomaly", justify="right")
    table.add_column("flags")
    for row in rows:
        first = named(pack.title_of(row["type"]), row["certainty"])
        second = named(pack.title_of(row["second_type"]), row["second_certainty"])
        anomaly = "" if row["anomaly"] is None else f"{row['anomaly']:.2f}"
        flags = ", ".join(flag for flag in ("unsure", "anomalous") if row[flag])
        table.add_row(*map(Text, (row["file"], first, second, anomaly, flags)))
    return table
