"""Fields of noise that make chromatin grain, cytoplasm and plasma: made once, then cut at random places."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

_SIDE = 768
_GRAINS = (0.2, 0.3, 0.45, 0.65, 0.95, 1.6, 3.0)


@lru_cache(maxsize=32)
def grain_field(grain: float, spacing: float, side: int = _SIDE) -> Field:
    """Gaussian noise of mean 0 and deviation 1 whose grains are about ``grain`` um wide, at ``spacing`` um/px."""
    sigma = grain / spacing / 2.0
    pad = int(4 * sigma) + 1
    rng = np.random.default_rng([77, round(grain * 1000)])
    noise = rng.standard_normal((side + 2 * pad, side + 2 * pad), dtype=np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigma)[pad:-pad, pad:-pad]
    field: Field = np.ascontiguousarray((smooth - smooth.mean()) / smooth.std())
    field.setflags(write=False)
    return field


def cut_noise(grain: float, spacing: float, side: int, rng: np.random.Generator) -> Field:
    """A ``side x side`` window of the noise whose grain is nearest to the wanted one, at a random place and turn."""
    nearest = min(_GRAINS, key=lambda g: abs(np.log(g / grain)))
    field = grain_field(nearest, spacing, max(_SIDE, side + 64))
    y, x, turn = rng.integers(len(field) - side + 1), rng.integers(len(field) - side + 1), rng.integers(4)
    window: Field = np.rot90(field[y : y + side, x : x + side], int(turn))
    return window


def slow_noise(shape: tuple[int, int], knots: tuple[int, int], rng: np.random.Generator) -> Field:
    """A slowly varying field of deviation about 1: ``knots`` random values (rows, columns), smoothly joined."""
    coarse = rng.standard_normal(knots).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)
