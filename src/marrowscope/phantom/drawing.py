"""Draw one nucleated cell as amounts of dye, from its looks.

A cell is drawn on a square grid in um with its centre in the middle. Distances are signed, positive inside, so that a
membrane is one comparison and its softness one division. Nothing here knows a stain: the result says how much of
each dye lies where (``DYES``), and :mod:`marrowscope.phantom.stains` turns that into colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import cos, pi, radians, sin, sqrt

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.phantom.morphology import Looks
from marrowscope.phantom.textures import Field, cut_noise

DYES = ("chromatin", "basophilia", "acidophilia", "haemoglobin", "azurophil", "orange")
"""What is stained: nucleus, RNA of the cytoplasm, neutral granules, haemoglobin, azurophil and eosinophil granules."""

FINEST = 0.125
"""Um per pixel at which cells are drawn before they are reduced to a slide's spacing."""

SEGMENTED = 0.6
"""From this pinch on, lobes are apart and joined by threads only."""

ANGLES = 96
"""Directions in which an outline is kept."""


SECTORS = 1536
"""Directions in which the border of a cell is evaluated: steps far below a pixel, even for a megakaryocyte."""


@dataclass(frozen=True, slots=True)
class CellDrawing:
    """``dyes (h, w, 6)`` amounts; ``alpha (h, w)`` 0..1 cover; ``outline (96, 2)`` um from the picture's centre."""

    dyes: NDArray[np.float16]
    alpha: NDArray[np.uint8]
    outline: NDArray[np.float64]


def draw_cell(looks: Looks, spacing: float, rng: np.random.Generator) -> CellDrawing:
    """Draw one cell at ``spacing`` um per pixel."""
    fine = min(FINEST, spacing)
    radius = looks.diameter / 2
    profile = _outline(looks, radius, rng)
    reach = float(profile.max()) + 0.8
    side = 8 * int(np.ceil(2 * reach / fine / 8))
    x, y, r, sector = _grid(side, fine)
    inside = _between(profile)[sector] - r
    if looks.nucleus == "smear":
        dyes, cover = _draw_smudge(looks, fine, inside, side, rng)
    else:
        dyes, cover = _draw_whole_cell(looks, fine, radius, inside, (x, y), rng)
    angles = np.arange(ANGLES) * (2 * pi / ANGLES)
    if looks.nucleus == "smear":
        profile = np.zeros(ANGLES)
        np.maximum.at(profile, sector[cover > 0.5] * ANGLES // SECTORS, r[cover > 0.5])
    outline = np.stack([profile * np.cos(angles), profile * np.sin(angles)], axis=1)
    return _reduce(dyes, cover, outline, fine, spacing)


def _outline(looks: Looks, radius: float, rng: np.random.Generator) -> NDArray[np.float64]:
    angles = np.arange(ANGLES) * (2 * pi / ANGLES)
    shape = np.zeros(ANGLES)
    for k in range(2, 8):
        shape += rng.normal(0.0, looks.ragged / sqrt(k / 2)) * np.cos(k * angles + rng.uniform(0, 2 * pi))
    axis = rng.uniform(0, pi)
    a, b = sqrt(looks.oval), 1 / sqrt(looks.oval)
    ellipse = a * b / np.sqrt((b * np.cos(angles - axis)) ** 2 + (a * np.sin(angles - axis)) ** 2)
    profile: NDArray[np.float64] = radius * ellipse * (1 + np.clip(shape, -0.22, 0.22))
    return profile


@lru_cache(maxsize=64)
def _grid(side: int, spacing: float) -> tuple[Field, Field, Field, NDArray[np.int64]]:
    axis = ((np.arange(side) + 0.5 - side / 2) * spacing).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    sector = np.rint(np.arctan2(y, x) * (SECTORS / (2 * pi))).astype(np.int64) % SECTORS
    return x, y, np.hypot(x, y), sector


def _between(profile: NDArray[np.float64]) -> Field:
    """The border in all ``SECTORS`` directions."""
    fine = np.interp(np.arange(SECTORS) * (ANGLES / SECTORS), np.arange(ANGLES + 1), np.append(profile, profile[0]))
    return fine.astype(np.float32)


def _soft(distance: Field, width: float) -> Field:
    """0 outside, 1 inside, over ``width`` um."""
    edge: Field = np.clip(distance / width + 0.5, 0.0, 1.0)
    return edge


def _curved_nucleus(looks: Looks, radius: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Discs ``(n, 3)`` x, y, radius along a bent centre line, and half the width; the area is the wanted share."""
    area = looks.nuclear_share * pi * radius**2
    length = max(looks.nucleus_length, 0.0)
    lobes = max(1, round(looks.lobes))
    if lobes > 1 and looks.pinch > SEGMENTED:
        return _segments(area, lobes, radians(looks.bend), looks.pinch, rng)
    half_width = sqrt(area / (pi + 4 * length))
    line = 2 * half_width * length
    n = 1 if length < 0.02 else int(np.clip(6 + 5 * length, 6, 40))
    t = np.linspace(-0.5, 0.5, n) if n > 1 else np.zeros(1)
    bend = radians(max(looks.bend, 1.0))
    curve = line / bend
    px, py = curve * np.sin(bend * t), curve * (np.cos(bend * t) - 1)
    width = half_width * (1 - max(0.0, looks.pinch) * np.cos(pi * lobes * t) ** 2)
    px, py = px - px.mean(), py - py.mean()
    return np.stack([px, py, width], axis=1), half_width


def _segments(
    area: float, lobes: int, bend: float, pinch: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], float]:
    """Round lobes in a bow, joined by threads."""
    lobe = sqrt(area / (pi * lobes * 1.12))
    pitch = lobe * (1.5 + 0.75 * pinch)
    curve = pitch * (lobes - 1) / max(bend, 0.1)
    angles = bend * (np.arange(lobes) / (lobes - 1) - 0.5)
    at = np.stack([curve * np.sin(angles), curve * (np.cos(angles) - 1)], axis=1) + rng.normal(
        0, 0.14 * lobe, (lobes, 2)
    )
    sizes = lobe * rng.uniform(0.88, 1.1, lobes)
    discs = [np.column_stack([at, sizes])]
    for i in range(lobes):  # a second disc makes each lobe a little longer than wide
        lean = rng.uniform(0, 2 * pi)
        discs.append(np.array([[*(at[i] + 0.35 * lobe * np.array([cos(lean), sin(lean)])), 0.8 * sizes[i]]]))
    for a, b in zip(at[:-1], at[1:], strict=True):
        share = np.linspace(0, 1, 9)[:, None]
        discs.append(np.column_stack([a + share * (b - a), np.full(9, max(0.28, 0.9 * (1 - pinch) * lobe))]))
    points = np.concatenate(discs)
    points[:, :2] -= at.mean(axis=0)
    return points, lobe


def _cluster_nucleus(looks: Looks, radius: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """A megakaryocyte's nucleus: overlapping lobes round a ring or in a heap."""
    lobes = max(4, round(looks.lobes))
    lobe = sqrt(looks.nuclear_share / lobes * 1.25) * radius
    angles = np.sort(rng.uniform(0, 2 * pi, lobes)) * 0.3 + np.linspace(0, 2 * pi, lobes, endpoint=False)
    ring = lobe * rng.uniform(0.75, 1.25, lobes) * max(1.0, lobes / 5)
    return np.stack([ring * np.cos(angles), ring * np.sin(angles), lobe * rng.uniform(0.8, 1.15, lobes)], axis=1), lobe


def _plates_nucleus(looks: Looks, radius: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """A dividing cell: one plate of chromosomes (metaphase) or two (anaphase), ragged."""
    area = looks.nuclear_share * pi * radius**2
    plates = 2 if rng.random() < 0.5 else 1
    thick = sqrt(area / (plates * 4 * 2.4)) * (1.15 if plates == 1 else 0.95)
    length = area / plates / (2 * thick)
    apart = rng.uniform(0.36, 0.46) * radius if plates == 2 else 0.0
    discs = []
    for plate in range(plates):
        for s in np.linspace(-0.5, 0.5, 16):
            dx = (2 * plate - 1) * apart + rng.normal(0, 0.3)
            discs.append((dx, s * length + rng.normal(0, 0.15), thick * rng.uniform(0.6, 1.1) * (1 - 0.5 * abs(s))))
    return np.array(discs), thick


_BUILDERS = {"curved": _curved_nucleus, "cluster": _cluster_nucleus, "plates": _plates_nucleus}


def _place_nucleus(
    looks: Looks, radius: float, inside: Field, xy: tuple[Field, Field], fine: float, rng: np.random.Generator
) -> tuple[Field, Field, float, tuple[float, float]]:
    """Signed distance to the nucleus, local depth 0..1, half width, and where the nucleus' centre is."""
    discs, half_width = _BUILDERS[looks.nucleus](looks, radius, rng)
    turn = rng.uniform(0, 2 * pi)
    cx, cy = discs[:, 0] * cos(turn) - discs[:, 1] * sin(turn), discs[:, 0] * sin(turn) + discs[:, 1] * cos(turn)
    extent = float(np.max(np.hypot(cx, cy) + discs[:, 2]))
    away = looks.eccentricity * max(0.0, radius - extent - 0.25)
    direction = rng.uniform(0, 2 * pi)
    ox, oy = away * cos(direction), away * sin(direction)
    x, y = xy
    distance = np.full(x.shape, -1e3, np.float32)
    for px, py, width in zip(cx + ox, cy + oy, discs[:, 2], strict=True):
        np.maximum(distance, np.float32(width) - np.hypot(x - np.float32(px), y - np.float32(py)), out=distance)
    wobble = {"plates": 0.45, "cluster": 0.5}.get(looks.nucleus, (0.05 if looks.lobes < 2 else 0.11) * half_width)
    distance += np.float32(wobble) * cut_noise(0.65 if looks.nucleus == "plates" else 3.0, fine, len(x), rng)
    np.minimum(distance, inside - np.float32(0.3), out=distance)
    return distance, np.clip(distance / half_width, 0, 1), half_width, (ox, oy)


def _draw_whole_cell(
    looks: Looks, fine: float, radius: float, inside: Field, xy: tuple[Field, Field], rng: np.random.Generator
) -> tuple[Field, Field]:
    side = len(inside)
    x, y = xy
    distance, depth, half_width, (ox, oy) = _place_nucleus(looks, radius, inside, xy, fine, rng)
    nucleus = _soft(distance, 0.35)
    grain = cut_noise(looks.grain, fine, side, rng)
    clumps = np.tanh(1.6 * grain) * looks.contrast
    membrane = np.exp(-((distance - 0.25) ** 2) / 0.12) * (0.12 + 0.4 * looks.contrast)
    chromatin = looks.chromatin * (0.9 + 0.1 * np.sqrt(depth) + clumps + membrane)
    if looks.nucleus == "plates":
        chromatin = looks.chromatin * (1 + clumps)
    basophil_nucleus = np.zeros_like(chromatin)
    for _ in range(round(looks.nucleoli)):
        spot = _nucleolus(looks, half_width, (ox, oy), xy, rng)
        chromatin *= 1 + looks.nucleolus_tone * spot
        basophil_nucleus += 0.35 * spot * abs(looks.nucleolus_tone)

    edge = np.exp(-np.maximum(inside, 0) / (0.14 * radius))
    cloud = cut_noise(1.6, fine, side, rng) * 0.09 + cut_noise(0.45, fine, side, rng) * 0.07
    cytoplasm = 1 + cloud
    hof = np.zeros_like(inside)
    if looks.hof > 0:
        # the clear zone lies on the side of the nucleus that faces the bulk of the cytoplasm
        back = max(float(np.hypot(ox, oy)), 1e-3)
        hx, hy = ox - ox / back * half_width * 1.05, oy - oy / back * half_width * 1.05
        hof = looks.hof * np.exp(-((x - hx) ** 2 + (y - hy) ** 2) / (2 * (0.2 * radius) ** 2))
    blue = looks.basophilia * cytoplasm * (1 + looks.rim * (2 * edge - 0.35)) * (1 - 0.8 * hof)
    pink = looks.acidophilia * cytoplasm * (1 - 0.2 * hof)
    haemoglobin = looks.haemoglobin * (1 + 0.5 * cloud)
    azurophil = _granules(looks.azurophil, looks.granule, fine, side, rng) * (1 - 0.7 * hof)
    orange = _granules(looks.orange, looks.granule, fine, side, rng)
    dark = _granules(looks.dark_granules, looks.granule, fine, side, rng)

    holes = np.zeros_like(inside)
    for _ in range(round(looks.vacuoles)):
        angle, away = rng.uniform(0, 2 * pi), radius * sqrt(rng.uniform(0.05, 0.85))
        size = rng.uniform(0.7, 1.2) * looks.vacuole / 2
        gap = np.hypot(x - away * cos(angle), y - away * sin(angle))
        holes = np.maximum(holes, _soft(size - gap, 0.4))
    outside = 1 - nucleus
    clear = outside * (1 - 0.85 * holes)
    over = outside + nucleus * looks.granules_on_nucleus
    dyes = np.stack(
        [
            chromatin * nucleus + 1.05 * dark * over,
            blue * clear + basophil_nucleus * nucleus + 0.5 * dark * over,
            pink * clear,
            haemoglobin * clear,
            azurophil * over * (1 - 0.85 * holes * outside),
            orange * over,
        ],
        axis=-1,
    )
    return dyes.astype(np.float32), _soft(inside, 0.4)


def _nucleolus(
    looks: Looks, half_width: float, centre: tuple[float, float], xy: tuple[Field, Field], rng: np.random.Generator
) -> Field:
    angle, away = rng.uniform(0, 2 * pi), half_width * 0.65 * sqrt(rng.random())
    gap = np.hypot(xy[0] - (centre[0] + away * cos(angle)), xy[1] - (centre[1] + away * sin(angle)))
    return _soft((looks.nucleolus / 2 * rng.uniform(0.85, 1.15) - gap).astype(np.float32), 0.5)


def _granules(per_um2: float, diameter: float, fine: float, side: int, rng: np.random.Generator) -> Field:
    """Amount of dye in round granules of one size, thrown at random; peaks are 1, crowding saturates."""
    grains = np.zeros((side, side), np.float32)
    if per_um2 <= 0:
        return grains
    n = rng.poisson(per_um2 * (side * fine) ** 2)
    sigma = 0.36 * diameter / fine
    peak = 2 * pi * sigma**2
    grains[rng.integers(side, size=n), rng.integers(side, size=n)] = peak * rng.uniform(0.6, 1.1, n)
    spread: Field = np.tanh(1.3 * cv2.GaussianBlur(grains, (0, 0), sigma))
    return spread


def _draw_smudge(looks: Looks, fine: float, inside: Field, side: int, rng: np.random.Generator) -> tuple[Field, Field]:
    """A burst nucleus: pale streaming chromatin that thins outwards, no cytoplasm."""
    streaks = cut_noise(looks.grain, fine, side, rng)
    long = cv2.GaussianBlur(cut_noise(0.65, fine, side, rng), (0, 0), sigmaX=1.2 / fine, sigmaY=0.15 / fine)
    texture = looks.contrast * np.tanh(streaks) + 0.22 * np.tanh(1.5 * long / long.std())
    ragged = inside + 0.9 * cut_noise(1.6, fine, side, rng)
    np.minimum(ragged, inside + 0.3, out=ragged)
    cover = _soft(ragged - 0.2, 1.2)
    chromatin = looks.chromatin * np.clip(1 + texture, 0.25, 1.9)
    dyes = np.zeros((side, side, len(DYES)), np.float32)
    dyes[..., 0] = chromatin
    dyes[..., 4] = 0.16 * np.clip(1 + texture, 0, 2)
    return dyes, cover


def _reduce(dyes: Field, cover: Field, outline: NDArray[np.float64], fine: float, spacing: float) -> CellDrawing:
    """Blur by the objective's point spread (sigma 0.17 um) and bring to the wanted spacing."""
    sigma = max(0.17, 0.4 * spacing) / fine
    dyes, cover = cv2.GaussianBlur(dyes, (0, 0), sigma), cv2.GaussianBlur(cover, (0, 0), sigma)
    if spacing > fine:
        scale = fine / spacing
        half = int(np.ceil(len(cover) * scale / 2))
        # the centre of the grid must stay the centre of the picture, whatever the ratio of the spacings
        shift = half - 0.5 - scale * (len(cover) / 2 - 0.5)
        matrix = np.array([[scale, 0, shift], [0, scale, shift]])
        size = (2 * half, 2 * half)
        if scale < 0.75:
            box = (round(1 / scale) | 1,) * 2
            dyes, cover = cv2.blur(dyes, box), cv2.blur(cover, box)
        planes = [
            cv2.warpAffine(np.ascontiguousarray(dyes[..., i : i + 3]), matrix, size, flags=cv2.INTER_LINEAR,
                           borderMode=cv2.BORDER_REPLICATE)
            for i in (0, 3)
        ]  # fmt: skip
        dyes = np.concatenate(planes, axis=-1)
        cover = cv2.warpAffine(cover, matrix, size, flags=cv2.INTER_LINEAR)
    alpha = np.rint(255 * np.clip(cover, 0, 1)).astype(np.uint8)
    return CellDrawing(dyes.astype(np.float16), alpha, outline)
