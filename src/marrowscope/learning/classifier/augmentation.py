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

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How strongly views differ. Lengths in um; ``*_chance`` are probabilities; strengths are standard deviations.

    ``zoom`` bounds the random magnification; ``shift`` is the error of a detected centre along x and y;
    ``quarter_turns`` is the share of views that are only mirrored and turned by 90 degrees, hence not resampled.
    """

    zoom: tuple[float, float] = (0.8, 1.25)
    shift: float = 0.6
    quarter_turns: float = 0.0
    density: float = 0.15
    stain: float = 0.06
    lamp: float = 0.06
    neutral_chance: float = 0.3
    haze_chance: float = 0.15
    blur_chance: float = 0.3
    blur: float = 0.35
    sharpen_chance: float = 0.1
    noise_chance: float = 0.2
    jpeg_chance: float = 0.3
    bare_chance: float = 0.1
    neighbour_chance: float = 0.0

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
        background = np.percentile(light[::4, ::4].reshape(-1, 3), 95, axis=0).astype(np.float32)
        if random.random() < self.neutral_chance:
            light = light / background * background.max()
        mixing = np.eye(3) + random.normal(0.0, self.stain, (3, 3))
        mixing *= np.exp(random.normal(0.0, self.density))
        density = cv2.transform(-np.log(light), mixing.astype(np.float32))
        light = np.exp(-density) * np.exp(random.normal(0.0, self.lamp, 3) + random.normal(0.0, self.lamp))
        if random.random() < self.haze_chance:
            light += random.uniform(0.0, 0.4) * (random.uniform(0.5, 1.0) * background.max() - light)
        return cast(Picture, np.clip(light * 256.0 - 0.5, 0, 255).astype(np.uint8))

    def _scanned(self, view: Picture, spacing: float, random: np.random.Generator) -> Picture:
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


def bare(view: Picture, half_side: float) -> Picture:
    """The view with everything farther than ``half_side`` pixels from its middle painted in its background colour."""
    crop = len(view)
    low, high = max(0, round(crop / 2 - half_side)), min(crop, round(crop / 2 + half_side))
    out = np.empty_like(view)
    out[:] = np.percentile(view[::4, ::4].reshape(-1, 3), 95, axis=0)
    out[low:high, low:high] = view[low:high, low:high]
    return out


def beside(view: Picture, neighbour: Picture, distance: float, angle: float) -> Picture:
    """The view with another cell ``distance`` pixels away, as darkest of both: cells of dense marrow touch.

    The neighbour's background must be about that of the view.
    """
    move = np.array([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]], np.float32)
    moved = cv2.warpAffine(neighbour, move, view.shape[1::-1], borderMode=cv2.BORDER_CONSTANT, borderValue=(255,) * 3)
    return np.minimum(view, moved)
