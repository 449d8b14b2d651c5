"""``marrowscope data``: is a folder of pictures fit to learn from, and the clean splits of the public sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from marrowscope.cli.console import Stages, say_where, stdout

if TYPE_CHECKING:
    from marrowscope.learning.datasets.findings import CheckReport

app = typer.Typer(no_args_is_help=True, help="Check data to learn from, and make the clean splits of the public sets.")

_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
_MOST_CLASSES = 40
_MOST_SIZES = 12


@app.command("check")
def check(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="DIR...", exists=True, file_okay=False, help="Folders of pictures.", show_default=False),
    ],
    spacing: Annotated[
        float | None, typer.Option("--spacing", min=0.001, help="Spacing of all pictures, um per pixel, to be checked.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="FILE.html: suspicious pairs side by side; FILE.json: all findings."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Find copies, leaks between splits, broken files, bad boxes, label conflicts, imbalance and wrong spacing.

    Exits with 1 when something would leak or break training, and with 0 when there are at most warnings.
    """
    if output is not None and output.suffix.lower() not in {".html", ".json"}:
        raise typer.BadParameter(f"{output.name} should end in .html or .json", param_hint="--output")
    from marrowscope.learning.datasets.checking import check_data
    from marrowscope.learning.datasets.contact_sheet import write_contact_sheet
    from marrowscope.learning.datasets.findings import as_json as plain

    with Stages() as stages:
        report = check_data(folders, spacing, stages.report)
    if as_json:
        typer.echo(json.dumps(plain(report), indent=2, ensure_ascii=False))
    else:
        _show(report)
    if output is not None:
        if output.suffix.lower() == ".json":
            from marrowscope.files import write_json

            write_json(output, plain(report))
        else:
            write_contact_sheet(output, report, folders)
        if not as_json:
            say_where("look at ", output)
    if not report.passed:
        raise typer.Exit(1)


@app.command("splits")
def splits(
    data: Annotated[Path, typer.Option("--data", exists=True, file_okay=False, help="Folder with txl_pbc, bccd, pbc.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for txl_pbc.csv, bccd.csv and pbc.csv.")],
) -> None:
    """Make the clean splits of the public sets again: every picture in one split of one set, no copy across splits."""
    from marrowscope.files import whole_file
    from marrowscope.learning.datasets.cleaning import clean_splits

    with Stages() as stages:
        tables = clean_splits(data, lambda done: stages.report("comparing the sets", done))
    for name, table in tables.items():
        with whole_file(output / f"{name}.csv") as beside:
            table.write_csv(beside)
        counts = dict(table.group_by("split").len().iter_rows())
        typer.echo(
            f"{name}: "
            + ", ".join(f"{counts.get(split, 0):,} {split}" for split in ("train", "val", "test", "dropped"))
        )


def _show(report: CheckReport) -> None:
    sets = ", ".join(f"{name} {n:,}" for name, n in report.sets.items())
    stdout.print(Text(f"{sum(report.sets.values()):,} pictures ({sets})"), highlight=False)
    if report.findings:
        table = Table("", "n", "what was found", "what to do", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        table.columns[1].justify, table.columns[2].overflow = "right", "fold"
        for one in report.findings:
            first = (
                f"\n{one.items[0]}" + (f" and {len(one.items) - 1:,} more" if len(one.items) > 1 else "")
                if one.items
                else ""
            )
            words = Text.assemble(one.words, (first, "dim"))
            table.add_row(Text(one.severity, _COLOURS[one.severity]), f"{one.count:,}", words, Text(one.advice))
        stdout.print(table)
    else:
        stdout.print("nothing found", style="green")
    if report.classes:
        _show_classes(report)
    _show_sizes(report)


def _show_classes(report: CheckReport) -> None:
    names = [split for split in ("train", "val", "test") if any(split in one.splits for one in report.classes)]
    table = Table("set", "class", "n", "share", *names, box=None, pad_edge=False, title="Classes", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for one in report.classes[:_MOST_CLASSES]:
        by_split = [f"{one.splits.get(split, 0):,}" for split in names]
        table.add_row(Text(one.set_name), Text(one.label), f"{one.count:,}", f"{one.share:.1%}", *by_split)
    stdout.print()
    stdout.print(table)
    if len(report.classes) > _MOST_CLASSES:
        stdout.print(f"and {len(report.classes) - _MOST_CLASSES} more: see --json")


def _show_sizes(report: CheckReport) -> None:
    table = Table("set", "size", "n", "red cells", "spacing", box=None, pad_edge=False)
    table.title, table.title_justify = "Sizes, and spacing by red cells of 7.2 um", "left"
    for column in table.columns[2:]:
        column.justify = "right"
    for one in report.sizes[:_MOST_SIZES]:
        cell = f"{one.red_cell:.0f} px" if one.red_cell else "not seen"
        spacing = f"{one.spacing:.2g} um/px" if one.spacing else ""
        table.add_row(Text(one.set_name), f"{one.size[0]} x {one.size[1]}", f"{one.count:,}", cell, spacing)
    stdout.print()
    stdout.print(table)
    if len(report.sizes) > _MOST_SIZES:
        stdout.print(f"and {len(report.sizes) - _MOST_SIZES} more: see --json")
