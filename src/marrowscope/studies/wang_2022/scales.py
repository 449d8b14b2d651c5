"""How much of the study is run: which folds, which detector, how many slides are timed.

Detectors ("arms") are compared in the same run on the same tiles: ``plain`` has one head, no trick but flips and no
start weights, ``plain-start`` has the backbone and the start weights of the cascade, ``cascade`` is the method with its
recipe. A recipe is named as in ``marrowscope.learning.cascade.recipes``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from marrowscope.errors import DataError, how_many
from marrowscope.studies.folds import Fold

Protocol = Literal["tile", "slide", "patient"]
Pick = tuple[int, ...] | Literal["all", "each diagnosis"]


@dataclass(frozen=True, slots=True)
class Part:
    """One arm on some folds of a protocol. ``pick``: numbers of the folds, all, or one slide of each diagnosis."""

    protocol: Protocol
    pick: Pick
    arm: str
    recipe: str

    def chosen(self, folds: Sequence[Fold], diagnoses: Sequence[str]) -> list[Fold]:
        """The picked ones; ``diagnoses`` are those of the folds' test slides, one each (for "each diagnosis")."""
        if self.pick == "all":
            return list(folds)
        if self.pick == "each diagnosis":
            return [fold for n, fold in enumerate(folds) if diagnoses.index(diagnoses[n]) == n]
        if beyond := [number for number in self.pick if number >= len(folds)]:
            raise DataError(
                f"the scale asks for fold {beyond[0]}, but there are {how_many(len(folds), 'fold')}: use more data"
            )
        return [folds[number] for number in self.pick]


@dataclass(frozen=True, slots=True)
class Scale:
    """A size of the study.

    ``region_recipe`` (of ``marrowscope.learning.trails``) is validated on ``region_folds`` folds of whole slides.
    ``folds`` tile-wise and ``patient_folds`` patient-wise folds are filled. ``skip_empty`` leaves folds out, and says
    so, in which a class cannot be learnt; otherwise such a fold is an error. ``timed_slides``: of the second cohort.
    A type labelled on fewer than ``least_slides`` slides is neither trained nor measured, and that is said.
    ``takes`` says how long it takes and whether that was measured. ``wiring``: it shows that the parts fit together,
    and its figures are no measurement.
    """

    name: str
    words: str
    takes: str
    folds: int
    parts: tuple[Part, ...]
    timed_slides: int
    patient_folds: int = 5
    least_slides: int = 1
    skip_empty: bool = False
    seed: int = 2022
    region_recipe: str = "trails"
    region_folds: int = 10
    wiring: bool = False


def _both(pick: Pick, plain: str, cascade: str) -> tuple[Part, Part]:
    return Part("tile", pick, "plain", plain), Part("tile", pick, "cascade", cascade)


SMOKE = Scale(
    "smoke",
    "2 folds, 2 left-out slides, a tiny network, a few steps: that all parts fit together, no measurement",
    "About 2.5 minutes on two cores (measured)",
    folds=2,
    parts=(*_both("all", "tiny_plain", "tiny"), Part("slide", (0, 1), "cascade", "tiny")),
    timed_slides=1,
    patient_folds=2,
    least_slides=2,
    skip_empty=True,
    region_recipe="tiny_trails",
    region_folds=2,
    wiring=True,
)
CPU = Scale(
    "cpu",
    "small backbone, 3 of 10 folds, one left-out slide of each diagnosis",
    "About 95 minutes on two cores with --jobs 2 --threads 1 (estimate: 15 trainings of 250 to 500 steps, 10 to "
    "13 minutes of one core each, and 10 of the region model)",
    folds=10,
    parts=(
        *_both((0, 1, 2), "plain", "modern"),
        Part("tile", (0, 1, 2), "plain-start", "plain-start"),
        Part("slide", "each diagnosis", "cascade", "modern"),
    ),
    timed_slides=2,
    skip_empty=True,
)
GPU = Scale(
    "gpu",
    "small backbone, all folds; ResNet-101 from random weights for one fold",
    "About 20 minutes of one H100: the 62 small detectors took 13 with 11 at a time (measured), the ResNet-101 "
    "is an estimate",
    folds=10,
    parts=(
        *_both("all", "plain", "modern"),
        Part("tile", "all", "plain-start", "plain-start"),
        Part("slide", "all", "cascade", "modern"),
        Part("patient", "all", "cascade", "modern"),
        Part("tile", (0,), "cascade-resnet101", "scratch_resnet101"),
    ),
    timed_slides=5,
    skip_empty=True,
)
FULL = Scale(
    "full",
    "ResNet-101 with the paper's schedule, all folds, all left-out slides",
    "About 65 hours of one large GPU (estimate: 79 trainings, 1.2 million steps of one tile at 0.2 s), less with "
    "several GPUs; never run whole",
    folds=10,
    parts=(
        *_both("all", "plain_resnet101", "paper"),
        Part("slide", "all", "cascade", "paper"),
        Part("slide", "all", "plain", "plain_resnet101"),
        Part("patient", "all", "cascade", "paper"),
    ),
    timed_slides=10,
    region_recipe="paper_trails",
)
SCALES: dict[str, Scale] = {scale.name: scale for scale in (SMOKE, CPU, GPU, FULL)}
