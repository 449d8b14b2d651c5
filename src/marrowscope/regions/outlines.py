"""From rasters to polygons: few corners, valid, in level-0 pixels."""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon

from marrowscope.geometry import Spacing
from marrowscope.regions.rasters import RASTER_UM, Part
from marrowscope.regions.region import areas_only
from marrowscope.slides.protocol import Slide

_SMOOTH_UM = 30.0
_HOLE_MM2 = 0.01


def outline(part: Part, slide: Slide, spacing: Spacing, smooth_um: float = _SMOOTH_UM) -> Polygon | MultiPolygon:
    """The area of a part of a raster, rounded and simplified, inside the scanned part of the slide.

    Holes below 0.01 mm2 are filled. Empty when nothing is left.
    """
    padded = np.pad(part.mask, 1).astype(np.uint8)
    contours, hierarchy = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    corner = np.array([part.column, part.row]) - 0.5  # a pixel's centre, less the pixel of padding
    shells: list[shapely.Geometry] = []
    holes: list[shapely.Geometry] = []
    for contour, (_, _, _, parent) in zip(contours, [] if hierarchy is None else hierarchy[0], strict=True):
        if len(contour) >= 3:
            ring = shapely.make_valid(Polygon((contour[:, 0, :] + corner) * RASTER_UM))
            (shells if parent < 0 else holes).append(ring)
    # Contours run through the centres of the mask's pixels: half a pixel out for shells, half a pixel in for holes.
    half = RASTER_UM / 2
    um: shapely.Geometry = shapely.buffer(shapely.union_all(shells), half, join_style="mitre")
    um = shapely.difference(um, shapely.buffer(shapely.union_all(holes), -half, join_style="mitre"))
    for step in (-smooth_um, 2 * smooth_um, -smooth_um):
        um = shapely.buffer(um, step)
    um = shapely.simplify(um, 4.0)
    scale = np.array([1 / spacing.x, 1 / spacing.y])
    bounds = slide.bounds
    frame = shapely.box(bounds.x0, bounds.y0, bounds.x1, bounds.y1)
    placed = areas_only(shapely.make_valid(shapely.transform(um, lambda xy: xy * scale)).intersection(frame))
    least = _HOLE_MM2 * 1e6 / (spacing.x * spacing.y)
    kept = [
        Polygon(polygon.exterior, [ring for ring in polygon.interiors if Polygon(ring).area >= least])
        for polygon in shapely.get_parts(placed)
    ]
    return areas_only(shapely.union_all(kept))
