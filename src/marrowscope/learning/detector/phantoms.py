"""The source of the ``phantom-16`` detector: rendered fields of every diagnosis, stain, density and difficulty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.errors import DataError
from marrowscope.geometry import Size
from marrowscope.learning.detector.augment import Variation, vary
from marrowscope.learning.detector.measuring import LabelledField
from marrowscope.phantom import FieldOptions, render_field
from marrowscope.phantom.diagnoses import DIAGNOSES

SPACING = 0.5
RENDERED_SPACING = 0.25
"""Fields are rendered as a scanner would store them and then averaged two by two, as the sampler reads a slide."""

SIDE = 256
FIRST_TRAINING_SEED, FIRST_VALIDATION_SEED, FIRST_TEST_SEED = 1_000_000, 2_000_000, 800_000

JUDGED_FIELDS = 40
JUDGED_SIDE = 512

_MILD = Variation(
    dye_scale=0.12,
    dye_leak=0.03,
    glass_colour=0.04,
    brightness=(0.9, 1.05),
    gamma=(0.9, 1.12),
    blur_px=(0.0, 0.6),
    noise=(0.0, 2.5),
    jpeg_quality=(75, 98),
    illumination=0.05,
)


class PhantomSource:
    """Tiles of rendered smears, mostly ``easy``; tile ``i`` is the field of seed ``first_seed + i``.

    ``variation`` is what three in five of them undergo; a cell of which less than ``least_visible`` is seen is no box.
    Fields are rendered ``finer`` (lowest, highest) times finer than :data:`RENDERED_SPACING` and averaged by the
    nearest whole number of pixels: 0.8 to 1.35 gives pixels of 0.40 to 0.63 um, so that cells differ in size.
    """

    def __init__(
        self,
        first_seed: int,
        *,
        variation: Variation = _MILD,
        finer: tuple[float, float] = (1.0, 1.0),
        least_visible: float = 0.5,
    ) -> None:
        if not FIRST_TRAINING_SEED <= first_seed < FIRST_VALIDATION_SEED:
            raise DataError(f"phantoms for training have seeds from 1,000,000 to 1,999,999; found {first_seed:,}")
        self._first_seed = first_seed
        self._variation, self._finer, self._least_visible = variation, finer, least_visible

    def tile(self, number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """A field of random diagnosis."""
        composition = str(rng.choice(["even", *DIAGNOSES], p=[0.3, *([0.7 / len(DIAGNOSES)] * len(DIAGNOSES))]))
        sparse = rng.random() < 0.12
        options = FieldOptions(
            composition=composition,
            difficulty="easy" if rng.random() < 0.75 else "paper",
            spacing=RENDERED_SPACING,
            density=float(rng.uniform(0, 150) if sparse else rng.uniform(500, 2400)),
        )
        if self._finer != (1.0, 1.0):
            options = replace(options, spacing=RENDERED_SPACING / rng.uniform(*self._finer))
        field = render(options, SIDE, seed=self._first_seed + number, least_visible=self._least_visible)
        pixels = vary(field.pixels, rng, self._variation) if rng.random() < 0.6 else field.pixels
        return pixels, field.boxes

    def validation(self) -> Sequence[LabelledField]:
        return _judged(FIRST_VALIDATION_SEED, "easy")

    def tests(self) -> dict[str, Sequence[LabelledField]]:
        return {
            f"phantom, {difficulty}, unseen seeds {FIRST_TEST_SEED} to {FIRST_TEST_SEED + JUDGED_FIELDS - 1}, random "
            "stains, all diagnoses; cells cut by the field's border ignored": _judged(FIRST_TEST_SEED, difficulty)
            for difficulty in ("easy", "paper")
        }

    def describe(self) -> str:
        return "fields of the phantom, three quarters easy and one quarter paper, all diagnoses and stains"


def open_phantoms(data: Path | None, seed: int) -> PhantomSource:
    """Needs no data. Raises :class:`DataError` for a seed that is kept for tests."""
    del data
    return PhantomSource(seed)


def render(options: FieldOptions, side: int, *, seed: int, least_visible: float) -> LabelledField:
    """A square field of ``side`` pixels at :data:`SPACING`; cells less visible than the bound are ``ignored``."""
    factor = round(SPACING / options.spacing)
    rendered = render_field(options, Size(side * factor, side * factor), seed=seed)
    pixels = np.asarray(cv2.resize(rendered.picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    boxes = rendered.cells.select("x0", "y0", "x1", "y1").to_numpy().reshape(-1, 4) / factor
    seen = rendered.cells["visible"].to_numpy() >= least_visible
    return LabelledField(pixels, boxes[seen].astype(np.float32), boxes[~seen].astype(np.float32))


def _judged(first_seed: int, difficulty: str) -> list[LabelledField]:
    names = list(DIAGNOSES)
    return [
        render(
            FieldOptions(composition=names[number % len(names)], difficulty=difficulty, spacing=RENDERED_SPACING),
            JUDGED_SIDE,
            seed=first_seed + number,
            least_visible=0.999,
        )
        for number in range(JUDGED_FIELDS)
    ]
