"""``marrowscope explain``: where in pictures of single cells the evidence for their types lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from marrowscope.cells.explain import Method
    from marrowscope.packs.contract import ClassifierContract
    from marrowscope.slides.protocol import Picture

WIDEST_UM = 100.0
"""Longest side of a picture that can be of a single cell, with its surroundings."""

PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
"""Endings of the files that are taken from a folder."""

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
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for the models; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print for programs instead of the table.")] = False,
) -> None:
    """Show where in pictures of single cells the evidence for their types lies.

    [bold]marrowscope explain cell.png --spacing 0.2 -o sheet[/bold] names the cell and writes explanations.html,
    explanations.csv and for each cell a PNG: the cell, the evidence for its type, for the second type, and for the
    first rather than the second. A map shows on which places a type depended, not why, and proves no type right.
    A picture that cannot be read does not stop the others; the exit code is 1.
    """
    import numpy as np

    from marrowscope.cells.classification import Classifier
    from marrowscope.cells.explain import explain
    from marrowscope.cli.console import say_where, stdout
    from marrowscope.errors import SlideError
    from marrowscope.options import SPECIMENS
    from marrowscope.packs import load_pack
    from marrowscope.report.sheet import explained_rows, write_sheet
    from marrowscope.runs import output_names

    if method not in METHODS:
        raise typer.BadParameter(f"--method knows {', '.join(METHODS)}, found {method!r}")
    if specimen not in SPECIMENS:
        raise typer.BadParameter(f"--specimen knows {', '.join(SPECIMENS)}, found {specimen!r}")
    images = _pictures(images, output)
    loaded = load_pack(pack).for_specimen(specimen)
    classifier = Classifier(loaded, threads=threads)
    read: dict[str, Picture] = {}
    for image, name in zip(images, output_names(images), strict=True):
        try:
            read[name] = _crop(image, spacing, classifier.contract)
        except SlideError as error:
            typer.secho(f"marrowscope: {error}", fg="red", err=True)
    if read:
        crops = np.stack(list(read.values()))
        found = explain(crops, loaded, method=METHODS[method], threads=threads)
        rows = explained_rows(list(read), found, classifier.classify(crops), loaded.contract)
        if output is not None:
            write_sheet(rows, crops, found, loaded.contract, output)
        if as_json:
            typer.echo(json.dumps(rows, indent=2))
        else:
            stdout.print(_table(rows))
            if output is not None:
                say_where("look at ", output / "explanations.html")
    if len(read) < len(images):
        if len(images) > 1:
            typer.echo(f"marrowscope: {len(read)} of {len(images)} pictures explained", err=True)
        raise typer.Exit(1)


def _pictures(given: list[Path], output: Path | None) -> list[Path]:
    """Each picture once, a folder standing for the pictures in it, in the order of their names.

    Raises ``SlideError`` for a folder without any, ``OutputError`` when the sheet would replace pictures.
    """
    from marrowscope.errors import OutputError, SlideError

    images: dict[Path, None] = {}
    for path in given:
        inside = [path]
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES and file.is_file())
        if not inside:
            raise SlideError(
                f"no picture lies in the folder {path}, whose own folders are not searched; expected files that end "
                f"in {', '.join(sorted(PICTURES))}: give pictures, or the folder that holds them"
            )
        images |= dict.fromkeys(inside)
    if output is not None and (taken := [image for image in images if image.resolve().parent == output.resolve()]):
        raise OutputError(f"the sheet would be written over pictures such as {taken[0]}; choose another folder with -o")
    return list(images)


def _crop(image: Path, spacing: float | None, contract: ClassifierContract) -> Picture:
    """The middle of a picture at the classifier's spacing. Raises ``SlideError`` and ``SpacingError``."""
    from marrowscope.errors import SlideError
    from marrowscope.geometry import Size
    from marrowscope.slides import open_slide, require_spacing
    from marrowscope.slides.sampling import Sampler

    with open_slide(image, spacing) as slide:
        um = require_spacing(slide)
        width, height = slide.size.width * um.x, slide.size.height * um.y
        if max(width, height) > WIDEST_UM:
            raise SlideError(
                f"{image} is {width:.0f} x {height:.0f} um, too large for one cell (expected at most {WIDEST_UM:g}); "
                "check --spacing, cut the cell out, or count all cells with: marrowscope count"
            )
        u, v = (round(side / 2 / contract.spacing) - contract.crop // 2 for side in (width, height))
        return Sampler(slide, contract.spacing).read(u, v, Size(contract.crop, contract.crop))


def _table(rows: list[dict[str, Any]]) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from marrowscope.taxonomy import CELL_TYPES

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("picture", "type", "second type"):
        table.add_column(heading)
    table.add_column("anomaly", justify="right")
    table.add_column("flags")
    for row in rows:
        first = f"{CELL_TYPES[row['type']].title} {100 * row['certainty']:.0f} %"
        second = f"{CELL_TYPES[row['second_type']].title} {100 * row['second_certainty']:.0f} %"
        anomaly = "" if row["anomaly"] is None else f"{row['anomaly']:.2f}"
        flags = ", ".join(flag for flag in ("unsure", "anomalous") if row[flag])
        table.add_row(Text(row["file"]), first, second, anomaly, flags)
    return table
