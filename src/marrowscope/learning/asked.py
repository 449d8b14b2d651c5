"""What a training is asked for, looked at before torch is loaded, which takes some ten seconds of one's time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path

from marrowscope.errors import DataError
from marrowscope.learning.datasets.layouts import LAYOUTS, list_cells
from marrowscope.learning.datasets.pictures import PICTURES
from marrowscope.learning.transfer.names import NAMES
from marrowscope.learning.transfer.recipes import RECIPES as CELL_RECIPES
from marrowscope.learning.weights import HUB

RECIPES: dict[str, tuple[str, ...]] = {
    "detector": ("blood-11", "phantom-16"),
    "classifier": ("blood-11", "phantom-16"),
    "cascade": ("paper", "modern", "scratch", "plain", "plain-start", "tiny"),
    "regions": ("trails", "paper_trails", "scratch_trails", "tiny_trails"),
    "cells": tuple(CELL_RECIPES),
}
"""The recipes of each ``marrowscope train``. Their modules bring torch; a test holds these names against theirs."""


def require_recipe(training: str, name: str) -> None:
    """Raise :class:`DataError`, which lists the recipes, for one that this training does not have."""
    if name not in RECIPES[training]:
        raise DataError(_unknown("recipe", name, RECIPES[training]))


def require_networks(names: Iterable[str]) -> None:
    """Raise :class:`DataError`, which lists the networks, for the first key that is none of a network for cells."""
    for name in names:
        if name not in NAMES:
            raise DataError(_unknown("network", name, NAMES))


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, n=1)
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"there is no {what} {name!r}{meant}; the {what}s are: {', '.join(known)}"


def require_weights(weights: Path | str | None, *, folder: bool = False) -> None:
    """Raise :class:`DataError` where start weights are no file; ``folder``: a folder of such files will do, too."""
    if weights is None or str(weights) == HUB or Path(weights).is_file() or (folder and Path(weights).is_dir()):
        return
    what = "is a folder" if Path(weights).is_dir() else "is missing"
    raise DataError(f"{weights} {what}; give a weights file with --weights FILE, or --weights {HUB}")


def require_folder(data: Path) -> None:
    """Raise :class:`DataError` for a folder of data that is missing or empty."""
    if not data.is_dir() or not any(data.iterdir()):
        found = "is empty" if data.is_dir() else "is no folder" if data.exists() else "is not there"
        raise DataError(f"{data} {found}; give the folder that holds the data with --data DIR")


def require_cells(data: Path, layout: str = "auto") -> None:
    """Raise as :func:`~marrowscope.learning.datasets.layouts.list_cells` does for what is plainly no set of cells.

    That is an unknown layout, a folder that is missing, or one without a picture. The walk through the folder ends at
    the first picture, so that a large set costs nothing.
    """
    known = layout == "auto" or layout in LAYOUTS
    if known and (data.is_file() or any(path.suffix.lower() in PICTURES for path in data.rglob("*"))):
        return
    list_cells(data, layout)


def require_cell_training(
    data: Path, network: str, recipe: str, *, layout: str = "auto", weights: str | None = None
) -> None:
    """What ``marrowscope train cells`` and ``tune`` ask for; raises :class:`DataError` for the first that is not."""
    require_networks([network])
    require_recipe("cells", recipe)
    require_weights(weights)
    require_cells(data, layout)
