"""Crops for training: one random view of a cell as another scanner, stain or neighbourhood would have shown it.

Colours are changed where light is absorbed: with optical density ``d = -ln(I / 255)`` a change of stain is a matrix
on ``d`` (Beer-Lambert; Ruifrok & Johnston 2001), a change of lamp or white balance a gain on ``I``. Everything
depends on the given generator only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from marrowscope.learning.classifier.scenes import bare, glass_colour

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly views differ. Lengths in um; ``*_chance`` are probabilities; strengths are standard deviations.

    ``zoom`` bounds the random magnification; ``shift`` is the error of a detected centre along x and y;
    ``quarter_turns`` is the share of views that are only mirrored and turned by 90 degrees, hence not resampled.
    ``strong_chance`` is the share of views with a stain and a lamp as far from the usual as another laboratory's: the
    glass made neutral first, then changes up to ``strong_*``. ``grey_chance`` takes the colour away, ``coarse_chance``
    the resolution. Of cells whose mask is known, ``swap_chance`` puts into the surroundings of another cell,
    ``glass_chance`` on bare glass, ``crowd_chance`` among others that touch it (:mod:`.scenes`); ``neighbour_chance``
    sets one other beside a cell that got no crowd.
    """

    zoom: tuple[float, float] = (0.8, 1.25)
    shift: float = 0.6
    quarter_turns: float = 0.0
    density: float = 0.15
    stain: float = 0.06
    lamp: float = 0.06
    neutral_chance: float = 0.3
    strong_chance: float = 0.0
    strong_density: float = 0.4
    strong_stain: float = 0.25
    strong_lamp: float = 0.25
    grey_chance: float = 0.0
    haze_chance: float = 0.15
    blur_chance: float = 0.3
    blur: float = 0.35
    sharpen_chance: float = 0.1
    noise_chance: float = 0.2
    coarse_chance: float = 0.0
    jpeg_chance: float = 0.3
    bare_chance: float = 0.1
    swap_chance: float = 0.0
    glass_chance: float = 0.0
    crowd_chance: float = 0.0
    neighbour_chance: float = 0.0

    @property
    def moves_cells(self) -> bool:
        """Whether it needs to know which pixels are the cell."""
        return self.swap_chance + self.glass_chance + self.crowd_chance > 0

    def view(
        self, picture: Picture, from_spacing: float, spacing: float, crop: int, random: np.random.Generator
    ) -> Picture:
        """A view ``(crop, crop, 3)`` at ``spacing`` of a square picture with the cell in its middle."""
        view = self._cut(picture, from_spacing, spacing, crop, random)
        if random.random() < self.bare_chance:
            view = bare(view, half_side=random.uniform(7.0, 11.0) / spacing)
        view = self._stained(view, random)
        return self._scanned(view, spacing, random)

    def _cut(
        self, picture: Picture, from_spacing: float, spacing: float, crop: int, random: np.random.Generator
    ) -> Picture:
        shift = random.normal(0.0, self.shift, 2) if self.shift else np.zeros(2)
        if random.random() < self.quarter_turns:
            view = cut(picture, from_spacing, spacing, crop, tuple(np.round(shift / spacing) * spacing))
            view = np.rot90(view, int(random.integers(4)))
        else:
            zoom = float(np.exp(random.uniform(*np.log(self.zoom))))
            view = cut(picture, from_spacing, spacing, crop, tuple(shift), random.uniform(0, 2 * np.pi), zoom)
        return np.ascontiguousarray(view[:, ::-1] if random.random() < 0.5 else view)

    def _stained(self, view: Picture, random: np.random.Generator) -> Picture:
        light = (view.astype(np.float32) + 1.0) / 256.0
        glass = (glass_colour(view) / 256.0).astype(np.float32)
        strong = random.random() < self.strong_chance
        strength = random.uniform(0.3, 1.0) if strong else 1.0
        stain = strength * self.strong_stain if strong else self.stain
        lamp = strength * self.strong_lamp if strong else self.lamp
        if strong or random.random() < self.neutral_chance:
            white = random.uniform(0.75, 1.0) if strong else float(glass.max())
            light = np.minimum(light / glass, 1.0) * np.float32(white)
            glass[:] = white
        mixing = np.eye(3) + random.normal(0.0, stain, (3, 3))
        mixing *= np.exp(random.normal(0.0, self.strong_density if strong else self.density))
        density = np.maximum(cv2.transform(-np.log(light), mixing.astype(np.float32)), 0.0)
        if random.random() < self.grey_chance:
            density = np.repeat(density @ np.array([[0.2], [0.6], [0.2]], np.float32), 3, axis=2)
        light = np.exp(-density) * np.exp(random.normal(0.0, lamp, 3) + random.normal(0.0, min(lamp, 0.1)))
        if random.random() < self.haze_chance:
            light += random.uniform(0.0, 0.4) * (random.uniform(0.5, 1.0) * glass.max() - light)
        return cast(Picture, np.clip(light * 256.0 - 0.5, 0, 255).astype(np.uint8))

    def _scanned(self, view: Picture, spacing: float, random: np.random.Generator) -> Picture:
        if random.random() < self.coarse_chance:
            view = _coarse(view, random.uniform(0.35, 0.8))
        if random.random() < self.blur_chance:
            view = blurred(view, random.uniform(0.1, self.blur) / spacing)
        elif random.random() < self.sharpen_chance:
            view = cast(Picture, cv2.addWeighted(view, 1.6, blurred(view, 1.0), -0.6, 0.0))
        if random.random() < self.noise_chance:
            noisy = view + random.normal(0.0, random.uniform(1.0, 7.0), view.shape)
            view = np.clip(noisy, 0, 255).astype(np.uint8)
        if random.random() < self.jpeg_chance:
            _, coded = cv2.imencode(".jpg", view, (cv2.IMWRITE_JPEG_QUALITY, int(random.integers(35, 95))))
            view = cast(Picture, cv2.imdecode(coded, cv2.IMREAD_COLOR))
        return view


def cut(
    picture: Picture,
    from_spacing: float,
    spacing: float,
    crop: int,
    shift: tuple[float, ...] = (0.0, 0.0),
    angle: float = 0.0,
    zoom: float = 1.0,
) -> Picture:
    """``(crop, crop, 3)`` at ``spacing`` about the middle of a picture, moved by ``shift`` um, turned and magnified.

    What lies outside the picture is mirrored. When pixels shrink, the picture is smoothed first, against aliasing.
    """
    height, width = picture.shape[:2]
    step = spacing / from_spacing / zoom  # pixels of the picture per pixel of the crop
    if not angle and step == 1.0:
        x = (width - crop) / 2 + shift[0] / from_spacing
        y = (height - crop) / 2 + shift[1] / from_spacing
        x0, y0 = int(np.floor(x)), int(np.floor(y))
        if x0 >= 0 and y0 >= 0 and x0 + crop <= width and y0 + crop <= height:
            return picture[y0 : y0 + crop, x0 : x0 + crop]
    if step > 1.0:
        picture = blurred(picture, 0.5 * np.sqrt(step**2 - 1.0))
    cosine, sine = step * np.cos(angle), step * np.sin(angle)
    middle = (crop - 1) / 2
    x = (width - 1) / 2 + shift[0] / from_spacing
    y = (height - 1) / 2 + shift[1] / from_spacing
    to_picture = np.array(
        [
            [cosine, -sine, x - cosine * middle + sine * middle],
            [sine, cosine, y - sine * middle - cosine * middle],
        ]
    )
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cast(
        Picture, cv2.warpAffine(picture, to_picture, (crop, crop), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    )


def blurred(view: Picture, sigma: float) -> Picture:
    """Gaussian blur of ``sigma`` pixels."""
    return view if sigma < 0.05 else cast(Picture, cv2.GaussianBlur(view, (0, 0), sigma))


def _coarse(view: Picture, factor: float) -> Picture:
    """The view as a camera with ``factor`` times the pixels a um would have given it, magnified again."""
    side = len(view)
    coarse = cv2.resize(view, (max(16, round(side * factor)),) * 2, interpolation=cv2.INTER_AREA)
    return cast(Picture, cv2.resize(coarse, (side, side), interpolation=cv2.INTER_LINEAR))
