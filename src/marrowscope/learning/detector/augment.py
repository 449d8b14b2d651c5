"""Changes that a picture may undergo on its way from another stain, lens or camera; all on uint8 RGB ``(h, w, 3)``.

Stain is varied in optical density, where dyes add up (Beer-Lambert): a random matrix near the identity scales each
dye and lets one leak into the others, which covers changes of stain, buffer and camera colour matrix at once (the
idea of Tellez et al. 2018, doi:10.1109/TMI.2018.2820199, without a fixed stain matrix, as Romanowsky stains have none).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Variation:
    """How far each property may go: largest deviations, or (lowest, highest)."""

    dye_scale: float = 0.35
    dye_leak: float = 0.12
    glass_colour: float = 0.12
    brightness: tuple[float, float] = (0.72, 1.06)
    gamma: tuple[float, float] = (0.75, 1.35)
    blur_px: tuple[float, float] = (0.0, 1.1)
    noise: tuple[float, float] = (0.0, 6.0)
    jpeg_quality: tuple[int, int] = (45, 96)
    illumination: float = 0.12


def vary(picture: Picture, rng: np.random.Generator, variation: Variation) -> Picture:
    """The picture as another laboratory might have stained and scanned it."""
    values = vary_stain(picture, rng, variation).astype(np.float32)
    values *= _uneven_light(picture.shape[:2], rng, variation.illumination)[:, :, None]
    blur = rng.uniform(*variation.blur_px)
    if blur > 0.25:
        values = np.asarray(cv2.GaussianBlur(values, (0, 0), blur), np.float32)
    values += rng.normal(0.0, rng.uniform(*variation.noise), values.shape).astype(np.float32)
    return _through_jpeg(np.clip(values, 0, 255).astype(np.uint8), rng, variation.jpeg_quality)


def vary_stain(picture: Picture, rng: np.random.Generator, variation: Variation) -> Picture:
    """Other dyes, glass colour, exposure and gamma; the geometry stays."""
    mixing = np.diag(rng.uniform(1 - variation.dye_scale, 1 + variation.dye_scale, 3))
    mixing += rng.uniform(-variation.dye_leak, variation.dye_leak, (3, 3))
    density = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)[picture]
    glass = rng.uniform(*variation.brightness) * rng.uniform(1 - variation.glass_colour, 1 + variation.glass_colour, 3)
    light = np.exp(-np.clip(density @ mixing.T.astype(np.float32), 0, None)) ** np.float32(
        rng.uniform(*variation.gamma)
    )
    return np.asarray(np.clip(light * (256 * glass).astype(np.float32), 0, 255), np.uint8)


def deepen(picture: Picture, factor: float, glass: NDArray[np.float32]) -> Picture:
    """The picture with ``factor`` times the optical density over the glass of colour ``glass (3,)``."""
    light = np.clip(picture / np.maximum(glass, 1), 1 / 256, 1)
    return np.asarray(light**factor * glass, np.uint8)


def _uneven_light(size: tuple[int, ...], rng: np.random.Generator, depth: float) -> NDArray[np.float32]:
    coarse = rng.uniform(1 - depth, 1 + depth / 2, (3, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (size[1], size[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _through_jpeg(picture: Picture, rng: np.random.Generator, quality: tuple[int, int]) -> Picture:
    written, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*quality))])
    assert written
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
