"""What a trained model knows about itself: ``metrics.json``, written by training, read by building.

Whatever a recipe decides once and for all (names, licences, intended use) is not here but in the pack's recipe;
whatever only training can know (thresholds, calibration, what was measured on which data) is here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from marrowscope.errors import PackError, how_many
from marrowscope.evaluation.classification import accuracy, balanced_accuracy, cohen_kappa, macro_f1
from marrowscope.evaluation.intervals import bootstrap_confusion
from marrowscope.packs.contract import RegionContract
from marrowscope.packs.loading import describe

METRICS_FILE = "metrics.json"

ELSEWHERE_FILE = "elsewhere.json"
"""Evaluations of a classifier on cells of other laboratories, if they were made."""

UNKNOWN_FILE = "unknown.json"
"""Evaluations of its anomaly score on types that it was not trained on, if they were made."""


class _Metrics(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Read(BaseModel):
    """Training writes more than a pack needs (per-class tables, curves): the rest is left where it is."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Measured(_Metrics):
    """One number with its interval: ``name`` as a reader knows it ("AP50", "macro F1")."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


class Evaluation(_Metrics):
    """What was measured on one set. ``data`` says set and split in words; ``n`` what was counted ("1,204 cells")."""

    data: str
    n: str
    measured: tuple[Measured, ...]
    note: str | None = None


class DetectorMetrics(_Metrics):
    """``metrics.json`` of a detector; ``detector.onnx`` lies beside it.

    ``training`` says how it was trained in a sentence; ``limits`` are sentences for the card: what the model is known
    to get wrong.
    """

    spacing: float = Field(gt=0)
    architecture: str
    training: str
    evaluations: tuple[Evaluation, ...]
    limits: tuple[str, ...] = ()
    tile: int = 512
    margin: int = 64
    stride: int = 16
    score_threshold: float = Field(ge=0, le=1)
    threshold_chosen: str = Field(default="", description="how, in words for the card; empty where nobody said")
    iou_threshold: float = Field(default=0.5, gt=0, le=1)
    classes: tuple[str, ...] = Field(default=(), description="of a detector that names types itself")
    unsure_below: float = Field(default=0.5, ge=0, le=1, description="of a detector that names types itself")
    confusion: tuple[tuple[int, ...], ...] = Field(default=(), description="of held-out cells that were found")
    confusion_data: str = ""


class RegionMetrics(_Metrics):
    """``metrics.json`` of a region model; the file that ``contract`` names lies beside it.

    ``training`` says how it was trained in a sentence, ``limits`` what the card says it gets wrong, ``notes`` which
    slides were left out.
    """

    contract: RegionContract
    architecture: str
    training: str
    evaluations: tuple[Evaluation, ...]
    limits: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Share(_Read):
    """A proportion ``of`` cells with its 95 % interval; ``value`` is None when there were none."""

    value: float | None
    of: int
    interval: tuple[float, float] | None = None


class Unsure(_Read):
    """Coverage and accuracy when cells ``below`` this certainty are unsure: how many keep a name, how many rightly."""

    below: float
    named: Share
    right: Share


class Scores(_Read):
    """What a classifier did on one split: confusion counts (true classes in rows), calibration error, coverage.

    ``confusion_by_certainty`` are the same counts by band of certainty (``packs.contract.CERTAINTY_BANDS``).
    """

    n: int
    confusion: tuple[tuple[int, ...], ...]
    confusion_by_certainty: tuple[tuple[tuple[int, ...], ...], ...] = ()
    calibration_error: dict[str, float] = {}
    unsure: tuple[Unsure, ...] = ()

    @property
    def wrong(self) -> int:
        """How many cells got a wrong name."""
        return self.n - sum(row[place] for place, row in enumerate(self.confusion))


class AnomalyMetrics(_Read):
    """The anomaly score whose reference is in ``anomaly.npz``: what its threshold was chosen by, and what that does.

    ``above`` is the share of the known test cells that are called anomalous.
    """

    method: str
    features: str
    quantile: float
    threshold: float
    n_validation: int
    above: Share


class InSpecimen(_Read):
    """What a classifier does on the test split when it expects the mix of a specimen: ``prior`` by class, confusion."""

    prior: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    confusion_by_certainty: tuple[tuple[tuple[int, ...], ...], ...] = ()


class ClassifierMetrics(_Read):
    """``metrics.json`` of a classifier; ``classifier.onnx``, ``linear_head.npz`` and ``anomaly.npz`` lie beside it.

    ``spacing`` None: whole pictures resized to ``crop``. ``titles`` of the classes for people may be missing where the
    taxonomy knows them. ``feature_map`` None: no linear head lies beside it, the types are explained by occlusion.
    ``training_data`` says data and split in words, ``start`` names the start weights, ``certainty_doubt`` says why the
    ``temperature``, which was fitted on ``validation``, is no measurement. All that a card states is worked out from
    the confusion counts of ``test``.
    """

    spacing: Annotated[float, Field(gt=0)] | None
    crop: int = Field(gt=0)
    classes: tuple[str, ...]
    titles: tuple[str, ...] = ()
    temperature: float = Field(gt=0)
    certainty_doubt: str = ""
    unsure_below: float = Field(ge=0, le=1)
    training_data: str
    n_train: int
    command: str
    test: Scores
    validation: Scores | None = None
    feature_map: str | None = "feature_map"
    architecture: str
    start: str = ""
    anomaly: AnomalyMetrics | None = None
    specimens: dict[str, InSpecimen] = {}
    limits: tuple[str, ...] = ()

    @property
    def confusion(self) -> NDArray[np.int64]:
        """Counts on the test split, true classes in rows."""
        return np.array(self.test.confusion, dtype=np.int64)

    @property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """What the confusion counts say, with 95 % intervals: Wilson for the accuracy, bootstrap over cells else."""
        counts = self.confusion
        right = accuracy(counts)
        measured = [Measured(name="accuracy", value=right.value, low=right.interval[0], high=right.interval[1])]
        for name, statistic in (
            ("macro F1", macro_f1),
            ("balanced accuracy", balanced_accuracy),
            ("Cohen's kappa", cohen_kappa),
        ):
            low, high = bootstrap_confusion(statistic, counts, seed=0)
            spread = {"low": low, "high": high} if low < high else {}  # of faultless cells every redraw is faultless
            measured.append(Measured(name=name, value=statistic(counts), **spread))
        for when, error in self.test.calibration_error.items():
            measured.append(Measured(name=f"expected calibration error, {when} calibration", value=error))
        return (Evaluation(data="the test split", n=f"{right.total:,} cells", measured=tuple(measured)),)


ModelMetrics = DetectorMetrics | ClassifierMetrics

POOR = 0.5
"""A classifier that names fewer of the held-out cells rightly is told as poor when a pack is built of it."""


def poor_accuracy(counts: NDArray[np.int64]) -> str | None:
    """A sentence where most held-out cells got a wrong name, by confusion counts with true classes in rows; or None."""
    right = accuracy(counts)
    if not right.total or right.value >= POOR:
        return None
    low, high = right.interval
    return (
        f"of {how_many(right.total, 'held-out cell')} {right.value:.0%} were named rightly (95 % interval {low:.0%} to "
        f"{high:.0%}): its names are wrong more often than right; learn from more cells, or from start weights"
    )


M = TypeVar("M", bound=BaseModel)

_EVALUATIONS = TypeAdapter(tuple[Evaluation, ...])


def read_metrics(folder: Path, kind: type[M]) -> M:
    """Read ``metrics.json`` from a model's folder. Raises ``PackError`` when it is absent or incomplete."""
    path = folder / METRICS_FILE
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise PackError(f"{folder} holds no {METRICS_FILE}; give a folder that marrowscope train has written") from None
    except OSError as error:
        raise PackError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except ValidationError as error:
        raise PackError(f"{path} is no {kind.__name__}: {describe(error)}; train the model again") from error


def read_evaluations(path: Path) -> tuple[Evaluation, ...]:
    """A list of evaluations from a JSON file, none when there is no file. Raises ``PackError`` for another content."""
    try:
        return _EVALUATIONS.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise PackError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except ValidationError as error:
        raise PackError(f"{path} is no list of evaluations: {describe(error)}; measure again or delete it") from error
