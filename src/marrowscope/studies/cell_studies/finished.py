"""A finished training read back: what it was, how it went, and what it said of every held-out cell.

A job's folder holds ``facts.json``, ``history.csv`` and ``predictions.parquet`` (``learning/transfer/files.py``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.evaluation.cell_scores import CellScores, score_cells
from marrowscope.evaluation.redrawing import Spread, spread
from marrowscope.learning.transfer.files import FACTS_FILE, HISTORY_FILE, PREDICTIONS_FILE
from marrowscope.learning.transfer.names import name_of
from marrowscope.taxonomy import CELL_TYPES

RANDOM = "random"
OWN_START = frozenset({"sequential-cnn"})
"""Networks that their paper trains from random weights itself."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """``n`` cells of one split: ``rows (n,)`` of the data set, ``labels (n,)``, outputs and logits ``(n, k)``.

    ``files (n,)`` are where their pictures were; empty where that is not told.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    logits: NDArray[np.float64] | None
    patients: tuple[str, ...] | None
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def called(self) -> NDArray[np.int64]:
        called: NDArray[np.int64] = self.probabilities.argmax(axis=1).astype(np.int64)
        return called


@dataclass(frozen=True)
class FinishedJob:
    """One training of one network; scores are worked out once.

    ``arm`` says which of a study's several data sets or preparations it is of, in words; empty where there is one.
    """

    folder: Path
    arm: str
    facts: Mapping[str, Any]
    history: pl.DataFrame
    validation: Predicted
    test: Predicted

    @property
    def network(self) -> str:
        return str(self.facts["network"])

    @property
    def recipe(self) -> str:
        return str(self.facts["recipe"]["name"])

    @property
    def start(self) -> str:
        return str(self.facts["start"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.facts["classes"])

    @property
    def random(self) -> bool:
        """Whether it began at random weights though its paper begins at learnt ones."""
        return self.start == RANDOM and self.network not in OWN_START

    @cached_property
    def scores(self) -> CellScores:
        """On the test cells; the temperature is fitted on the validation cells."""
        return self._score(self.test, fit=True)

    @cached_property
    def validation_scores(self) -> CellScores:
        return self._score(self.validation, fit=False)

    def number(self, key: str) -> float:
        """A number of ``facts.json``, nan where it is not told."""
        value = self.facts.get(key)
        return nan if value is None else float(value)

    def kept(self, column: str) -> float:
        """What ``history.csv`` says of the epoch whose weights were kept (else the last), nan where it says nothing."""
        if column not in self.history.columns or not len(self.history):
            return nan
        row = self.history.filter(pl.col("epoch") == self.facts.get("best_epoch"))
        value = (row if len(row) else self.history)[column][-1]
        return nan if value is None else float(value)

    def cells(self, part: str) -> int:
        """How many cells the training, validation or test part has: ``train``, ``val``, ``test``."""
        return int(self.facts.get("cells", {}).get(part, 0))

    @property
    def parameters(self) -> tuple[float, float]:
        """Learnt ones, and all."""
        found = self.facts.get("parameters")
        if isinstance(found, Mapping):
            return float(found["learnt"]), float(found["all"])
        return nan, nan if found is None else float(found)

    @property
    def peak_memory(self) -> float:
        """MB; nan where it was not measured."""
        return self.number("peak_memory_mb")

    @property
    def energy(self) -> tuple[float, str]:
        """kWh, nan where it was not measured, and how it was."""
        found = self.facts.get("energy") or {}
        kwh = found.get("kwh")
        return nan if kwh is None else float(kwh), str(found.get("how", ""))

    def title(self, name: str) -> str:
        """A class as people write it."""
        known = dict(zip(self.classes, self.facts.get("titles") or (), strict=False))
        return str(known.get(name) or title_of(name))

    def _score(self, part: Predicted, *, fit: bool) -> CellScores:
        other = self.validation
        fitted = None if not fit or other.logits is None or not len(other) else (other.labels, other.logits)
        return score_cells(
            part.labels,
            part.probabilities,
            self.classes,
            logits=part.logits,
            validation=fitted,
            patients=part.patients,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One network of a table: its trainings by seed, the first of which stands for it where one must."""

    label: str
    jobs: tuple[FinishedJob, ...]

    @property
    def first(self) -> FinishedJob:
        return self.jobs[0]

    def over_seeds(self, read: Callable[[FinishedJob], float]) -> Spread:
        return spread([read(job) for job in self.jobs])


def best_first(entries: Sequence[Entry]) -> list[Entry]:
    """By macro F1 on the validation cells: those of test choose nothing."""

    def standing(entry: Entry) -> float:
        return entry.first.validation_scores.macro_f1.value if len(entry.first.validation) else 0.0

    return sorted(entries, key=standing, reverse=True)


def read_job(folder: Path, arm: str = "") -> FinishedJob:
    """A job's folder, of this ``arm`` of a study.

    Raises ``DataError`` for one that is not finished or whose files do not fit each other.
    """
    for name in (FACTS_FILE, HISTORY_FILE, PREDICTIONS_FILE):
        if not (folder / name).is_file():
            raise DataError(f"{folder} holds no {name}: the training is not finished; run the study again")
    try:
        facts = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        history = pl.read_csv(folder / HISTORY_FILE, infer_schema_length=None, glob=False)
        table = pl.read_parquet(folder / PREDICTIONS_FILE)
    except (ValueError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{folder} cannot be read ({error}); delete it and run the study again") from error
    if lacking := [key for key in ("network", "recipe", "start", "classes") if key not in facts]:
        raise DataError(f"{folder / FACTS_FILE} lacks {', '.join(lacking)}; delete the folder and run the study again")
    wanted = ["row", "split", "label", *(f"p_{k}" for k in range(len(facts["classes"])))]
    if lacking := [name for name in wanted if name not in table.columns]:
        raise DataError(
            f"{folder / PREDICTIONS_FILE} lacks {', '.join(lacking)} for the {len(facts['classes'])} classes of its "
            "facts; delete the folder and run the study again"
        )
    parts = [_part(table.filter(pl.col("split") == split), len(facts["classes"])) for split in ("val", "test")]
    if not len(parts[1]):
        raise DataError(f"{folder / PREDICTIONS_FILE} holds no test cell; give the study data with a test part")
    if not all(np.isfinite(part.probabilities).all() for part in parts):
        raise DataError(f"{folder / PREDICTIONS_FILE} holds outputs that are no numbers: the training failed")
    return FinishedJob(folder, arm, facts, history, *parts)


def entries(
    jobs: Sequence[FinishedJob], order: Sequence[str] = (), names: Mapping[str, str] | None = None
) -> list[Entry]:
    """Jobs that differ by their seed alone as one entry; arms as they come, in each the
    networks in ``order`` first, then by name.

    Labels are ``names`` of the networks, else what we call them, with recipe, arm and start where these differ among
    the jobs.
    """
    groups: dict[tuple[str, ...], list[FinishedJob]] = {}
    for job in jobs:
        groups.setdefault((job.network, job.recipe, job.arm, job.start), []).append(job)
    several = [len({key[place] for key in groups}) > 1 for place in range(4)]

    arms = list(dict.fromkeys(job.arm for job in jobs))

    def rank(key: tuple[str, ...]) -> tuple[int, int, str, str, str]:
        known = order.index(key[0]) if key[0] in order else len(order)
        return arms.index(key[2]), known, key[0], key[1], key[3]

    found = []
    for key in sorted(groups, key=rank):
        words = [(names or {}).get(key[0]) or name_of(key[0])]
        words += [key[place] for place in (2, 1) if several[place] and key[place]]
        if several[3] and sum(other[:3] == key[:3] for other in groups) > 1:
            words.append(start_words(key[3]))
        seeds = sorted(groups[key], key=lambda job: job.number("seed"))
        found.append(Entry(", ".join(words), tuple(seeds)))
    return found


def start_words(start: str) -> str:
    """Where a training began: random, a hub's model, or a file by its name, without its hash."""
    return start.split(", sha256")[0]


def class_key(name: str) -> str:
    """One word for a class in whatever data set it is: the taxonomy's name, else the word in capitals."""
    for cell_type in CELL_TYPES.values():
        if name == cell_type.name or name in cell_type.aliases.values():
            return cell_type.name
    plain = name.strip().lower().replace(" ", "_")
    return plain if plain in CELL_TYPES else _OTHER_WORDS.get(plain, name.upper())


_OTHER_WORDS = {"hairy_cell": "HAC", "healthy": "HEM"}


def title_of(name: str) -> str:
    """A class as people write it; a code that the taxonomy does not know stays as it is."""
    known = CELL_TYPES.get(class_key(name))
    return known.title if known is not None else name.replace("_", " ") if name.islower() else name


def _part(table: pl.DataFrame, classes: int) -> Predicted:
    def matrix(stem: str) -> NDArray[np.float64]:
        return table.select(pl.col(f"{stem}_{k}").cast(pl.Float64) for k in range(classes)).to_numpy()

    patients = tuple(table["patient"].to_list()) if "patient" in table.columns else ()
    return Predicted(
        rows=table["row"].cast(pl.Int64).to_numpy(),
        labels=table["label"].cast(pl.Int64).to_numpy(),
        probabilities=matrix("p"),
        logits=matrix("logit") if "logit_0" in table.columns else None,
        patients=patients if patients and all(patients) else None,
        files=tuple(table["file"].to_list()) if "file" in table.columns else (),
    )
