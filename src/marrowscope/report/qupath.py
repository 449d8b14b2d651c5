"""Checking a GeoJSON file of detections against what QuPath asks for."""

from __future__ import annotations

import gzip
import json
import zlib
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import UUID

from marrowscope.geometry import Size

_TOLD = 20
"""So many faults are listed; a file with more is wrong throughout."""


def check_qupath_geojson(path: Path, size: Size | None = None) -> list[str]:
    """Faults of a ``.geojson`` or ``.geojson.gz`` file of detections, in words; empty when QuPath will take it.

    With ``size``, level-0 pixels of what QuPath shows of the slide, boxes that lie wholly outside are faults too. The
    file is read whole.
    """
    try:
        data = path.read_bytes()
        document = json.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        return [f"{path.name} cannot be read as JSON: {error}"]
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        return ["the document is no FeatureCollection"]
    features = document.get("features")
    if not isinstance(features, list):
        return ["the FeatureCollection has no list of features"]
    faults: list[str] = []
    seen: set[str] = set()
    for place, feature in enumerate(features):
        found = _feature_faults(feature, size) if isinstance(feature, dict) else ["is no object"]
        name = feature.get("id") if isinstance(feature, dict) else None
        if isinstance(name, str):
            if name in seen:
                found.append(f"has the id {name} of an earlier one")
            seen.add(name)
        faults += [f"feature {place} {fault}" for fault in found]
        if len(faults) > _TOLD:
            return [*faults[:_TOLD], "there are more"]
    return faults


def _feature_faults(feature: dict[str, Any], size: Size | None) -> list[str]:
    faults = [] if feature.get("type") == "Feature" else ["is no Feature"]
    try:
        UUID(feature.get("id"))
    except (TypeError, ValueError, AttributeError):
        faults.append(f"has no UUID as id, but {feature.get('id')!r}")
    faults += _geometry_faults(feature.get("geometry"), size)
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        return [*faults, "has no properties"]
    if properties.get("objectType") != "detection":
        faults.append(f"has the objectType {properties.get('objectType')!r}, not 'detection'")
    classification = properties.get("classification")
    if not isinstance(classification, dict):
        return [*faults, "has no classification"]
    name, colour = classification.get("name"), classification.get("color")
    if not isinstance(name, str) or not name:
        faults.append("has a classification without a name")
    if not (isinstance(colour, list) and len(colour) == 3 and all(_is_byte(part) for part in colour)):
        faults.append(f"has a classification whose color is no [r, g, b] of 0..255, but {colour!r}")
    measurements = properties.get("measurements", {})
    if not isinstance(measurements, dict):
        return [*faults, "has measurements that are no object"]
    faults += [
        f"has the measurement {key} = {value!r}, no number"
        for key, value in measurements.items()
        if not _is_number(value)
    ]
    return faults


def _geometry_faults(geometry: Any, size: Size | None) -> list[str]:
    if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return ["has no polygon"]
    coordinates = geometry.get("coordinates")
    polygons = [coordinates] if geometry["type"] == "Polygon" else coordinates
    if (
        not isinstance(polygons, list)
        or not polygons
        or not all(isinstance(rings, list) and rings for rings in polygons)
    ):
        return ["has a polygon without rings"]
    faults = []
    for ring in (ring for rings in polygons for ring in rings):
        if not isinstance(ring, list) or not all(_is_point(point) for point in ring):
            faults.append("has a ring that is no list of points")
        elif len(ring) < 4 or ring[0] != ring[-1]:
            faults.append("has a ring that is not closed")
        elif size is not None and not _touches(ring, size):
            faults.append("lies outside the slide")
    return faults


def _touches(ring: list[list[float]], size: Size) -> bool:
    xs, ys = zip(*ring, strict=True)
    return bool(max(xs) > 0 and max(ys) > 0 and min(xs) < size.width and min(ys) < size.height)


def _is_point(point: Any) -> bool:
    return isinstance(point, list) and len(point) == 2 and all(_is_number(value) for value in point)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _is_byte(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255
