"""A paper on single cells as a study: every network by every recipe and seed on every arm of the data is a job.

An *arm* is a data set as it is learned from: one set, or several jointly, each with its stain as it is or normalised.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marrowscope.errors import DataError
from marrowscope.files import write_json
from marrowscope.learning.asked import require_cells, require_networks, require_recipe, require_weights
from marrowscope.learning.weights import HUB
from marrowscope.studies.cell_studies.arms import Arm, Stain, own_cells, parted, set_words
from marrowscope.studies.cell_studies.joining import joined, of_one_spacing
from marrowscope.studies.cell_studies.papers import find_paper
from marrowscope.studies.cell_studies.work import train_cells
from marrowscope.studies.jobs import Job, JobsRun, check_jobs, read_job, run_jobs
from marrowscope.studies.study import About, RunOptions, begun_study

if TYPE_CHECKING:
    from marrowscope.learning.transfer.recipe import TransferRecipe
    from marrowscope.options import Progress

MODERN = "modern"
"""Our own recipe, beside each paper's."""

SMALL = "mobilenetv4-small"
"""The network of our recipe where only the wiring is tried."""

PRELOAD = (
    "marrowscope.learning.transfer.training",
    "codecarbon.core.emissions",
    "codecarbon.core.resource_tracker",
    "pandas",
)
"""What each job needs and takes long to import; CodeCarbon imports the last three only when it begins to measure."""

ALL = "all"
"""In place of a network: those of the paper."""

WEIGHT_ENDINGS = (".safetensors", ".pth", ".npz")


@dataclass(frozen=True, slots=True)
class CellStudy:
    """One paper. ``per_class`` and ``share_of_mll`` limit the cells as it says; ``test`` and ``val`` are shares of all.

    ``by_class``: it parts class by class even where patients are known. ``stains``: how stain is prepared, an arm each.
    ``several``: it takes more than one data set, and learns from them jointly too.
    """

    ABOUT: About
    val: float
    test: float
    per_class: int | None = None
    share_of_mll: float | None = None
    by_class: bool = False
    stains: tuple[Stain, ...] = ("none",)
    several: bool = False

    def run(self, data: Path | None, output: Path, options: RunOptions, progress: Progress) -> JobsRun:
        """Do the trainings that are not done yet.

        At scale smoke ``data`` may be None: then cells are drawn. Raises ``DataError`` for an unknown scale, network or
        recipe, for data that cannot be used, and for a folder that holds another study or scale.
        """
        name = self.ABOUT.name
        if options.scale not in self.ABOUT.scales:
            raise DataError(f"the scale {options.scale!r} is unknown; choose one of {', '.join(self.ABOUT.scales)}")
        if options.further and not self.several:
            raise DataError(f"the study {name} takes one data set; give --data once")
        _require_known(data, options)
        begun = begun_study(output, name, options.scale, force=options.force)
        recipes = self._recipes(options)
        start = {network: weights_for(network, options.weights) for network, _ in recipes}
        arms = list(self._arms(data, output, options, progress))
        jobs = [
            self._job(arm, network, recipe, seed, start[network], output, options)
            for place, arm in enumerate(arms)
            for network, recipe in (recipes if place == 0 or not wiring(options) else recipes[-2:-1])
            for seed in range(options.seeds)
        ]
        if not options.force:
            check_jobs(jobs, output)
        write_json(output / "study.json", self._facts(begun, arms, jobs, self._command(data, output, options), options))
        return run_jobs(
            jobs,
            output,
            processes=options.jobs,
            threads=options.threads,
            minutes=options.minutes,
            force=options.force,
            progress=progress,
            tell=options.tell,
            preload=PRELOAD,
        )

    def report(self, output: Path, page: Path, command: str, notes: Sequence[str] = ()) -> list[Path]:
        """Write the paper's tables and what they lack; see :mod:`marrowscope.studies.cell_studies.report`."""
        from marrowscope.studies.cell_studies.report import write_report

        facts = begun_study(output, self.ABOUT.name)
        if facts is None:
            raise DataError(f"{output} holds no study: begin with marrowscope study run {self.ABOUT.name}")
        return write_report(self.ABOUT, facts, output, page, command, notes)

    def export(self, output: Path, job: str, folder: Path) -> None:
        """Write what ``marrowscope packs build --classifier`` takes. Raises ``DataError`` for a job not done."""
        from marrowscope.learning.transfer.export import export_network

        facts = begun_study(output, self.ABOUT.name)
        jobs = list(facts["jobs"]) if facts else []
        if facts is None or job not in jobs:
            raise DataError(f"{output} has no job {job!r}; it has: {', '.join(jobs) or 'none'}")
        if read_job(output / "jobs" / job) is None:
            raise DataError(f"the job {job} is not done: go on with marrowscope study run")
        command = " && ".join(facts["commands"])  # any of them may have trained it
        export_network(output / "jobs" / job, folder, command=f"{command} (job {job})")

    def _facts(
        self, begun: dict[str, Any] | None, arms: Sequence[Arm], jobs: Sequence[Job], command: str, options: RunOptions
    ) -> dict[str, Any]:
        """``study.json``: with what earlier runs of the same data and scale did, which ``force`` throws away."""
        told = [dataclasses.asdict(arm.told) for arm in arms]
        earlier: dict[str, Any] = {} if begun is None else begun
        mine = json.loads(json.dumps(told))
        if earlier and (earlier["scale"], earlier["arms"]) != (options.scale, mine):
            if not options.force:
                raise DataError(
                    "the folder holds this study of other data, or parted otherwise: choose another one with -o, or "
                    "throw that away with --force"
                )
            earlier = {}
        return {
            "study": self.ABOUT.name,
            "scale": options.scale,
            "arms": told,
            "jobs": earlier.get("jobs", {}) | {job.name: job.question["arm"] for job in jobs},
            "commands": list(dict.fromkeys([*earlier.get("commands", ()), command])),
        }

    def _recipes(self, options: RunOptions) -> list[tuple[str, TransferRecipe]]:
        """Network and recipe of each training; ours for one small network where only the wiring is tried."""
        from marrowscope.learning.transfer.recipes import find_recipe

        own = find_paper(self.ABOUT.name).networks
        wanted = options.networks or (ALL,)
        networks = [network for word in wanted for network in (own if word == ALL else (word,))]
        recipes = options.recipes or (self.ABOUT.name, MODERN)
        return [
            (network, find_recipe(recipe, network, options.scale))
            for recipe in dict.fromkeys(recipes)
            for network in ((SMALL,) if wiring(options) and recipe == MODERN else dict.fromkeys(networks))
        ]

    def _arms(self, data: Path | None, output: Path, options: RunOptions, progress: Progress) -> Iterator[Arm]:
        from marrowscope.learning.datasets.cell_sets import read_cell_set

        folders = [data, *options.further] if data is not None else own_cells(self, output, progress)
        sets = []
        for place, folder in enumerate(folders):

            def told(done: float, place: int = place) -> None:
                progress("reading the pictures", (place + done) / len(folders), "")

            sets.append(parted(self, read_cell_set(folder, progress=told)))
        sets = of_one_spacing(sets)
        several = [*sets, joined(sets)] if len(sets) > 1 else sets
        words = set()
        for cells, parts in several:
            for stain in self.stains:
                arm = Arm(cells, parts, stain, set_words(cells, stain, len(several), len(self.stains)))
                if arm.words in words:
                    raise DataError(
                        f"two sets of data are called {arm.words!r} by their folders: rename one, so that pages can "
                        "tell them apart"
                    )
                words.add(arm.words)
                yield arm

    def _job(
        self,
        arm: Arm,
        network: str,
        recipe: TransferRecipe,
        seed: int,
        weights: str | Path | None,
        output: Path,
        options: RunOptions,
    ) -> Job:
        words = [arm.slug, recipe.name, network, f"seed-{seed}"]
        if arm.stain != "none":
            recipe = dataclasses.replace(recipe, prepare=dataclasses.replace(recipe.prepare, stain=arm.stain))
        start = None if weights is None else HUB if weights == HUB else sha256_of(Path(weights))
        return Job(
            name="/".join(word for word in words if word),
            kind=f"{network} {recipe.name}",
            work=train_cells,
            arguments={
                "network": network,
                "recipe": recipe,
                "cells": arm.cells,
                "parts": arm.parts,
                "weights": weights,
                "seed": seed,
                "threads": options.threads,
                "cache": output / "pictures",
            },
            question={
                "network": network,
                "recipe": recipe.told(),
                "seed": seed,
                "weights": start,
                "arm": arm.words,
                "data": arm.identity,
            },
        )

    def _command(self, data: Path | None, output: Path, options: RunOptions) -> str:
        words = ["marrowscope", "study", "run", self.ABOUT.name]
        for folder in [data, *options.further] if data is not None else []:
            words += ["--data", str(folder)]
        words += ["-o", str(output), "--scale", options.scale]
        if options.networks:
            words += ["--networks", ",".join(options.networks)]
        if options.recipes:
            words += ["--recipes", ",".join(options.recipes)]
        if options.seeds > 1:
            words += ["--seeds", str(options.seeds)]
        if options.weights is not None:
            words += ["--weights", str(options.weights)]
        return shlex.join([*words, "--jobs", str(options.jobs), "--threads", str(options.threads)])


def _require_known(data: Path | None, options: RunOptions) -> None:
    """Raise what mistyped options would raise after torch is loaded."""
    if data is None and options.scale != "smoke":
        raise DataError("give the pictures with --data DIR; only --scale smoke draws cells of its own")
    require_networks(word for word in options.networks if word != ALL)
    for recipe in options.recipes:
        require_recipe("cells", recipe)
    require_weights(options.weights, folder=True)
    for folder in [data, *options.further] if data is not None else []:
        require_cells(folder)


@cache
def sha256_of(file: Path) -> str:
    """Of a file of start weights: another one is another question."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def wiring(options: RunOptions) -> bool:
    """Whether a smoke run was asked for as it is: every network once, and every arm, but not each with each."""
    return options.scale == "smoke" and not options.networks and not options.recipes


def weights_for(network: str, given: Path | None) -> str | Path | None:
    """Start weights of a network: ``"hub"``, its file, or None for random ones.

    ``given`` is None, ``hub``, a file (for every network that is trained) or a folder with ``NETWORK.safetensors``,
    ``.pth`` or ``.npz``; a network without one begins at random, and its table says so. The sequential CNN always does.
    """
    if given is None or network == "sequential-cnn":
        return None
    if str(given) == HUB:
        return HUB
    if given.is_dir():
        found = [given / f"{network}{ending}" for ending in WEIGHT_ENDINGS]
        return next((path for path in found if path.is_file()), None)
    if not given.is_file():
        raise DataError(f"{given} is no file of weights and no folder of them; give one, or --weights hub")
    return given
