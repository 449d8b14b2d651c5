"""What a tuning found, as a file: the values that a recipe is trained with next, and where they come from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cell_sets import CellSet
from marrowscope.learning.datasets.parting import Parts

if TYPE_CHECKING:
    from marrowscope.learning.transfer.recipe import TransferRecipe

BEST_FILE = "best.json"
FIELDS = ("learning_rate", "batch", "optimiser", "weight_decay", "frozen", "unfrozen")
"""What of a recipe is tuned."""

TUNED = " tuned"
"""Behind the name of a recipe whose values were found by tuning."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best values of a tuning of ``recipe`` for ``network``. ``start`` is None for random start weights.

    ``cells`` and ``tested`` say in a hash which cells there were and which were kept from the tuning.
    """

    path: Path
    network: str
    recipe: str
    start: str | None
    values: Mapping[str, Any]
    options: str
    cells: str
    tested: str

    def of(self, recipe: TransferRecipe, network: str, weights: str | None) -> TransferRecipe:
        """The recipe with these values. Raises :class:`DataError` for another network, recipe or kind of start."""
        if (network, recipe.name) != (self.network, self.recipe):
            raise DataError(
                f"{self.path} was tuned for {self.network} by the recipe {self.recipe}, not for {network} by "
                f"{recipe.name}: give --network {self.network} --recipe {self.recipe}, or tune anew"
            )
        if (weights is None) != (self.start is None):
            found = "random weights: leave --weights out" if self.start is None else f"{self.start}: give --weights"
            raise DataError(f"{self.path} was tuned from {found}, or tune anew")
        return dataclasses.replace(recipe, name=recipe.name + TUNED, **self.values)

    def require_unseen(self, cells: CellSet, parts: Parts) -> None:
        """Raise :class:`DataError` where cells of the test part may have chosen these values."""
        told = told_cells(cells, parts)
        if told["cells"] == self.cells and told["tested"] != self.tested:
            raise DataError(
                f"{self.path} was tuned on these cells parted in another way, so that cells which chose its values "
                f"would be tested on: give the same {self.options}"
            )


def told_cells(cells: CellSet, parts: Parts) -> dict[str, str]:
    """Which cells there are, which are kept for testing and how the others are parted, each as a hash."""
    names = [f"{'/'.join(file.parts[-2:])} {label}" for file, label in zip(cells.files, cells.labels, strict=True)]
    return {
        "cells": _hash(sorted(names)),
        "tested": _hash(sorted(names[row] for row in parts.test)),
        "parts": _hash(f"{part} {names[row]}" for part in ("train", "val") for row in np.sort(getattr(parts, part))),
    }


def read_tuned(path: Path) -> Tuned:
    """Read a ``best.json``. Raises :class:`DataError` for a file that ``marrowscope tune`` did not write."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        values = {name: found["values"][name] for name in FIELDS}
        start = None if found["start"] == "random" else str(found["start"])
        words = [str(found[name]) for name in ("options", "cells_hash", "tested_hash")]
        return Tuned(path, str(found["network"]), str(found["recipe"]), start, values, *words)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; give the {BEST_FILE} that marrowscope tune -o wrote") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no result of marrowscope tune ({error!r}); give its {BEST_FILE}") from error


def _hash(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:24]
