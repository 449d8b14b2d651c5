"""Judged slides summed up: everything that a verification of a pack states."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from marrowscope.evaluation.by_type import TypeTable, type_table
from marrowscope.evaluation.calls import Confusion, confusion, kappa, make_calls
from marrowscope.evaluation.detection_by_type import TypePrecision, average_precisions
from marrowscope.evaluation.differential_error import DifferentialError, differential_error
from marrowscope.evaluation.intervals import Proportion
from marrowscope.evaluation.judging import JudgedSlide, PercentPair
from marrowscope.evaluation.redrawing import Estimate
from marrowscope.evaluation.timing import CountingTime, time_for_cells
from marrowscope.taxonomy import CELL_TYPES, stages_of

ENOUGH_SLIDES = 8
"""From so many slides on, intervals redraw slides; with fewer, squares of a counting field's size."""


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """All that a verification states. ``unit`` is what intervals redraw: "slides" or "squares".

    ``detection`` is empty without complete truth, ``differential`` without a slide that has both differentials.
    """

    slides: tuple[JudgedSlide, ...]
    strict: TypeTable
    tolerant: TypeTable
    confusion: Confusion
    kappa: Estimate
    unsure: Proportion
    right_when_sure: Proportion
    detection: tuple[TypePrecision, ...]
    differential: tuple[DifferentialError, ...]
    time: CountingTime
    unit: str

    @property
    def complete_slides(self) -> int:
        return sum(slide.complete for slide in self.slides)


def summarise(
    slides: Sequence[JudgedSlide],
    classes: Collection[str],
    *,
    cells: Sequence[int] = (),
    seconds: Sequence[float] = (),
    seed: int = 0,
) -> Summary:
    """Sum judged slides up; ``cells`` counted and ``seconds`` taken, one a slide, give the time for 500 cells.

    Detections without a label count as errors only when every slide has complete truth.
    """
    complete = bool(slides) and all(slide.complete for slide in slides)
    unit = "slides" if len(slides) >= ENOUGH_SLIDES else "squares"
    truth = [name for slide in slides for name in slide.cells.truth]
    called = [name for slide in slides for name in slide.cells.called]
    squares = [square for slide in slides for square in slide.cells.square]
    owners = [slide.name for slide in slides for _ in slide.cells.square]
    clusters = owners if unit == "slides" else squares
    calls = make_calls(truth, called, clusters, complete=complete, types=classes)
    seen = {stage for name in classes for stage in (*stages_of(name), name)}
    sure = np.concatenate([np.zeros(0, bool), *(~slide.cells.unsure for slide in slides)])
    met = np.array([bool(true and call) for true, call in zip(truth, called, strict=True)], dtype=bool)
    right = np.array([true == call for true, call in zip(truth, called, strict=True)], dtype=bool) & met
    return Summary(
        slides=tuple(slides),
        strict=type_table(calls, seen=seen, seed=seed),
        tolerant=type_table(calls, tolerant=True, seen=seen, seed=seed),
        confusion=confusion(calls),
        kappa=kappa(truth, called, clusters, seed=seed),
        unsure=Proportion(int((met & ~sure).sum()), int(met.sum())),
        right_when_sure=Proportion(int((right & sure).sum()), int((met & sure).sum())),
        detection=tuple(_detection(slides, classes, unit, seed)),
        differential=tuple(_differential(slides, seed)),
        time=time_for_cells(list(cells), list(seconds)),
        unit=unit,
    )


def _detection(
    slides: Sequence[JudgedSlide], classes: Collection[str], unit: str, seed: int
) -> Sequence[TypePrecision]:
    whole = [slide for slide in slides if slide.complete]
    pictures = [picture for slide in whole for picture in slide.pictures]
    owners = [number for number, slide in enumerate(whole) for _ in slide.pictures]
    if not pictures:
        return ()
    return average_precisions(pictures, classes, owners=owners if unit == "slides" else None, seed=seed)


def _differential(slides: Sequence[JudgedSlide], seed: int) -> Sequence[DifferentialError]:
    counted = [slide.differential for slide in slides if slide.differential]
    names = [name for name in CELL_TYPES if any(name in pairs for pairs in counted)]
    # Every slide tells of every type that the pack can name: what it does not tell of was not counted there.
    nothing = PercentPair(0.0, nan, nan, nan)
    errors = []
    for name in names:
        pairs = [pair.get(name, nothing) for pair in counted]
        columns = ([getattr(pair, side) for pair in pairs] for side in ("true", "predicted", "low", "high"))
        errors.append(differential_error(name, *columns, seed=seed))
    return errors
