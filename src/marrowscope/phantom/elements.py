"""What lies on a smear besides nucleated cells: red cells, platelets, dust and stain precipitate."""

from __future__ import annotations

from math import ceil, pi

import cv2
import numpy as np

from marrowscope.geometry import RED_CELL_UM
from marrowscope.phantom.drawing import DYES
from marrowscope.phantom.textures import Field, cut_noise

_CHROMATIN, _BLUE, _HAEMOGLOBIN, _AZUROPHIL = (
    DYES.index(d) for d in ("chromatin", "basophilia", "haemoglobin", "azurophil")
)


def _disc(radius: float, wobble: float, oval: float, spacing: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """Distance to the border of a slightly irregular disc (um, positive inside) and relative radius."""
    side = 2 * ceil((radius * oval * 1.2 + 2 * spacing) / spacing)
    axis = (np.arange(side) + 0.5 - side / 2) * spacing
    x, y = np.meshgrid(axis, axis)
    turn = rng.uniform(0, pi)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    theta = np.arctan2(v, u)
    r = np.hypot(u / oval, v * oval)
    border = radius * np.ones_like(r)
    for k in (2, 3, 4):
        border *= 1 + rng.normal(0, wobble / k) * np.cos(k * theta + rng.uniform(0, 2 * pi))
    return (border - r).astype(np.float32), (r / border).astype(np.float32)


def red_cell(pallor: bool, spacing: float, rng: np.random.Generator) -> Field:
    """Dyes ``(h, w, 6)`` of one red cell: a disc of 7.2 um, thicker towards the rim, pale in the middle third."""
    radius = RED_CELL_UM / 2 * rng.normal(1.0, 0.035)
    inside, share = _disc(radius, 0.05, rng.uniform(1.0, 1.09), spacing, rng)
    cover = np.clip(inside / max(0.3, spacing) + 0.5, 0, 1)
    thick = 0.82 + 0.25 * np.exp(-((share - 0.78) ** 2) / 0.04)
    if pallor:
        width, depth = rng.uniform(0.26, 0.42), rng.uniform(0.35, 0.75)
        thick -= depth * np.exp(-(((share / width) ** 2) ** 1.5))
    dyes = np.zeros((*inside.shape, len(DYES)), np.float32)
    dyes[..., _HAEMOGLOBIN] = cover * thick * rng.normal(1.0, 0.06)
    return dyes


def platelet(spacing: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """Dyes and cover of a platelet: 2-3.5 um, pale lilac with a granular middle."""
    radius = rng.uniform(0.9, 1.7)
    inside, share = _disc(radius, 0.25, rng.uniform(1.0, 1.25), spacing, rng)
    cover = np.clip(inside / 0.4 + 0.5, 0, 1).astype(np.float32)
    grain = cut_noise(0.3, spacing, len(cover), rng)
    dyes = np.zeros((*inside.shape, len(DYES)), np.float32)
    dyes[..., _BLUE] = 0.16
    dyes[..., _AZUROPHIL] = np.clip(0.32 + 0.2 * grain, 0, 1) * np.exp(-((share / 0.75) ** 2))
    return dyes, cover


def dust(spacing: float, rng: np.random.Generator) -> tuple[Field, Field]:
    """Dyes and cover of a speck: black dust or a grain of dark stain."""
    inside, _ = _disc(float(rng.uniform(0.4, 1.8)), 0.4, rng.uniform(1.0, 1.8), spacing, rng)
    cover = np.clip(inside / 0.5 + 0.5, 0, 1).astype(np.float32)
    dyes = np.zeros((*inside.shape, len(DYES)), np.float32)
    stain = rng.random() < 0.5
    dyes[..., _CHROMATIN] = 1.2 if stain else 0.9
    dyes[..., _BLUE] = 0.3 if stain else 1.0
    dyes[..., _HAEMOGLOBIN] = 0.0 if stain else 1.5
    return dyes, cover


PLASMA_GRAINS = ((0.6, 0.22), (2.0, 0.25), (8.0, 0.3))
CLUMP_GRAINS = ((2.5, 0.35), (9.0, 0.6), (30.0, 0.7))
"""Grain (um) and weight of the noise in dried plasma and in the ground of a particle."""


def noise_tile(grains: tuple[tuple[float, float], ...], spacing: float, side: int) -> Field:
    """Relative thickness of a ground (mean 1), periodic over ``side`` pixels so that it tiles without a seam."""
    rng = np.random.default_rng(1201)
    total = np.zeros((side, side), np.float32)
    for grain, weight in grains:
        sigma = grain / spacing / 2
        pad = min(side, int(4 * sigma) + 1)
        noise = np.pad(rng.standard_normal((side, side), dtype=np.float32), pad, mode="wrap")
        smooth = cv2.GaussianBlur(noise, (0, 0), sigma)[pad:-pad, pad:-pad]
        total += weight * smooth / smooth.std()
    return np.clip(1 + total, 0, 3)
