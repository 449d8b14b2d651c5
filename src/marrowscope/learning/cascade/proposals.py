"""The region proposal network (Ren et al. 2015): where on the pyramid something lies that may be an object.

Legend of shapes: ``n`` pictures of ``h x w`` pixels, ``a`` anchors of all levels together, ``k`` proposals a picture.
Everything but the sampling of the loss is plain tensor arithmetic without loops over pictures, so that training, torch
and ONNX Runtime compute the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import nms

from marrowscope.learning.cascade.boxes import clip, decode, encode
from marrowscope.learning.cascade.labels import Target, assign, sample
from marrowscope.learning.cascade.negatives import NegativeRule

PLAIN = (1.0, 1.0, 1.0, 1.0)
SMOOTH_L1_BETA = 1 / 9
"""As in Faster R-CNN: quadratic below, linear above."""


@dataclass(frozen=True, slots=True)
class ProposalSettings:
    """``sizes``: anchor sides in pixels by level; ``aspects``: height over width. ``before`` and ``after``: boxes a
    picture that enter and leave the suppression at ``iou``; ``samples`` of the loss, at most half of them objects."""

    sizes: tuple[tuple[float, ...], ...]
    aspects: tuple[float, ...] = (1.0,)
    before: int = 800
    after: int = 192
    iou: float = 0.7
    samples: int = 256
    positive: float = 0.6
    negative: float = 0.3


class ProposalNetwork(nn.Module):
    """Maps of a pyramid to proposals ``(n, k, 4)``, tile pixels, best first, and their objectness ``(n, k)`` 0..1.

    A row that is not used has objectness 0.
    """

    def __init__(self, channels: int, strides: Sequence[int], settings: ProposalSettings) -> None:
        super().__init__()
        if len(settings.sizes) != len(strides):
            raise ValueError(f"anchor sizes for {len(strides)} levels are needed, found {len(settings.sizes)}")
        if len({len(sizes) for sizes in settings.sizes}) != 1:
            raise ValueError("every level needs as many anchor sizes, because they share one head")
        self.settings, self.strides = settings, tuple(strides)
        self.head = RPNHead(channels, len(settings.sizes[0]) * len(settings.aspects))
        for level, sizes in enumerate(settings.sizes):
            sides = [(size * aspect**-0.5, size * aspect**0.5) for size in sizes for aspect in settings.aspects]
            half = torch.tensor(sides) / 2
            self.register_buffer(f"shape_{level}", torch.cat((-half, half), 1), persistent=False)

    def anchors(self, maps: Sequence[Tensor]) -> Tensor:
        """Anchors ``(a, 4)``, tile pixels, in the order of :meth:`raw`: level, row, column, shape."""
        found = []
        for level, (stride, values) in enumerate(zip(self.strides, maps, strict=True)):
            shapes: Tensor = getattr(self, f"shape_{level}")
            rows, columns = values.shape[2], values.shape[3]
            y = (torch.arange(rows, device=values.device, dtype=shapes.dtype) + 0.5) * stride
            x = (torch.arange(columns, device=values.device, dtype=shapes.dtype) + 0.5) * stride
            centre = torch.stack(
                (x[None, :].expand(rows, columns), y[:, None].expand(rows, columns)), 2
            )  # (rows, columns, 2)
            found.append((torch.cat((centre, centre), 2)[:, :, None, :] + shapes).reshape(-1, 4))
        return torch.cat(found)

    def raw(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Objectness logits ``(n, a)`` and offsets ``(n, a, 4)`` of all anchors."""
        scores, offsets = self.head(list(maps))
        return (
            torch.cat([s.permute(0, 2, 3, 1).flatten(1) for s in scores], 1),
            torch.cat(
                [o.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3) for o in offsets],
                1,
            ),
        )

    def propose(
        self, logits: Tensor, offsets: Tensor, anchors: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor]:
        """Suppress and keep the best, from :meth:`raw` and :meth:`anchors`."""
        best, index = logits.topk(torch.sym_min(self.settings.before, logits.shape[1]), dim=1)
        chosen = offsets.gather(1, index[:, :, None].expand(-1, -1, 4))
        boxes = clip(decode(chosen, anchors[index], PLAIN), height, width)
        scores = suppress(boxes, best.sigmoid(), self.settings.iou)
        kept, index = scores.topk(torch.sym_min(self.settings.after, scores.shape[1]), dim=1)
        return boxes.gather(1, index[:, :, None].expand(-1, -1, 4)), kept

    def loss(
        self,
        logits: Tensor,
        offsets: Tensor,
        anchors: Tensor,
        targets: Sequence[Target],
        rule: NegativeRule,
        step: int,
    ) -> tuple[Tensor, Tensor]:
        """Losses of objectness and of boxes, each summed over the sampled anchors and divided by their number."""
        settings, scored, shifted = self.settings, [], []
        for score, offset, target in zip(logits, offsets, targets, strict=True):
            found = assign(anchors, target, positive=settings.positive, negative=settings.negative, keep_best=True)
            rows = sample(found.classes, settings.samples, 0.5)
            cell = found.classes[rows] > 0
            believed = rule.weigh(found.overlap[rows], score[rows].sigmoid(), step)
            weight = torch.where(cell | found.complete, 1.0, believed)
            one = functional.binary_cross_entropy_with_logits(score[rows], cell.to(score.dtype), reduction="none")
            scored.append((one * weight).sum() / settings.samples)
            of_cells = rows[cell]
            aim = encode(found.boxes[of_cells], anchors[of_cells], PLAIN)
            shifted.append(
                functional.smooth_l1_loss(offset[of_cells], aim, beta=SMOOTH_L1_BETA, reduction="sum")
                / settings.samples
            )
        return torch.stack(scored).mean(), torch.stack(shifted).mean()


def suppress(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """``scores (n, k)`` with those of suppressed ``boxes (n, k, 4)`` set to 0; pictures do not suppress each other.

    All pictures go through one call, each moved to a place of its own.
    """
    n, k = scores.shape
    apart = torch.arange(n, device=boxes.device, dtype=boxes.dtype)[:, None, None] * (boxes.detach().max() + 1)
    kept = nms((boxes + apart).reshape(-1, 4), scores.reshape(-1), iou)
    mask = torch.zeros_like(scores).reshape(-1).index_fill(0, kept, 1.0)
    return scores * mask.reshape(n, k)
