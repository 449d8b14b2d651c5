"""A counted slide held against its labels.

Only labelled cells inside the counted regions are asked for. Where every cell of some areas is labelled (``complete``),
only what lies in both is judged; there a detection that meets no label is wrong, and the differential can be held
against the true one. Boxes and polygons are in level-0 pixels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from math import nan

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from marrowscope.evaluation.detection_by_type import TypedPicture
from marrowscope.evaluation.intervals import wilson
from marrowscope.evaluation.matching import as_boxes, match_boxes
from marrowscope.geometry import Spacing
from marrowscope.taxonomy import CELL_TYPES, stages_of
from marrowscope.tiles.fields import FIELD_UM

IOU = 0.5
BORDER_UM = 2.0
"""Within this of the border of the counted regions a cell may be owned by one side and its detection by the other."""

NO_CELLS = frozenset({"platelet", "artefact"})
"""Called on what is no nucleated cell: without a label such a detection is no error, as nobody labels them."""


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Cells of a slide, found or labelled: ``boxes (n, 4)``, ``types (n,)``.

    ``score`` ranks found cells of whatever type, ``certainty`` is the probability of the type, ``unsure`` says that the
    pack was unsure of it; labelled cells have none of them.
    """

    boxes: NDArray[np.float64]
    types: Sequence[str]
    score: NDArray[np.float64] | None = None
    certainty: NDArray[np.float64] | None = None
    unsure: NDArray[np.bool_] | None = None

    @property
    def centres(self) -> NDArray[np.float64]:
        boxes = as_boxes(self.boxes)
        return (boxes[:, :2] + boxes[:, 2:]) / 2


@dataclass(frozen=True, slots=True, eq=False)
class JudgedCells:
    """One row a labelled cell that was asked for, then one a detection that met no label.

    ``label`` is the row among the labels, -1 for none; ``truth`` and ``called`` are None for no label and no
    detection; ``iou`` and ``certainty`` are nan where there is none; ``square`` is where the cell lies.
    """

    label: NDArray[np.int64]
    truth: tuple[str | None, ...]
    called: tuple[str | None, ...]
    iou: NDArray[np.float64]
    certainty: NDArray[np.float64]
    unsure: NDArray[np.bool_]
    square: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PercentPair:
    """A type's true percentage of the NDC in the judged part, what was counted there, and the interval of the count.

    The last three are nan for a type that the pack cannot name.
    """

    true: float
    predicted: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Detections that are neither right nor wrong.

    ``outside``: they lie outside the judged part (in a particle of a phantom, say). ``border``: near its edge, or on a
    labelled cell there. ``no_cells``: called platelet or artefact, without a label.
    """

    outside: int
    border: int
    no_cells: int

    @property
    def total(self) -> int:
        return self.outside + self.border + self.no_cells


@dataclass(frozen=True, slots=True, eq=False)
class JudgedSlide:
    """What became of one slide. ``outside`` labelled cells lie outside the judged part, ``border`` too near its edge.

    Every labelled cell is met, missed, outside or border; every detection met a label, is unlabelled or ``passed``.

    ``pictures`` and ``differential`` are empty without complete truth.
    """

    name: str
    complete: bool
    cells: JudgedCells
    outside: int
    border: int
    pictures: tuple[TypedPicture, ...]
    differential: Mapping[str, PercentPair]
    true_total: int
    """Labelled cells of the NDC in the judged part: the denominator of the true differential."""
    passed: PassedOver

    @property
    def asked(self) -> int:
        return int((self.cells.label >= 0).sum())

    @property
    def met(self) -> int:
        """Labelled cells that were asked for and found, and as many detections."""
        return self.asked - self.missed

    @property
    def missed(self) -> int:
        return sum(called is None for called in self.cells.called)

    @property
    def unlabelled(self) -> int:
        """Detections that met no label."""
        return int((self.cells.label < 0).sum())


def common_name(true: str, classes: Collection[str], pooled: Mapping[str, str]) -> str:
    """The name under which a pack with these classes counts a cell of this type: the type itself where it has none."""
    if true in classes:
        return true
    parent = CELL_TYPES[true].parent
    return pooled.get(true, parent if parent in classes and parent is not None else true)


def judge_slide(
    name: str,
    found: Boxes,
    labels: Boxes,
    counted: BaseGeometry,
    complete: BaseGeometry | None,
    spacing: Spacing,
    *,
    classes: Collection[str],
    pooled: Mapping[str, str],
    printed: Mapping[str, tuple[float, float, float]],
) -> JudgedSlide:
    """Match the cells found in ``counted`` to the labels (most pairs at IoU >= 0.5) and judge them.

    ``complete`` is the part in which every cell is labelled, None where nobody knows. ``printed`` holds the percentage
    of each type and its interval as the report prints them; they are used where every counted cell lies in the judged
    part, else that part is counted by itself, with Wilson intervals.
    """
    judged = counted if complete is None else counted.intersection(complete)
    inner = counted.buffer(-BORDER_UM / spacing.mean).intersection(judged)
    true = [common_name(label, classes, pooled) for label in labels.types]
    matching = match_boxes(found.boxes, labels.boxes, IOU)
    partner = dict(
        zip(matching.truth.tolist(), zip(matching.predicted.tolist(), matching.iou, strict=True), strict=True)
    )
    inside, asked = _within(judged, labels.centres), _within(inner, labels.centres)
    unmatched = np.ones(len(found.types), bool)
    unmatched[matching.predicted] = False
    unmatched &= _within(inner, found.centres)
    no_cells = unmatched & np.isin(np.array(found.types, np.str_), sorted(NO_CELLS - set(true)))
    unmatched &= ~no_cells
    rows = [(int(row), *partner.get(int(row), (-1, nan))) for row in np.flatnonzero(asked)]
    rows += [(-1, int(at), nan) for at in np.flatnonzero(unmatched)]
    kept, told = _within(judged, found.centres), np.zeros(len(found.types), bool)
    told[[at for _, at, _ in rows if at >= 0]] = True
    told |= no_cells
    certainty, unsure = found.certainty, found.unsure
    squares = [
        _squares(labels.centres, [row for row, _, _ in rows if row >= 0], spacing),
        _squares(found.centres, [at for row, at, _ in rows if row < 0], spacing),
    ]
    cells = JudgedCells(
        label=np.array([row for row, _, _ in rows], dtype=np.int64),
        truth=tuple(true[row] if row >= 0 else None for row, _, _ in rows),
        called=tuple(
            None if at < 0 else found.types[at] if row < 0 else _called(true[row], found.types[at])
            for row, at, _ in rows
        ),
        iou=np.array([iou for _, _, iou in rows], dtype=np.float64),
        certainty=np.array([nan if at < 0 or certainty is None else certainty[at] for _, at, _ in rows], np.float64),
        unsure=np.array([at >= 0 and unsure is not None and unsure[at] for _, at, _ in rows], dtype=bool),
        square=tuple(f"{name} {square}" for part in squares for square in part),
    )
    pairs: Mapping[str, PercentPair] = {}
    if complete is not None:
        pairs = _percentages(
            list(compress(true, inside)), list(compress(found.types, kept)), printed if kept.all() else {}, classes
        )
    return JudgedSlide(
        name=name,
        complete=complete is not None,
        cells=cells,
        outside=int((~inside).sum()),
        border=int((inside & ~asked).sum()),
        pictures=_pictures(found, labels, cells, rows) if complete is not None else (),
        differential=pairs,
        true_total=sum(CELL_TYPES[label].counted for label in compress(true, inside)),
        passed=PassedOver(int((~told & ~kept).sum()), int((~told & kept).sum()), int(no_cells.sum())),
    )


def _within(area: BaseGeometry, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    shapely.prepare(area)
    return np.asarray(shapely.intersects_xy(area, points[:, 0], points[:, 1]), dtype=bool)


def _squares(centres: NDArray[np.float64], rows: Sequence[int], spacing: Spacing) -> list[str]:
    um = centres[rows] * [spacing.x, spacing.y] if len(rows) else np.zeros((0, 2))
    return [f"{column} {row}" for column, row in np.floor(um / FIELD_UM).astype(int)]


def _called(true: str, called: str) -> str:
    """The call in the terms of the label: a stage of an erythroblast that is labelled without its stage is right."""
    return true if called in stages_of(true) else called


def _pictures(
    found: Boxes, labels: Boxes, cells: JudgedCells, rows: Sequence[tuple[int, int, float]]
) -> tuple[TypedPicture, ...]:
    """One picture a square: its labelled cells, and the detections that met one of them or none at all."""
    scores = np.ones(len(found.types)) if found.score is None else np.asarray(found.score, np.float64)
    ranks = scores if found.certainty is None else scores * found.certainty
    members: dict[str, list[int]] = {}
    for number, square in enumerate(cells.square):
        members.setdefault(square, []).append(number)
    pictures = []
    for numbers in members.values():
        true = [n for n in numbers if rows[n][0] >= 0]
        at = [n for n in numbers if rows[n][1] >= 0]
        detections = [rows[n][1] for n in at]
        pictures.append(
            TypedPicture(
                boxes=as_boxes(found.boxes)[detections],
                scores=scores[detections],
                called=[str(cells.called[n]) for n in at],
                truth=as_boxes(labels.boxes)[[rows[n][0] for n in true]],
                types=[str(cells.truth[n]) for n in true],
                type_scores=ranks[detections],
            )
        )
    return tuple(pictures)


def _percentages(
    true: Sequence[str],
    called: Sequence[str],
    printed: Mapping[str, tuple[float, float, float]],
    classes: Collection[str],
) -> dict[str, PercentPair]:
    """Both differentials of the same part, by type; erythroblasts as one type where some are labelled without stage."""
    if "erythroblast" in true and "erythroblast" not in classes:
        stages = set(stages_of("erythroblast"))
        true, called, classes = (
            ["erythroblast" if name in stages else name for name in names] for names in (true, called, classes)
        )
        printed = {}
    counts = [Counter(name for name in names if CELL_TYPES[name].counted) for names in (true, called)]
    totals = [sum(count.values()) for count in counts]
    if not all(totals):
        return {}
    pairs = {}
    for name in (name for name in CELL_TYPES if CELL_TYPES[name].counted and (name in classes or counts[0][name])):
        low, high = (100 * limit for limit in wilson(counts[1][name], totals[1]))
        own = (100 * counts[1][name] / totals[1], low, high) if name in classes else (nan, nan, nan)
        pairs[name] = PercentPair(100 * counts[0][name] / totals[0], *printed.get(name, own))
    return pairs
