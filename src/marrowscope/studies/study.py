"""What every study has: a few words about itself, a run and a report.

A study is a module of this package with the three names of :class:`Study`; ``STUDIES`` lists them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from marrowscope.errors import DataError
from marrowscope.studies.jobs import JobsRun
from marrowscope.studies.telling import Tell, untold

if TYPE_CHECKING:
    from marrowscope.options import Progress

STUDIES: dict[str, str] = {
    "wang-2022": "marrowscope.studies.wang_2022",
    "shah-2025": "marrowscope.studies.shah_2025",
    "meem-2023": "marrowscope.studies.meem_2023",
    "senthilkumar-2023": "marrowscope.studies.senthilkumar_2023",
    "veerasagar-2025": "marrowscope.studies.veerasagar_2025",
}
"""Name of a study and its module; the study is the module itself, or its ``STUDY``."""


@dataclass(frozen=True, slots=True)
class About:
    """``scales``: name of each size of the study, what it runs and how long that takes."""

    name: str
    paper: str
    data: str
    scales: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run: ``jobs`` processes of ``threads`` threads; no job starts after ``minutes``; ``weights`` to start.

    ``tell`` is called with a line for each job that ends. Of studies of single cells: ``networks`` and ``recipes``
    (none: those of the paper, and ours), trainings with so many ``seeds``, and ``further`` data sets.
    """

    scale: str
    jobs: int = 1
    threads: int = 1
    minutes: float | None = None
    weights: Path | None = None
    force: bool = False
    tell: Tell = untold
    networks: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    seeds: int = 1
    further: tuple[Path, ...] = ()


class Study(Protocol):
    """A module, or an object, with these."""

    @property
    def ABOUT(self) -> About: ...

    def run(self, data: Path | None, output: Path, options: RunOptions, progress: Progress) -> JobsRun:
        """Do what is not done yet. Raises ``DataError`` for data, folders and scales that do not fit."""

    def report(self, output: Path, page: Path, command: str, notes: Sequence[str] = ()) -> list[Path]:
        """Write the page (Markdown) and what belongs to it, with the user's own lines; the files, the page first."""

    def export(self, output: Path, job: str, folder: Path) -> None:
        """Write what ``marrowscope packs build`` needs of a job's model. Raises ``DataError`` where there is none."""


def find_study(name: str) -> Study:
    """The study of this name. Raises ``DataError`` with the known names when there is none."""
    if name not in STUDIES:
        raise DataError(f"no study is called {name!r}; known: {', '.join(STUDIES)}")
    module = importlib.import_module(STUDIES[name])
    return cast(Study, getattr(module, "STUDY", module))


def begun_study(output: Path, name: str, scale: str | None = None, *, force: bool = False) -> dict[str, Any] | None:
    """``study.json`` of the study begun in ``output``, None where there is none.

    Raises ``DataError`` when it is damaged or another study's, and, where a ``scale`` is asked for, when it was begun
    with another one; ``force`` takes that over.
    """
    try:
        facts = json.loads((output / "study.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{output / 'study.json'} is damaged ({error}); delete it and run the study again") from error
    if facts.get("study") != name:
        raise DataError(f"{output} holds the study {facts.get('study')}: choose another folder with -o")
    if scale is not None and facts["scale"] != scale and not force:
        raise DataError(
            f"{output} holds the scale {facts['scale']}: choose another folder with -o, go on with --scale "
            f"{facts['scale']}, or take it over with --force"
        )
    return dict(facts)
