"""YOLO text, in and out: ``class x y width height`` a line, centre and size as shares of the picture.

Names of the class numbers stand in ``data.yaml`` (``names``, a list or a map) or ``classes.txt`` beside the file, in
its folder's parent or in that one's.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from marrowscope.annotations.coco import areas_lost
from marrowscope.annotations.drawn import Drawn, Row, boxes_of, number
from marrowscope.annotations.table import Annotations
from marrowscope.errors import DataError, OutputError
from marrowscope.files import whole_file
from marrowscope.geometry import Size
from marrowscope.slides import Slide
from marrowscope.taxonomy import CELL_TYPES

_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt")
_SLACK = 1e-4
"""Shares just beyond 0 and 1 are rounding; further ones are pixels, or another slide's."""


def read_yolo(text: str, path: Path, size: Size | None) -> Drawn:
    """Lines of boxes (a sixth number, the confidence, is dropped) or of outlines, for a picture of ``size`` pixels.

    Raises ``DataError`` without a size, without names, for an unknown class number, and for a value that is no share.
    """
    if size is None:
        raise DataError(f"{path} is YOLO, which counts in shares of the picture: give the slide with --slide")
    names, source = _class_names(path)
    rows: list[Row] = []
    for line, words in enumerate((line.split() for line in text.splitlines()), 1):
        if not words:
            continue
        where = f"line {line}"
        values = [number(word, where, path) for word in words]
        if len(values) not in (5, 6) and not (len(values) >= 7 and len(values) % 2):
            raise DataError(f"{path}: {where} has {len(values)} numbers, expected class x y width height")
        name = names.get(int(values[0])) if values[0].is_integer() else None
        if name is None:
            raise DataError(f"{path}: {where} has the class {words[0]}, {source.name} names {len(names)} from 0 on")
        if len(values) <= 6:
            x, y, width, height = values[1:5]
            corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        else:
            corners = min(values[1::2]), min(values[2::2]), max(values[1::2]), max(values[2::2])
        if any(not -_SLACK <= value <= 1 + _SLACK for value in values[1:5]):
            raise DataError(
                f"{path}: {where} has {' '.join(words[1:5])}, expected shares between 0 and 1; "
                "were they written in pixels?"
            )
        x0, y0, x1, y1 = (share * side for share, side in zip(corners, (*size, *size), strict=True))
        rows.append((None, name, x0, y0, x1, y1))
    return Drawn(boxes_of(rows))


def _class_names(path: Path) -> tuple[Mapping[int, str], Path]:
    folders = [path.parent, *list(path.resolve().parents)[1:3]]
    for file in (folder / name for folder in folders for name in _NAMES):
        if not file.is_file():
            continue
        try:
            text = file.read_text(encoding="utf-8-sig")
            if file.suffix == ".txt":
                return dict(enumerate(line.strip() for line in text.strip().splitlines())), file
            names = yaml.safe_load(text)["names"]
            pairs = names.items() if isinstance(names, dict) else enumerate(names)
            return {int(key): str(name) for key, name in pairs}, file
        except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
            raise DataError(
                f"{file} cannot be read as names of classes ({error}); write names: [blast, ...]"
            ) from error
    raise DataError(
        f"{path} is YOLO without names: put data.yaml (names: [blast, ...]) or classes.txt (one name a line) beside it"
    )


def write_yolo(annotations: Annotations, path: Path, slide: Slide) -> tuple[str, ...]:
    """Write the lines, and ``data.yaml`` beside them with every type of the taxonomy; what was lost, in words.

    The numbers of the classes are those of the taxonomy, so all slides of a folder share one ``data.yaml``. Shares have
    nine decimals: 0.0001 px of a slide of 100,000. Raises ``OutputError``, also for a ``data.yaml`` with other names.
    """
    numbers = {name: place for place, name in enumerate(CELL_TYPES)}
    words = yaml.safe_dump({"names": {place: name for name, place in numbers.items()}}, sort_keys=False)
    beside_it = path.with_name("data.yaml")
    if beside_it.exists():
        if _class_names(path)[0] != {place: name for name, place in numbers.items()}:
            raise OutputError(f"{beside_it} is there with other names of classes; choose another folder with -o")
    else:
        with whole_file(beside_it) as beside:
            beside.write_text(words, encoding="utf-8")
    width, height = slide.size
    lines = [
        f"{numbers[name]} {(x0 + x1) / 2 / width:.9f} {(y0 + y1) / 2 / height:.9f} "
        f"{(x1 - x0) / width:.9f} {(y1 - y0) / height:.9f}\n"
        for _, name, x0, y0, x1, y1 in annotations.cells.iter_rows()
    ]
    with whole_file(path) as beside:
        beside.write_text("".join(lines), encoding="utf-8")
    return areas_lost(annotations, "YOLO")
