"""What the verbs show on a terminal: progress on stderr (silent when that is no terminal), results on stdout."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

if TYPE_CHECKING:
    from marrowscope.batch import Outcome

stderr = Console(stderr=True)
stdout = Console()


class Stages:
    """One progress bar for a line of stages: name of the slide, stage, share done, time."""

    def __init__(self) -> None:
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[words]}"),
            TimeElapsedColumn(),
            console=stderr,
            transient=True,
            disable=not stderr.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=1.0, words="")

    def report(self, stage: str, done: float, words: str = "") -> None:
        """Show a stage; a :data:`marrowscope.options.Progress`."""
        self._bar.update(self._task, description=stage, completed=done, words=words)

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
