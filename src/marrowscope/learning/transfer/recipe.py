"""A recipe: everything that a training of a cell network depends on but the cells, as one frozen object.

Where a paper is silent, ``silent`` names the field and says what we chose and why.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from marrowscope.errors import DataError
from marrowscope.learning.transfer.augmenting import Augment
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.preparing import Prepare

SCALES = ("smoke", "cpu", "gpu")
"""smoke: seconds, to see that everything runs; cpu: what two cores do in minutes; gpu: as the paper says."""


@dataclass(frozen=True, slots=True)
class TransferRecipe:
    """``side`` in pixels; ``patience`` in epochs without a lower validation loss, 0 for no early stopping.

    ``frozen``: only the head learns; ``unfrozen`` in its place: the head and so many of the base's last stages
    (:meth:`~marrowscope.learning.transfer.networks.CellNetwork.stages`).

    ``keep`` says which epoch is kept: the last, that of the lowest validation loss, or of the best macro F1 on the
    validation cells. ``schedule`` "cosine" rises over ``warm_up`` of the steps and falls to 0. ``class_weights``
    weighs the loss of a class by cells / (classes x cells of the class). ``sampling`` "balanced" draws each class
    equally often. ``ema`` is the largest decay a step of the running average of the weights that is kept, 0 for none;
    ``clip`` the largest norm of the gradient, 0 for any. ``flips_at_test`` averages the logits of a picture and its
    three mirror images. ``precision`` "auto" is bf16 where a GPU computes in it, else 32 bits.
    """

    name: str
    side: int
    head: Head
    prepare: Prepare = field(default_factory=Prepare)
    augment: Augment = field(default_factory=Augment)
    frozen: bool = False
    unfrozen: int | None = None
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warm_up: float = 0.0
    batch: int = 32
    epochs: int = 30
    patience: int = 0
    keep: Literal["last", "val_loss", "val_macro_f1"] = "last"
    loss: Literal["cross entropy", "binary cross entropy"] = "cross entropy"
    class_weights: bool = False
    sampling: Literal["as given", "balanced"] = "as given"
    label_smoothing: float = 0.0
    ema: float = 0.0
    clip: float = 0.0
    flips_at_test: bool = False
    precision: Literal["auto", "32", "bf16"] = "auto"
    silent: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wrong = [
            f"{name} {value!r}"
            for name, value, right in (
                ("side", self.side, 16 <= self.side <= 1024),
                ("batch", self.batch, self.batch >= 2),
                ("epochs", self.epochs, self.epochs >= 1),
                ("learning_rate", self.learning_rate, self.learning_rate > 0),
                ("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1),
                ("ema", self.ema, 0 <= self.ema < 1),
                ("unfrozen", self.unfrozen, self.unfrozen is None or (self.unfrozen >= 1 and not self.frozen)),
            )
            if not right
        ]
        if wrong:
            raise DataError(f"the recipe {self.name} cannot be trained by: {', '.join(wrong)}")

    def told(self) -> dict[str, Any]:
        """All that changes a result, by field.

        ``unfrozen`` only where it is used: trainings that were done before there was such a field stay the same.
        """
        told = {name: value for name, value in dataclasses.asdict(self).items() if name != "silent"}
        if self.unfrozen is None:
            del told["unfrozen"]
        return told

    def fingerprint(self) -> str:
        """Hash of :meth:`told`."""
        return hashlib.sha256(json.dumps(self.told(), sort_keys=True).encode()).hexdigest()


SCRATCH_RATE, SCRATCH_CLIP = 3e-4, 1.0


def from_scratch(recipe: TransferRecipe) -> TransferRecipe:
    """The recipe for a network without start weights: all layers free, as there is nothing worth keeping.

    The learning rate is at most 3e-4 and the gradient clipped at 1: with Adam's usual 1e-3, right for a head, VGG-16
    stays at chance. A result of it is not the paper's transfer learning, and its table says so.
    """
    if not recipe.frozen and recipe.unfrozen is None:
        return recipe
    rate = min(recipe.learning_rate, SCRATCH_RATE)
    return dataclasses.replace(recipe, frozen=False, unfrozen=None, learning_rate=rate, clip=SCRATCH_CLIP)


T = TypeVar("T")


def of_scale(scale: str, *, smoke: T, cpu: T, gpu: T) -> T:
    """The value at this scale. Raises :class:`DataError` for a scale that there is not."""
    if scale not in SCALES:
        raise DataError(f"there is no scale {scale!r}; give one of {', '.join(SCALES)}")
    return {"smoke": smoke, "cpu": cpu, "gpu": gpu}[scale]
