"""Shared by all tests: where the real data are, and one small phantom with its count."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import settings

settings.register_profile("marrowscope", derandomize=True, deadline=None)
settings.load_profile("marrowscope")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: where several processes share the files, none of these is the last one."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The public data sets; skips where they are not at hand."""
    folder = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[1] / "../shared/data"))
    if not folder.is_dir():
        pytest.skip("the real data are not here: set MARROWSCOPE_DATA to their folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test touches the packs and keys of the person who runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MARROWSCOPE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """``made_once(name, make)``: the folder that ``make`` filled, once for all processes that share the tests.

    What lies in it is read, never changed.
    """

    def made(name: str, make: Callable[[Path], None]) -> Path:
        root = tmp_path_factory.getbasetemp()
        if "PYTEST_XDIST_WORKER" in os.environ:
            root = root.parent
        folder, done = root / f"shared-{name}", root / f"shared-{name}.done"
        with FileLock(root / f"shared-{name}.lock"):
            if not done.exists():
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def phantom(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A phantom slide of 900 cells with its truth beside it."""
    from marrowscope.phantom import PhantomOptions, render_phantom

    def make(folder: Path) -> None:
        render_phantom(folder / "smear.tif", PhantomOptions(cells=900, seed=5))

    return made_once("phantom", make) / "smear.tif"


@pytest.fixture(scope="session")
def aml_phantom(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A phantom of an acute myeloid leukaemia: most cells are blasts."""
    from marrowscope.phantom import PhantomOptions, render_phantom

    def make(folder: Path) -> None:
        render_phantom(folder / "aml.tif", PhantomOptions(cells=400, seed=6, diagnosis="aml"))

    return made_once("aml", make) / "aml.tif"
