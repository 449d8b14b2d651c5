"""The differential on a terminal: what ``marrowscope count`` prints."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from marrowscope.differential.result import Differential, TypeRow
from marrowscope.report.bars import WIDTH, Axis, shared_axis
from marrowscope.report.view import (
    NOT_RECOGNISED,
    UNRECOGNISED,
    doubt_words,
    figure_views,
    flag_views,
    span,
    tidy,
    whole,
)

_COLUMNS = 25
"""Width of a bar in characters."""

_STYLES = {"above": "bold red", "not-decided": "yellow", "not-assessable": "dim", "note": "cyan", "below": "green"}


def print_summary(differential: Differential, label: str, console: Console) -> None:
    """Print title, figures, table with interval bars (``━●━`` over the reference range ``░``), and flags."""
    title = f"[bold]{escape(differential.title)}[/bold]  {escape(label)}"
    console.print(title + ("  [yellow]PHANTOM[/yellow]" if differential.phantom else ""), highlight=False)
    if doubt := doubt_words(differential):
        console.print(f"[bold yellow]{doubt}[/bold yellow]", highlight=False)
    for figure in figure_views(differential):
        beside = f" ({figure.beside})" if figure.beside else ""
        console.print(
            f"  {escape(figure.title)}: [bold]{figure.value}[/bold]{beside}, {escape(figure.detail)}", highlight=False
        )
    console.print(_table(differential))
    if any(row.assessable and not row.recognised for row in differential.rows):
        console.print(f"{UNRECOGNISED} {NOT_RECOGNISED}", highlight=False)
    if moved := _moved_most(differential):
        console.print(f"Corrected for the pack’s own confusions, moved most: {escape(tidy(moved))}", highlight=False)
    flags = Table.grid(padding=(0, 2, 0, 0))
    for group in flag_views(differential.flags):
        for text in group.texts:
            flags.add_row(Text(f"{group.sign} {group.word}", _STYLES[group.verdict], no_wrap=True), Text(text))
    console.print(flags)


def _moved_most(differential: Differential) -> str:
    """The type that the correction moves most, "Blast 5.2 → 7.1 % (4.0–10.3)"; empty where none moves by 0.1 %."""
    raw = {row.type: row for row in differential.rows if row.percent is not None}
    rows = differential.corrected.rows if differential.corrected else ()
    row = max(rows, key=lambda row: abs(row.percent - (raw[row.type].percent or 0.0)), default=None)
    if row is None or raw[row.type].percent_rounded == row.percent_rounded:
        return ""
    before, interval = raw[row.type].percent_rounded, span(row.low, row.high, 1)
    return f"{raw[row.type].title} {before:.1f} → {row.percent_rounded:.1f} % ({interval})"


def _table(differential: Differential) -> Table:
    axis = shared_axis(differential.rows)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("Cell type", min_width=15)  # the longest word of a title
    for name in ("Cells", "%", "95 % interval", "Reference"):
        table.add_column(name, justify="right")
    table.add_column(Text(f"0–{axis.end:g} %, √ scale"), no_wrap=True)
    for row in differential.rows:
        reference = span(row.reference_low, row.reference_high, None)
        if not row.assessable or row.count is None:
            table.add_row(
                row.title, "", "", Text("not assessable", "dim italic"), Text(reference, "dim"), bar(row, axis)
            )
            continue
        percent = "–" if row.percent_rounded is None else f"{row.percent_rounded:.1f}"
        percent = percent if row.recognised else f"{UNRECOGNISED} {percent}"
        table.add_row(
            row.title, whole(row.count), percent, span(row.low, row.high, 1), Text(reference, "dim"), bar(row, axis)
        )
    return table


def bar(row: TypeRow, axis: Axis) -> Text:
    """One interval bar in characters."""

    def column(percent: float) -> int:
        return min(_COLUMNS - 1, int(axis.at(percent) / WIDTH * _COLUMNS))

    signs, styles = [" "] * _COLUMNS, [""] * _COLUMNS
    if row.reference_low is not None and row.reference_high is not None:
        for place in range(column(row.reference_low), column(row.reference_high) + 1):
            signs[place], styles[place] = "░", "dim"
    if row.assessable and row.low is not None and row.high is not None:
        for place in range(column(row.low), column(row.high) + 1):
            signs[place], styles[place] = "━", ""
    if row.assessable and row.percent is not None:
        signs[column(row.percent)] = "●"
    return Text.assemble(*zip(signs, styles, strict=True))
