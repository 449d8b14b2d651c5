"""``marrowscope tune``: from a folder of pictures of single cells to the values that a recipe is best trained with.

tuning.db   every trial: what the same command goes on from
trials.csv  a row a trial
best.json   the values found; ``marrowscope train cells --tuned`` takes it
work/       prepared pictures, and the training of the running trial; gone when all trials are done
"""

from __future__ import annotations

import csv
import dataclasses
import json
import shlex
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl

from marrowscope import __version__
from marrowscope.errors import DataError
from marrowscope.evaluation.cell_scores import score_cells
from marrowscope.evaluation.redrawing import Estimate
from marrowscope.files import whole_file, write_json
from marrowscope.learning.cascade.places import require_place
from marrowscope.learning.datasets.cell_sets import CellSet, read_cell_set
from marrowscope.learning.datasets.parting import Parts, natural_how, part
from marrowscope.learning.transfer.command import check_start, chosen_recipe
from marrowscope.learning.transfer.files import PREDICTIONS_FILE
from marrowscope.learning.transfer.fitting import EachEpoch, Progress
from marrowscope.learning.transfer.recipe import TransferRecipe, from_scratch
from marrowscope.learning.transfer.start import describe_start
from marrowscope.learning.transfer.training import train_network
from marrowscope.learning.transfer.tuned import BEST_FILE, told_cells
from marrowscope.learning.transfer.tuning import (
    Space,
    Trial,
    importance_of,
    opened_study,
    read_trials,
    run_trials,
    space_of,
)

STUDY_FILE, TRIALS_FILE, PAGE_FILE = "tuning.db", "trials.csv", "tuning.md"
FILES = (STUDY_FILE, TRIALS_FILE, BEST_FILE, PAGE_FILE, "tuning.html")
FOLDERS = ("work", "tuning")


@dataclass(frozen=True, slots=True)
class Tuning:
    """A tuning so far. ``facts``: what was tuned, on which cells; ``best``: what stands in ``best.json``, None before
    the first complete trial.

    ``importance``: the share of each value in what sets the best trials apart; empty where they are too few.
    ``left``: trials that the time did not suffice for; ``notes``: sentences on the data and the space.
    """

    folder: Path
    facts: dict[str, Any]
    space: Space
    trials: tuple[Trial, ...]
    importance: dict[str, float]
    best: dict[str, Any] | None
    left: int
    notes: tuple[str, ...]

    @property
    def best_trial(self) -> Trial | None:
        """The trial of ``best``."""
        return best_of(self.trials)


def tune_cells_command(
    data: Path,
    output: Path,
    *,
    network: str = "mobilenetv4-small",
    recipe: str = "modern",
    layout: str = "auto",
    spacing: float | None = None,
    weights: str | None = None,
    split: str | None = None,
    val: float = 0.15,
    test: float = 0.2,
    side: int | None = None,
    epochs: int | None = None,
    seed: int = 0,
    trials: int = 20,
    minutes: float | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: Progress = lambda stage, done, words: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Tuning:
    """Tune until there are ``trials`` in all, or start no more after ``minutes``; the same again goes on.

    The other arguments are those of :func:`~marrowscope.learning.transfer.command.train_cells_command`; equal ones part
    the set equally, so that a training with the result is tested on cells that chose nothing. ``tell`` is called with
    a line a trial. Raises :class:`DataError` as that function does, without validation cells, and where ``output``
    holds a tuning of something else; ``OutputError`` where it cannot be written; ``KeyboardInterrupt`` when it was
    broken off.
    """
    chosen = chosen_recipe(recipe, network, side, epochs)
    require_place(output, FILES, force=True)  # only whether it can be written: a tuning goes on unasked
    built = check_start(network, chosen, weights)
    progress("looking at the pictures", 0.0, "")
    cells = read_cell_set(
        data, layout, spacing=spacing, progress=lambda share: progress("looking at the pictures", share, "")
    )
    how = split or natural_how(cells, val=val, test=test, seed=seed)
    parts = part(cells, how=cast(Any, how), val=val, test=test, seed=seed)
    if not len(parts.val):
        raise DataError("a tuning chooses by its validation cells, and there are none: give --val 0.15, say")
    chosen = chosen if weights is not None else from_scratch(chosen)
    space = space_of(chosen, len(parts.train), len(built.stages()) if weights is not None else None)
    told = told_cells(cells, parts)
    start = describe_start(weights, built)
    question = {
        "network": network,
        "recipe": [recipe, chosen.fingerprint()],
        "start": start,
        "set of cells": told["cells"],
        "parting": [told["tested"], told["parts"]],
        "seed": seed,
        "search space": dataclasses.asdict(space),
    }
    where, parting = ["--data", str(data), "-o"], ["--split", how, "--val", f"{val:g}", "--test", f"{test:g}"]
    parting += ["--seed", str(seed)]
    typed = ["--network", network, "--recipe", recipe, *(["--layout", layout] if layout != "auto" else [])]
    given = {"weights": weights, "spacing": spacing, "side": side, "epochs": epochs, "threads": threads}
    for option, value in given.items():
        typed += [f"--{option}", str(value)] if value is not None else []
    facts = {
        "network": network,
        "recipe": recipe,
        "start": start,
        "side": chosen.side,
        "epochs": chosen.epochs,
        "seed": seed,
        "source": cells.source,
        "parted": parts.how,
        "cells": {name: len(getattr(parts, name)) for name in ("train", "val", "test")},
        "options": shlex.join(parting),
        "cells_hash": told["cells"],
        "tested_hash": told["tested"],
        "own": space.own(chosen),
        "typed": shlex.join(["marrowscope", "tune", *where, str(output), *typed, *parting, "--trials", str(trials)]),
        "command": shlex.join(["marrowscope", "train", "cells", *where, str(output / "trained"), *typed, *parting])
        + " --tuned "
        + shlex.quote(str(output / BEST_FILE)),
        "version": __version__,
    }
    if force:
        for name in FILES:
            (output / name).unlink(missing_ok=True)
        for name in FOLDERS:
            shutil.rmtree(output / name, ignore_errors=True)
    known, known_parts = _without_test(cells, parts)
    running = output / "work" / "trial"
    notes = list(cells.skipped)
    if weights is None:
        notes.append("Without start weights (--weights) all layers learn, so that no unfrozen depth is tried.")

    def scored(tried: TransferRecipe, shown: Progress, each_epoch: EachEpoch) -> Estimate:
        try:
            train_network(
                network, tried, known, known_parts, running, weights=weights, seed=seed, threads=threads, resume=False,
                progress=shown, cache=output / "work", each_epoch=each_epoch,
            )  # fmt: skip
            return _score(running, known)
        finally:
            shutil.rmtree(running, ignore_errors=True)

    with opened_study(output / STUDY_FILE, json.loads(json.dumps(question)), chosen.epochs) as study:

        def ended(number: int) -> None:
            found = read_trials(study)
            _write(output, found, space, facts)
            tell(f"trial {found[-1].number} {_sentence(found[-1])}; {number} of {trials} done")

        left = run_trials(
            study, space, chosen, scored,
            trials=trials, seed=seed, minutes=minutes, progress=progress, ended=ended,
        )  # fmt: skip
        found, importance = read_trials(study), importance_of(study)
    if not left:
        shutil.rmtree(output / "work", ignore_errors=True)
    best = _write(output, found, space, facts)
    return Tuning(output, facts, space, found, importance, best, left, tuple(notes))


def _without_test(cells: CellSet, parts: Parts) -> tuple[CellSet, Parts]:
    """The set without its test cells, so that nothing can look at them."""
    rows = np.sort(np.concatenate([parts.train, parts.val]))
    train, val = (np.searchsorted(rows, own).astype(np.int64) for own in (parts.train, parts.val))
    return cells.take(rows), Parts(train, val, np.zeros(0, np.int64), parts.how)


def _score(folder: Path, cells: CellSet) -> Estimate:
    """Macro F1 of the network that the training kept, on the validation cells; patients are redrawn where known."""
    table = pl.read_parquet(folder / PREDICTIONS_FILE)
    patients = [cells.patients[row] for row in table["row"]]
    probabilities = table.select(f"p_{number}" for number in range(len(cells.classes))).to_numpy()
    known = patients if all(patients) else None
    return score_cells(table["label"].to_numpy(), probabilities, cells.classes, patients=known).macro_f1


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The complete trial with the highest score, the earliest of equals."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=lambda trial: (trial.macro_f1 or 0.0, -trial.number), default=None)


def _write(output: Path, trials: Sequence[Trial], space: Space, facts: dict[str, Any]) -> dict[str, Any] | None:
    """``trials.csv``, and ``best.json`` once there is a complete trial; what stands in that."""
    names = list(facts["own"])
    with whole_file(output / TRIALS_FILE) as beside, beside.open("w", encoding="utf-8", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["number", "state", "macro_f1", "low", "high", *names, "epochs", "seconds", "why"])
        for trial in trials:
            score = ["" if trial.macro_f1 is None else trial.macro_f1, *(trial.interval or ("", ""))]
            values = [trial.values.get(name, "") for name in names]
            table.writerow([trial.number, trial.state, *score, *values, len(trial.curve), trial.seconds, trial.why])
    best = best_of(trials)
    if best is None:
        return None
    content = facts | {
        "values": space.fields(best.values),
        "trial": best.number,
        "validation": {"n": facts["cells"]["val"], "macro_f1": best.macro_f1, "interval": best.interval},
        "trials": {state: sum(t.state == state for t in trials) for state in ("complete", "stopped early", "failed")},
    }
    write_json(output / BEST_FILE, content)
    return content


def _sentence(trial: Trial) -> str:
    shown = {name: f"{v:.3g}" if isinstance(v, float) else str(v) for name, v in trial.values.items()}
    values = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
    score = "" if trial.macro_f1 is None else f", macro F1 {trial.macro_f1:.3f} on the validation cells"
    why = f" ({trial.why})" if trial.why else ""
    return f"{trial.state}{why}{score}; {values}; took {trial.seconds:.0f} s"
