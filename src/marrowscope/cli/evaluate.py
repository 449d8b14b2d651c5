"""``marrowscope evaluate``: a pack held against labelled slides, and a verification to print and sign."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from marrowscope.cli.annotations import BelieveSpacing, Classes, SkipUnknown, Spacing
from marrowscope.errors import how_many

if TYPE_CHECKING:
    from marrowscope.report.verified import Verification

WIDE = 90
"""From this width of the terminal on the recall stands with its interval."""


def command(
    pack: Annotated[str, typer.Option(help="Models to verify: a name of 'marrowscope packs list', or a folder.")],
    slides: Annotated[Path, typer.Option(help="Folder of slides.")],
    truth: Annotated[
        Path,
        typer.Option(
            help="Folder of their labels: NAME.truth.json.gz of a phantom, or NAME with .geojson, .geojson.gz, .json "
            "(QuPath, COCO), .xml (VOC), .txt (YOLO), .labels.parquet or .parquet; or one file."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the verification and the counts.")],
    classes: Classes = None,
    skip_unknown: SkipUnknown = False,
    spacing: Spacing = None,
    believe_spacing: BelieveSpacing = False,
    region: Annotated[
        str, typer.Option(help="Where to count: auto, whole, or a GeoJSON file (from QuPath, say).")
    ] = "auto",
    specimen: Annotated[
        str, typer.Option(help="marrow or blood: which types are common; any: none more than another.")
    ] = "marrow",
    force: Annotated[bool, typer.Option("--force", help="Count again what is already counted.")] = False,
    tile: Annotated[
        int | None, typer.Option(help="Tile size in pixels of the detector (changes speed, not counts).")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Tiles a run of the detector (changes speed, not counts).")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for the models; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print evaluation.json instead of the table.")] = False,
) -> None:
    """Hold a pack against labelled slides: recall, precision, F1, AP, kappa, confusion, error of the differential.

    [bold]marrowscope evaluate --pack phantom-16 --slides DIR --truth DIR -o OUT[/bold] counts every cell of every slide
    and writes evaluation.json, matches.parquet (one row a labelled cell) and verification.html, to print and to sign.
    The counts are kept in OUT/counts. A slide that fails does not stop the others; the exit code is 1.
    """
    from marrowscope.annotations.naming import read_class_map
    from marrowscope.cells.finding import Tiling
    from marrowscope.cli.console import Stages, say_where, stderr
    from marrowscope.options import CountOptions
    from marrowscope.packs import load_pack
    from marrowscope.report.verification import verification_facts
    from marrowscope.verification import LabelOptions, find_slides, verify

    options = CountOptions(region=region, specimen=specimen, tiling=Tiling(tile=tile, batch=batch, threads=threads))
    reading = LabelOptions(spacing, believe_spacing, read_class_map(classes) if classes else None, skip_unknown)
    with Stages() as stages:
        content = verify(
            find_slides(slides),
            truth,
            output,
            load_pack(pack),
            options,
            reading=reading,
            force=force,
            progress=stages.report,
            tell=lambda line: stderr.print(line, markup=False, highlight=False, soft_wrap=True),
        )
    if as_json:
        typer.echo(json.dumps(verification_facts(content), indent=2))
    else:
        _show(content)
        say_where("print and sign ", output / "verification.html")
    failed = [slide for slide in content.slides if slide.error is not None]
    for slide in failed:
        typer.secho(f"marrowscope: {slide.name}: {slide.error}", fg="red", err=True)
    if failed:
        typer.echo(f"marrowscope: {len(content.judged)} of {how_many(len(content.slides), 'slide')} judged", err=True)
        raise typer.Exit(1)


def _show(content: Verification) -> None:
    """Print recall, precision and F1 by type, and the figures over all of them."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from marrowscope.cli.console import stdout
    from marrowscope.report.verification_page import verification_page

    page = verification_page(content)
    wide = stdout.width >= WIDE
    table = Table(title=f"{page.title}, percent", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("type", no_wrap=True)
    for name in ("labelled", "recall", "tolerant", "precision", "F1"):
        table.add_column(name, justify="right", no_wrap=True)
    unknown: dict[str, list[str]] = {}
    for row in (*page.types, page.means):
        values = [value.split()[0] for value in (row.tolerant, row.precision, row.f1)]  # intervals are on the page
        if row.why:
            unknown.setdefault(row.why, []).append(row.title)
        numbers = ["–"] * 4 if row.why else [row.recall if wide else row.recall.split()[0], *values]
        table.add_row(row.title, row.n, *numbers)
    stdout.print(table)
    for why, types in unknown.items():
        stdout.print(f"– {why.replace(': ', ', ')}: {', '.join(types)}", highlight=False)
    for figure in page.figures:
        beside = f" {figure.beside}" if figure.beside else ""
        stdout.print(f"{figure.title}: {figure.value}{beside}, {figure.detail}", highlight=False)
