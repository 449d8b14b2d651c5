"""``marrowscope count``: slides in, differentials and reports out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from marrowscope.cli.console import Stages, show_outcome


def command(
    slides: Annotated[
        list[Path], typer.Argument(help="Slide files: SVS, NDPI, MRXS, SCN, BIF, DICOM, TIFF, PNG, JPEG.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results, one folder a slide in it.")],
    pack: Annotated[
        str, typer.Option(help="Models to count with: a name of 'marrowscope packs list', or a folder.")
    ] = "blood-11",
    spacing: Annotated[
        float | None, typer.Option(help="Um per pixel, for slides that do not say; overrides those that do.")
    ] = None,
    cells: Annotated[
        int, typer.Option(min=1, help="Stop at the end of the counting field that reaches this number.")
    ] = 500,
    every: Annotated[bool, typer.Option("--all", help="Count every cell of the regions.")] = False,
    until: Annotated[
        str | None, typer.Option(metavar="precise", help="'precise': until each deciding threshold is cleared.")
    ] = None,
    region: Annotated[
        str, typer.Option(help="Where to count: auto, whole, or a GeoJSON file (from QuPath, say).")
    ] = "auto",
    specimen: Annotated[
        str, typer.Option(help="marrow or blood: which types are common; any: none more than another.")
    ] = "marrow",
    case: Annotated[str | None, typer.Option(help="Pool the slides as smears of one case of this name.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the order of the counting fields.")] = 0,
    count_mitoses: Annotated[
        bool, typer.Option("--count-mitoses", help="Put mitotic cells into the differential.")
    ] = False,
    reference_ranges: Annotated[Path | None, typer.Option(help="Your laboratory's reference ranges (TOML).")] = None,
    pseudonymous: Annotated[
        bool, typer.Option("--pseudonymous", help="Name folders, files and logs by a keyed hash.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Count again what is already counted.")] = False,
    tile: Annotated[
        int | None, typer.Option(help="Tile size in pixels of the detector (changes speed, not counts).")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Tiles a run of the detector (changes speed, not counts).")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads for the models; default: all cores.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary for programs instead of the table.")] = False,
) -> None:
    """Count one or more slides: a differential with intervals, a report, tables.

    [bold]marrowscope count slide.svs -o results[/bold] counts 500 cells. Each slide gets its folder: report.html,
    report.pdf, differential.json and .csv, cells.parquet, cells.geojson.gz (QuPath), regions.geojson, run.json. The
    same command run again goes on where it stopped. A slide that fails does not stop the others; the exit code is 1.
    """
    from marrowscope.batch import count_slides
    from marrowscope.cells.finding import Tiling
    from marrowscope.options import CountOptions
    from marrowscope.packs import load_pack

    if until not in (None, "precise"):
        raise typer.BadParameter(f"--until knows only 'precise', found {until!r}")
    if every and until:
        raise typer.BadParameter("choose one of --all and --until precise")
    options = CountOptions(
        cells="all" if every else "precise" if until else cells,
        region=region,
        seed=seed,
        count_mitoses=count_mitoses,
        reference_ranges=reference_ranges,
        specimen=specimen,
        tiling=Tiling(tile=tile, batch=batch, threads=threads),
    )
    slides = list(dict.fromkeys(slides))  # a slide that is named twice is counted once
    with Stages() as stages:
        outcomes = count_slides(
            slides,
            output,
            load_pack(pack),
            options,
            case=case,
            spacing=spacing,
            pseudonymous=pseudonymous,
            force=force,
            progress=stages.report,
        )
    if as_json:
        typer.echo(json.dumps([outcome.summary() for outcome in outcomes], indent=2))
    failed = [outcome for outcome in outcomes if outcome.error]
    counted = [outcome for outcome in outcomes if not outcome.error]
    for outcome in counted if not as_json else ():
        show_outcome(outcome, brief=len(counted) > 1)
    for outcome in failed:
        words = str(outcome.error).removeprefix(f"{outcome.label}: ")
        typer.secho(f"marrowscope: {outcome.label}: {words}", fg="red", err=True)
    if failed:
        if len(slides) > 1:
            whole = sum(not outcome.error for outcome in outcomes[: len(slides)])
            typer.echo(f"marrowscope: {whole} of {len(slides)} slides counted", err=True)
        raise typer.Exit(1)
