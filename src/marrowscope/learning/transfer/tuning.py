"""Trials of a recipe: a study of Optuna over learning rate, batch, optimiser, weight decay and unfrozen depth.

A *trial* is a training with other values, scored by the macro F1 on the validation cells. Values are proposed by TPE
(Bergstra et al. 2011) from the trials so far; one below the median of the others at the same epoch is stopped (the
median rule of Golovin et al. 2017). The proposals depend on the seed and on the trials before alone, so that a study
that was broken off finds what it would have found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np
import optuna
import torch
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from marrowscope.errors import DataError
from marrowscope.evaluation.redrawing import Estimate
from marrowscope.learning.transfer.fitting import EachEpoch, NoNumberError, Progress
from marrowscope.learning.transfer.recipe import TransferRecipe

RATES = (1e-5, 3e-2)
BATCHES = (16, 32, 64, 128)
OPTIMISERS = ("adam", "adamw", "sgd")
DECAYS = (0.0, 1e-4, 1e-3, 1e-2, 5e-2)

AT_RANDOM = 8
"""Trials before TPE proposes; the first is the recipe as it is."""

BEFORE_STOPPING = 4
"""Complete trials before one is stopped early, and none before a quarter of the epochs."""

RANKED_FROM = 6
"""Complete trials from which the importance of the values is estimated."""

BROKEN_OFF = "broken off"

State = Literal["complete", "stopped early", "failed"]

Scored = Callable[[TransferRecipe, Progress, EachEpoch], Estimate]
"""Trains by a recipe and gives the macro F1 on the validation cells."""


@dataclass(frozen=True, slots=True)
class Space:
    """The values that are tried. ``stages`` of the base, any number of the last of which may learn; None: all learn."""

    rates: tuple[float, float]
    batches: tuple[int, ...]
    decays: tuple[float, ...]
    stages: int | None
    optimisers: tuple[str, ...] = OPTIMISERS

    def own(self, recipe: TransferRecipe) -> dict[str, Any]:
        """The recipe's own values."""
        found = {name: getattr(recipe, name) for name in ("learning_rate", "batch", "optimiser", "weight_decay")}
        if self.stages is not None:
            found["unfrozen"] = 0 if recipe.frozen else recipe.unfrozen or self.stages
        return found

    def proposed(self, trial: optuna.Trial) -> dict[str, Any]:
        """Values for a trial."""
        found: dict[str, Any] = {
            "learning_rate": trial.suggest_float("learning_rate", *self.rates, log=True),
            "batch": trial.suggest_categorical("batch", self.batches),
            "optimiser": trial.suggest_categorical("optimiser", self.optimisers),
            "weight_decay": trial.suggest_categorical("weight_decay", self.decays),
        }
        if self.stages is not None:
            found["unfrozen"] = trial.suggest_int("unfrozen", 0, self.stages)
        return found

    def fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values of a trial as fields of a recipe: none of the stages is ``frozen``, all are no field at all."""
        learning = values.get("unfrozen", self.stages)
        part = None if learning in (0, self.stages) else learning
        return {**values, "frozen": learning == 0, "unfrozen": part}


def space_of(recipe: TransferRecipe, train: int, stages: int | None) -> Space:
    """The values around a recipe, its own always among them; a batch is at most half of the ``train`` cells."""
    batches = {batch for batch in BATCHES if batch <= train // 2} | {recipe.batch}
    return Space(
        (min(RATES[0], recipe.learning_rate), max(RATES[1], recipe.learning_rate)),
        tuple(sorted(batches)),
        tuple(sorted({*DECAYS, recipe.weight_decay})),
        stages,
    )


@dataclass(frozen=True, slots=True)
class Trial:
    """One training; numbers begin at 1. ``macro_f1`` on the validation cells: of one stopped early that after its last
    epoch, None of one that failed. ``interval``: None also where all redraws are alike. ``curve``: macro F1 by epoch;
    ``why`` it ended before its time."""

    number: int
    state: State
    macro_f1: float | None
    interval: tuple[float, float] | None
    values: dict[str, Any]
    curve: dict[int, float]
    seconds: float
    why: str


@contextmanager
def opened_study(path: Path, question: Mapping[str, Any], epochs: int) -> Iterator[optuna.Study]:
    """The study in the SQLite file ``path``, begun or gone on with; what was running when a process ended has failed.

    ``question`` (values that JSON takes) is what it is a study of. Raises :class:`DataError` for a file that is none,
    and for a study of something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    path.parent.mkdir(parents=True, exist_ok=True)
    otherwise = "begin anew with --force, or give another folder with -o"
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{path.absolute()}")
    except (RuntimeError, SQLAlchemyError, optuna.exceptions.OptunaError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0]}): {otherwise}") from error
    try:
        study = optuna.create_study(
            storage=storage,
            study_name="marrowscope tune",
            direction="maximize",
            pruner=optuna.pruners.MedianPruner(BEFORE_STOPPING, n_warmup_steps=max(2, epochs // 4)),
            load_if_exists=True,
        )
        earlier = study.user_attrs.get("question")
        if earlier is None:
            study.set_user_attr("question", dict(question))
        elif differing := [name for name in question if earlier.get(name) != question[name]]:
            raise DataError(
                f"{path.parent} holds a tuning with another {', '.join(differing)}: type the same options to go on, "
                f"{otherwise}"
            )
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)
        yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def run_trials(
    study: optuna.Study,
    space: Space,
    recipe: TransferRecipe,
    scored: Scored,
    *,
    trials: int,
    seed: int,
    minutes: float | None,
    progress: Progress,
    ended: Callable[[int], None],
) -> int:
    """Trials one after the other until there are ``trials``; how many the ``minutes`` did not suffice for.

    Trials that were broken off do not count. ``ended`` is called with the number of those that do after each.
    """
    began = monotonic()
    while (done := _done(study)) < trials:
        if minutes is not None and monotonic() - began >= 60 * minutes:
            return trials - done
        drawn = int(np.random.SeedSequence((seed, done)).generate_state(1)[0])
        study.sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=AT_RANDOM)
        if not done and not study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.enqueue_trial(space.own(recipe))
        trial = study.ask()

        def shown(stage: str, share: float, words: str, done: int = done) -> None:
            if stage == "training":
                progress(f"trial {done + 1} of {trials}", (done + share) / trials, words)
            elif stage == "preparing the pictures":
                progress(stage, share, words)

        started = monotonic()
        try:
            tried = dataclasses.replace(recipe, **space.fields(space.proposed(trial)))
            value, state = _try(trial, tried, scored, shown)
        except BaseException:
            study.tell(trial, state=TrialState.FAIL)
            raise
        trial.set_user_attr("seconds", round(monotonic() - started, 3))
        study.tell(trial, value, state)
        ended(done + 1)
    return 0


def _try(
    trial: optuna.Trial, recipe: TransferRecipe, scored: Scored, shown: Progress
) -> tuple[float | None, TrialState]:
    """Train once. One without a number or memory is as bad as can be, so that nothing like it is proposed again."""

    def each_epoch(epoch: int, row: Mapping[str, float | None]) -> None:
        trial.report(float(row["val_macro_f1"] or 0.0), epoch)
        if epoch < recipe.epochs and trial.should_prune():
            raise optuna.TrialPruned

    def told(state: State, why: str) -> None:
        trial.set_user_attr("state", state)
        trial.set_user_attr("why", why)

    try:
        found = scored(recipe, shown, each_epoch)
    except optuna.TrialPruned:
        told("stopped early", "below the median of the others at this epoch")
    except NoNumberError as error:
        told("failed", str(error).partition(":")[0])
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        told("failed", "the GPU has not the memory for this batch")
    else:
        told("complete", "")
        if not isnan(found.low):
            trial.set_user_attr("interval", [found.low, found.high])
        return found.value, TrialState.COMPLETE
    return None, TrialState.PRUNED


def _done(study: optuna.Study) -> int:
    """Trials that came to an end of their own."""
    return len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)))


def read_trials(study: optuna.Study) -> tuple[Trial, ...]:
    """All trials that have ended, in order."""
    return tuple(_read(one) for one in study.get_trials(deepcopy=False) if one.state.is_finished())


def _read(one: FrozenTrial) -> Trial:
    own, curve = one.user_attrs, one.intermediate_values
    state: State = own.get("state", "failed")
    value = one.value if state == "complete" else curve.get(max(curve)) if state == "stopped early" and curve else None
    low_high = own.get("interval")
    alike = low_high is None or low_high[0] == low_high[1]  # a point would read like certainty
    interval = None if low_high is None or alike else (float(low_high[0]), float(low_high[1]))
    why = str(own.get("why", BROKEN_OFF))
    return Trial(one.number + 1, state, value, interval, dict(one.params), curve, float(own.get("seconds", 0.0)), why)


def importance_of(study: optuna.Study) -> dict[str, float]:
    """PED-ANOVA (Watanabe et al. 2023): which values set the best complete trials apart, as shares of one.

    Empty where there are too few, or all are alike.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < RANKED_FROM or len({trial.value for trial in complete}) == 1:
        return {}
    return dict(get_param_importances(study))
