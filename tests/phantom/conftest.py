"""A small slide, rendered once."""

from __future__ import annotations

from pathlib import Path

import pytest

from marrowscope.geometry import Size
from marrowscope.phantom import PhantomOptions, Truth, render_phantom


@pytest.fixture(scope="session")
def small_options() -> PhantomOptions:
    return PhantomOptions(cells=180, seed=11, size=Size(2600, 4224))


@pytest.fixture(scope="session")
def small_slide(small_options: PhantomOptions, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    path = tmp_path_factory.mktemp("small-phantom") / "small.tif"
    return path, render_phantom(path, small_options)
