"""Wang et al. 2022: whole-slide differential of the marrow by two cascaded detectors, trained and measured.

Medical Image Analysis 75: 102270. Protocol: docs/methods/studies.md. What the paper printed is in ``paper.py``.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from marrowscope.errors import DataError
from marrowscope.files import write_json
from marrowscope.learning.asked import require_weights
from marrowscope.phantom.cohort import listed_cohort
from marrowscope.studies.jobs import JobsRun, check_jobs, run_jobs
from marrowscope.studies.study import About, RunOptions, begun_study
from marrowscope.studies.wang_2022.data import prepare_data, source_identity
from marrowscope.studies.wang_2022.planning import plan_folds, plan_jobs
from marrowscope.studies.wang_2022.regions_job import plan_regions
from marrowscope.studies.wang_2022.scales import SCALES
from marrowscope.studies.wang_2022.work import Learner

if TYPE_CHECKING:
    from marrowscope.options import Progress

ABOUT = About(
    name="wang-2022",
    paper="Wang et al., Deep learning for bone marrow cell detection and classification on whole-slide images, "
    "Medical Image Analysis 75 (2022) 102270",
    data="a cohort (marrowscope phantom cohort wang-2022 DIR) or labelled tiles (marrowscope annotations tiles)",
    scales={scale.name: f"{scale.words}. {scale.takes}" for scale in SCALES.values()},
)


def run(
    data: Path | None, output: Path, options: RunOptions, progress: Progress, *, learner: Learner | None = None
) -> JobsRun:
    """Cut the tiles, fill the folds, do the jobs that are not done yet. Another ``learner`` is for tests; the region
    model is validated without one.

    Raises ``DataError`` for an unknown scale, for data of another kind, for a folder that holds another study or scale,
    and for a fold in which a class cannot be learnt.
    """
    if options.scale not in SCALES:
        raise DataError(f"the scale {options.scale!r} is unknown; choose one of {', '.join(SCALES)}")
    if data is None:
        raise DataError(
            "give the cohort with --data DIR; marrowscope phantom cohort wang-2022 DIR makes one (add --slides smoke "
            "for --scale smoke)"
        )
    if options.networks or options.recipes or options.further or options.seeds > 1:
        raise DataError("--networks, --recipes, --seeds and a second --data are for the studies of single cells")
    scale = SCALES[options.scale]
    begun_study(output, ABOUT.name, scale.name, force=options.force)
    require_weights(options.weights, folder=True)
    source_identity(data)  # both before torch is loaded
    own = learner is None
    if learner is None:
        from marrowscope.studies.wang_2022.learner import CascadeLearner

        learner = CascadeLearner()
        if options.weights is None and (needy := learner.needing_weights([part.recipe for part in scale.parts])):
            raise DataError(
                f"the scale {scale.name} starts from weights ({', '.join(needy)}): give --weights FILE, a folder with "
                "BACKBONE.pth and the like, or --weights hub to download timm's"
            )
    facts = {"study": ABOUT.name, "scale": scale.name, "data": str(data)}
    if not (output / "data.json").is_file():
        options.tell(f"cutting the tiles of {data}, once")
    prepared = prepare_data(data, output, progress)
    plan = plan_folds(prepared, scale)
    jobs = plan_jobs(plan, prepared, scale, learner, output, weights=options.weights, threads=options.threads)
    if own:
        jobs = [*plan_regions(prepared, scale, options.weights), *jobs]
    if not options.force:
        check_jobs(jobs, output)  # before study.json says how it was made
    commands = _commands(data, output, options)
    write_json(
        output / "study.json", facts | {"notes": plan.notes, "jobs": [job.name for job in jobs], "commands": commands}
    )
    return run_jobs(
        jobs,
        output,
        processes=options.jobs,
        threads=options.threads,
        minutes=options.minutes,
        force=options.force,
        progress=progress,
        tell=options.tell,
    )


def _commands(data: Path, output: Path, options: RunOptions) -> list[str]:
    """What to type for the same again."""
    given = {"data": data, "output": output, "scale": options.scale, "jobs": options.jobs, "threads": options.threads}
    if options.weights is not None:
        given["weights"] = options.weights
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return [
        *([listed_cohort(data).command] if (data / "cohort.json").is_file() else []),
        shlex.join(["marrowscope", "study", "run", ABOUT.name, *words]),
    ]


def report(output: Path, page: Path, command: str, notes: Sequence[str] = ()) -> list[Path]:
    """Write the six tables and the figures; see :mod:`marrowscope.studies.wang_2022.reporting`."""
    from marrowscope.studies.wang_2022.reporting import write_report

    return write_report(output, page, command, notes)


def export(output: Path, job: str, folder: Path) -> None:
    """Make a detector of a job's model; see :mod:`marrowscope.studies.wang_2022.exporting`."""
    from marrowscope.studies.wang_2022.exporting import export_job

    export_job(output, job, folder)
