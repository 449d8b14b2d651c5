"""Stains: what colour each dye gives, and how the lamp and camera see it.

A stain is the colour that one unit of each dye (``drawing.DYES``) shows on a white field. Light is absorbed
exponentially (Beer-Lambert), so amounts of dye add in optical density: transmittance = exp(-amounts @ densities).
The named stains are set by eye after published plates (Bain 2022; ICSH reference method with azure B and
eosin Y, Br J Haematol 1984; 57: 707-710), not measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marrowscope.phantom.drawing import DYES

RGB = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Stain:
    """``densities (6, 3)``: optical density (natural log) of one unit of each dye; ``light``: RGB of empty glass."""

    name: str
    densities: NDArray[np.float32]
    light: NDArray[np.float32]
    plasma: NDArray[np.float32]
    """Transmittance of dried plasma, RGB."""


def _stain(name: str, colours: dict[str, RGB], light: RGB, plasma: RGB) -> Stain:
    densities = -np.log(np.array([colours[dye] for dye in DYES]) / 255.0)
    return Stain(
        name, densities.astype(np.float32), np.array(light, np.float32), np.array(plasma, np.float32) / np.float32(255)
    )


STAINS: dict[str, Stain] = {
    stain.name: stain
    for stain in (
        _stain(
            "may-gruenwald-giemsa",
            {
                "chromatin": (112, 52, 138), "basophilia": (118, 128, 205), "acidophilia": (232, 212, 226),
                "haemoglobin": (223, 186, 184), "azurophil": (150, 45, 120), "orange": (214, 118, 88),
            },
            light=(246, 243, 240), plasma=(243, 240, 247),
        ),
        _stain(
            "wright-giemsa",
            {
                "chromatin": (104, 44, 122), "basophilia": (108, 122, 192), "acidophilia": (238, 208, 216),
                "haemoglobin": (228, 184, 174), "azurophil": (158, 42, 108), "orange": (222, 112, 74),
            },
            light=(244, 240, 231), plasma=(246, 239, 243),
        ),
        _stain(
            "jenner-giemsa",
            {
                "chromatin": (92, 40, 128), "basophilia": (92, 104, 190), "acidophilia": (222, 200, 220),
                "haemoglobin": (200, 184, 188), "azurophil": (138, 48, 128), "orange": (204, 120, 98),
            },
            light=(226, 224, 236), plasma=(236, 236, 248),
        ),
        _stain(
            "rapid",
            {
                "chromatin": (76, 48, 148), "basophilia": (128, 142, 212), "acidophilia": (234, 214, 222),
                "haemoglobin": (218, 178, 170), "azurophil": (140, 58, 140), "orange": (212, 110, 92),
            },
            light=(240, 240, 240), plasma=(242, 242, 248),
        ),
        _stain(
            "liu",
            {
                "chromatin": (118, 60, 150), "basophilia": (112, 142, 214), "acidophilia": (238, 208, 222),
                "haemoglobin": (226, 178, 178), "azurophil": (160, 56, 134), "orange": (220, 120, 96),
            },
            light=(243, 244, 246), plasma=(244, 241, 248),
        ),
    )
}  # fmt: skip
"""Named stains. ``liu`` (Liu's stain of the cohort ``wang-2022``) is kept out of the mixture, see MIXED."""

MIXED: tuple[str, ...] = ("may-gruenwald-giemsa", "wright-giemsa", "jenner-giemsa", "rapid")
"""What ``random`` mixes. Never extended: packs were trained on it, and the same options give the same bytes."""

STAIN_NAMES: tuple[str, ...] = (*MIXED, "random")
"""The stains from which training draws."""


def make_stain(name: str, difficulty: str, rng: np.random.Generator) -> Stain:
    """The stain of one slide: a named one, or for ``random`` a mixture of MIXED, and in either case with the small
    changes from batch to batch (``paper``: larger ones). Raises ``KeyError`` for any other name.
    """
    spread = 2.0 if difficulty == "paper" else 1.0
    if name == "random":
        weights = rng.dirichlet(np.full(len(MIXED), 0.6))
        parts = [STAINS[part] for part in MIXED]
        densities = sum(w * s.densities for w, s in zip(weights, parts, strict=True))
        light = sum(w * s.light for w, s in zip(weights, parts, strict=True))
        plasma = sum(w * s.plasma for w, s in zip(weights, parts, strict=True))
        spread *= 1.4
    else:
        densities, light, plasma = STAINS[name].densities, STAINS[name].light, STAINS[name].plasma
    strength = rng.normal(1.0, 0.05 * spread)
    by_dye = rng.normal(1.0, 0.04 * spread, (len(DYES), 1))
    by_channel = rng.normal(1.0, 0.025 * spread, (1, 3))
    return Stain(
        name,
        (densities * np.clip(strength * by_dye * by_channel, 0.5, 1.8)).astype(np.float32),
        np.clip(light * rng.normal(1.0, 0.012 * spread, 3) * rng.normal(1.0, 0.012 * spread), 190, 253).astype(
            np.float32
        ),
        np.clip(plasma * rng.normal(1.0, 0.004 * spread, 3), 0.9, 1.0).astype(np.float32),
    )


def transmittance(dyes: NDArray[np.float16] | NDArray[np.float32], stain: Stain) -> NDArray[np.uint8]:
    """Colour ``(h, w, 3)`` of amounts of dye ``(h, w, 6)`` in white light, 0..255."""
    density = dyes.reshape(-1, len(DYES)).astype(np.float32) @ stain.densities
    return np.asarray(np.rint(255 * np.exp(-density)), np.uint8).reshape(*dyes.shape[:2], 3)
