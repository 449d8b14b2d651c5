"""Draw one nucleated cell as amounts of dye, from its looks.

A cell is drawn on a square grid in um with its centre in the middle. Distances are signed, positive inside, so that a
membrane is one comparison and its softness one division. Nothing here knows a stain: the result says how much of
each dye lies where (``DYES``), and :mod:`marrowscope.phantom.stains` turns that into colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.phantom.morphology import Looks
from marrowscope.phantom.nuclei import SECTORS, Grid, Nucleus, make_grid, place_nucleus
from marrowscope.phantom.textures import Field, cut_noise

DYES = ("chromatin", "basophilia", "acidophilia", "haemoglobin", "azurophil", "orange")
"""What is stained: nucleus, RNA of the cytoplasm, neutral granules, haemoglobin, azurophil and eosinophil granules."""

FINEST = 0.125
"""Um per pixel at which cells are drawn before they are reduced to a slide's spacing."""

ANGLES = 96
"""Directions in which an outline is kept."""


@dataclass(frozen=True, slots=True)
class CellDrawing:
    """``dyes (h, w, 6)`` amounts; ``alpha (h, w)`` cover 0..255; ``outline (96, 2)`` um from the picture's centre."""

    dyes: NDArray[np.float16]
    alpha: NDArray[np.uint8]
    outline: NDArray[np.float64]


def draw_cell(looks: Looks, spacing: float, rng: np.random.Generator) -> CellDrawing:
    """Draw one cell at ``spacing`` um per pixel."""
    fine = min(FINEST, spacing)
    profile = _outline(looks, rng)
    reach = float(profile.max()) + 0.8
    grid = make_grid(8 * int(np.ceil(2 * reach / fine / 8)), fine)
    inside = _between(profile)[grid.sector] - grid.r
    if looks.nucleus == "smear":
        dyes, cover = _draw_smudge(looks, inside, grid, rng)
        profile = _profile_of(cover, grid)
    else:
        dyes, cover = _draw_whole_cell(looks, inside, grid, rng), _soft(inside, 0.4)
    angles = np.arange(ANGLES) * (2 * pi / ANGLES)
    outline = np.stack([profile * np.cos(angles), profile * np.sin(angles)], axis=1)
    return _reduce(dyes, cover, outline, fine, spacing)


def _outline(looks: Looks, rng: np.random.Generator) -> NDArray[np.float64]:
    """Distance of the membrane from the centre, um, in ``ANGLES`` directions: an ellipse with an uneven border."""
    angles = np.arange(ANGLES) * (2 * pi / ANGLES)
    shape = np.zeros(ANGLES)
    for k in range(2, 8):
        shape += rng.normal(0.0, looks.ragged / sqrt(k / 2)) * np.cos(k * angles + rng.uniform(0, 2 * pi))
    axis = rng.uniform(0, pi)
    a, b = sqrt(looks.oval), 1 / sqrt(looks.oval)
    ellipse = a * b / np.sqrt((b * np.cos(angles - axis)) ** 2 + (a * np.sin(angles - axis)) ** 2)
    profile: NDArray[np.float64] = looks.diameter / 2 * ellipse * (1 + np.clip(shape, -0.22, 0.22))
    return profile


def _between(profile: NDArray[np.float64]) -> Field:
    """The border in all ``SECTORS`` directions."""
    fine = np.interp(np.arange(SECTORS) * (ANGLES / SECTORS), np.arange(ANGLES + 1), np.append(profile, profile[0]))
    return np.asarray(fine, np.float32)


def _profile_of(cover: Field, grid: Grid) -> NDArray[np.float64]:
    """How far the cover reaches in each of ``ANGLES`` directions."""
    step = SECTORS // ANGLES
    profile = np.zeros(ANGLES)
    covered = cover > 0.5
    np.maximum.at(profile, (grid.sector[covered] + step // 2) // step % ANGLES, grid.r[covered])
    return profile


def _soft(distance: Field, width: float) -> Field:
    """0 outside, 1 inside, over ``width`` um."""
    edge: Field = np.clip(distance / width + 0.5, 0.0, 1.0)
    return edge


def _draw_whole_cell(looks: Looks, inside: Field, grid: Grid, rng: np.random.Generator) -> Field:
    """Dyes of nucleus and cytoplasm; they go on beyond the membrane, the cover cuts them off."""
    nucleus = place_nucleus(looks, inside, grid, rng)
    within = _soft(nucleus.distance, 0.35)
    outside = 1 - within
    chromatin, nucleolar = _chromatin(looks, nucleus, grid, rng)
    hof = _hof(looks, nucleus, grid)
    edge = np.exp(-np.maximum(inside, 0) / (0.07 * looks.diameter))
    cloud = cut_noise(1.6, grid.spacing, grid.side, rng) * 0.09 + cut_noise(0.45, grid.spacing, grid.side, rng) * 0.07
    blue = looks.basophilia * (1 + cloud) * (1 + looks.rim * (2 * edge - 0.35)) * (1 - 0.8 * hof)
    pink = looks.acidophilia * (1 + cloud) * (1 - 0.2 * hof)
    haemoglobin = looks.haemoglobin * (1 + 0.5 * cloud)
    azurophil = _granules(looks.azurophil, looks.granule, grid, rng) * (1 - 0.7 * hof)
    orange = _granules(looks.orange, looks.granule, grid, rng)
    dark = _granules(looks.dark_granules, looks.granule, grid, rng)
    filled = 1 - 0.85 * _vacuoles(looks, grid, rng) * outside
    clear = outside * filled
    over = outside + within * looks.granules_on_nucleus
    dyes = [
        chromatin * within + 1.05 * dark * over,
        blue * clear + nucleolar * within + 0.5 * dark * over,
        pink * clear,
        haemoglobin * clear,
        azurophil * over * filled,
        orange * over,
    ]
    return np.asarray(np.stack(dyes, axis=-1), np.float32)


def _chromatin(looks: Looks, nucleus: Nucleus, grid: Grid, rng: np.random.Generator) -> tuple[Field, Field]:
    """Chromatin with its clumps, membrane and nucleoli, and the blue of the nucleoli."""
    distance = nucleus.distance
    clumps = np.tanh(1.6 * cut_noise(looks.grain, grid.spacing, grid.side, rng)) * looks.contrast
    if looks.nucleus == "plates":
        return np.asarray(looks.chromatin * (1 + clumps), np.float32), np.zeros_like(distance)
    membrane = np.exp(-((distance - 0.25) ** 2) / 0.12) * (0.12 + 0.4 * looks.contrast)
    depth = np.clip(distance / nucleus.half_width, 0, 1)
    chromatin = looks.chromatin * (0.9 + 0.1 * np.sqrt(depth) + clumps + membrane)
    blue = np.zeros_like(chromatin)
    for _ in range(round(looks.nucleoli)):
        angle, away = rng.uniform(0, 2 * pi), nucleus.half_width * 0.65 * sqrt(rng.random())
        gap = grid.distance_to(nucleus.x + away * cos(angle), nucleus.y + away * sin(angle))
        spot = _soft(looks.nucleolus / 2 * np.float32(rng.uniform(0.85, 1.15)) - gap, 0.5)
        chromatin *= 1 + looks.nucleolus_tone * spot
        blue += 0.35 * spot * abs(looks.nucleolus_tone)
    return np.asarray(chromatin, np.float32), np.asarray(blue, np.float32)


def _hof(looks: Looks, nucleus: Nucleus, grid: Grid) -> Field:
    """The clear zone of the Golgi apparatus, on the side of the nucleus that faces the bulk of the cytoplasm."""
    if looks.hof <= 0:
        return np.zeros_like(nucleus.distance)
    back = 1 - nucleus.half_width * 1.05 / max(float(np.hypot(nucleus.x, nucleus.y)), 1e-3)
    gap = grid.distance_to(nucleus.x * back, nucleus.y * back)
    return np.asarray(looks.hof * np.exp(-(gap**2) / (2 * (0.1 * looks.diameter) ** 2)), np.float32)


def _vacuoles(looks: Looks, grid: Grid, rng: np.random.Generator) -> Field:
    holes = np.zeros_like(grid.r)
    for _ in range(round(looks.vacuoles)):
        angle, away = rng.uniform(0, 2 * pi), looks.diameter / 2 * sqrt(rng.uniform(0.05, 0.85))
        size = np.float32(rng.uniform(0.7, 1.2) * looks.vacuole / 2)
        np.maximum(holes, _soft(size - grid.distance_to(away * cos(angle), away * sin(angle)), 0.4), out=holes)
    return holes


def _granules(per_um2: float, diameter: float, grid: Grid, rng: np.random.Generator) -> Field:
    """Amount of dye in round granules of one size, thrown at random; peaks are 1, crowding saturates."""
    side = grid.side
    grains = np.zeros((side, side), np.float32)
    if per_um2 <= 0:
        return grains
    n = rng.poisson(per_um2 * (side * grid.spacing) ** 2)
    sigma = 0.36 * diameter / grid.spacing
    peak = 2 * pi * sigma**2
    grains[rng.integers(side, size=n), rng.integers(side, size=n)] = peak * rng.uniform(0.6, 1.1, n)
    return np.asarray(np.tanh(1.3 * cv2.GaussianBlur(grains, (0, 0), sigma)), np.float32)


def _draw_smudge(looks: Looks, inside: Field, grid: Grid, rng: np.random.Generator) -> tuple[Field, Field]:
    """A burst nucleus: pale streaming chromatin that thins outwards, no cytoplasm."""
    fine, side = grid.spacing, grid.side
    streaks = cut_noise(looks.grain, fine, side, rng)
    long = cv2.GaussianBlur(cut_noise(0.65, fine, side, rng), (0, 0), sigmaX=1.2 / fine, sigmaY=0.15 / fine)
    texture = looks.contrast * np.tanh(streaks) + 0.22 * np.tanh(1.5 * long / long.std())
    ragged = inside + 0.9 * cut_noise(1.6, fine, side, rng)
    np.minimum(ragged, inside + 0.3, out=ragged)
    cover = _soft(np.asarray(ragged - 0.2, np.float32), 1.2)
    chromatin = looks.chromatin * np.clip(1 + texture, 0.25, 1.9)
    dyes = np.zeros((side, side, len(DYES)), np.float32)
    dyes[..., 0] = chromatin
    dyes[..., 4] = 0.16 * np.clip(1 + texture, 0, 2)
    return dyes, cover


def _reduce(dyes: Field, cover: Field, outline: NDArray[np.float64], fine: float, spacing: float) -> CellDrawing:
    """Blur by the objective's point spread (sigma 0.17 um) and bring to the wanted spacing."""
    sigma = max(0.17, 0.4 * spacing) / fine
    dyes = np.asarray(cv2.GaussianBlur(dyes, (0, 0), sigma), np.float32)
    cover = np.asarray(cv2.GaussianBlur(cover, (0, 0), sigma), np.float32)
    if spacing > fine:
        scale = fine / spacing
        half = int(np.ceil(len(cover) * scale / 2))
        # the centre of the grid must stay the centre of the picture, whatever the ratio of the spacings
        shift = half - 0.5 - scale * (len(cover) / 2 - 0.5)
        matrix = np.array([[scale, 0, shift], [0, scale, shift]])
        size = (2 * half, 2 * half)
        if scale < 0.75:
            box = (round(1 / scale) | 1,) * 2
            dyes, cover = np.asarray(cv2.blur(dyes, box), np.float32), np.asarray(cv2.blur(cover, box), np.float32)
        halves = [np.ascontiguousarray(dyes[..., i : i + 3]) for i in (0, 3)]  # OpenCV takes four planes at most
        edges = cv2.BORDER_REPLICATE
        warped = [cv2.warpAffine(h, matrix, size, flags=cv2.INTER_LINEAR, borderMode=edges) for h in halves]
        dyes = np.asarray(np.concatenate(warped, axis=-1), np.float32)
        cover = np.asarray(cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    alpha = np.rint(255 * np.clip(cover, 0, 1)).astype(np.uint8)
    return CellDrawing(dyes.astype(np.float16), alpha, outline)
