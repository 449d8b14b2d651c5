"""How a region model is trained: each recipe is a function that returns one frozen object."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.cascade.backbones import BackboneShape
from marrowscope.learning.cascade.network import CascadeShape
from marrowscope.learning.cascade.proposals import ProposalSettings

CLASSES = ("region",)

ANCHORS = ((32.0, 64.0), (128.0, 192.0), (288.0, 416.0))
"""Sides of anchors at strides 16, 32, 64 on 512 px: from a small particle to a trail across the slide."""


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


def paper_trails() -> TrailRecipe:
    """Overviews of 512 x 512 px as in wang-2022; three stages on a small backbone, learnt from random weights."""
    return TrailRecipe(
        name="paper-trails",
        side=512,
        shape=CascadeShape(
            BackboneShape("mobilenetv4_conv_small_050", (16, 32), 64),
            ProposalSettings(ANCHORS, (0.5, 1.0, 2.0), before=200, after=48, samples=128),
            CLASSES,
            hidden=128,
            samples=32,
        ),
        augmentation=Augmentation(turns=True, contrast=0.15, saturation=0.2, brightness=0.1, stain=0.15, focus=0.2),
        mosaics=0.2,
        smallest=0.7,
        steps=600,
        batch=2,
        learning_rate=2e-3,
        weight_decay=1e-2,
        average=0.95,
        clip=10.0,
        seed=0,
    )


def trails() -> TrailRecipe:
    """:func:`paper_trails` on half the side: a quarter of the work, for a processor."""
    whole = paper_trails()
    anchors = tuple(tuple(side / 2 for side in sides) for sides in ANCHORS)
    shape = replace(whole.shape, proposals=replace(whole.shape.proposals, sizes=anchors))
    return replace(whole, name="trails", side=256, shape=shape, steps=250)


def tiny_trails() -> TrailRecipe:
    """For tests of the wiring: a few steps of :func:`trails`; it learns nothing."""
    return replace(trails(), name="tiny-trails", steps=3)


RECIPES: dict[str, Callable[[], TrailRecipe]] = {
    "paper_trails": paper_trails,
    "trails": trails,
    "tiny_trails": tiny_trails,
}
