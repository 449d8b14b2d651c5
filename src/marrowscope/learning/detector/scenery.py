"""What marrow has besides nucleated cells, painted on a training tile: plasma, stain precipitate, debris, vacuoles.

All functions change ``pixels (side, side, 3)`` uint8 RGB in place. Sizes are in pixels at 0.5 um.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


def veil(pixels: Picture, rng: np.random.Generator, depth: tuple[float, float]) -> None:
    """Tint like plasma: a cloudy, granular colour of random optical ``depth`` that darkens what lies beneath it."""
    side = pixels.shape[0]
    clouds = sum(
        cv2.resize(rng.normal(0, 1, (n, n)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC) * weight
        for n, weight in ((4, 0.5), (16, 0.3), (64, 0.3), (128, 0.4))
    )
    density = np.clip(0.5 + 0.5 * np.asarray(clouds), 0, None)[:, :, None] * rng.uniform(*depth)
    dye = rng.uniform([0.4, 0.6, 0.05], [1.1, 1.2, 0.7])
    pixels[:] = np.clip(pixels * np.exp(-density * dye), 0, 255).astype(np.uint8)


def speckle(pixels: Picture, rng: np.random.Generator, count: int) -> None:
    """Stain precipitate: small dark or purple dots and streaks, never as large as a nucleus."""
    for _ in range(count):
        middle = tuple(int(v) for v in rng.integers(0, pixels.shape[0], 2))
        axes = (int(rng.integers(1, 4)), int(rng.integers(1, 3)))
        colour = tuple(float(v) for v in rng.uniform([40, 10, 60], [150, 90, 170]))
        spot = cv2.ellipse(pixels.copy(), middle, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
        pixels[:] = spot


def crystallise(pixels: Picture, rng: np.random.Generator) -> None:
    """A star of dark needles, as dried dye leaves."""
    middle = rng.uniform(0, pixels.shape[0], 2)
    colour = tuple(float(v) for v in rng.uniform([20, 15, 30], [90, 70, 100]))
    for direction in rng.uniform(0, 2 * np.pi, int(rng.integers(5, 25))):
        place = middle + rng.normal(0, 2, 2)
        for _ in range(rng.integers(1, 5)):
            direction += rng.normal(0, 0.4)
            end = place + rng.uniform(1, 6) * np.array((np.cos(direction), np.sin(direction)))
            (x0, y0), (x1, y1) = place.round().astype(int).tolist(), end.round().astype(int).tolist()
            cv2.line(pixels, (x0, y0), (x1, y1), colour, int(rng.integers(1, 3)), cv2.LINE_AA)
            place = end


def litter(pixels: Picture, rng: np.random.Generator) -> None:
    """A shred of cytoplasm or a giant platelet: a pale, blurred, ragged patch with granules, without a nucleus."""
    side = pixels.shape[0]
    radius = rng.uniform(4, 14)
    reach = np.hypot(*(np.indices((side, side)) - rng.uniform(0, side, 2)[:, None, None])) / radius
    coarse = rng.normal(0, 0.35, (side // 6, side // 6)).astype(np.float32)
    ragged = reach + cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    grains = cv2.GaussianBlur(rng.normal(1, 0.8, (side, side)).astype(np.float32), (0, 0), rng.uniform(0.5, 1.2))
    depth = np.clip(1.4 - ragged, 0, 1) * np.clip(grains, 0.2, 3) * rng.uniform(0.15, 0.7)
    dye = rng.uniform([0.6, 0.6, 0.1], [1.4, 1.4, 0.6])
    pixels[:] = np.clip(pixels * np.exp(-depth[:, :, None] * dye), 0, 255).astype(np.uint8)


def hollow(pixels: Picture, rng: np.random.Generator, glass: NDArray[np.float32]) -> None:
    """A drop of fat that the stain has washed out: a bright round hole, often with a darker rim."""
    side = pixels.shape[0]
    radius = rng.uniform(3, 32)
    distance = np.hypot(*(np.indices((side, side)) - rng.uniform(0, side, 2)[:, None, None])) - radius
    hole = np.clip(0.5 - distance, 0, 1)[:, :, None] * rng.uniform(0.5, 1.0)
    rim = np.exp(-((distance / rng.uniform(1, 3)) ** 2))[:, :, None] * rng.uniform(0, 0.35)
    bright = np.clip(glass * 1.05, 0, 255)
    pixels[:] = np.clip((pixels * (1 - hole) + bright * hole) * (1 - rim), 0, 255).astype(np.uint8)
