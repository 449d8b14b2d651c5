"""What the jobs of a study left, gathered: calls and detections of each finished fold, scored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from marrowscope.errors import DataError
from marrowscope.studies.jobs import failures, read_job
from marrowscope.studies.wang_2022.data import StudyData, read_data
from marrowscope.studies.wang_2022.evaluate import Scored, label_calls, score_folds
from marrowscope.studies.wang_2022.planning import Plan, PlannedFold, plan_folds
from marrowscope.studies.wang_2022.regions import RegionResult, read_regions
from marrowscope.studies.wang_2022.scales import SCALES, Protocol, Scale

ARM = "cascade"
"""The method; ``plain`` is what it is compared with."""


@dataclass(frozen=True)
class Results:
    """A study in ``output``, finished or not. ``facts`` is its ``study.json``; ``failed`` jobs with their message."""

    output: Path
    facts: Mapping[str, Any]
    data: StudyData
    scale: Scale
    plan: Plan
    failed: Mapping[str, str]
    regions: RegionResult | None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.data.tiles.classes

    def done(self, protocol: Protocol, arm: str) -> list[PlannedFold]:
        """The finished folds."""
        return [one for one in self.plan.of(protocol, arm) if self.job(one.job) is not None]

    def job(self, name: str) -> dict[str, Any] | None:
        return read_job(self.output / "jobs" / name)

    def detections(self, one: PlannedFold, *, second: bool = False) -> pl.DataFrame:
        """Of a finished fold: its held-out tiles, or those of the second cohort. Raises ``DataError`` when damaged."""
        path = self.output / "jobs" / one.job / "detections.parquet"
        rows = self.data.rows("second") if second else list(one.fold.test)
        try:
            return pl.read_parquet(path).filter(pl.col("tile").is_in(rows))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise DataError(f"{path} is damaged ({error}); delete its folder and run the study again") from error

    @cached_property
    def _scored(self) -> dict[tuple[str, str, bool, bool], Scored | None]:
        return {}

    def calls(self, one: PlannedFold, *, second: bool = False, diseased: bool = False) -> pl.DataFrame:
        """What the labelled cells were called by a finished fold's model; ``diseased``: slides with a disease only."""
        rows = self.data.rows("second") if second else list(one.fold.test)
        table = label_calls(self.data, self.detections(one, second=second), rows)
        return table.filter(~pl.col("diagnosis").is_in(["normal", ""])) if diseased else table

    def scored(self, protocol: Protocol, arm: str, *, second: bool = False, diseased: bool = False) -> Scored | None:
        """Scores of the finished folds on their held-out tiles, or of each fold's model on the second cohort.

        None where no fold is finished or nothing is labelled.
        """
        key = (protocol, arm, second, diseased)
        if key not in self._scored:
            found = {
                one.fold.name: self.calls(one, second=second, diseased=diseased) for one in self.done(protocol, arm)
            }
            found = {name: table for name, table in found.items() if table.height}
            self._scored[key] = score_folds(found, self.classes, self.plan.trained) if found else None
        return self._scored[key]

    def best(self, protocol: Protocol, arm: str) -> PlannedFold | None:
        """The fold whose model has the best macro recall on its held-out tiles: chosen without the second cohort."""
        scored = self.scored(protocol, arm)
        if scored is None:
            return None
        name = max(scored.folds, key=lambda name: scored.folds[name].macro_recall.value)
        return next(one for one in self.done(protocol, arm) if one.fold.name == name)

    def of_best(self, protocol: Protocol, arm: str, *, diseased: bool = False) -> Scored | None:
        """The second cohort by the best fold's model alone."""
        if (best := self.best(protocol, arm)) is None:
            return None
        table = self.calls(best, second=True, diseased=diseased)
        return score_folds({best.fold.name: table}, self.classes, self.plan.trained) if table.height else None

    def held_out(self, protocol: Protocol, arm: str) -> tuple[pl.DataFrame, list[int]]:
        """Detections of all finished folds on their held-out tiles, and these tiles; every tile once."""
        folds = self.done(protocol, arm)
        rows = [row for one in folds for row in one.fold.test]
        return pl.concat([self.detections(one) for one in folds]), rows


def read_results(output: Path) -> Results:
    """Gather a study. Raises ``DataError`` when ``output`` holds none."""
    data = read_data(output)
    try:
        facts = json.loads((output / "study.json").read_text(encoding="utf-8"))
        scale = SCALES[facts["scale"]]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{output} holds no study that can be read ({error}): run it again") from error
    return Results(output, facts, data, scale, plan_folds(data, scale), failures(output), read_regions(output))
