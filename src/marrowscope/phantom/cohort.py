"""The cohorts of Wang et al. 2022 (Medical Image Analysis 75: 102270) as phantoms, on disk.

First cohort: 27 smears in Liu's stain; second: 10 smears in another stain from another scanner. The folder holds
``NAME.tif``, ``NAME.truth.json.gz``, ``NAME.labels.parquet`` (what the annotators agreed on for part of the cells) and
``NAME.readings.parquet`` (blind readings) for each smear; ``cohort.json`` lists them and is written last.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from marrowscope.errors import DataError, OutputError
from marrowscope.files import whole_file, write_json
from marrowscope.geometry import Size
from marrowscope.phantom.annotators import READERS, Names, label_slide, whole_cells
from marrowscope.phantom.diagnoses import patient_composition
from marrowscope.phantom.options import PhantomError, PhantomOptions
from marrowscope.phantom.pool import CellPool
from marrowscope.phantom.scanners import SCANNERS
from marrowscope.phantom.slide import render_smear
from marrowscope.phantom.smear import make_smear
from marrowscope.phantom.truth import Truth, read_truth, truth_path
from marrowscope.taxonomy import PHANTOM_TYPES

SCHEMA = "marrowscope.phantom.cohort"
SCHEMA_VERSION = 1
NAME = "wang-2022"
DIFFICULTY = "paper"
SEED = 2022
SEEDS = 100
"""Seeds of single slides that a seed of the cohort has for itself."""

FIRST = ("normal",) * 12 + ("aml",) * 6 + ("mds", "cmml") + ("all",) * 3 + ("mm",) * 4
SECOND = ("normal",) * 3 + ("mm",) * 2 + ("aml",) * 2 + ("cmml", "cml", "mds")
SMOKE = ("F01", "F13", "F21", "F24", "S01", "S04")
"""The slides of the scale ``smoke``, much smaller: normal, aml, all, mm; normal, mm."""

MEGAKARYOCYTES = 6.0
"""Times as many megakaryocytes as in the differential: the annotators searched for them (300 of the paper's 12,426)."""

TWICE, TWICE_CELLS = ("F02", "F14", "F25"), 602
"""Slides whose cells both annotators read twice, and how many cells in all."""
ONCE_CELLS = 620
"""Cells of the other slides of the first cohort that both read once."""

LABEL_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(), "type": pl.String(), "x0": pl.Float64(), "y0": pl.Float64(), "x1": pl.Float64(),
    "y1": pl.Float64(), "cell": pl.Int64(), "truth": pl.String(), "reader_1": pl.String(), "reader_2": pl.String(),
}  # fmt: skip
"""``type``: the agreed one; box as drawn by hand, level-0 pixels; ``cell``: row of the truth's table."""

READING_SCHEMA: dict[str, pl.DataType] = {
    "cell": pl.Int64(), "reader": pl.String(), "occasion": pl.Int64(), "type": pl.String(),
}  # fmt: skip
"""One blind reading a row; cells with an occasion 2 were read twice by both."""

Progress = Callable[[int, int, str], None]
"""Called with slides done, slides in all and the name of the last one."""


@dataclass(frozen=True, slots=True)
class CohortSlide:
    """One smear of a cohort and where its files lie (``path``: the slide)."""

    name: str
    cohort: str
    diagnosis: str
    stain: str
    scanner: str
    seed: int
    cells: int
    path: Path

    @property
    def files(self) -> tuple[Path, Path, Path, Path]:
        """Slide, truth, labels, readings."""
        return self.path, truth_path(self.path), self._beside("labels"), self._beside("readings")

    def labels(self) -> pl.DataFrame:
        """What the annotators agreed on (LABEL_SCHEMA). Raises ``DataError`` when the file is damaged."""
        return _read_table(self._beside("labels"), LABEL_SCHEMA)

    def readings(self) -> pl.DataFrame:
        """Blind readings (READING_SCHEMA). Raises ``DataError`` when the file is damaged."""
        return _read_table(self._beside("readings"), READING_SCHEMA)

    def truth(self) -> Truth:
        """Every cell, whether labelled or not. Raises ``DataError`` when the file is damaged."""
        return read_truth(self.path)

    def _beside(self, part: str) -> Path:
        return self.path.with_name(f"{self.name}.{part}.parquet")


@dataclass(frozen=True, slots=True)
class Cohort:
    """Slides of both cohorts, first before second."""

    folder: Path
    name: str
    difficulty: str
    slides: tuple[CohortSlide, ...]

    def of(self, cohort: str) -> tuple[CohortSlide, ...]:
        """The slides of ``first`` or ``second``."""
        return tuple(slide for slide in self.slides if slide.cohort == cohort)

    @property
    def smoke(self) -> bool:
        """Whether these are the few tiny slides of the scale ``smoke``."""
        return tuple(slide.name[:3] for slide in self.slides) == SMOKE

    @property
    def command(self) -> str:
        """What to type for these slides again."""
        words = ["marrowscope", "phantom", "cohort", self.name, str(self.folder)]
        seed = self.slides[0].seed // SEEDS
        words += (["--slides", "smoke"] if self.smoke else []) + ([] if seed == SEED else ["--seed", str(seed)])
        return shlex.join(words)


@dataclass(frozen=True, slots=True)
class SlidePlan:
    """One slide as it is to be made: ``labels`` wanted, cells read ``twice`` and ``once`` by both annotators."""

    slide: CohortSlide
    options: PhantomOptions
    labels: int
    twice: int
    once: int


def plan_cohort(folder: Path, scale: str = "all", seed: int = SEED) -> list[SlidePlan]:
    """The slides of ``all`` or ``smoke``. Raises :class:`PhantomError` for another scale or seed."""
    if scale not in ("all", "smoke"):
        raise PhantomError(f"unknown choice of slides {scale!r}; choose one of: all, smoke")
    if not 0 <= seed < 10_000:
        raise PhantomError(f"the seed of a cohort is {seed}; it must lie between 0 and 9999")
    plans = []
    once = len(FIRST) - len(TWICE)
    for cohort, letter, diagnoses in (("first", "F", FIRST), ("second", "S", SECOND)):
        for i, diagnosis in enumerate(diagnoses):
            code = f"{letter}{i + 1:02}"
            if scale == "smoke" and code not in SMOKE:
                continue
            twice_cells, once_cells = 0, 0
            if scale == "smoke":
                twice_cells, once_cells = (30, 0) if code == "F01" else (0, 30 if cohort == "first" else 0)
            elif code in TWICE:
                twice_cells = _part(TWICE_CELLS, len(TWICE), TWICE.index(code))
            elif cohort == "first":
                rank = i - sum(int(other[1:]) <= i for other in TWICE)
                once_cells = _part(ONCE_CELLS, once, rank)
            options = _options(cohort, diagnosis, seed * SEEDS + i + (50 if cohort == "second" else 0), scale)
            name = f"{code}-{diagnosis}"
            slide = CohortSlide(
                name, cohort, diagnosis, options.stain, options.scanner, options.seed, options.cells,
                folder / f"{name}.tif",
            )  # fmt: skip
            wanted = 45 if scale == "smoke" else 460 if cohort == "first" else 300
            plans.append(SlidePlan(slide, options, wanted, twice_cells, once_cells))
    return plans


def _part(total: int, parts: int, i: int) -> int:
    """The ``i``-th of so many parts of a whole that differ by one at most."""
    return total * (i + 1) // parts - total * i // parts


def _options(cohort: str, diagnosis: str, seed: int, scale: str) -> PhantomOptions:
    first = cohort == "first"
    composition = patient_composition(diagnosis, np.random.default_rng([seed, 71]))
    composition[PHANTOM_TYPES.index("megakaryocyte")] *= MEGAKARYOCYTES
    scanner = SCANNERS["plain" if first else "vivid"]
    side, cells = (2304, 110) if scale == "smoke" else (7168, 1400) if first else (6656, 950)
    return PhantomOptions(
        cells=cells,
        seed=seed,
        stain="liu" if first else "jenner-giemsa",
        diagnosis=diagnosis,
        difficulty=DIFFICULTY,
        size=Size(side, side),
        spacing=0.25 if first else 0.23,
        density=1800.0,
        quality=scanner.quality,
        scanner=scanner.name,
        composition=tuple(np.round(composition / composition.sum(), 6).tolist()),
        variants=8 if scale == "smoke" else 120,
    )


def make_cohort(
    folder: Path | str, *, scale: str = "all", seed: int = SEED, threads: int = 2, force: bool = False,
    progress: Progress | None = None,
) -> Cohort:  # fmt: skip
    """Render a cohort into ``folder``; slides that are there whole, with the same options, are left as they are.

    ``threads`` slides are rendered at a time, each in a process. Raises :class:`PhantomError` for a wrong scale or seed
    and ``OutputError`` when a slide of the same name with other options is there (unless ``force``) or the folder
    cannot be written.
    """
    folder = Path(folder)
    plans = plan_cohort(folder, scale, seed)
    todo = [
        plan
        for plan in plans
        if force or _rendered(plan) is None or not all(file.exists() for file in plan.slide.files)
    ]
    done = len(plans) - len(todo)
    if todo:  # what is broken off from here on is no finished cohort, also where there was one
        try:
            (folder / "cohort.json").unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write into {folder} ({error.strerror}): choose another folder") from error
    if threads == 1 or len(todo) < 2:
        for i, plan in enumerate(todo, start=1):
            make_slide(plan, threads=threads, force=force)
            if progress is not None:
                progress(done + i, len(plans), plan.slide.name)
    else:
        with ProcessPoolExecutor(min(threads, len(todo)), mp_context=get_context("spawn")) as workers:
            jobs = {workers.submit(make_slide, plan, force=force): plan.slide.name for plan in todo}
            try:
                for i, job in enumerate(as_completed(jobs), start=1):
                    job.result()
                    if progress is not None:
                        progress(done + i, len(plans), jobs[job])
            except BaseException:
                workers.shutdown(wait=False, cancel_futures=True)
                raise
    slides = tuple(plan.slide for plan in plans)
    keys = ("name", "cohort", "diagnosis", "stain", "scanner", "seed", "cells")
    write_json(
        folder / "cohort.json",
        {
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "name": NAME,
            "difficulty": DIFFICULTY,
            "slides": [{key: getattr(slide, key) for key in keys} for slide in slides],
        },
    )
    return Cohort(folder, NAME, DIFFICULTY, slides)


def _rendered(plan: SlidePlan) -> Truth | None:
    """The truth of the slide when it is there already. Raises ``OutputError`` when another one has its name."""
    slide, *_ = plan.slide.files
    if not slide.exists():
        return None
    try:
        truth = read_truth(slide)
    except DataError:
        return None
    if truth.options != plan.options.as_dict():
        raise OutputError(
            f"{slide} is there already, made with other options; take another folder or add --force to write over it"
        )
    return truth


def make_slide(plan: SlidePlan, *, threads: int = 1, force: bool = False) -> None:
    """Render one slide unless it is there, have it read and labelled. Each file appears whole or not at all."""
    slide, options = plan.slide, plan.options
    rendered = None if force else _rendered(plan)
    pool = CellPool(options.seed, options.spacing, options.difficulty)
    smear = make_smear(options, pool)
    truth = rendered or render_smear(slide.path, smear, pool, options, threads=threads)
    drawings = list(zip(smear.scene.cells.kind.tolist(), smear.scene.cells.variant.tolist(), strict=True))
    known = {drawing: pool.likeness(*drawing) for drawing in set(drawings)}
    true = truth.cells["type"].to_numpy().astype(str)
    neighbours = np.array([known[drawing][0] for drawing in drawings], dtype=str)
    shares = np.array([known[drawing][1] for drawing in drawings])
    called = {
        (reader.name, occasion): reader.read(true, neighbours, shares, seed=slide.seed, occasion=occasion)
        for reader in READERS
        for occasion in (0, 1, 2)
    }
    _, _, labels_path, readings_path = slide.files
    labels = label_slide(slide.name, truth, (called["1", 0], called["2", 0]), plan.labels, seed=slide.seed)
    _write_table(readings_path, _read_blind(plan, truth, called), READING_SCHEMA)
    _write_table(labels_path, labels, LABEL_SCHEMA)


def _read_blind(plan: SlidePlan, truth: Truth, called: dict[tuple[str, int], Names]) -> pl.DataFrame:
    """Readings of cells picked at random, in the order reader, occasion, cell."""
    rng = np.random.default_rng([plan.slide.seed, 64])
    picked = np.sort(rng.permutation(np.flatnonzero(whole_cells(truth)))[: plan.twice + plan.once])
    parts = [
        pl.DataFrame(
            {"cell": picked, "reader": [reader.name] * len(picked), "occasion": [occasion] * len(picked),
             "type": called[reader.name, occasion][picked].tolist()},
            schema=READING_SCHEMA,
        )
        for reader in READERS
        for occasion in ((1, 2) if plan.twice else (1,))
    ]  # fmt: skip
    return pl.concat(parts)


def read_cohort(folder: Path | str) -> Cohort:
    """Read a cohort that :func:`make_cohort` wrote. Raises ``DataError`` when a file is missing or damaged."""
    cohort = listed_cohort(folder)
    missing = [part.name for slide in cohort.slides for part in slide.files if not part.is_file()]
    if missing:
        shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataError(f"{cohort.folder} lacks {shown}; to make what is missing type: {cohort.command}")
    return cohort


def listed_cohort(folder: Path | str) -> Cohort:
    """The cohort of ``cohort.json``, whether or not the slides are still there. Raises ``DataError``."""
    folder = Path(folder)
    file = folder / "cohort.json"
    again = f"type: marrowscope phantom cohort {NAME} {folder}"
    try:
        document: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise DataError(f"{folder} holds no finished cohort (no cohort.json); to make or finish one {again}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); to write it again {again}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise DataError(f"{file} is no list of a cohort (schema {SCHEMA} expected); to make one {again}")
    if document.get("schema_version") != SCHEMA_VERSION:
        found = document.get("schema_version")
        raise DataError(f"{file} has schema version {found}, this program reads {SCHEMA_VERSION}: update marrowscope")
    try:
        slides = tuple(CohortSlide(**entry, path=folder / f"{entry['name']}.tif") for entry in document["slides"])
        name, difficulty = str(document["name"]), str(document["difficulty"])
    except (KeyError, TypeError) as error:
        raise DataError(f"{file} is damaged ({error}); to write it again {again}") from error
    if not slides:
        raise DataError(f"{file} is damaged (no slide); to write it again {again}")
    return Cohort(folder, name, difficulty, slides)


def _write_table(path: Path, table: pl.DataFrame, schema: dict[str, pl.DataType]) -> None:
    with whole_file(path) as beside:
        table.select(pl.col(name).cast(kind) for name, kind in schema.items()).write_parquet(beside)


def _read_table(path: Path, schema: dict[str, pl.DataType]) -> pl.DataFrame:
    again = f"delete it and type: marrowscope phantom cohort {NAME} {path.parent}"
    try:
        table = pl.read_parquet(path)
    except (OSError, PolarsError) as error:
        raise DataError(f"{path.name} is damaged or missing ({error}); {again}") from error
    if dict(table.schema) != schema:
        raise DataError(
            f"{path.name} has the columns {', '.join(table.columns)}, expected {', '.join(schema)}; {again}"
        )
    return table
