"""Cascade R-CNN: proposals, then stage after stage, each starting from the boxes of the one before.

Legend of shapes: ``n`` tiles of ``h x w`` pixels, ``k`` proposals a tile, ``t`` types, ``s`` stages; class 0 is
background.

What was chosen where implementations differ (docs/methods/cascade.md): offsets are the same for all types; the stages
weigh alike and their gradient into the shared features is divided by their number (detectron2); at test the
probabilities of the stages, each on its own boxes, are averaged and the boxes are the last stage's (detectron2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from marrowscope.learning.cascade.backbones import RGB_MEAN, RGB_SPREAD, BackboneShape, Pyramid
from marrowscope.learning.cascade.boxes import Weights, clip, decode, encode
from marrowscope.learning.cascade.heads import Pooling, Stage, pool, scale_gradient
from marrowscope.learning.cascade.labels import Assigned, Target, assign, sample
from marrowscope.learning.cascade.negatives import NegativeRule, soft_sampling_weight
from marrowscope.learning.cascade.proposals import ProposalNetwork, ProposalSettings, suppress

FIRST_WEIGHTS: Weights = (10.0, 10.0, 5.0, 5.0)
"""Of the first stage's offsets; those of stage ``i`` are ``i + 1`` times as large."""

RGB_MEAN_PAPER = (124.0, 117.0, 104.0)
"""wang-2022 subtracts (104, 117, 124) in BGR and divides by nothing."""


@dataclass(frozen=True, slots=True)
class CascadeShape:
    """All that decides the network. ``stages``: the IoU from which a box is a cell, stage by stage; one number alone is
    Faster R-CNN. ``hidden`` width of the dense layers; ``mean`` and ``spread`` of RGB 0..255."""

    backbone: BackboneShape
    proposals: ProposalSettings
    classes: tuple[str, ...]
    stages: tuple[float, ...] = (0.5, 0.6, 0.7)
    hidden: int = 256
    pooling: Pooling = "finest"
    samples: int = 128
    positive_share: float = 0.5
    mean: tuple[float, float, float] = RGB_MEAN
    spread: tuple[float, float, float] = RGB_SPREAD
    iou: float = 0.5
    """Boxes of one tile that overlap more are one cell."""


@dataclass(frozen=True, slots=True)
class LossSettings:
    """``negatives`` weighs unlabelled boxes in the classification losses, but not of complete tiles; ``soft_boxes``
    puts the soft-sampling weight on the box loss instead, as wang-2022 writes it. ``balance``: how far rare types are
    favoured, by adding that share of the log of the types' frequencies to the logits in training (Menon et al. 2021);
    ``frequencies`` as counted."""

    negatives: NegativeRule = field(default_factory=NegativeRule)
    soft_boxes: bool = False
    balance: float = 0.0
    frequencies: tuple[float, ...] = ()
    smoothing: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """``boxes (n, k, 4)`` tile pixels, best first; ``scores (n, k)``: no background; ``probabilities (n, k, t)`` sum to
    1 over the types. Rows that are not used score 0."""

    boxes: Tensor
    scores: Tensor
    probabilities: Tensor


class CascadeRCNN(nn.Module):
    """uint8 RGB tiles ``(n, 3, h, w)``, sides multiples of the coarsest stride, to losses or to detections."""

    pixel_mean: Tensor
    pixel_spread: Tensor

    def __init__(self, shape: CascadeShape) -> None:
        super().__init__()
        self.shape = shape
        self.pyramid = Pyramid(shape.backbone)
        self.proposals = ProposalNetwork(self.pyramid.channels, self.pyramid.strides, shape.proposals)
        self.stages = nn.ModuleList(
            Stage(self.pyramid.channels, shape.hidden, len(shape.classes)) for _ in shape.stages
        )
        self.register_buffer("pixel_mean", torch.tensor(shape.mean)[:, None, None], persistent=False)
        self.register_buffer("pixel_spread", torch.tensor(shape.spread)[:, None, None], persistent=False)

    def maps(self, tiles: Tensor) -> list[Tensor]:
        """The pyramid of normalised tiles."""
        maps: list[Tensor] = self.pyramid((tiles.float() - self.pixel_mean) / self.pixel_spread)
        return maps

    def losses(self, tiles: Tensor, targets: Sequence[Target], settings: LossSettings, step: int) -> dict[str, Tensor]:
        """Named losses to be summed; ``step`` counts from the start of the training."""
        height, width = tiles.shape[2:]
        maps = self.maps(tiles)
        logits, offsets = self.proposals.raw(maps)
        anchors = self.proposals.anchors(maps)
        objectness, shift = self.proposals.loss(logits, offsets, anchors, targets, settings.negatives, step)
        losses = {"objectness": objectness, "proposals": shift}
        with torch.no_grad():
            boxes, scores = self.proposals.propose(logits.detach(), offsets.detach(), anchors, height, width)
            boxes = self._sampled(boxes.nan_to_num(), scores, targets)  # RoIAlign crashes where a corner is no number
        for number, (stage, positive) in enumerate(zip(self.stages, self.shape.stages, strict=True)):
            features = scale_gradient(pool(maps, self.pyramid.strides, boxes, self.shape.pooling), 1 / len(self.stages))
            scores, offset = stage(features)
            scores, offset = scores.unflatten(0, boxes.shape[:2]), offset.unflatten(0, boxes.shape[:2])
            weights = stage_weights(number)
            found = [assign(b, t, positive=positive, negative=positive) for b, t in zip(boxes, targets, strict=True)]
            losses[f"types_{number}"], losses[f"boxes_{number}"] = stage_losses(
                scores, offset, boxes, found, weights, settings, step
            )
            boxes = clip(decode(offset.detach(), boxes, weights), height, width).nan_to_num()
        return losses

    def _sampled(self, boxes: Tensor, objectness: Tensor, targets: Sequence[Target]) -> Tensor:
        """``samples`` boxes a tile for the first stage: proposals and the labels themselves. Later stages keep them.

        Where there are fewer, some stand twice, so that all tiles have as many.
        """
        chosen = []
        for of_tile, score, target in zip(boxes, objectness, targets, strict=True):
            used = score != 0
            used[0] = True  # of a tile without labels that takes all for background something must remain
            pooled = torch.cat((of_tile[used], target.boxes))
            found = assign(pooled, target, positive=self.shape.stages[0], negative=self.shape.stages[0])
            rows = sample(found.classes, self.shape.samples, self.shape.positive_share)
            if not len(rows):
                rows = torch.zeros(1, dtype=torch.long, device=boxes.device)
            repeats = -(-self.shape.samples // len(rows))
            chosen.append(pooled[rows.repeat(repeats)[: self.shape.samples]])
        return torch.stack(chosen)

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes ``(n, k, 4)``, scores ``(n, k)`` and type probabilities ``(n, k, t)``: see :class:`Found`."""
        height, width = tiles.shape[2], tiles.shape[3]
        maps = self.maps(tiles)
        anchors = self.proposals.anchors(maps)
        boxes, objectness = self.proposals.propose(*self.proposals.raw(maps), anchors, height, width)
        probabilities = []
        for number, stage in enumerate(self.stages):
            scores, offset = stage(pool(maps, self.pyramid.strides, boxes, self.shape.pooling))
            probabilities.append(scores.softmax(1).unflatten(0, boxes.shape[:2]))
            boxes = clip(decode(offset.unflatten(0, boxes.shape[:2]), boxes, stage_weights(number)), height, width)
        mean = torch.stack(probabilities).mean(0)
        of_types = mean[:, :, 1:]
        score = of_types.sum(2)
        score = suppress(boxes, score * (objectness > 0), self.shape.iou)
        score, order = score.topk(score.shape[1], dim=1)
        rows = order[:, :, None]
        of_types = of_types.gather(1, rows.expand(-1, -1, of_types.shape[2]))
        of_types = of_types / of_types.sum(2, keepdim=True).clamp(min=1e-6)
        return boxes.gather(1, rows.expand(-1, -1, 4)), score, of_types

    @torch.inference_mode()
    def find(self, tiles: Tensor) -> Found:
        """:meth:`forward` with names."""
        return Found(*self(tiles))


def stage_weights(number: int) -> Weights:
    """(10, 10, 5, 5), (20, 20, 10, 10), (30, 30, 15, 15), ... of the offsets of stage ``number`` from 0."""
    dx, dy, dw, dh = (weight * (number + 1) for weight in FIRST_WEIGHTS)
    return dx, dy, dw, dh


def stage_losses(
    logits: Tensor,
    offsets: Tensor,
    boxes: Tensor,
    found: Sequence[Assigned],
    weights: Weights,
    settings: LossSettings,
    step: int,
) -> tuple[Tensor, Tensor]:
    """Loss of types and of boxes of one stage: ``logits (n, k, 1 + t)``, ``offsets`` and ``boxes (n, k, 4)``.

    Both are divided by the number of boxes, not by the sum of their weights: a doubted box says less, and nothing else
    then says more.
    """
    classes = torch.stack([f.classes for f in found]).flatten()
    overlap = torch.stack([f.overlap for f in found]).flatten()
    complete = torch.stack([torch.full_like(f.classes, f.complete, dtype=torch.bool) for f in found]).flatten()
    labels = torch.stack([f.boxes for f in found]).flatten(0, 1)
    logits, offsets, boxes = logits.flatten(0, 1), offsets.flatten(0, 1), boxes.flatten(0, 1)
    background = classes == 0
    weight = (classes > 0).to(logits.dtype)
    believed = settings.negatives.weigh(overlap[background], 1 - logits[background].softmax(1)[:, 0], step)
    weight[background] = torch.where(complete[background], 1.0, believed).to(logits.dtype)
    adjusted = logits
    if settings.balance:
        frequency = logits.new_tensor(settings.frequencies).clamp(min=1e-6)
        prior = (frequency / frequency.max()).log() * settings.balance
        # The commonest type keeps its place against background, and background learns from unchanged logits.
        adjusted = logits + (classes > 0)[:, None] * torch.cat((prior.new_zeros(1), prior))[None]
    each = functional.cross_entropy(
        adjusted, classes.clamp(min=0), reduction="none", label_smoothing=settings.smoothing
    )
    of_types = (each * weight).sum() / len(classes)
    cells = classes > 0
    aim = encode(labels[cells], boxes[cells], weights)
    shift = functional.smooth_l1_loss(offsets[cells], aim, beta=1.0, reduction="none").sum(1)
    if settings.soft_boxes:
        shift = shift * soft_sampling_weight(overlap[cells])
    return of_types, shift.sum() / len(classes)
