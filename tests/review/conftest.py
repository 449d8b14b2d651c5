"""A counted phantom that the tests of the review copy: counted once a process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from marrowscope.batch import count_slides
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.phantom import PhantomOptions, render_phantom
from marrowscope.review.workstation import Workstation, open_workstation


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two phantom smears and their results: two slides, and the case ``pooled`` of both."""
    folder = tmp_path_factory.mktemp("review")
    slides = []
    for seed in (3, 4):
        slides.append(folder / "slides" / f"smear-{seed}.tif")
        render_phantom(slides[-1], PhantomOptions(cells=160, seed=seed))
    outcomes = count_slides(slides, folder / "results", load_pack("phantom-16"), CountOptions(cells=60), case="pooled")
    assert [outcome.error for outcome in outcomes] == [None, None, None]
    return folder / "results"


@pytest.fixture
def results(counted: Path, tmp_path: Path) -> Path:
    """A copy of the results, for one test."""
    return shutil.copytree(counted, tmp_path / "results")


@pytest.fixture
def workstation(results: Path) -> Workstation:
    """The review of the results, in SQLite."""
    return open_workstation(results)
