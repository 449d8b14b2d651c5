"""How a region model is trained: each recipe is a function that returns one frozen object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.cascade.backbones import BackboneShape
from marrowscope.learning.cascade.network import CascadeShape
from marrowscope.learning.cascade.proposals import ProposalSettings

CLASSES = ("region",)

ANCHORS = ((16.0, 32.0), (64.0, 96.0), (144.0, 208.0))
"""Sides of anchors at strides 16, 32, 64 on 256 px: from a small particle to a trail across the slide."""


@dataclass(frozen=True, slots=True)
class TrailRecipe:
    """``side`` of the overviews in pixels; ``steps`` batches of ``batch`` overviews, one cycle of AdamW. ``mosaics``,
    ``smallest``: see ``OverviewExamples``. ``average``: decay of the moving average of the weights."""

    name: str
    side: int
    shape: CascadeShape
    augmentation: Augmentation
    mosaics: float
    smallest: float
    steps: int
    batch: int
    learning_rate: float
    weight_decay: float
    average: float
    clip: float
    seed: int

    @property
    def starts_from_weights(self) -> bool:
        """Whether layers stay as they were loaded, so that it cannot learn from nothing."""
        return self.shape.backbone.frozen_norm or self.shape.backbone.frozen_to > 0


def trails() -> TrailRecipe:
    """The region model: half the paper's 512 px a side, a MobileNetV2 that starts from ImageNet, three stages."""
    return TrailRecipe(
        name="trails",
        side=256,
        shape=CascadeShape(
            BackboneShape("mobilenetv2_100", (16, 32), 64, frozen_norm=True, frozen_to=8),
            ProposalSettings(ANCHORS, (0.5, 1.0, 2.0), before=200, after=48, samples=128),
            CLASSES,
            hidden=128,
            samples=16,
        ),
        augmentation=Augmentation(turns=True, contrast=0.15, saturation=0.2, brightness=0.1, stain=0.15, focus=0.2),
        mosaics=0.1,
        smallest=0.85,
        steps=200,
        batch=2,
        learning_rate=1e-3,
        weight_decay=1e-2,
        average=0.95,
        clip=10.0,
        seed=0,
    )


def paper_trails() -> TrailRecipe:
    """:func:`trails` on overviews of 512 x 512 px, as in wang-2022: four times the work a step, for a GPU."""
    small = trails()
    anchors = tuple(tuple(2 * side for side in sides) for sides in ANCHORS)
    proposals = replace(small.shape.proposals, sizes=anchors)
    return replace(small, name="paper-trails", side=512, shape=replace(small.shape, proposals=proposals), steps=600)


def scratch_trails() -> TrailRecipe:
    """:func:`trails` without start weights: a smaller network, more steps, worse."""
    small = trails()
    shape = replace(small.shape, backbone=BackboneShape("mobilenetv4_conv_small_050", (16, 32), 64), samples=32)
    return replace(small, name="scratch-trails", shape=shape, steps=250, learning_rate=2e-3)


def tiny_trails() -> TrailRecipe:
    """For tests of the wiring: a few steps of :func:`scratch_trails`; it learns nothing."""
    return replace(scratch_trails(), name="tiny-trails", steps=3)


RECIPES: dict[str, Callable[[], TrailRecipe]] = {
    "trails": trails,
    "paper_trails": paper_trails,
    "scratch_trails": scratch_trails,
    "tiny_trails": tiny_trails,
}
