"""Shared by all tests: where the real data are, and one small phantom with its count."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
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
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom slide of 900 cells with its truth beside it."""
    from marrowscope.phantom import PhantomOptions, render_phantom

    path = tmp_path_factory.mktemp("phantom") / "smear.tif"
    render_phantom(path, PhantomOptions(cells=900, seed=5))
    return path


@pytest.fixture(scope="session")
def aml_phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of an acute myeloid leukaemia: most cells are blasts."""
    from marrowscope.phantom import PhantomOptions, render_phantom

    path = tmp_path_factory.mktemp("aml") / "aml.tif"
    render_phantom(path, PhantomOptions(cells=400, seed=6, diagnosis="aml"))
    return path
