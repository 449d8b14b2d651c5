"""The job of a study of single cells, in its own process: train one network, keep what the report reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from marrowscope.learning.datasets.cell_sets import CellSet
    from marrowscope.learning.datasets.parting import Parts
    from marrowscope.learning.transfer.recipe import TransferRecipe


def train_cells(
    folder: Path,
    *,
    network: str,
    recipe: TransferRecipe,
    cells: CellSet,
    parts: Parts,
    weights: str | Path | None,
    seed: int,
    threads: int,
    cache: Path,
) -> Mapping[str, Any]:
    """Train; an interrupted training goes on from its last epoch. Facts: the test scores in short, and the seconds."""
    from marrowscope.learning.transfer.training import train_network
    from marrowscope.studies.cell_studies.finished import read_job

    trained = train_network(
        network, recipe, cells, parts, folder, weights=weights, seed=seed, threads=threads, cache=cache
    )
    scores = read_job(folder).scores
    return {
        "macro_f1": round(scores.macro_f1.value, 4),
        "accuracy": round(scores.top1.value, 4),
        "seconds": trained.facts["seconds"],
        "start": trained.facts["start"],
    }
