"""The jobs of a scale: which tiles each fold learns from, and everything that its result depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marrowscope.errors import DataError
from marrowscope.studies.folds import Fold, as_folds, balanced_folds, grouped_folds, leave_one_out, usable_folds
from marrowscope.studies.jobs import Job
from marrowscope.studies.wang_2022.data import StudyData
from marrowscope.studies.wang_2022.scales import Protocol, Scale
from marrowscope.studies.wang_2022.work import MODEL, Learner, learn_fold, time_slides
from marrowscope.taxonomy import CELL_TYPES

TIMED = "in ONNX Runtime, parts of slides"
"""What the times are of; changed with what ``time_slides`` measures, so that older times are not taken for new ones."""


@dataclass(frozen=True, slots=True)
class PlannedFold:
    """One job that learns: its protocol, arm and fold."""

    job: str
    protocol: Protocol
    arm: str
    fold: Fold


@dataclass(frozen=True, slots=True)
class Plan:
    """The folds that a scale runs, the classes that they learn, and a line for everything that is left out."""

    trained: tuple[str, ...]
    folds: tuple[PlannedFold, ...]
    notes: tuple[str, ...]

    def of(self, protocol: Protocol, arm: str) -> tuple[PlannedFold, ...]:
        return tuple(one for one in self.folds if (one.protocol, one.arm) == (protocol, arm))

    def arms(self, protocol: Protocol) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.arm for one in self.folds if one.protocol == protocol))


def plan_folds(data: StudyData, scale: Scale) -> Plan:
    """The folds of a scale. Raises ``DataError`` for one in which a class cannot be learnt, unless they are skipped."""
    rows = data.rows("first")
    classes = data.tiles.classes
    trained = data.trained(scale.least_slides)
    wanted = "no slide" if scale.least_slides == 1 else f"fewer than {scale.least_slides} slides"
    notes = [
        f"{CELL_TYPES[name].title} is labelled on {wanted} of the first cohort: neither trained nor measured."
        for name in classes
        if name not in trained
    ]
    counts = data.counts[:, [classes.index(name) for name in trained]]
    titles = [CELL_TYPES[name].title for name in trained]
    made: dict[Protocol, list[Fold]] = {}
    planned = []
    for part in scale.parts:
        if part.protocol not in made:
            made[part.protocol], left_out = usable_folds(
                _folds(part.protocol, data, rows, scale), counts, titles, skip=scale.skip_empty
            )
            notes += left_out
        folds = made[part.protocol]
        diagnoses = [data.column("diagnosis", fold.test[:1])[0] for fold in folds]
        for fold in part.chosen(folds, diagnoses):
            planned.append(PlannedFold(f"{fold.name}/{part.arm}", part.protocol, part.arm, fold))
    return Plan(trained, tuple(planned), tuple(notes))


def _folds(protocol: Protocol, data: StudyData, rows: Sequence[int], scale: Scale) -> list[Fold]:
    if protocol == "slide":
        return leave_one_out(data.column("slide", rows), rows)
    if protocol == "patient":
        patients = data.column("patient", rows)
        return as_folds(
            grouped_folds(patients, data.counts[rows], scale.patient_folds, scale.seed), rows, "patient-fold"
        )
    return as_folds(balanced_folds(data.counts[rows], scale.folds, scale.seed), rows, "tile-fold")


def plan_jobs(
    plan: Plan, data: StudyData, scale: Scale, learner: Learner, output: Path, *, weights: Path | None, threads: int
) -> list[Job]:
    """The jobs of a plan, and one that times slides with the cascade's first model. Order: what is compared, first."""
    recipes = {(part.protocol, part.arm): part.recipe for part in scale.parts}
    questions = {name: learner.question(name) for name in dict.fromkeys(recipes.values())}
    second = data.rows("second")
    start = None if weights is None else hash_of(weights)
    jobs = []
    for one in _by_number(plan.folds):
        recipe = recipes[one.protocol, one.arm]
        question: Mapping[str, Any] = {
            "recipe": {"name": recipe, **questions[recipe]},
            "data": data.identity,
            "classes": plan.trained,
            "train": one.fold.train,
            "test": one.fold.test,
            "second": second,
            "weights": start,
        }
        arguments = {
            "tiles": data.tiles.folder,
            "learner": learner,
            "recipe": recipe,
            "classes": plan.trained,
            "train": one.fold.train,
            "test": one.fold.test,
            "second": second,
            "weights": weights,
            "threads": threads,
        }
        jobs.append(Job(one.job, f"{one.protocol} {one.arm}", learn_fold, arguments, question))
    of_second = sorted(set(data.column("slide", second)) & set(data.slides))[: scale.timed_slides]
    models = plan.of("tile", "cascade")
    if of_second and models:
        first = next(job for job in jobs if job.name == models[0].job)
        slides = {name: str(data.slides[name]) for name in of_second}
        model = output / "jobs" / first.name / MODEL
        arguments = {"slides": slides, "learner": learner, "model": model, "threads": threads}
        question = {"slides": of_second, "model": first.fingerprint, "threads": threads, "measured": TIMED}
        jobs.append(Job("time", "time", time_slides, arguments, question, needs=(first.name,), alone=True))
    return jobs


def _by_number(folds: Sequence[PlannedFold]) -> list[PlannedFold]:
    """Tile-wise folds first, the arms of a fold side by side: an unfinished study still compares like with like."""
    order: list[Protocol] = ["tile", "slide", "patient"]
    first = {one.fold.name: place for place, one in reversed(list(enumerate(folds)))}
    return sorted(folds, key=lambda one: (order.index(one.protocol), first[one.fold.name]))


def hash_of(weights: Path) -> str:
    """Of a file of weights or of the files of a folder; ``hub`` stands for itself."""
    if str(weights) == "hub":
        return "hub"
    told = hashlib.sha256()
    try:
        for path in sorted(weights.iterdir()) if weights.is_dir() else [weights]:
            told.update(path.read_bytes() if path.is_file() else b"")
    except OSError as error:
        raise DataError(
            f"{weights} cannot be read ({error.strerror}): name a file of weights with --weights"
        ) from error
    return told.hexdigest()
