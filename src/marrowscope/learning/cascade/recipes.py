"""How a cascade is trained: each recipe is a function that returns one frozen object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.cascade.backbones import RGB_MEAN, RGB_SPREAD, BackboneShape
from marrowscope.learning.cascade.negatives import NegativeRule
from marrowscope.learning.cascade.network import RGB_MEAN_PAPER, CascadeShape
from marrowscope.learning.cascade.proposals import ProposalSettings

CELL_ANCHORS = ((34.0, 52.0), (68.0, 96.0), (150.0, 224.0))
"""Sides of anchors at strides 8, 16, 32 for cells of 8 to 58 um at 0.25 um/px."""

BLOOD_ANCHORS = ((18.0, 32.0, 50.0), (50.0, 68.0, 88.0), (88.0, 112.0, 144.0))
"""Sides of anchors at strides 8, 16, 32 for platelets (2 to 4 um), red cells (7) and white cells of blood (9 to 20) at
0.15 um/px."""


IMAGENET_START = BackboneShape("mobilenetv2_100", (8, 16), 96, frozen_norm=True, frozen_to=4)


@dataclass(frozen=True, slots=True)
class CascadeRecipe:
    """``colours_of_weights``: mean and spread are those of the start weights, whatever stands here.

    ``samples`` boxes of each tile are learnt from in every stage. ``steps`` batches of ``batch`` tiles; 0:
    ``step_factor`` x tiles, as wang-2022 sets it, for each of ``drops`` + 1 learning rates. ``schedule``: ``steps``
    (x 0.1 at each drop) or ``cosine`` (one cycle). ``average``: decay of the moving average of the weights, 0 for none.
    ``rare``: share of annotated tiles below which those that hold a type are drawn more often (repeat-factor sampling,
    Gupta et al. 2019), 0 for none."""

    name: str
    backbone: BackboneShape = field(default_factory=lambda: BackboneShape("mobilenetv4_conv_small"))
    proposals: ProposalSettings = field(default_factory=lambda: ProposalSettings(CELL_ANCHORS))
    stages: tuple[float, ...] = (0.5, 0.6, 0.7)
    hidden: int = 256
    samples: int = 64
    pooling: Literal["finest", "by-size"] = "finest"
    mean: tuple[float, float, float] = RGB_MEAN
    spread: tuple[float, float, float] = RGB_SPREAD
    colours_of_weights: bool = False
    spacing: float = 0.25
    side: int = 640
    augmentation: Augmentation = field(default_factory=Augmentation)
    negatives: NegativeRule = field(default_factory=NegativeRule)
    soft_boxes: bool = False
    balance: float = 0.0
    rare: float = 0.0
    smoothing: float = 0.0
    optimiser: Literal["sgd", "adamw"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    schedule: Literal["steps", "cosine"] = "cosine"
    steps: int = 600
    step_factor: int = 0
    drops: int = 2
    batch: int = 2
    average: float = 0.0
    clip: float = 10.0
    seed: int = 0

    @property
    def starts_from_weights(self) -> bool:
        """Whether layers stay as they were loaded, so that random ones would never learn."""
        return self.backbone.frozen_norm or self.backbone.frozen_to > 0

    def shape(self, classes: tuple[str, ...]) -> CascadeShape:
        """The network of this recipe for these types."""
        return CascadeShape(
            self.backbone,
            self.proposals,
            classes,
            self.stages,
            self.hidden,
            self.pooling,
            self.samples,
            mean=self.mean,
            spread=self.spread,
        )


def paper() -> CascadeRecipe:
    """wang-2022: ResNet-101 with FPN, soft sampling on the box loss as eq. 14 writes it, mean subtraction in BGR, steps
    of 10 x the tiles, learning rate 5e-4, weight decay 1e-4.

    The paper does not name the optimiser (ours: SGD with momentum, as Cascade R-CNN was published), the batch (1), the
    number of drops (2), the anchors (32 to 512 px, three aspects: those of FPN) nor the angles of its rotation
    (quarter turns). Its input of 640 x 1120 leaves tiles of 640 x 640 as they are.
    """
    return CascadeRecipe(
        name="paper",
        backbone=BackboneShape("resnet101", (4, 8, 16, 32), 256, frozen_norm=True),
        proposals=ProposalSettings(
            ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)),
            aspects=(0.5, 1.0, 2.0),
            before=2000,
            after=512,
            positive=0.7,
        ),
        hidden=1024,
        samples=512,
        pooling="by-size",
        mean=RGB_MEAN_PAPER,
        spread=(1.0, 1.0, 1.0),
        augmentation=Augmentation(turns=True, contrast=0.2, saturation=0.2, brightness=0.1),
        soft_boxes=True,
        optimiser="sgd",
        learning_rate=5e-4,
        weight_decay=1e-4,
        schedule="steps",
        steps=0,
        step_factor=10,
        batch=1,
    )


def scratch() -> CascadeRecipe:
    """Ours without start weights: a MobileNetV4, the colours of other stains and scanners in training, rare types drawn
    more often and weighed up, soft sampling of unlabelled boxes, one cycle of AdamW, averaged weights."""
    return CascadeRecipe(
        name="scratch",
        augmentation=Augmentation(turns=True, contrast=0.15, saturation=0.2, brightness=0.1, stain=0.15, focus=0.5),
        negatives=NegativeRule("soft-sampling"),
        balance=0.5,
        rare=0.3,
        average=0.99,
    )


def modern() -> CascadeRecipe:
    """As :func:`scratch` on a MobileNetV2 that starts from ImageNet and keeps its first layers: on a CPU their gradient
    would take half of the time of a step."""
    return replace(
        scratch(),
        name="modern",
        backbone=IMAGENET_START,
        colours_of_weights=True,
        augmentation=Augmentation(turns=True, contrast=0.1, saturation=0.15, brightness=0.08, stain=0.1, focus=0.3),
        balance=0.25,
        steps=250,
        average=0.98,
    )


def plain() -> CascadeRecipe:
    """The comparison: one head (Faster R-CNN) on a MobileNetV4 from random numbers, no tricks but flips and turns.

    It takes as long on a CPU as :func:`modern`.
    """
    return CascadeRecipe(name="plain", stages=(0.5,), samples=128, augmentation=Augmentation(turns=True), steps=500)


def plain_start() -> CascadeRecipe:
    """:func:`plain` with the backbone, start weights and steps of :func:`modern`: what the start alone brings."""
    like = modern()
    return replace(
        plain(),
        name="plain-start",
        backbone=like.backbone,
        samples=like.samples,
        colours_of_weights=True,
        steps=like.steps,
    )


def blood_boxes(of: Callable[[], CascadeRecipe] = modern) -> CascadeRecipe:
    """White cells, red cells and platelets of blood at 0.15 um/px, learnt as ``of`` learns cells of marrow.

    At 0.25 um/px a platelet would be 11 px wide, little more than one pixel of the finest map; at 0.15 it is 19 px, and
    fields that were taken at 0.057 to 0.10 um/px lose nothing that tells a red cell. Mosaics of four fields hold some
    seventy cells, of which 128 samples show most.
    """
    return replace(
        of(),
        name=f"blood-boxes-{of().name}",
        proposals=ProposalSettings(BLOOD_ANCHORS),
        samples=128,
        spacing=0.15,
        side=512,
        steps=800,
    )


def tiny() -> CascadeRecipe:
    """For tests of the wiring: a toy network that learns little in a few steps."""
    return replace(
        scratch(),
        name="tiny",
        negatives=NegativeRule("ignore-confident"),
        backbone=BackboneShape("test_resnet", (8, 16), 32),
        hidden=64,
        samples=128,
        steps=6,
        batch=2,
    )


RECIPES: dict[str, Callable[[], CascadeRecipe]] = {
    "paper": paper,
    "modern": modern,
    "scratch": scratch,
    "plain": plain,
    "plain-start": plain_start,
    "tiny": tiny,
}
