"""``marrowscope demo``: a phantom slide, its count and its report, to see the whole line at work."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from marrowscope.cli.console import Stages, say_where, show_outcome

DEMO_CELLS = 2000
"""Nucleated marrow cells of the demonstration's phantom."""


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the phantom and its results.")] = Path(
        "marrowscope-demo"
    ),
    cells: Annotated[int, typer.Option(min=1, help="Cells to count.")] = 500,
    seed: Annotated[int, typer.Option(help="Another seed is another phantom.")] = 7,
) -> None:
    """Make a phantom slide, count it and write the report: the whole line in one go.

    A phantom is a generated smear with known truth: no patient, and no proof of anything about real slides. To count a
    slide of your own: [bold]marrowscope count SLIDE -o results[/bold]
    """
    from marrowscope.batch import count_file
    from marrowscope.options import CountOptions
    from marrowscope.packs import load_pack
    from marrowscope.phantom import PhantomOptions, render_phantom

    slide = output / f"phantom-{seed}.tif"
    with Stages() as stages:
        if not slide.exists():
            render_phantom(
                slide,
                PhantomOptions(cells=DEMO_CELLS, seed=seed),
                lambda done, total: stages.report("rendering the phantom", done / total, ""),
            )
        outcome = count_file(
            slide, output / slide.stem, load_pack("phantom-16"), CountOptions(cells=cells), progress=stages.report
        )
    show_outcome(outcome)
    say_where("", slide, " is the slide; QuPath and OpenSlide open it")
    say_where("next: marrowscope review ", output, " opens it in the browser, to look at every cell, correct and sign")
