"""What is told of the jobs of a study while they run: a line for each that ends, and how long the rest may take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import fmean
from typing import TYPE_CHECKING

from marrowscope.errors import how_many

if TYPE_CHECKING:
    from marrowscope.studies.jobs import Job

Tell = Callable[[str], None]
"""Called with a line for people, such as that a job is done."""


def untold(line: str) -> None:
    """The lines of a caller who does not read them."""


def in_words(seconds: float) -> str:
    """``41 s``, ``6 min``, ``2.5 h``: as exact as an estimate deserves."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


class JobLines:
    """Tells each job that ends: its number of all, name, time, and the time that is left by what its kind took.

    ``ended`` jobs of ``total`` were done before; ``processes`` jobs run at a time.
    """

    def __init__(self, total: int, ended: int, processes: int, tell: Tell) -> None:
        self._total, self._ended, self._processes, self._tell = total, ended, processes, tell
        self._took: dict[str, list[float]] = defaultdict(list)
        before = f", {ended} of them done earlier" if ended else ""
        if total > ended:
            tell(f"{how_many(total, 'job')}{before}, {processes} at a time")

    def end(self, job: Job, seconds: float, *, failed: bool, left: Iterable[tuple[Job, float]]) -> None:
        """``job`` ended; ``left`` are those that run or wait, with the seconds that they have run."""
        self._ended += 1
        if not failed:
            self._took[job.kind].append(seconds)
        what = "failed after" if failed else "done in"
        rest = self._rest(list(left))
        words = "" if rest is None else f"; the rest may take {in_words(rest)}"
        self._tell(f"job {self._ended} of {self._total}: {job.name} {what} {in_words(seconds)}{words}")

    def _rest(self, left: list[tuple[Job, float]]) -> float | None:
        """Seconds, by the mean of each kind and for a kind that is not known yet by that of all."""
        if not left or not self._took:
            return None
        kinds = {kind: fmean(seconds) for kind, seconds in self._took.items()}
        unknown = fmean(kinds.values())
        alone = sum(max(kinds.get(job.kind, unknown) - ran, 0.0) for job, ran in left if job.alone)
        beside = [max(kinds.get(job.kind, unknown) - ran, 0.0) for job, ran in left if not job.alone]
        longest = max(beside, default=0.0)
        return alone + max(sum(beside) / min(self._processes, max(len(beside), 1)), longest)
