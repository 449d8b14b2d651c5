"""A model of the study as a detector that a pack can be built of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from marrowscope.errors import DataError
from marrowscope.studies.wang_2022.learner import CascadeLearner
from marrowscope.studies.wang_2022.results import read_results
from marrowscope.studies.wang_2022.work import MODEL

KEPT_APART = {"tile": "tiles", "slide": "slides", "patient": "patients"}


def export_job(output: Path, job: str, folder: Path) -> None:
    """Write ``detector.onnx`` and ``metrics.json`` of the model of ``job`` to ``folder``.

    Raises ``DataError`` for a job that is not of the study or not done.
    """
    results = read_results(output)
    planned = {one.job: one for one in results.plan.folds}
    if job not in planned:
        raise DataError(f"{output} has no job {job!r} that learns; it has: {', '.join(planned)}")
    one = planned[job]
    model = output / "jobs" / job / MODEL
    if results.job(job) is None or not model.is_file():
        raise DataError(f"the job {job} is not done: go on with marrowscope study run")
    recipe = next(part.recipe for part in results.scale.parts if (part.protocol, part.arm) == (one.protocol, one.arm))
    tiles = replace(results.data.tiles, classes=results.plan.trained)
    fold = one.fold
    CascadeLearner().export(recipe, model, tiles, fold.train, fold.test, folder, KEPT_APART[one.protocol])
