"""Pascal VOC XML, in and out.

Corners are continuous level-0 pixels of the whole frame, as labelImg and CVAT write them. (The first VOC sets counted
pixels from 1 and included the last: boxes of such a file lie up to one pixel off, which for a cell is nothing.)
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from marrowscope.annotations.coco import areas_lost
from marrowscope.annotations.drawn import Drawn, Row, boxes_of, number
from marrowscope.annotations.table import CORNERS, Annotations
from marrowscope.errors import DataError
from marrowscope.files import whole_file
from marrowscope.geometry import Size
from marrowscope.slides import Slide

_TAGS = dict(zip(CORNERS, ("xmin", "ymin", "xmax", "ymax"), strict=True))


def read_voc(data: bytes, path: Path) -> Drawn:
    """The objects of a VOC file as boxes. Raises ``DataError`` for a file that is none or has an object without box."""
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise DataError(f"{path} declares entities, which no VOC file needs and which can exhaust memory; remove them")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path} is no XML ({error}); export the annotations again") from error
    if root.tag != "annotation":
        raise DataError(f"{path} is XML with the root <{root.tag}>, expected <annotation> of Pascal VOC")
    rows: list[Row] = []
    for place, item in enumerate(root.iter("object"), 1):
        name, box = (item.findtext("name") or "").strip(), item.find("bndbox")
        if not name or box is None:
            raise DataError(f"{path}: object {place} has no {'<bndbox>' if name else '<name>'}; export it again")
        x0, y0, x1, y1 = (number(box.findtext(tag), f"{tag} of object {place}", path) for tag in _TAGS.values())
        rows.append((None, name, x0, y0, x1, y1))
    width, height = root.findtext("size/width"), root.findtext("size/height")
    if width is None or height is None:
        return Drawn(boxes_of(rows), (), ("the file states no size of its picture; it could not be compared",))
    size = Size(int(number(width, "width", path)), int(number(height, "height", path)))
    return Drawn(boxes_of(rows), (), (), size)


def write_voc(annotations: Annotations, path: Path, slide: Slide) -> tuple[str, ...]:
    """Write a VOC file, to a thousandth of a pixel; what it could not take, in words. Raises ``OutputError``."""
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = slide.path.name if slide.path is not None else slide.name
    size = ElementTree.SubElement(root, "size")
    for tag, value in (("width", slide.size.width), ("height", slide.size.height), ("depth", 3)):
        ElementTree.SubElement(size, tag).text = str(value)
    for row in annotations.cells.iter_rows(named=True):
        item = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(item, "name").text = row["type"]
        ElementTree.SubElement(item, "difficult").text = "0"
        box = ElementTree.SubElement(item, "bndbox")
        for corner, tag in _TAGS.items():
            ElementTree.SubElement(box, tag).text = f"{row[corner]:.3f}"
    ElementTree.indent(root)
    with whole_file(path) as beside:
        ElementTree.ElementTree(root).write(beside, encoding="utf-8", xml_declaration=True)
    return areas_lost(annotations, "Pascal VOC")
