"""``marrowscope train cells``: from a folder of pictures of single cells to a classifier that a pack is built of."""

from __future__ import annotations

import dataclasses
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from marrowscope.learning.asked import require_weights
from marrowscope.learning.cascade.command import first_process
from marrowscope.learning.cascade.places import require_place
from marrowscope.learning.datasets.cell_sets import read_cell_set
from marrowscope.learning.datasets.parting import part
from marrowscope.learning.transfer.export import export_network
from marrowscope.learning.transfer.files import FILES
from marrowscope.learning.transfer.fitting import Progress
from marrowscope.learning.transfer.networks import CellNetwork, build, find_network
from marrowscope.learning.transfer.recipe import TransferRecipe
from marrowscope.learning.transfer.recipes import find_recipe
from marrowscope.learning.transfer.recipes.sides import fitting
from marrowscope.learning.transfer.training import train_network
from marrowscope.learning.transfer.tuned import read_tuned


def train_cells_command(
    data: Path,
    output: Path,
    *,
    network: str = "mobilenetv4-small",
    recipe: str = "modern",
    layout: str = "auto",
    classes: Sequence[str] | None = None,
    weights: str | None = None,
    split: str | None = None,
    val: float = 0.15,
    test: float = 0.2,
    side: int | None = None,
    epochs: int | None = None,
    spacing: float | None = None,
    tuned: Path | None = None,
    seed: int = 0,
    resume: bool = False,
    force: bool = False,
    threads: int | None = None,
    progress: Progress = lambda stage, done, words: None,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a network on a folder of cells, part of which it never sees, and export it; gives back the metrics.

    ``classes``: these only. ``split`` None: as :func:`~marrowscope.learning.datasets.parting.natural_how` says;
    ``val`` and ``test`` are shares of all cells. The recipe is at the scale "gpu" where there is one, else "cpu";
    ``side`` and ``epochs`` stand in place of its own, and so do the values of ``tuned``, the ``best.json`` of
    ``marrowscope tune``. An earlier training in ``output`` is begun anew only with
    ``force``. Options are looked at before the pictures, and ``tell`` is told what is left out of these before the
    training begins. Raises :class:`DataError` as the reader of the set, the
    parting and :func:`train_network` do, ``OutputError`` as :func:`require_place`, ``KeyboardInterrupt`` when it was
    broken off: ``resume`` goes on.
    """
    chosen = chosen_recipe(recipe, network, side, epochs)
    if first_process():
        require_place(output, FILES, resume=resume, force=force, can_resume=True)
    found = read_tuned(tuned) if tuned is not None else None
    if found is not None:
        chosen = found.of(chosen, network, weights)
    check_start(network, chosen, weights)
    progress("looking at the pictures", 0.0, "")
    cells = read_cell_set(
        data, layout, classes, spacing=spacing, progress=lambda share: progress("looking at the pictures", share, "")
    )
    for sentence in cells.skipped:
        tell(f"left out: {sentence}")
    parts = part(cells, how=cast(Any, split or "natural"), val=val, test=test, seed=seed)
    if found is not None:
        found.require_unseen(cells, parts)
    trained = train_network(
        network,
        chosen,
        cells,
        parts,
        output,
        weights=weights,
        seed=seed,
        threads=threads,
        resume=resume,
        progress=progress,
        cache=output / "work",
        devices=max(1, torch.cuda.device_count()),
    )
    progress("exporting and measuring the classifier", 0.0, "")
    told: dict[str, Any] = {
        "network": network,
        "recipe": recipe,
        "layout": layout,
        "weights": weights,
        "split": split,
        "val": val,
    }
    told |= {
        "classes": ",".join(classes) if classes else None,
        "test": test,
        "side": side,
        "epochs": epochs,
        "spacing": spacing,
        "tuned": tuned,
        "seed": seed,
    }
    metrics = export_network(trained.folder, output, command=_typed(data, output, told))
    return metrics | {"skipped": list(cells.skipped), "notes": trained.facts["notes"], "how": parts.how}


def _typed(data: Path, output: Path, told: Mapping[str, Any]) -> str:
    """The command with those options that are not as they are by themselves, and with network and recipe."""
    known = inspect.signature(train_cells_command).parameters
    words = ["marrowscope", "train", "cells", "--data", str(data), "-o", str(output)]
    for name, value in told.items():
        if name in {"network", "recipe"} or value != known[name].default:
            words += [f"--{name}", str(value)]
    return shlex.join(words)


def chosen_recipe(name: str, network: str, side: int | None, epochs: int | None) -> TransferRecipe:
    """The recipe for this machine, with another side or other epochs. Raises :class:`DataError` as its parts do."""
    find_network(network)
    chosen = find_recipe(name, network, "gpu" if torch.cuda.is_available() else "cpu")
    if side is not None:
        chosen = dataclasses.replace(chosen, side=fitting(network, side))
    return chosen if epochs is None else dataclasses.replace(chosen, epochs=epochs)


def check_start(network: str, recipe: TransferRecipe, weights: str | None) -> CellNetwork:
    """Raise what a wrong weights file would raise, before the pictures take time; a network of two classes."""
    require_weights(weights)
    return build(network, 2, recipe.head, weights=weights, seed=0, side=recipe.side)
