"""``marrowscope explain``: where in pictures of single cells the evidence for their types lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from marrowscope.packs.contract import ClassifierContract
    from marrowscope.slides.protocol import Picture

WIDEST_UM = 100.0
"""Longest side of a picture that can be of a single cell, with its surroundings."""

METHODS = {"auto": None, "cam": "class activation", "occlusion": "occlusion"}


def command(
    images: Annotated[list[Path], typer.Argument(help="Pictures of single cells, each cell in the middle.")],
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
    ] = "any",
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
    """
    import numpy as np

    from marrowscope.cells.classification import Classifier
    from marrowscope.cells.explain import explain
    from marrowscope.cli.console import say_where, stdout
    from marrowscope.packs import load_pack
    from marrowscope.report.sheet import explained_rows, write_sheet
    from marrowscope.runs import output_names

    if method not in METHODS:
        raise typer.BadParameter(f"--method knows {', '.join(METHODS)}, found {method!r}")
    images = list(dict.fromkeys(images))
    loaded = load_pack(pack).for_specimen(specimen)
    classifier = Classifier(loaded, threads=threads)
    crops = np.stack([_crop(image, spacing, classifier.contract) for image in images])
    found = explain(crops, loaded, method=METHODS[method], threads=threads)  # type: ignore[arg-type]
    rows = explained_rows(output_names(images), found, classifier.classify(crops), loaded.contract)
    if output is not None:
        write_sheet(rows, crops, found, loaded.contract, output)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    stdout.print(_table(rows))
    if output is not None:
        say_where("look at ", output / "explanations.html")


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
    for heading, justify in (("picture", "left"), ("type", "left"), ("second type", "left"), ("anomaly", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    table.add_column("flags")
    for row in rows:
        first = f"{CELL_TYPES[row['type']].title} {100 * row['certainty']:.0f} %"
        second = f"{CELL_TYPES[row['second_type']].title} {100 * row['second_certainty']:.0f} %"
        anomaly = "" if row["anomaly"] is None else f"{row['anomaly']:.2f}"
        flags = ", ".join(flag for flag in ("unsure", "anomalous") if row[flag])
        table.add_row(Text(row["file"]), first, second, anomaly, flags)
    return table
