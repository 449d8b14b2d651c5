"""What lies where on a slide, seen at low power: smear, particles, peripheral blood, density of nucleated cells.

Legend: rasters are ``(rows, columns)`` at :data:`RASTER_UM` um per pixel, anchored to the slide's origin.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from marrowscope.geometry import Size
from marrowscope.regions.rasters import Mask, Raster, blur, close, drop_small, fill_small, parts
from marrowscope.regions.stain import Stain
from marrowscope.slides.protocol import Picture, Slide
from marrowscope.slides.sampling import Sampler

OVERVIEW_UM = 8.0
"""A red cell is one pixel: single nuclei still show as dark pixels, and a whole slide is a few megapixels."""

CELLULAR = 0.012
"""Share of the area that is nuclear matter, as the overview shows it, from which a smear is worth a closer look."""

_PARTICLE = 0.40
_STRIP_ROWS = 256


@dataclass(frozen=True, slots=True)
class Survey:
    """The parts of a smear. ``density``: green absorbance; ``nuclear``: share of the area that is nuclear matter."""

    stain: Stain
    density: Raster
    nuclear: Raster
    smear: Mask
    particles: Mask
    blood: Mask


def read_overview(slide: Slide) -> Picture:
    """The whole slide at :data:`OVERVIEW_UM`, read in strips so that a slide without small levels stays bounded."""
    sampler = Sampler(slide, OVERVIEW_UM)
    picture = np.empty((sampler.size.height, sampler.size.width, 3), np.uint8)
    for top in range(0, sampler.size.height, _STRIP_ROWS):
        rows = min(_STRIP_ROWS, sampler.size.height - top)
        picture[top : top + rows] = sampler.read(0, top, Size(sampler.size.width, rows))
    return picture


def survey(overview: Picture) -> Survey:
    """Tell the parts of a smear apart on an overview at :data:`OVERVIEW_UM`."""
    stain = Stain.of(overview, OVERVIEW_UM)
    density, nuclear = (_halve(raster) for raster in stain.measure(overview, 0.0, 0.0, OVERVIEW_UM))
    nuclear = np.maximum(nuclear, 0)
    smear = find_smear(density)
    particles = find_particles(nuclear) & smear
    return Survey(stain, density, nuclear, smear, particles, find_blood(nuclear, smear, particles))


def find_smear(density: Raster) -> Mask:
    """Where anything is stained: absorbance above 0.3 of the smear's own; specks and holes below 0.1 mm2 are gone."""
    smooth = blur(density, 40.0)
    stained = smooth[smooth > 0.03]
    if not stained.size:
        return np.zeros(density.shape, bool)
    mask = smooth > max(0.02, 0.3 * float(np.median(stained)))
    return drop_small(fill_small(mask, 0.1), 0.1)


def find_particles(nuclear: Raster) -> Mask:
    """Solid clumps of nuclear matter, their fat holes filled."""
    solid = blur(nuclear, 24.0) > _PARTICLE
    return drop_small(fill_small(close(drop_small(solid, 0.003), 64.0), 0.05), 0.015)


def find_blood(nuclear: Raster, smear: Mask, particles: Mask) -> Mask:
    """Smears of their own with hardly a nucleated cell, beside a smear that has them: the strip of peripheral blood."""
    pieces = [(piece, float(nuclear[piece].mean())) for piece in parts(close(smear, 80.0))]
    richest = max((mean for _, mean in pieces), default=0.0)
    blood = np.zeros_like(smear)
    for piece, mean in pieces:
        crowded = blur(nuclear, 64.0)[piece] > CELLULAR
        if mean < 0.25 * richest and crowded.mean() < 0.05 and not (particles & piece).any():
            blood |= piece & smear
    return blood


def _halve(raster: Raster) -> Raster:
    """From :data:`OVERVIEW_UM` to :data:`RASTER_UM`; an odd edge is repeated."""
    height, width = raster.shape
    even = cv2.copyMakeBorder(raster, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(even, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
