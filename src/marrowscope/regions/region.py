"""A region: a polygon worth counting in."""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from shapely.geometry import MultiPolygon, Polygon


@dataclass(frozen=True, slots=True)
class Region:
    """One polygon worth counting in.

    ``polygon`` is in level-0 pixels; ``score`` in 0..1 ranks regions (well spread, in focus, near a particle);
    ``kind`` is ``trail`` (cellular trail beside a particle), ``particle``, ``smear`` (well spread, no particle seen),
    ``whole`` (a picture or a small slide) or ``given`` (from the user's file).
    """

    name: str
    polygon: Polygon | MultiPolygon
    score: float
    kind: str


@dataclass(frozen=True, slots=True)
class RegionFinding:
    """What the overview says about a slide: regions, best first, and what a reader must know about them.

    ``outlines`` are further polygons for the picture (``smear``, ``particle``, ``blood`` = excluded strip of
    peripheral blood); ``notes`` are quality notes in plain words ("no particle found").
    """

    regions: tuple[Region, ...]
    outlines: tuple[Region, ...] = ()
    notes: tuple[str, ...] = ()
    particles: int | None = None
    """Number of particles seen; None when nobody looked (whole picture, regions given)."""


def areas_only(geometry: shapely.Geometry) -> Polygon | MultiPolygon:
    """The polygons of a geometry of any kind, as one shape; lines and points are dropped."""
    parts = shapely.get_parts(shapely.get_parts(geometry))  # twice: a collection may hold multi-polygons
    polygons = [part for part in parts if isinstance(part, Polygon) and part.area > 0]
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)
