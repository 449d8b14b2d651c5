"""Writing the folder of a training (``files.py``), what it was trained for, and reading it again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import numpy as np
import polars as pl
import torch
from lightning.pytorch.utilities import rank_zero_only

from marrowscope.errors import DataError
from marrowscope.files import whole_file, write_json
from marrowscope.learning.datasets.cell_sets import CellSet
from marrowscope.learning.datasets.parting import Parts
from marrowscope.learning.transfer.files import FACTS_FILE, HISTORY_FILE, MODEL_FILE, PREDICTIONS_FILE
from marrowscope.learning.transfer.networks import CellNetwork, from_spec
from marrowscope.learning.transfer.recipe import TransferRecipe

FORMAT = "marrowscope cell network 1"


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished training: its folder, and what stands in ``facts.json``."""

    folder: Path
    facts: dict[str, Any]


def write_training(
    folder: Path,
    network: CellNetwork,
    history: Sequence[Mapping[str, float | None]],
    predictions: pl.DataFrame,
    facts: dict[str, Any],
) -> None:
    """Write the four files, each whole, ``facts.json`` last."""
    state = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    with whole_file(folder / MODEL_FILE) as beside:
        torch.save({"format": FORMAT, "spec": network.spec(), "mark": facts["mark"], "state_dict": state}, beside)
    with whole_file(folder / HISTORY_FILE) as beside:
        pl.DataFrame(history).write_csv(beside)
    with whole_file(folder / PREDICTIONS_FILE) as beside:
        predictions.write_parquet(beside)
    write_json(folder / FACTS_FILE, facts)


def load_network(folder: Path) -> tuple[CellNetwork, dict[str, Any]]:
    """The trained network on the CPU, in evaluation mode, and its facts.

    Raises :class:`DataError` for a folder without a finished training.
    """
    facts = read_facts(folder)
    try:
        stored = torch.load(folder / MODEL_FILE, map_location="cpu", weights_only=True)
        if stored.get("format") != FORMAT:
            raise ValueError(f"its format is {stored.get('format')!r}, expected {FORMAT!r}")
        network = from_spec(stored["spec"])
        network.load_state_dict(stored["state_dict"])
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, AttributeError, UnpicklingError) as error:
        what = f"{folder / MODEL_FILE} cannot be read ({str(error).splitlines()[0] if str(error) else error!r})"
        raise DataError(f"{what}; train again with --force") from error
    return network.eval(), facts


def read_facts(folder: Path) -> dict[str, Any]:
    """``facts.json`` of a finished training. Raises :class:`DataError` where there is none."""
    try:
        return cast("dict[str, Any]", json.loads((folder / FACTS_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        begun = "a training that is not finished: go on with it" if (folder / "work").is_dir() else "no training"
        raise DataError(f"{folder} holds {begun}; give the folder that marrowscope train cells -o wrote") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / FACTS_FILE} cannot be read ({error}); train again with --force") from error


def earlier_training(folder: Path, mark: str, resume: bool) -> Trained | None:
    """A finished training of the same thing. A broken one of something else is refused, or removed without
    ``resume``."""
    work = folder / "work"
    if not resume:
        if int(getattr(rank_zero_only, "rank", 0)):  # the first of several processes has begun anew already
            return None
        (folder / FACTS_FILE).unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        return None
    found: Mapping[str, Any] | None = read_facts(folder) if (folder / FACTS_FILE).is_file() else None
    noted = work / "mark.txt"
    marked = found.get("mark") if found else noted.read_text(encoding="utf-8") if noted.is_file() else mark
    if marked != mark:
        raise DataError(
            f"{folder} holds a training of another network, recipe, seed, start or of other cells: train anew with "
            "--force in place of --resume, or into another folder with -o"
        )
    return Trained(folder, dict(found)) if found else None


def mark_of(recipe: TransferRecipe, network: str, start: str, cells: CellSet, parts: Parts, seed: int) -> str:
    """What a checkpoint was trained for, in 24 hex digits."""
    told = [recipe.fingerprint(), network, start, seed, cells.classes, cells.spacing]
    told += [file.name for file in cells.files]
    digest = hashlib.sha256(json.dumps(told).encode())
    for rows in (cells.labels, parts.train, parts.val, parts.test):
        digest.update(np.ascontiguousarray(rows, np.int64).tobytes() + b"|")
    return digest.hexdigest()[:24]
