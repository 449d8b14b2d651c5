"""From detections and labels to scores.

A labelled cell is found when a detection with a score above 0.1 (the paper's limit) meets its box with IoU >= 0.5, best
score first; the paper does not say how it matches. Labels are partial: a detection that meets no label is neither right
nor wrong. Against a phantom's whole truth every detection is one or the other; there AP is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

from marrowscope.evaluation.by_type import TypeTable, type_table
from marrowscope.evaluation.calls import Calls, make_calls
from marrowscope.evaluation.detection_by_type import TypedPicture, TypePrecision, average_precisions
from marrowscope.evaluation.differential_error import DifferentialError, differential_error
from marrowscope.evaluation.matching import match_by_score
from marrowscope.evaluation.redrawing import DRAWS, Estimate, Floats, Spread, estimate, mean_of_defined, share, spread
from marrowscope.studies.wang_2022.data import CORNERS, StudyData
from marrowscope.studies.wang_2022.work import COUNT_SCORE
from marrowscope.taxonomy import NDC_TYPES

MATCH_SCORE, MATCH_IOU = 0.1, 0.5
AP_SCORE, AP_DRAWS = 0.05, 100
"""Detections below this score are left out of AP, for the memory of redrawing; its intervals take so many draws."""

CALL_SCHEMA: dict[str, pl.DataType] = {
    "tile": pl.Int64(),
    "slide": pl.String(),
    "diagnosis": pl.String(),
    "id": pl.String(),
    "truth": pl.String(),
    "called": pl.String(),
}
"""One row a labelled cell: what it is, and what it was called (null: missed)."""


def named(detections: pl.DataFrame, classes: Sequence[str]) -> pl.DataFrame:
    """The detections with their most probable ``type`` and its probability ``p``."""
    table = detections.select(f"p_{name}" for name in classes).to_numpy()
    best = table.argmax(axis=1) if len(table) else np.zeros(0, np.int64)
    return detections.with_columns(
        pl.Series("type", [classes[k] for k in best], pl.String()),
        pl.Series("p", table[np.arange(len(best)), best], pl.Float32()),
    )


def label_calls(data: StudyData, detections: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
    """What each labelled cell (owned, of a trained type) of these tiles was called, ``CALL_SCHEMA``."""
    classes = data.tiles.classes
    found = named(detections, classes).filter(pl.col("score") > MATCH_SCORE).partition_by("tile", as_dict=True)
    cells = data.tiles.cells.partition_by("tile", as_dict=True)
    calls = []
    for row, slide, diagnosis in zip(rows, data.column("slide", rows), data.column("diagnosis", rows), strict=True):
        labelled, here = cells.get((row,)), found.get((row,))
        if labelled is None:
            continue
        called: list[str | None] = [None] * labelled.height
        if here is not None:
            matching = match_by_score(
                here.select(CORNERS).to_numpy(), here["score"], labelled.select(CORNERS).to_numpy(), MATCH_IOU
            )
            for p, t in zip(matching.predicted.tolist(), matching.truth.tolist(), strict=True):
                called[t] = here["type"][p]
        for (number, kind, owned), call in zip(labelled.select("id", "type", "owned").iter_rows(), called, strict=True):
            if owned and kind in classes:
                calls.append((row, slide, diagnosis, number, kind, call))
    return pl.DataFrame(calls, schema=CALL_SCHEMA, orient="row")


def as_calls(table: pl.DataFrame, classes: Sequence[str]) -> Calls:
    """The calls of labelled cells, with slides as what is redrawn for intervals."""
    return make_calls(
        table["truth"].to_list(), table["called"].to_list(), table["slide"].to_list(), complete=False, types=classes
    )


@dataclass(frozen=True)
class Scored:
    """Folds of one arm and one protocol: each fold's table, and that of all their cells together.

    Intervals in ``pooled`` are redrawn over slides; those of single types are Wilson's over cells.
    """

    folds: Mapping[str, TypeTable]
    pooled: TypeTable
    tolerant: TypeTable
    cells: pl.DataFrame
    calls: Calls

    def recall(self, name: str) -> Spread:
        return spread([table[name].recall.value for table in self.folds.values()])

    def accuracy(self, name: str) -> Spread:
        """Folds without a labelled cell of the type are left out, as of recall."""
        return spread([t[name].accuracy.value if t[name].n else float("nan") for t in self.folds.values()])

    @property
    def macro_recall(self) -> Spread:
        return spread([table.macro_recall.value for table in self.folds.values()])


def score_folds(calls: Mapping[str, pl.DataFrame], classes: Sequence[str], seen: Sequence[str]) -> Scored:
    """Scores of the folds and of all their cells together; ``seen`` are the classes that the models can name.

    Raises ``ValueError`` without a fold.
    """
    if not calls:
        raise ValueError("no fold to score")
    cells = pl.concat(list(calls.values()))
    pooled = as_calls(cells, classes)
    return Scored(
        {name: type_table(as_calls(table, classes), seen=seen, draws=2) for name, table in calls.items()},
        type_table(pooled, seen=seen),
        type_table(pooled, seen=seen, tolerant=True),
        cells,
        pooled,
    )


def macro_recalls(tables: Floats) -> Floats:
    """Unweighted mean recall over the types that occur, of each table ``(..., c + 1, c + 1)``."""
    inner = tables[..., :-1, :]
    recall = share(np.diagonal(inner[..., :-1], axis1=-2, axis2=-1), inner.sum(axis=-1))
    return mean_of_defined(recall)


def macro_gain(better: Calls, worse: Calls) -> Estimate:
    """Difference in macro recall of two models on the same cells, slides redrawn together (paired)."""
    if not np.array_equal(better.truth, worse.truth) or not np.array_equal(better.clusters, worse.clusters):
        raise ValueError("two models can only be compared on the same cells in the same order")
    drawn = macro_recalls(better.redrawn_tables(DRAWS)) - macro_recalls(worse.redrawn_tables(DRAWS))
    value = macro_recalls(better.table().astype(float)) - macro_recalls(worse.table().astype(float))
    return estimate(float(value), drawn, better.n, better.units)


def fold_gain(better: Scored, worse: Scored) -> tuple[float, float, float, int]:
    """Mean difference in macro recall over the folds that both have, its 95 % interval (Student's t), their number."""
    both = [name for name in better.folds if name in worse.folds]
    gains = np.array([better.folds[n].macro_recall.value - worse.folds[n].macro_recall.value for n in both])
    if len(gains) < 2:
        return (float(gains.mean()) if len(gains) else float("nan"), float("nan"), float("nan"), len(gains))
    half = float(student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains)))
    mean = float(gains.mean())
    return mean, mean - half, mean + half, len(gains)


def precisions(data: StudyData, detections: pl.DataFrame, rows: Sequence[int]) -> list[TypePrecision]:
    """AP of cells of whatever type and of each type on these tiles, slides redrawn; phantoms only.

    A detection has one type, and among detections of that type it ranks by its score times the type's probability.
    Cells whose centre is in a neighbouring tile, and cells of types that are not trained, count neither way.
    Raises ``ValueError`` where the whole truth is not known.
    """
    if data.truth is None:
        raise ValueError("the whole truth of these tiles is not known")
    classes = list(data.tiles.classes)
    strong = named(detections, classes).filter(pl.col("score") >= AP_SCORE)
    found = strong.partition_by("tile", as_dict=True)
    truth = data.truth.partition_by("tile", as_dict=True)
    none, nothing = named(detections.clear(), classes), data.truth.clear()
    counted = pl.col("owned") & pl.col("type").is_in(classes)
    pictures = []
    for row in rows:
        here, cells = found.get((row,), none), truth.get((row,), nothing)
        pictures.append(
            TypedPicture(
                here.select(CORNERS).to_numpy(),
                here["score"].to_numpy(),
                here["type"].to_list(),
                cells.filter(counted).select(CORNERS).to_numpy(),
                cells.filter(counted)["type"].to_list(),
                cells.filter(~counted).select(CORNERS).to_numpy(),
                (here["score"] * here["p"]).to_numpy(),
            )
        )
    return average_precisions(pictures, classes, owners=data.column("slide", rows), draws=AP_DRAWS)


def differentials(
    data: StudyData, detections: pl.DataFrame, rows: Sequence[int]
) -> tuple[list[DifferentialError], int]:
    """Error of each type's percentage over slides, and the number of true cells behind it; phantoms only.

    Cells that the ICSH differential counts and that show in these tiles, against detections with a score of at least
    0.5; a cell at a border counts in each tile that shows it, on both sides alike. Raises ``ValueError`` where the
    whole truth is not known.
    """
    if data.truth is None:
        raise ValueError("the whole truth of these tiles is not known")
    types = [name for name in data.tiles.classes if name in NDC_TYPES]
    slides = pl.DataFrame({"tile": list(rows), "slide": data.column("slide", rows)})
    counted = named(detections, data.tiles.classes).filter(pl.col("score") >= COUNT_SCORE)
    names = slides["slide"].unique(maintain_order=True).to_list()
    percent = []
    for table in (data.truth, counted):
        here = table.filter(pl.col("type").is_in(types)).join(slides, on="tile")
        numbers = np.zeros((len(names), len(types)))
        for slide, kind, n in here.group_by("slide", "type").len().iter_rows():
            numbers[names.index(slide), types.index(kind)] = n
        percent.append(100 * share(numbers, numbers.sum(axis=1, keepdims=True)))
    true_cells = data.truth.filter(pl.col("type").is_in(types)).join(slides, on="tile").height
    return [differential_error(name, percent[0][:, k], percent[1][:, k]) for k, name in enumerate(types)], true_cells


def confusion_percent(counts: NDArray[np.int64]) -> Floats:
    """Rows in percent; a row without a cell is nan."""
    return 100 * share(counts.astype(np.float64), counts.sum(axis=1, keepdims=True).astype(np.float64))
