"""``marrowscope data``: fetch public sets, describe one, check whether it is fit to learn from, make clean splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from marrowscope.cli.console import Stages, say_where, stdout

if TYPE_CHECKING:
    from marrowscope.learning.datasets.describing import Description
    from marrowscope.learning.datasets.findings import CheckReport

app = typer.Typer(no_args_is_help=True, help="Fetch, describe and check data to learn from.")

_COLOURS = {"error": "red", "warning": "yellow", "note": "dim"}
_MOST_CLASSES = 40
_MOST_SIZES = 12


@app.command("get")
def get(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A public set; none: list them.")] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder that holds or will hold DIR/NAME.")
    ] = Path("data"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the public sets of single cells, or fetch one: resumed where it broke off, verified, unpacked.

    Where only a person can fetch a set, or there is no network, it says what to put where, and exits with 1.
    """
    from marrowscope.learning.datasets.catalogue import CATALOGUE, find_set, get_set

    if name is None:
        _list_sets(as_json)
        return
    wanted = find_set(name)
    if as_json:
        _list_sets(as_json, name)
        return
    stdout.print(Text(f"{wanted.title}\n{wanted.cite}\n{wanted.licence}, {wanted.size}, {wanted.address}"))
    stdout.print(Text(f"mind: {wanted.note}\n", "dim"))
    with Stages(lines=True) as stages:
        done = get_set(CATALOGUE[name], output, lambda share, words: stages.report(name, share, words))
    stdout.print(Text(done), highlight=False, soft_wrap=True)
    say_where("look at it with marrowscope data describe ", output / name)


@app.command("describe")
def describe(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", exists=True, help="A set of single cells, or its CSV.", show_default=False)
    ],
    layout: Annotated[
        str, typer.Option("--layout", help="How the set is laid out: auto, pbc, mll, c-nmc, folders or table.")
    ] = "auto",
    classes: Annotated[
        str | None, typer.Option("--classes", help="Only these, with commas between: the set's words or types.")
    ] = None,
    spacing: Annotated[
        float | None, typer.Option("--spacing", min=0.001, help="um per pixel, where the set is not known.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="FILE.html: the same with pictures of each class.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the pictures.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Say what a set of single cells holds: classes, splits, patients, sizes, and what had to be left out and why."""
    if output is not None and output.suffix.lower() != ".html":
        raise typer.BadParameter(f"{output.name} should end in .html", param_hint="--output")
    from marrowscope.learning.datasets import describing
    from marrowscope.learning.datasets.cell_sets import read_cell_set

    chosen = None if classes is None else [word.strip() for word in classes.split(",") if word.strip()]
    with Stages() as stages:
        cells = read_cell_set(
            folder, layout, chosen, spacing=spacing, progress=lambda done: stages.report("looking at pictures", done)
        )
        stages.report("describing", 1.0)
        about = describing.describe(cells)
        if output is not None:
            describing.write_description(output, cells, about, seed)
    if as_json:
        typer.echo(json.dumps(describing.as_json(about), indent=2, ensure_ascii=False))
        return
    _show_description(about)
    if output is not None:
        say_where("look at ", output)


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


def _list_sets(as_json: bool, name: str | None = None) -> None:
    from marrowscope.learning.datasets.catalogue import CATALOGUE

    listed = [one for one in CATALOGUE.values() if name in (None, one.name)]
    if as_json:
        words = ("name", "title", "cite", "licence", "size", "pictures", "address", "layout", "download", "checksum")
        rows = [{word: getattr(one, word) for word in words} | {"mind": one.note} for one in listed]
        typer.echo(json.dumps(rows if name is None else rows[0], indent=2, ensure_ascii=False))
        return
    for one in listed:
        how = "downloaded" if one.download else "fetched by hand"
        stdout.print(Text.assemble((one.name, "bold"), f"  {one.title}"), highlight=False)
        stdout.print(
            Text(f"    {one.pictures:,} pictures, {one.size}, {one.licence}, {how}: {one.address}"), soft_wrap=True
        )
    stdout.print("fetch one with marrowscope data get NAME -o DIR", style="dim")


def _show_description(about: Description) -> None:
    stdout.print(Text(about.source), highlight=False)
    names = [] if set(about.splits) == {""} else list(about.splits)
    table = Table("class", "title", "n", *(name or "not told" for name in names), box=None, pad_edge=False)
    if about.patients:
        table.add_column("patients")
    for column in table.columns[2:]:
        column.justify = "right"
    for one in about.classes:
        cells = [f"{one.splits.get(name, 0):,}" for name in names] + ([f"{one.patients:,}"] if about.patients else [])
        title = Text.assemble(one.title, ("" if one.cell_type else ", no type of the taxonomy", "dim"))
        table.add_row(Text(one.word), title, f"{one.count:,}", *cells)
    total = [f"{about.splits[name]:,}" for name in names] + ([f"{about.patients:,}"] if about.patients else [])
    table.add_row("all", "", f"{about.total:,}", *total, style="bold")
    stdout.print(table)
    sizes = [f"{w} x {h} px ({n:,})" for (w, h), n in list(about.sizes.items())[:_MOST_SIZES]]
    more = f" and {len(about.sizes) - _MOST_SIZES} more" if len(about.sizes) > _MOST_SIZES else ""
    spacing = f"{about.spacing:g} um/px" if about.spacing else "not known"
    stdout.print(Text(f"\nsizes: {', '.join(sizes)}{more}\nspacing: {spacing}"), highlight=False)
    for words in about.skipped:
        stdout.print(Text.assemble(("left out: ", "yellow"), words), highlight=False)
    for words in about.notes:
        stdout.print(Text.assemble(("mind: ", "yellow"), words), highlight=False)
