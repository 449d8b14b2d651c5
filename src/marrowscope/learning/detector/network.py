"""The centre detector: a small fully convolutional network that finds nucleated cells by their centres.

After "Objects as Points" (Zhou et al. 2019, arXiv:1904.07850) for the heat map and FCOS (Tian et al. 2019,
arXiv:1904.01355) for the four distances. It has only local operations (no global pooling, no squeeze-excite, no
attention), so that a cell away from the border of a tile is found alike in every tile that shows it.

Legend of shapes: ``n`` tiles, ``h w`` height and width of a tile in pixels (multiples of :data:`STRIDE`),
``y x`` height and width of the output grid, ``h / 4`` and ``w / 4``; ``k`` kept peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 16
"""Total stride, pixels: tile sizes and origins are multiples of it."""

OUTPUT_STRIDE = 4
"""Pixels per cell of the output grid."""

MAX_PEAKS = 512
"""Most boxes that one tile gives; a tile of 256 x 256 um holds fewer cells even in packed marrow."""

_PIXEL_MEAN = 127.5
_PIXEL_RANGE = 64.0
_UNIT_DISTANCE = 14.0  # pixels at 0.5 um: the half side of a common cell, so that the head starts near the truth
_LARGEST_LOG_DISTANCE = 2.5  # exp(2.5) * 14 px = 170 px: wider than any megakaryocyte


@dataclass(frozen=True, slots=True)
class DetectorShape:
    """Widths (channels) at strides 2, 4, 8, 16, residual blocks at strides 4, 8, 16, and width of the head."""

    widths: tuple[int, int, int, int] = (16, 32, 64, 128)
    blocks: tuple[int, int, int] = (1, 1, 1)
    head: int = 32


class ConvNormAct(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class Residual(nn.Module):
    """``relu(x + conv(conv(x)))``; the second kernel is 1 where the field of view must not grow."""

    def __init__(self, width: int, second_kernel: int = 3) -> None:
        super().__init__()
        self.first = ConvNormAct(width, width)
        self.second = nn.Conv2d(width, width, second_kernel, padding=second_kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.second(self.first(x))))


class Merge(nn.Module):
    """Brings a coarse map to the next finer one: ``relu(up(1x1(coarse)) + fine)``."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.lateral = nn.Sequential(nn.Conv2d(coarse, fine, 1, bias=False), nn.BatchNorm2d(fine))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        return functional.relu(functional.interpolate(self.lateral(coarse), scale_factor=2.0, mode="nearest") + fine)


class CentreDetector(nn.Module):
    """uint8 tiles ``(n, 3, h, w)`` to heat-map logits ``(n, 1, y, x)`` and distances ``(n, 4, y, x)``.

    The distances are those from the centre of an output cell to the left, top, right and bottom side of the box, in
    tile pixels.
    """

    def __init__(self, shape: DetectorShape) -> None:
        super().__init__()
        w2, w4, w8, w16 = shape.widths
        n4, n8, n16 = shape.blocks
        self.stem = ConvNormAct(3, w2, stride=2)
        self.stage4 = nn.Sequential(ConvNormAct(w2, w4, stride=2), *(Residual(w4) for _ in range(n4)))
        self.stage8 = nn.Sequential(ConvNormAct(w4, w8, stride=2), *(Residual(w8) for _ in range(n8)))
        # One 3x3 a block only: at stride 16 each one widens the field of view by 16 px on every side.
        self.stage16 = nn.Sequential(ConvNormAct(w8, w16, stride=2), *(Residual(w16, 1) for _ in range(n16)))
        self.merge8 = Merge(w16, w8)
        self.merge4 = Merge(w8, w4)
        self.neck = ConvNormAct(w4, shape.head)
        self.heat = nn.Conv2d(shape.head, 1, 1)
        self.distances = nn.Conv2d(shape.head, 4, 1)
        # About 2 % of cells start as centres.
        nn.init.constant_(self.heat.bias, -4.0)  # type: ignore[arg-type]  # torch: Tensor or None

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        x = (tiles.float() - _PIXEL_MEAN) / _PIXEL_RANGE
        at4 = self.stage4(self.stem(x))
        at8 = self.stage8(at4)
        features = self.neck(self.merge4(self.merge8(self.stage16(at8), at8), at4))
        log_distances = self.distances(features).clamp(-_LARGEST_LOG_DISTANCE, _LARGEST_LOG_DISTANCE)
        return self.heat(features), log_distances.exp() * _UNIT_DISTANCE


def boxes_from_distances(distances: Tensor) -> Tensor:
    """Boxes ``(n, 4, y, x)`` as x0, y0, x1, y1 in tile pixels from distances ``(n, 4, y, x)``."""
    y = (torch.arange(distances.shape[2], device=distances.device) + 0.5) * OUTPUT_STRIDE
    x = (torch.arange(distances.shape[3], device=distances.device) + 0.5) * OUTPUT_STRIDE
    left, top, right, bottom = distances.unbind(1)
    y = y[:, None]
    return torch.stack((x - left, y - top, x + right, y + bottom), 1)


class TileDetector(nn.Module):
    """The graph of a pack: uint8 RGB tiles ``(n, h, w, 3)`` to boxes ``(n, k, 4)`` and scores ``(n, k)``, best first.

    A peak is a grid cell that no other in its 3 x 3 surroundings exceeds, which is all the suppression that stays in
    the graph; overlapping boxes of different peaks are for the stitching to fuse. Rows that are no peak score 0.
    """

    def __init__(self, network: CentreDetector, peaks: int = MAX_PEAKS) -> None:
        super().__init__()
        self.network = network
        self.peaks = peaks

    def forward(self, tiles: Tensor) -> tuple[Tensor, Tensor]:
        logits, distances = self.network(tiles.permute(0, 3, 1, 2))
        highest = functional.max_pool2d(logits, 3, stride=1, padding=1)
        heat = torch.where(logits == highest, logits.sigmoid(), torch.zeros_like(logits)).flatten(1)
        scores, index = heat.topk(self.peaks, dim=1)
        boxes = boxes_from_distances(distances).flatten(2).transpose(1, 2)
        return boxes.gather(1, index[:, :, None].expand(-1, -1, 4)), scores
