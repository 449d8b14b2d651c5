"""What the verbs show: progress on stderr (a bar on a terminal, else nothing or plain lines), results on stdout."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from marrowscope.batch import Outcome

stderr = Console(stderr=True)
stdout = Console()


LINE_SECONDS = 30.0
"""Where there is no terminal a line is printed at least so often, as long as something is reported."""


DATABASE_VARIABLE = "MARROWSCOPE_DATABASE"
"""The database of a review where no option names it: a URL with a password need not stand in a command."""


class Stages:
    """One progress bar for a line of stages: name of the slide, stage, share done, time.

    Where stderr is no terminal, nothing, or with ``lines`` a plain line for each stage, each tenth of it and each
    :data:`LINE_SECONDS`. ``shown`` False: nothing anywhere.
    """

    def __init__(self, *, lines: bool = False, shown: bool = True) -> None:
        self._lines = lines and shown and not stderr.is_terminal
        self._said = ("", 0, 0.0)  # stage, tenths done, when
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=stderr,
            transient=True,
            disable=not (shown and stderr.is_terminal),
        )
        self._task = self._bar.add_task("starting", total=1.0, words="")

    def report(self, stage: str, done: float, words: str = "") -> None:
        """Show a stage; a :data:`marrowscope.options.Progress`."""
        self._bar.update(self._task, description=stage, completed=done, words=words)
        now, tenths = monotonic(), int(10 * done + 1e-6)
        said, reached, when = self._said
        if self._lines and (stage != said or tenths > reached or now - when >= LINE_SECONDS):
            self._said = (stage, tenths, now)
            share = f"{stage}, {100 * done:.0f} %" if done else stage
            stderr.print(f"{share}, {words}" if words else share, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()


def show_outcome(outcome: Outcome, *, brief: bool = False) -> None:
    """Print one counted slide: the differential as a table, or in ``brief`` one line, and where the files are."""
    from marrowscope.report.summary import print_summary

    if outcome.differential is None:
        return
    how = "as counted before" if outcome.earlier else f"counted in {outcome.seconds:.1f} s"
    if brief:
        how = f"{outcome.label}: {outcome.differential.total:,} cells, {how}"
    else:
        print_summary(outcome.differential, outcome.label, stdout)
    say_where(f"{how}; look at ", outcome.folder / "report.html")


def say_where(before: str, path: Path, after: str = "") -> None:
    """Print a line with a path in it: whole, in bold, and never read as markup, whatever its name."""
    stdout.print(Text.assemble(before, (str(path), "bold"), after), highlight=False, soft_wrap=True)
