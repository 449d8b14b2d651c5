"""A counted phantom that the tests of the review copy, counted once; a PostgreSQL of the tests' own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from marrowscope.batch import count_slides
from marrowscope.options import CountOptions
from marrowscope.packs import load_pack
from marrowscope.phantom import PhantomOptions, render_phantom
from marrowscope.review.workstation import Workstation, open_workstation


@pytest.fixture(scope="session")
def counted(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A folder with two phantom smears and their results: two slides, and the case ``pooled`` of both."""

    def make(folder: Path) -> None:
        slides = []
        for seed in (3, 4):
            slides.append(folder / "slides" / f"smear-{seed}.tif")
            render_phantom(slides[-1], PhantomOptions(cells=120, seed=seed))
        options = CountOptions(cells=60)
        outcomes = count_slides(slides, folder / "results", load_pack("phantom-16"), options, case="pooled")
        assert [outcome.error for outcome in outcomes] == [None, None, None]

    return made_once("review", make) / "results"


@pytest.fixture
def results(counted: Path, tmp_path: Path) -> Path:
    """A copy of the results, for one test."""
    return shutil.copytree(counted, tmp_path / "results")


@pytest.fixture
def workstation(results: Path) -> Workstation:
    """The review of the results, in SQLite."""
    return open_workstation(results)


USER = "postgres"


def _program(name: str) -> str | None:
    """A program of PostgreSQL: of the path, or of Debian's newest version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    places = os.pathsep.join([*map(str, reversed(versions)), os.environ.get("PATH", "")])
    return shutil.which(name, path=places)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL of the tests' own, on no network; the folder of its socket. Skips without one, never in CI."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    if initdb is None or pg_ctl is None:
        if os.environ.get("CI"):
            pytest.fail("CI needs PostgreSQL")
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        as_user: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(folder, USER)
            as_user = ["runuser", "-u", USER, "--"]
        data = f"{folder}/data"
        command = [*as_user, initdb, "--pgdata", data, "--username", USER, "--auth", "trust", "--no-sync"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        options = f"-c listen_addresses= -c unix_socket_directories={folder}"
        log = f"{folder}/log"
        start = [*as_user, pg_ctl, "--pgdata", data, "--wait", "--log", log, "--options", options, "start"]
        subprocess.run(start, check=True, stdout=subprocess.DEVNULL)
        try:
            yield folder
        finally:
            stop = [*as_user, pg_ctl, "--pgdata", data, "--mode", "immediate", "stop"]
            subprocess.run(stop, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def postgres_database(postgres_server: str) -> str:
    """A new empty database of the cluster; its URL."""
    name = f"review_{uuid4().hex[:12]}"
    psql = _program("psql")
    assert psql is not None
    command = [psql, "--host", postgres_server, "--username", USER, "--quiet", "--command", f"CREATE DATABASE {name}"]
    subprocess.run(command, check=True)
    return f"postgresql://{USER}@/{name}?host={postgres_server}"
