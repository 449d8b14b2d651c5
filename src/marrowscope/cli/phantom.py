"""``marrowscope phantom``: a generated smear with known truth, as a slide file, or a whole cohort of them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from marrowscope.cli.console import Stages, say_where, stdout
from marrowscope.errors import OutputError, how_many
from marrowscope.geometry import Size

if TYPE_CHECKING:
    from marrowscope.phantom.cohort import Cohort


class SlideUnlessNamed(TyperGroup):
    """The verb ``slide`` may be left out: what begins with no verb is a slide."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        known = {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, ["slide", *args] if args and args[0] not in known else args)


app = typer.Typer(
    cls=SlideUnlessNamed,
    no_args_is_help=True,
    epilog="One slide: [bold]marrowscope phantom OUT.tif --cells 2000[/bold] (all options: marrowscope phantom slide "
    "--help). The paper's 37 slides: [bold]marrowscope phantom cohort wang-2022 DIR[/bold].",
)


@app.command("slide")
def command(
    output: Annotated[Path, typer.Argument(metavar="OUT.tif", help="The slide to write.", show_default=False)],
    cells: Annotated[int, typer.Option(help="Nucleated marrow cells in the trails.")] = 2000,
    seed: Annotated[int, typer.Option(help="Another seed is another smear.")] = 0,
    stain: Annotated[
        str, typer.Option(help="may-gruenwald-giemsa, wright-giemsa, jenner-giemsa, rapid, liu or random.")
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
    """Generate a marrow smear OUT.tif with known truth: particles, trails of cells, a strip of peripheral blood.

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
        f"{output}: {width} x {height} pixels at {spacing:g} um, "
        f"{how_many(int(truth.cells['in_trail'].sum()), 'cell')} in trails of "
        f"{how_many(len(truth.particles), 'particle')}, {len(truth.cells):,} in all; "
        f"truth in {truth_path(output).name}",
        highlight=False,
        soft_wrap=True,
    )


@app.command("cohort")
def cohort(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Which cohort: wang-2022.", show_default=False)],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it.", show_default=False)],
    slides: Annotated[str, typer.Option(help="all: 27 + 10 slides. smoke: 4 + 2 tiny ones.")] = "all",
    seed: Annotated[int, typer.Option(help="Another seed is other patients.")] = 2022,
    threads: Annotated[int, typer.Option(min=1, help="Slides rendered at a time; the files do not change.")] = 2,
    force: Annotated[bool, typer.Option("--force", help="Render again what is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print counts and agreement for programs.")] = False,
) -> None:
    """Generate a whole cohort of smears, read and labelled by two simulated annotators.

    [bold]marrowscope phantom cohort wang-2022 DIR[/bold] writes 37 slides with truth, labels and blind readings.
    Slides that are there are kept, so an interrupted run goes on where it was.
    """
    from marrowscope.phantom.cohort import NAME, make_cohort

    if name != NAME:
        raise typer.BadParameter(f"found {name!r}, expected {NAME}", param_hint="NAME")
    with Stages(lines=True) as stages:
        stages.report("rendering", 0.0, "first slides")
        made = make_cohort(
            folder,
            scale=slides,
            seed=seed,
            threads=threads,
            force=force,
            progress=lambda done, total, last: stages.report("rendering", done / total, f"{done} of {total}: {last}"),
        )
    summary = _summary(made)
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
        return
    for part, counts in summary["cohorts"].items():
        stdout.print(
            f"{part}: {how_many(counts['slides'], 'slide')}, {counts['cells']:,} cells in trails, "
            f"{counts['labels']:,} labelled "
            f"({counts['label_noise']:.1%} of the labels differ from the truth)",
            highlight=False,
            soft_wrap=True,
        )
    say_where("phantom cohort in ", folder)
    study = folder.with_name(f"{folder.name}-study") if folder.name else Path("study")
    scale = ["--scale", "smoke"] if made.smoke else ["--scale", "cpu", "--jobs", "2", "--threads", "1"]
    words = ["marrowscope", "study", "run", NAME, "--data", str(folder), "-o", str(study), *scale]
    if not made.smoke:
        words += ["--weights", "hub"]
    stdout.print(f"next: {shlex.join(words)}", markup=False, highlight=False, soft_wrap=True)


def _summary(cohort: Cohort) -> dict[str, Any]:
    """Labels by type and cohort, their noise, and the agreement of the readers (Cohen's kappa)."""
    import polars as pl

    from marrowscope.evaluation.classification import cohen_kappa
    from marrowscope.phantom.annotators import agreement_table, cells_in_fields
    from marrowscope.taxonomy import PHANTOM_TYPES

    cohorts: dict[str, Any] = {}
    for part in ("first", "second"):
        slides = cohort.of(part)
        labels = pl.concat([slide.labels() for slide in slides])
        counts = dict(labels["type"].value_counts().iter_rows())
        cohorts[part] = {
            "slides": len(slides),
            "cells": sum(slide.cells for slide in slides),
            "labels": len(labels),
            "labelled_share": len(labels) / sum(cells_in_fields(slide.truth(), slide.labels()) for slide in slides),
            "label_noise": (labels["type"] != labels["truth"]).mean(),
            "by_type": {name: counts.get(name, 0) for name in PHANTOM_TYPES},
        }
    tables = agreement_table([slide.readings() for slide in cohort.slides])
    kappas = {pair: {"cells": int(table.sum()), "kappa": cohen_kappa(table)} for pair, table in tables.items()}
    return {"folder": str(cohort.folder), "name": cohort.name, "cohorts": cohorts, "agreement": kappas}


def _read_size(words: str | None) -> Size | None:
    if words is None:
        return None
    match = re.fullmatch(r"(\d+)(?:[x,](\d+))?", words.strip().lower())
    if match is None:
        raise typer.BadParameter(f"found {words!r}, expected WIDTHxHEIGHT such as 20000x20000", param_hint="--size")
    width, height = match.groups()
    return Size(int(width), int(height or width))
