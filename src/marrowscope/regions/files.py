"""Regions as GeoJSON: written for QuPath, read from QuPath or from anything else that draws polygons.

In memory every coordinate is a level-0 pixel of the slide's whole frame. QuPath shows only the scanned part of a slide
that says it has one (MRXS), so files count from the corner of :attr:`Slide.bounds`; for all other slides that is
``(0, 0)``.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon, mapping, shape

from marrowscope.errors import RegionError
from marrowscope.files import whole_file
from marrowscope.geometry import Box
from marrowscope.regions.region import Region, RegionFinding, areas_only
from marrowscope.slides.protocol import Slide

SCHEMA_VERSION = 1
GIVEN_NOTE = "regions were given; no particle was looked for"
COLOURS: dict[str, tuple[int, int, int]] = {
    "trail": (0, 150, 110),
    "smear": (0, 110, 190),
    "whole": (0, 110, 190),
    "given": (0, 110, 190),
    "particle": (255, 145, 0),
    "blood": (200, 30, 45),
}
"""RGB of a kind of region, in files and pictures."""
_OTHER = (90, 90, 90)

_OUTLINE = "Outline: "
"""Class prefix of what is shown but not counted; it survives editing in QuPath, which drops members unknown to it."""

_NAMESPACE = UUID("5f0c1a52-6d0e-5f43-9d0c-8f1b5f1f7a11")
_COUNTABLE = frozenset({"trail", "particle", "smear", "whole"})


def save_regions(finding: RegionFinding, path: Path, slide: Slide) -> None:
    """Write ``regions.geojson``: QuPath annotations with class, colour and measurements, equal for equal findings.

    Outlines are annotations of the class ``Outline: KIND``. The notes and the number of particles stand in a member
    ``marrowscope`` beside ``features``, which other programs skip. The file appears whole or not at all. Raises
    ``OutputError`` when it cannot be written.
    """
    features = [_feature(region, region.kind, slide) for region in finding.regions]
    features += [_feature(outline, _OUTLINE + outline.kind, slide) for outline in finding.outlines]
    document = {
        "type": "FeatureCollection",
        "features": features,
        "marrowscope": {
            "schema_version": SCHEMA_VERSION,
            "notes": list(finding.notes),
            "particles": finding.particles,
        },
    }
    with whole_file(path) as beside:
        beside.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")


def load_regions(path: Path, slide: Slide) -> RegionFinding:
    """Read the regions of a GeoJSON file (``.geojson``, ``.json``, gzipped or not) for one slide.

    Takes a FeatureCollection, a Feature, a bare list of features, or a bare (Multi)Polygon. Self-intersections are
    repaired, what lies outside the scanned part is clipped, overlap belongs to the region that comes first. A file of
    :func:`save_regions` gives back kinds, scores, outlines and notes; polygons from elsewhere are of kind ``given``
    with score 1, best-scored first. Detections and cells among the features are skipped.

    Raises ``RegionError`` when the file cannot be read, is no GeoJSON, has no polygon, or none on the slide.
    """
    return parse_regions(_read(path), path, slide)


def parse_regions(data: bytes, path: Path, slide: Slide) -> RegionFinding:
    """As :func:`load_regions`, of bytes that were read already; ``path`` is for words alone."""
    document = _parse_json(data, path)
    regions: list[Region] = []
    outlines: list[Region] = []
    drawn = _drawn(document, path, slide.bounds)
    for properties, placed in drawn:
        if placed.is_empty:
            continue
        class_name = _class_name(properties)
        if class_name.startswith(_OUTLINE):
            kind = class_name.removeprefix(_OUTLINE)
            outlines.append(Region(_name(properties, kind, outlines), placed, _score(properties), kind))
            continue
        kind = class_name if class_name in _COUNTABLE else "given"
        regions.append(Region(_name(properties, "region", regions), placed, _score(properties), kind))
    if not regions:
        if len(drawn) > len(outlines):
            raise _of_another_slide(path, slide)
        raise RegionError(f"{path} holds no polygon to count in; draw an annotation, or use --region auto or whole")
    own = document.get("marrowscope") if isinstance(document, dict) else None
    own = own if isinstance(own, dict) else {"notes": [GIVEN_NOTE]}
    particles = own.get("particles")
    return RegionFinding(
        regions=_disjoint(sorted(regions, key=lambda region: -region.score)),
        outlines=tuple(outlines),
        notes=tuple(map(str, own.get("notes") or ())),
        particles=particles if isinstance(particles, int) else None,
    )


def parse_areas(data: bytes, path: Path, bounds: Box) -> list[Polygon | MultiPolygon]:
    """The regions of the bytes of a file of :func:`save_regions` as areas, level-0 pixels, without the slide itself.

    ``path``: for words alone; ``bounds``: the scanned part of the slide. Raises ``RegionError`` when it is no GeoJSON.
    """
    drawn = _drawn(_parse_json(data, path), path, bounds)
    return [placed for words, placed in drawn if not (placed.is_empty or _class_name(words).startswith(_OUTLINE))]


def load_outlines(path: Path, slide: Slide) -> list[tuple[str, Polygon | MultiPolygon]]:
    """Every polygon annotation of a GeoJSON file with its class, in level-0 pixels of the slide; they may overlap.

    The class stands as it was written, ``""`` without one, and without the prefix ``Outline: `` of
    :func:`save_regions`. Repaired and clipped as by :func:`load_regions`; what lies off the slide is left out. Raises
    ``RegionError`` when the file cannot be read, is no GeoJSON, or all its polygons lie off the slide.
    """
    drawn = _drawn(_parse_json(_read(path), path), path, slide.bounds)
    found = [(_class_name(words).removeprefix(_OUTLINE), placed) for words, placed in drawn if not placed.is_empty]
    if drawn and not found:
        raise _of_another_slide(path, slide)
    return found


def _drawn(document: Any, path: Path, bounds: Box) -> list[tuple[dict[str, Any], Polygon | MultiPolygon]]:
    """Properties and area of every polygon annotation, in level-0 pixels, empty where it lies off the scanned part."""
    offset = bounds.x0, bounds.y0
    frame = shapely.box(bounds.x0, bounds.y0, bounds.x1, bounds.y1)
    found = []
    for feature in _features(document):
        geometry = _polygon(feature, path)
        if geometry is not None:
            placed = areas_only(shapely.intersection(shapely.transform(geometry, lambda xy: xy + offset), frame))
            found.append((feature.get("properties") or {}, placed))
    return found


def _of_another_slide(path: Path, slide: Slide) -> RegionError:
    size = f"{slide.size.width} x {slide.size.height} level-0 pixels"
    return RegionError(f"no polygon of {path} lies on this slide ({size}); is the file for another slide?")


def _disjoint(regions: list[Region]) -> tuple[Region, ...]:
    """Take from each region what an earlier one already covers, so that no cell is counted twice."""
    kept: list[Region] = []
    for region in regions:
        rest = region.polygon
        for earlier in kept:
            if rest.intersects(earlier.polygon):
                rest = areas_only(rest.difference(earlier.polygon))
        if not rest.is_empty:
            kept.append(replace(region, polygon=rest))
    return tuple(kept)


def _feature(region: Region, class_name: str, slide: Slide) -> dict[str, Any]:
    offset = slide.bounds.x0, slide.bounds.y0
    placed = shapely.set_precision(shapely.transform(region.polygon, lambda xy: xy - offset), 0.01)
    measurements = {"score": round(region.score, 4)}
    if slide.spacing is not None:
        measurements["area_mm2"] = round(slide.spacing.area_mm2(region.polygon.area), 6)
    return {
        "type": "Feature",
        "id": str(uuid5(_NAMESPACE, f"{class_name}/{region.name}/{placed.wkt}")),
        "geometry": mapping(placed),
        "properties": {
            "objectType": "annotation",
            "name": region.name,
            "classification": {"name": class_name, "color": list(COLOURS.get(region.kind, _OTHER))},
            "measurements": measurements,
        },
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _parse_json(data: bytes, path: Path) -> Any:
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:  # gzip's own error is an OSError
        raise _unreadable(path, error) from error
    if not data.strip():
        raise RegionError(f"{path} is empty; export the annotations as GeoJSON again")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RegionError(f"{path} is no GeoJSON ({error}); export the annotations as GeoJSON") from error


def _unreadable(path: Path, error: Exception) -> RegionError:
    return RegionError(f"cannot read the regions in {path}: {error}; give a GeoJSON file")


def _features(document: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every feature of a document, bare geometries wrapped as one; whatever is no GeoJSON yields nothing."""
    if isinstance(document, list):
        for item in document:
            yield from _features(item, depth + 1)
    elif isinstance(document, dict) and depth < 4:
        match document.get("type"):
            case "FeatureCollection":
                yield from _features(document.get("features"), depth + 1)
            case "Feature":
                yield document
            case "GeometryCollection":
                yield from _features(document.get("geometries"), depth + 1)
            case "Polygon" | "MultiPolygon":
                yield {"type": "Feature", "geometry": document}
            case _:
                return


def _polygon(feature: dict[str, Any], path: Path) -> Polygon | MultiPolygon | None:
    """The area that a feature encloses, repaired; None for points, lines, cells and detections."""
    geometry = feature.get("geometry")
    properties = feature.get("properties") or {}
    if properties.get("objectType", "annotation") != "annotation" or not isinstance(geometry, dict):
        return None
    if geometry.get("type") not in ("Polygon", "MultiPolygon", "GeometryCollection"):
        return None
    try:
        with np.errstate(invalid="ignore"):  # what is no number is refused below
            drawn = shapely.force_2d(shape(geometry))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, shapely.errors.GEOSException) as error:
        raise RegionError(f"{path} has a polygon that cannot be read ({error}); draw it again") from error
    if not np.isfinite(shapely.get_coordinates(drawn)).all():
        raise RegionError(f"{path} has a polygon with a coordinate that is no number; draw it again")
    area = areas_only(shapely.make_valid(drawn, method="structure", keep_collapsed=False))
    return None if area.is_empty else area


def _class_name(properties: dict[str, Any]) -> str:
    classification = properties.get("classification")
    return str(classification.get("name", "")) if isinstance(classification, dict) else ""


def _name(properties: dict[str, Any], kind: str, already: Iterable[Region]) -> str:
    """The name that the drawer gave, else ``KIND N``; made unique, since counting fields refer to it."""
    taken = {region.name for region in already}
    wanted = str(properties.get("name") or "").strip() or f"{kind} {len(taken) + 1}"
    return next(name for name in chain([wanted], (f"{wanted} ({i})" for i in count(2))) if name not in taken)


def _score(properties: dict[str, Any]) -> float:
    measurements = properties.get("measurements")
    score = measurements.get("score", 1.0) if isinstance(measurements, dict) else 1.0
    return min(1.0, max(0.0, float(score))) if isinstance(score, int | float) else 1.0
