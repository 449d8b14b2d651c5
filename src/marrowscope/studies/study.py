"""What every study has: a few words about itself, a run and a report.

A study is a module of this package with the three names of :class:`Study`; ``STUDIES`` lists them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from marrowscope.errors import DataError
from marrowscope.studies.jobs import JobsRun
from marrowscope.studies.telling import Tell, untold

if TYPE_CHECKING:
    from marrowscope.options import Progress

STUDIES: dict[str, str] = {"wang-2022": "marrowscope.studies.wang_2022"}
"""Name of a study and its module."""


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

    ``tell`` is called with a line for each job that ends.
    """

    scale: str
    jobs: int = 1
    threads: int = 1
    minutes: float | None = None
    weights: Path | None = None
    force: bool = False
    tell: Tell = untold


class Study(Protocol):
    """The module of a study."""

    ABOUT: About

    def run(self, data: Path, output: Path, options: RunOptions, progress: Progress) -> JobsRun:
        """Do what is not done yet. Raises ``DataError`` for data, folders and scales that do not fit."""

    def report(self, output: Path, page: Path, command: str, notes: Sequence[str] = ()) -> list[Path]:
        """Write the page (Markdown) and what belongs to it, with the user's own lines; the files, the page first."""

    def export(self, output: Path, job: str, folder: Path) -> None:
        """Write what ``marrowscope packs build`` needs of a job's model. Raises ``DataError`` where there is none."""


def find_study(name: str) -> Study:
    """The study of this name. Raises ``DataError`` with the known names when there is none."""
    if name not in STUDIES:
        raise DataError(f"no study is called {name!r}; known: {', '.join(STUDIES)}")
    return cast(Study, importlib.import_module(STUDIES[name]))
