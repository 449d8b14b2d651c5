"""QuPath GeoJSON, in and out.

Frame of the file: full-resolution pixels from the corner of the slide's bounds, since QuPath shows only the scanned
part of a slide that states one (MRXS); for all other slides that is level 0. Every object becomes its bounding box.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np
import shapely
from shapely.geometry import Polygon, mapping, shape

from marrowscope.annotations.drawn import Drawn, Row, boxes_of, slide_facts, told_facts
from marrowscope.annotations.table import Annotations, polygons_of
from marrowscope.errors import DataError
from marrowscope.files import whole_file
from marrowscope.slides import Slide
from marrowscope.taxonomy import CELL_TYPES

NAMESPACE = UUID("0c9d7a5e-58f1-5d3c-8a53-6b4e2f1d9c70")
AREA_CLASS = "complete"
"""Class of a polygon in which every cell is labelled; ``Complete area`` means the same."""

_OBJECTS = ("annotation", "detection", "cell")


def is_area(name: str) -> bool:
    """Whether a class claims that every cell in the polygon is labelled.

    QuPath's own ``Region*`` does not: it is where somebody works, and says nothing of what was left there.
    """
    return name.casefold() in (AREA_CLASS, f"{AREA_CLASS} area")


def features_of(document: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every feature of a GeoJSON document: a collection, one feature, or a bare list of them."""
    if isinstance(document, list) and depth < 4:
        for item in document:
            yield from features_of(item, depth + 1)
    elif isinstance(document, dict) and document.get("type") == "FeatureCollection":
        yield from features_of(document.get("features"), depth + 1)
    elif isinstance(document, dict) and document.get("type") == "Feature":
        yield document


def read_qupath(document: Any, path: Path, slide: Slide) -> Drawn:
    """Annotations, detections and cells with a class as boxes, polygons of the class ``complete`` as areas.

    Left out and said: objects without a class (no area is complete where they lie: they may be cells), ``Region*``,
    objects that enclose nothing (points, lines), TMA cores and tiles. Raises ``DataError`` for a damaged geometry.
    """
    rows: list[Row] = []
    holes: list[tuple[float, float, float, float]] = []
    areas: list[Polygon] = []
    left: Counter[str] = Counter()
    x, y = corner = slide.bounds.x0, slide.bounds.y0
    for place, feature in enumerate(features_of(document)):
        properties = feature.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        geometry = feature.get("geometry")
        name = _class_name(properties)
        kind = properties.get("objectType", "annotation")
        if kind not in _OBJECTS:
            left[f"of the kind {kind}"] += 1
        elif not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
            left["without an outline (points, lines)"] += 1
        elif name.casefold().startswith("region"):
            left[f"of the class {name} (no claim that every cell there is labelled; {AREA_CLASS} is one)"] += 1
        elif is_area(name):
            areas += [shapely.transform(part, lambda xy: xy + corner) for part in _area(geometry, place, path)]
        else:
            x0, y0, x1, y1 = _extent(geometry.get("coordinates"), place, path)
            box = x0 + x, y0 + y, x1 + x, y1 + y
            if not name:
                left["without a class"] += 1
                holes.append(box)
                continue
            own = feature.get("id", properties.get("id"))
            rows.append((None if own is None else str(own), name, *box))
    notes = tuple(f"objects {what} left out: {count}" for what, count in sorted(left.items()))
    told = document.get("marrowscope") if isinstance(document, dict) else None
    size, spacing = told_facts(told.get("slide") if isinstance(told, dict) else None)
    return Drawn(boxes_of(rows), tuple(areas), notes, size, spacing, tuple(holes))


def _class_name(properties: dict[str, Any]) -> str:
    """``classification`` as QuPath has written it over the years: an object with a name or names, or the name."""
    found = properties.get("classification")
    if isinstance(found, dict):
        names = found.get("names")
        found = found.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else "")
    return found.strip() if isinstance(found, str) else ""


def _extent(coordinates: Any, place: int, path: Path) -> tuple[float, float, float, float]:
    try:
        points = list(_points(coordinates))
        xy = np.array(points, np.float64)
    except (TypeError, ValueError, LookupError, RecursionError) as error:
        raise _damaged(place, path, error) from error
    if not len(xy) or not np.isfinite(xy).all():
        raise _damaged(place, path, "a coordinate is no number")
    (x0, y0), (x1, y1) = xy.min(axis=0).tolist(), xy.max(axis=0).tolist()
    return x0, y0, x1, y1


def _points(coordinates: Any) -> Iterator[tuple[Any, Any]]:
    """Rings of any depth as points; a height above sea level, which GeoJSON allows, is dropped."""
    if coordinates and isinstance(coordinates[0], int | float | str | None):
        yield coordinates[0], coordinates[1:2][0]
        return
    for part in coordinates:
        yield from _points(part)


def _area(geometry: dict[str, Any], place: int, path: Path) -> tuple[Polygon, ...]:
    _extent(geometry.get("coordinates"), place, path)
    try:
        drawn = shapely.force_2d(shape(geometry))
        return polygons_of(shapely.make_valid(drawn, method="structure", keep_collapsed=False))
    except (ValueError, TypeError, LookupError, AttributeError, shapely.errors.GEOSException) as error:
        raise _damaged(place, path, error) from error


def _damaged(place: int, path: Path, error: object) -> DataError:
    return DataError(f"{path}: the outline of object {place + 1} cannot be read ({error}); draw it again")


def write_qupath(annotations: Annotations, path: Path, slide: Slide, *, kind: str = "annotation") -> tuple[str, ...]:
    """Write objects for QuPath, gzipped when ``path`` ends with ``.gz``; what could not be written, in words (nothing).

    ``kind`` is ``annotation`` (can be edited there) or ``detection`` (many are shown faster). Coordinates to a
    thousandth of a pixel. An id that is no UUID becomes one, the same in every export of a slide of this name. Raises
    ``OutputError``.
    """
    x, y = slide.bounds.x0, slide.bounds.y0
    features = []
    for own, name, *corners in annotations.cells.iter_rows():
        x0, y0, x1, y1 = (round(v - o, 3) for v, o in zip(corners, (x, y, x, y), strict=True))
        ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        cell_type = CELL_TYPES[name]
        colour = [int(cell_type.colour[start : start + 2], 16) for start in (1, 3, 5)]
        features.append(_feature(_uuid(own, slide), geometry, kind, cell_type.title, colour))
    for place, area in enumerate(annotations.areas):
        placed = shapely.transform(area, lambda xy: np.round(xy - (x, y), 3))
        features.append(
            _feature(_uuid(f"area {place}", slide), mapping(placed), "annotation", AREA_CLASS, [90, 90, 90])
        )
    own_words = {"schema_version": 1, "slide": slide_facts(slide.name, slide.size, slide.spacing)}
    document = {"type": "FeatureCollection", "features": features, "marrowscope": own_words}
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    with whole_file(path) as beside:
        beside.write_bytes(gzip.compress(data, 3, mtime=0) if path.suffix == ".gz" else data + b"\n")
    return ()


def _feature(own: str, geometry: Any, kind: str, name: str, colour: list[int]) -> dict[str, Any]:
    classification = {"name": name, "color": colour}
    properties = {"objectType": kind, "classification": classification, "measurements": {}}
    return {"type": "Feature", "id": own, "geometry": geometry, "properties": properties}


def _uuid(own: str, slide: Slide) -> str:
    try:
        return str(UUID(own))
    except ValueError:
        return str(uuid5(NAMESPACE, f"{slide.name}/{own}"))
