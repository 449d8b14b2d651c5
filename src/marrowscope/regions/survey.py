"""What lies where on a slide, seen at low power: smear, particles, peripheral blood, density of nucleated cells.

Legend: rasters are ``(rows, columns)`` at :data:`RASTER_UM` um per pixel, anchored to the slide's origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from marrowscope.geometry import Size
from marrowscope.regions.rasters import Mask, Raster, blur, close, drop_small, fill_small, grow, opened, parts
from marrowscope.regions.stain import INK, Stain
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.sampling import Sampler
from marrowscope.slides.spacing import require_spacing

OVERVIEW_UM = 8.0
"""A red cell is one pixel: single nuclei still show as dark pixels, and a whole slide is a few megapixels."""

CELLULAR = 0.006
"""Share of dark overview pixels from which a smear is worth a closer look; peripheral blood has 0.000 to 0.003."""

_DARK = 0.25
"""Nuclear matter that makes an overview pixel dark: a nucleus fills most of it. Counting dark pixels, not adding up
what they absorb, keeps out the haze of plasma and platelets and the errors of the glass."""

_SOLID, _LOOSE = 0.45, 0.34
_STRIP_ROWS = 256

_READ_PIXELS = 4096
"""Side of what is read at once, pixels of the level that is read: 50 MB however large the slide."""


@dataclass(frozen=True, slots=True)
class Survey:
    """The parts of a smear. ``density``: green absorbance; ``nuclear``: share of overview pixels that are nuclear."""

    stain: Stain
    density: Raster
    nuclear: Raster
    smear: Mask
    particles: Mask
    blood: Mask


def read_overview(slide: Slide) -> Picture:
    """The whole slide at :data:`OVERVIEW_UM`, read in squares so that a slide without small levels stays bounded."""
    sampler = Sampler(slide, OVERVIEW_UM)
    level0, downsample = require_spacing(slide), slide.levels[sampler.level].downsample
    finest = min(level0.x * downsample[0], level0.y * downsample[1])
    side = max(1, int(_READ_PIXELS * finest / OVERVIEW_UM))
    picture = np.empty((sampler.size.height, sampler.size.width, 3), np.uint8)
    for top in range(0, sampler.size.height, side):
        for left in range(0, sampler.size.width, side):
            part = picture[top : top + side, left : left + side]
            part[:] = sampler.read(left, top, Size(part.shape[1], part.shape[0]))
    return picture


def survey(overview: Picture, background: tuple[int, int, int]) -> Survey:
    """Tell the parts of a smear apart on an overview at :data:`OVERVIEW_UM`, unscanned parts in ``background``."""
    stain = Stain.of(overview, OVERVIEW_UM, background)
    red, density, nuclear = np.empty((3, -(-overview.shape[0] // 2), -(-overview.shape[1] // 2)), np.float32)
    for top in range(0, len(overview), _STRIP_ROWS):
        strip = stain.measure(overview[top : top + _STRIP_ROWS], 0.0, top * OVERVIEW_UM, OVERVIEW_UM)
        rows = slice(top // 2, (top + _STRIP_ROWS) // 2)
        red[rows], density[rows] = _halve(strip[0]), _halve(strip[1])
        nuclear[rows] = _halve((strip[2] > _DARK).astype(np.float32))
    smear = find_smear(density) & ~find_ink(red, density)
    particles = find_particles(nuclear) & smear
    return Survey(stain, density, nuclear, smear, particles, find_blood(density, nuclear, smear, particles))


def find_smear(density: Raster) -> Mask:
    """Where anything is stained; specks and holes of less than 0.2 mm2 are gone.

    A smear absorbs and it is rough, for it is made of cells; uneven light only seems to absorb. A thick smear may be
    smooth, but then it absorbs a lot.
    """
    smooth = blur(density, 40.0)
    rough = blur(np.abs(density - blur(density, 32.0)), 40.0)
    stained = smooth > 0.03
    if not stained.any():
        return stained
    usual = float(np.median(rough[stained]))
    mask = close((smooth > 0.02) & (rough > 0.35 * usual) | (smooth > 0.25), 48.0)
    return drop_small(fill_small(mask, 0.2), 0.2)


def find_ink(red: Raster, density: Raster) -> Mask:
    """Blue and green pen on the glass: it absorbs more red than green, unlike nuclei, and is smooth, unlike smears."""
    even = np.abs(density - blur(density, 16.0)) < 0.06 * density
    ink = (red > INK * density) & (density > 0.4)
    return grow(ink & grow(drop_small(ink & even, 0.01), 64.0), 48.0)


def find_particles(nuclear: Raster) -> Mask:
    """Clumps of nuclear matter with a solid heart, their fat holes filled."""
    solid = drop_small(blur(nuclear, 24.0) > _SOLID, 0.004)
    loose = (blur(nuclear, 16.0) > _LOOSE) & grow(solid, 80.0)
    return drop_small(fill_small(close(loose, 48.0), 0.05), 0.015)


def find_blood(density: Raster, nuclear: Raster, smear: Mask, particles: Mask) -> Mask:
    """The strip of peripheral blood: a smear of its own with hardly a nucleated cell, beside one that has them."""
    crowd = blur(nuclear, 64.0)
    well_stained = smear & (blur(density, 32.0) > 0.4 * float(np.median(density[smear]) if smear.any() else 0.0))
    pieces = parts(drop_small(opened(close(well_stained, 32.0), 64.0), 0.05))
    cellular = [float((piece.of(crowd) > CELLULAR).mean()) for piece in pieces]
    blood, marrow = np.zeros_like(smear), np.zeros_like(smear)
    for piece, share in zip(pieces, cellular, strict=True):
        strange = share < min(0.15, 0.25 * max(cellular)) and not piece.of(particles).any()
        (blood if strange else marrow)[piece.place] |= piece.mask
    return grow(blood, 120.0) & smear & ~grow(marrow, 64.0)


def _halve(raster: Raster) -> Raster:
    """From :data:`OVERVIEW_UM` to :data:`RASTER_UM`; an odd edge is repeated."""
    height, width = raster.shape
    even = cv2.copyMakeBorder(raster, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
