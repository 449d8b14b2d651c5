"""``marrowscope phantom``: a generated smear with known truth, as a slide file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from marrowscope.cli.console import Stages, stdout
from marrowscope.errors import OutputError
from marrowscope.geometry import Size


def command(
    output: Annotated[Path, typer.Argument(metavar="OUT.tif", help="The slide to write.", show_default=False)],
    cells: Annotated[int, typer.Option(help="Nucleated marrow cells in the trails.")] = 2000,
    seed: Annotated[int, typer.Option(help="Another seed is another smear.")] = 0,
    stain: Annotated[
        str, typer.Option(help="may-gruenwald-giemsa, wright-giemsa, jenner-giemsa, rapid or random.")
    ] = "may-gruenwald-giemsa",
    diagnosis: Annotated[
        str, typer.Option(help="Whose differential: normal, aml, all, mds, cmml, cml or mm.")
    ] = "normal",
    difficulty: Annotated[
        str, typer.Option(help="easy: types apart at a glance. paper: continuous maturation, crowding, variation.")
    ] = "easy",
    size: Annotated[
        str | None, typer.Option(metavar="WIDTHxHEIGHT", help="Pixels; default: as the cells need.")
    ] = None,
    spacing: Annotated[float, typer.Option(help="Um per pixel.")] = 0.25,
    density: Annotated[float, typer.Option(help="Nucleated cells per mm2 of trail.")] = 1100.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads; the file is the same with any number.")] = 2,
    force: Annotated[bool, typer.Option("--force", help="Write over a slide that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary for programs.")] = False,
) -> None:
    """Generate a marrow smear with known truth: particles, trails of cells, a strip of peripheral blood.

    [bold]marrowscope phantom smear.tif --cells 2000 --seed 1[/bold] writes smear.tif (tiled pyramid; OpenSlide and
    QuPath open it) and smear.truth.json.gz with every cell's type and box. The same options give the same bytes.
    """
    from marrowscope.phantom import PhantomOptions, render_phantom, truth_path

    options = PhantomOptions(cells, seed, stain, diagnosis, difficulty, _read_size(size), spacing, density)
    if output.suffix.lower() not in {".tif", ".tiff"}:
        raise OutputError(f"a phantom is a TIFF, found the name {output.name}: call it {output.stem or 'smear'}.tif")
    for taken in (output, truth_path(output)):
        if taken.exists() and not force:
            raise OutputError(f"{taken} is there already; take another name or add --force")
    with Stages() as stages:
        truth = render_phantom(
            output,
            options,
            lambda done, total: stages.report("rendering", done / total, f"{done} of {total} blocks"),
            threads=threads,
        )
    if as_json:
        summary = {
            "slide": str(output),
            "truth": str(truth_path(output)),
            "size": list(truth.size),
            "spacing": spacing,
            "cells": len(truth.cells),
            "in_trails": int(truth.cells["in_trail"].sum()),
            "particles": len(truth.particles),
        }
        typer.echo(json.dumps(summary, indent=2))
        return
    width, height = truth.size
    stdout.print(
        f"{output}: {width} x {height} pixels at {spacing:g} um, {truth.cells['in_trail'].sum()} cells in trails of "
        f"{len(truth.particles)} particles, {len(truth.cells)} in all; truth in {truth_path(output).name}",
        highlight=False,
        soft_wrap=True,
    )


def _read_size(words: str | None) -> Size | None:
    if words is None:
        return None
    match = re.fullmatch(r"(\d+)(?:[x,](\d+))?", words.strip().lower())
    if match is None:
        raise typer.BadParameter(f"found {words!r}, expected WIDTHxHEIGHT such as 20000x20000", param_hint="--size")
    width, height = match.groups()
    return Size(int(width), int(height or width))
