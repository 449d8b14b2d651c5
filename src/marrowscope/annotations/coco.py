"""COCO JSON, in and out: ``bbox`` is ``[x, y, width, height]`` in continuous level-0 pixels of the whole frame."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from marrowscope.annotations.drawn import Drawn, Row, boxes_of, number, slide_facts, told_facts
from marrowscope.annotations.table import Annotations
from marrowscope.errors import DataError
from marrowscope.files import whole_file
from marrowscope.geometry import Size
from marrowscope.slides import Slide
from marrowscope.taxonomy import CELL_TYPES


def read_coco(document: dict[str, Any], path: Path, slide: Slide, *, by_name: bool = False) -> Drawn:
    """The boxes of one slide out of a COCO file; of several images the one whose file name is the slide's is taken.

    A single image is taken whatever its name, and it is said, unless ``by_name`` is set.

    A cell with polygons and no ``bbox`` becomes its bounding box; crowds (``iscrowd``) and run-length masks are left
    out and it is said. Raises ``DataError`` when there are no categories or images, when no image is the slide's, and
    for an annotation of an unknown category or without a box.
    """
    categories = {entry.get("id"): entry.get("name") for entry in _entries(document, "categories", path)}
    if not categories:
        raise DataError(
            f"{path} is COCO without categories: nobody can say what its category numbers mean; export it again with "
            'them: "categories": [{"id": 1, "name": "blast"}, ...]'
        )
    image, note = _image(_entries(document, "images", path), path, slide, by_name)
    rows: list[Row] = []
    left: Counter[str] = Counter()
    for entry in _entries(document, "annotations", path):
        if entry.get("image_id") != image.get("id"):
            continue
        own, category = entry.get("id"), entry.get("category_id")
        name = categories.get(category)
        if not isinstance(name, str):
            raise DataError(
                f"{path}: the annotation {own!r} has the category {category!r}, which is not among its categories "
                f"({', '.join(map(repr, categories))}); export it again"
            )
        if entry.get("iscrowd"):
            left["crowds"] += 1
            continue
        corners = _corners(entry, path)
        if corners is None:
            left["masks without a box"] += 1
            continue
        rows.append((None if own is None else str(own), name, *corners))
    notes = note + tuple(f"{what} left out: {count}" for what, count in sorted(left.items()))
    size = None
    if image.get("width") is not None and image.get("height") is not None:
        size = Size(int(number(image["width"], "width", path)), int(number(image["height"], "height", path)))
    return Drawn(boxes_of(rows), (), notes, size, told_facts(image.get("marrowscope"))[1])


def _entries(document: dict[str, Any], key: str, path: Path) -> list[dict[str, Any]]:
    found = document.get(key, [])
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise DataError(f'{path}: "{key}" is no list of objects, so this is no COCO file; export it again')
    return found


def _image(
    images: list[dict[str, Any]], path: Path, slide: Slide, by_name: bool
) -> tuple[dict[str, Any], tuple[str, ...]]:
    names = [PurePosixPath(str(image.get("file_name", "")).replace("\\", "/")) for image in images]
    whole = slide.path.name if slide.path is not None else slide.name
    named = list(zip(images, names, strict=True))
    fitting = [image for image, name in named if name.name == whole]
    fitting = fitting or [image for image, name in named if slide.name in (name.stem, name.name)]
    if len(fitting) == 1:
        return fitting[0], ()
    if len(images) == 1 and not by_name:
        return images[0], (f"the only image, {names[0]}, was taken for the slide {slide.name}",)
    told = ", ".join(str(name) for name in names[:10]) or "none"
    raise DataError(
        f"{path} has {len(images)} images ({told}), {len(fitting)} of them named {slide.name}; "
        'give the image of this slide the "file_name" of the slide'
    )


def _corners(entry: dict[str, Any], path: Path) -> tuple[float, float, float, float] | None:
    what = f"the box of annotation {entry.get('id')!r}"
    box, parts = entry.get("bbox"), entry.get("segmentation")
    if box:
        if not isinstance(box, list) or len(box) != 4:
            raise DataError(f"{path}: {what} is {box!r}, expected [x, y, width, height]; export it again")
        x, y, width, height = (number(value, what, path) for value in box)
        if width < 0 or height < 0:
            raise DataError(f"{path}: {what} has a negative size, {box!r}; export it as [x, y, width, height]")
        return x, y, x + width, y + height
    if isinstance(parts, list) and parts and all(isinstance(part, list) for part in parts):
        values = [number(value, what, path) for part in parts for value in part]
        if len(values) >= 6 and len(values) % 2 == 0:
            return min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2])
    if isinstance(parts, dict):
        return None
    raise DataError(f'{path}: annotation {entry.get("id")!r} has no "bbox" [x, y, width, height]; export it again')


def write_coco(annotations: Annotations, path: Path, slide: Slide) -> tuple[str, ...]:
    """Write a COCO file of one image whose categories are the types that occur; what it could not take, in words.

    Annotations are numbered from 1, as the format wants. Raises ``OutputError``.
    """
    present = set(annotations.cells["type"])
    types = {name: place for place, name in enumerate(CELL_TYPES, 1) if name in present}
    image = {
        "id": 1,
        "file_name": slide.path.name if slide.path is not None else slide.name,
        "width": slide.size.width,
        "height": slide.size.height,
        "marrowscope": slide_facts(slide.name, slide.size, slide.spacing),
    }
    entries = []
    for place, (_, name, x0, y0, x1, y1) in enumerate(annotations.cells.iter_rows(), 1):
        box = [round(x0, 3), round(y0, 3), round(x1 - x0, 3), round(y1 - y0, 3)]
        entry = {"id": place, "image_id": 1, "category_id": types[name], "bbox": box}
        entries.append(entry | {"area": round(box[2] * box[3], 3), "iscrowd": 0})
    categories = [{"id": place, "name": name} for name, place in types.items()]
    document = {"images": [image], "annotations": entries, "categories": categories}
    with whole_file(path) as beside:
        beside.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf-8")
    return areas_lost(annotations, "COCO")


def areas_lost(annotations: Annotations, what: str) -> tuple[str, ...]:
    """The note that a format has no place for areas of complete annotation."""
    number_of = len(annotations.areas)
    return (f"{what} has no place for areas of complete annotation: {number_of} left out",) if number_of else ()
