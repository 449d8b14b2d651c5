"""Labelled cells without end: crops from rendered fields, with the neighbours and the blur that the pipeline meets.

Training and validation use seeds from 1,000,000 up; the test cells have smaller ones, like all benchmarks.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from marrowscope.learning.classifier.data import Cells, Splits
from marrowscope.phantom import FieldOptions, render_cells
from marrowscope.phantom.diagnoses import DIAGNOSES
from marrowscope.phantom.stains import STAIN_NAMES

SPACING = 0.25
SIDE = 120
"""Pixels a side of what is kept: a crop of 96 and room for errors of the detected centre."""

CELLS_A_SEED = 250
"""Cells that share drawings. Small, because it is the variety of drawings that a network must not learn by heart."""

TRAIN_SEEDS = range(1_000_000, 1_000_160)
VAL_SEEDS = range(1_500_000, 1_500_012)
TEST_SEEDS = range(500_000, 500_020)
PAPER_SHARE = 0.2
"""Share of ``paper`` fields in training and validation; the test is ``easy`` throughout."""


def load_phantoms(folder: Path) -> Splits:
    """Training, validation and test cells, rendered into ``folder`` unless they are there already."""
    train = phantom_cells(folder / "phantom-train.npz", TRAIN_SEEDS, PAPER_SHARE)
    val = phantom_cells(folder / "phantom-val.npz", VAL_SEEDS, PAPER_SHARE)
    test = phantom_cells(folder / "phantom-test.npz", TEST_SEEDS, paper_share=0.0)
    return Splits(train, val, test, "phantoms; training and validation one fifth 'paper', test 'easy', seeds apart")


def phantom_cells(path: Path, seeds: Sequence[int], paper_share: float) -> Cells:
    """``CELLS_A_SEED`` cells a seed from fields of all stains, densities and compositions, kept in ``path``."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        console = Console(stderr=True)
        # Fresh processes, as forked ones may inherit locks of the threads of OpenCV and torch; what they run comes from
        # a module that does without torch, which would take each of them seconds to import.
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
            tasks = [
                pool.submit(render_cells, field_options(seed, paper_share), CELLS_A_SEED, seed=seed, crop=SIDE)
                for seed in seeds
            ]
            told = track(tasks, f"rendering {path.stem}", console=console, disable=not console.is_terminal)
            parts = [task.result() for task in told]
        partial = path.with_suffix(".partial.npz")
        np.savez(
            partial,
            pictures=np.concatenate([part.pictures for part in parts]),
            types=np.concatenate([part.types for part in parts]),
        )
        partial.replace(path)
    with np.load(path) as stored:
        return Cells(stored["pictures"], stored["types"].astype(np.int64), SPACING)


def field_options(seed: int, paper_share: float) -> FieldOptions:
    """What the fields of a seed are like: stain, composition (half of them even), difficulty and density."""
    random = np.random.default_rng((seed, 77))
    return FieldOptions(
        stain=str(random.choice([*STAIN_NAMES, "random", "random"])),
        composition="even" if random.random() < 0.6 else str(random.choice(DIAGNOSES)),
        difficulty="paper" if random.random() < paper_share else "easy",
        spacing=SPACING,
        density=float(random.uniform(700.0, 2200.0)),
    )
