"""Random views of a batch of pictures, made in torch where the network is, so that nobody waits for them.

Legend: ``n`` pictures, ``s`` pixels a side; pictures ``(n, s, s, 3)`` RGB 0..255. What is drawn hangs on the seed and
the number of the step alone: a resumed training sees what it would have seen, on any device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Augment:
    """How strongly views differ.

    ``flip`` mirrors left to right, ``flip_up`` upside down, each with chance 1/2. ``rotate`` is the largest angle in
    parts of a turn (0.5: any), ``zoom`` and ``shift`` the largest change of magnification and place in parts of the
    side (Keras's measures); what comes in from outside is mirrored. ``contrast`` and ``brightness`` are the largest
    relative changes, contrast about the mean of each channel as in Keras. ``stain``, ``density`` and ``lamp`` are
    deviations of the mixing of optical densities, of their strength and of the lamp's colour: another stain, as in
    :mod:`marrowscope.learning.classifier.augmentation`.
    """

    flip: bool = False
    flip_up: bool = False
    rotate: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    stain: float = 0.0
    density: float = 0.0
    lamp: float = 0.0

    def __call__(self, pictures: Tensor, seed: int, step: int) -> Tensor:
        """A view of each picture: uint8 as given, or float32 0..255, of the same shape."""
        generator = torch.Generator().manual_seed((seed * 1_000_003 + step) % (1 << 63))
        views = self._moved(pictures, generator)
        return self._coloured(views, generator)

    def _moved(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        n = len(pictures)

        def uniform(largest: float) -> Tensor:
            return (torch.rand(n, generator=generator) * 2 - 1) * largest

        def sign(wanted: bool) -> Tensor:
            drawn = torch.randint(0, 2, (n,), generator=generator) * 2.0 - 1
            return drawn if wanted else torch.ones(n)

        x_sign, y_sign = sign(self.flip), sign(self.flip_up)
        angle, zoom = uniform(2 * math.pi * self.rotate), 1 + uniform(self.zoom)
        x_shift, y_shift = uniform(2 * self.shift), uniform(2 * self.shift)
        if not (self.rotate or self.zoom or self.shift):  # whole pixels: nothing is resampled
            for axis, signs in ((2, x_sign), (1, y_sign)):
                if (signs < 0).any():
                    mirrored = (signs < 0).to(pictures.device)[:, None, None, None]
                    pictures = torch.where(mirrored, pictures.flip(axis), pictures)
            return pictures
        cosine, sine = angle.cos() * zoom, angle.sin() * zoom
        rows = [torch.stack([cosine * x_sign, -sine * y_sign, x_shift], 1)]
        rows += [torch.stack([sine * x_sign, cosine * y_sign, y_shift], 1)]
        matrices = torch.stack(rows, 1).to(pictures.device)
        planes = pictures.permute(0, 3, 1, 2).float()
        grid = functional.affine_grid(matrices, list(planes.shape), align_corners=False)
        moved = functional.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
        return moved.permute(0, 2, 3, 1)

    def _coloured(self, views: Tensor, generator: torch.Generator) -> Tensor:
        n, device = len(views), views.device
        contrast = (torch.rand(n, generator=generator) * 2 - 1) * self.contrast
        brightness = (torch.rand(n, generator=generator) * 2 - 1) * self.brightness
        mixing = torch.eye(3) + torch.randn(n, 3, 3, generator=generator) * self.stain
        mixing = mixing * (torch.randn(n, 1, 1, generator=generator) * self.density).exp()
        lamp = (torch.randn(n, 3, generator=generator) * self.lamp).exp()
        planes = views.permute(0, 3, 1, 2)
        if self.stain or self.density or self.lamp:  # Beer-Lambert: a stain acts on densities, a lamp on light
            logarithms = planes.float().contiguous().add(1).mul_(1 / 256).log_()
            mixed = torch.bmm(mixing.to(device), logarithms.flatten(2)).clamp_(max=0)
            light = mixed.exp_().mul_(256 * lamp[:, :, None].to(device)).sub_(1)
            planes = light.clamp_(0, 255).reshape(planes.shape)
        if self.contrast or self.brightness:
            planes = planes.float()
            middle = planes.mean((2, 3), keepdim=True)
            slope = (1 + contrast)[:, None, None, None].to(device)
            offset = (255 * brightness)[:, None, None, None].to(device)
            planes = ((planes - middle) * slope + middle + offset).clamp_(0, 255)
        return planes.permute(0, 2, 3, 1)


def flips(pictures: Tensor) -> list[Tensor]:
    """A batch ``(n, s, s, 3)`` and its three mirror images."""
    return [pictures, pictures.flip(2), pictures.flip(1), pictures.flip((1, 2))]
