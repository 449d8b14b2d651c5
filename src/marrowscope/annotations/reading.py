"""Any file of annotations as :class:`Annotations` of one slide: recognised by content, checked, every skip said."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import shapely

from marrowscope.annotations.coco import read_coco
from marrowscope.annotations.drawn import Drawn, told_facts
from marrowscope.annotations.naming import IGNORE, ClassMap, unknown_classes
from marrowscope.annotations.qupath import features_of, read_qupath
from marrowscope.annotations.table import (
    ANNOTATION_SCHEMA,
    CORNERS,
    Annotations,
    boxes_said,
    polygons_of,
    read_annotations,
    within,
)
from marrowscope.annotations.voc import read_voc
from marrowscope.annotations.yolo import read_yolo
from marrowscope.errors import DataError, SpacingError
from marrowscope.geometry import Size, Spacing
from marrowscope.phantom.truth import SCHEMA as TRUTH_SCHEMA
from marrowscope.phantom.truth import TRUTH_ENDING, read_truth
from marrowscope.slides import Slide, open_slide

ENDINGS = (".geojson", ".geojson.gz", ".json", ".xml", ".txt", ".labels.parquet", ".parquet", TRUTH_ENDING)
"""In a folder the annotations of a slide are ``NAME`` with one of these, the first that is there."""

CELL_UM = (4.0, 60.0)
"""Between these lies the median size of annotated cells, um; outside, the spacing is wrong."""

USUAL_UM = 14.0
"""A usual cell of the marrow, um: names the spacing that would fit."""

_NO_RULER = ("platelet", "megakaryocyte", "osteoclast", "artefact")
"""Types whose size says nothing about the spacing."""

_SAME = 0.02
"""Two spacings that differ by less are the same."""

_EXPECTED = (
    "expected QuPath GeoJSON, COCO JSON, Pascal VOC XML, YOLO text, a Parquet table of marrowscope or the truth of a "
    "phantom"
)


@dataclass(frozen=True, slots=True)
class _Content:
    """``form`` is parquet, voc, coco, qupath, phantom or yolo; ``body`` its bytes, document or text."""

    form: str
    body: Any = None


def check_spacing(path: Path, spacing: float | None, *, believe: bool = False) -> tuple[str, ...]:
    """Whether the slide may be opened with ``spacing`` (um per pixel), which is for one that states none.

    Raises ``SpacingError`` when the slide states another one, unless ``believe`` is set, and then it is noted: boxes
    cut at a wrong spacing would be learnt, or judged, without anyone noticing.
    """
    if spacing is None:
        return ()
    with open_slide(path) as slide:
        own = slide.spacing
    if own is None or same_spacing(own, Spacing.square(spacing)):
        return ()
    if not believe:
        raise SpacingError(
            f"{path.name} states {own.x:g} um per pixel, --spacing says {spacing:g}: leave --spacing out, or add "
            "--believe-spacing if the slide is known to be wrong"
        )
    return (f"{spacing:g} um per pixel was believed (--believe-spacing), the slide states {own.x:g}",)


def format_of(path: Path) -> str:
    """``qupath``, ``coco``, ``voc``, ``yolo``, ``parquet`` or ``phantom`` (a truth), by content.

    Raises ``DataError`` for anything else.
    """
    return _open(path).form


def read_for_slide(
    path: Path,
    slide: Slide,
    classes: ClassMap | None = None,
    *,
    skip_unknown: bool = False,
    by_name: bool = False,
) -> Annotations:
    """The annotations of ``slide`` in a file of any known format, in level-0 pixels and names of the taxonomy.

    The truth of a phantom is complete but inside its particles, where cells are drawn indistinct.

    ``classes`` holds a laboratory's own words; ``by_name`` takes an image of a COCO file only if it bears the slide's
    name, even where it is the only one. Notes say what was left out, clipped or could not be checked. Raises
    ``DataError`` when the file cannot be read, has unknown classes (unless ``skip_unknown``), belongs to a picture of
    another size or spacing, gives one id to two cells or two types to one box, or when its cells have an impossible
    size.
    """
    content = _open(path)
    match content.form:
        case "parquet":
            found, size, spacing = _stored(path)
        case "phantom":
            found, size, spacing = _truth(path)
        case form:
            drawn = _drawn(form, content.body, path, slide, by_name)
            found, size, spacing = (
                _understood(drawn, path, classes or ClassMap(), skip_unknown),
                drawn.size,
                drawn.spacing,
            )
    _compare(size, spacing, path, slide)
    everything, found = found, within(found, slide.size)
    if len(everything) and not len(found):
        raise DataError(
            f"{path}: none of its {len(everything)} boxes lies on {slide.name} ({slide.size.width} x "
            f"{slide.size.height} px); is the file for another slide?"
        )
    if slide.spacing is None:
        return found.said("the slide states no spacing: the size of its cells could not be checked")
    check_cell_size(found, slide.spacing, path.name)
    return found


def _open(path: Path) -> _Content:
    try:
        data = path.read_bytes()
        if data[:4] == b"PAR1":
            return _Content("parquet")
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; {_EXPECTED}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); {_EXPECTED}") from error
    except UnicodeDecodeError as error:
        if data.lstrip()[:1] == b"<":
            return _Content("voc", data)  # XML says its own encoding
        raise DataError(f"{path} is no text; {_EXPECTED}") from error
    start = text.lstrip()[:1]
    if not start:
        raise DataError(f"{path} is empty; export the annotations again")
    if start == "<":
        return _Content("voc", data)
    if start in "{[":
        return _json(text, path)
    words = text.split()
    if all(_is_number(word) for word in words):
        return _Content("yolo", text)
    raise DataError(f"{path} begins with {words[0][:30]!r} and is neither JSON nor XML nor numbers; {_EXPECTED}")


def _json(text: str, path: Path) -> _Content:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error}); export the annotations again") from error
    if isinstance(document, dict) and ("images" in document or "categories" in document):
        return _Content("coco", document)
    if isinstance(document, dict) and document.get("schema") == TRUTH_SCHEMA:
        return _Content("phantom")
    collection = isinstance(document, dict) and document.get("type") == "FeatureCollection"
    if collection or next(features_of(document), None) is not None:
        return _Content("qupath", document)
    raise DataError(f"{path} is JSON, but neither GeoJSON features nor COCO; {_EXPECTED}")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _drawn(form: str, body: Any, path: Path, slide: Slide, by_name: bool) -> Drawn:
    match form:
        case "qupath":
            return read_qupath(body, path, slide)
        case "coco":
            return read_coco(body, path, slide, by_name=by_name)
        case "voc":
            return read_voc(body, path)
        case _:
            return read_yolo(body, path, slide.size)


def _stored(path: Path) -> tuple[Annotations, Size | None, Spacing | None]:
    stored = read_annotations(path)
    return stored.annotations, *told_facts(stored.slide)


def _truth(path: Path) -> tuple[Annotations, Size, None]:
    """Its boxes are level-0 pixels whatever spacing is believed, so none is compared."""
    truth = read_truth(path)
    cells = truth.cells.with_row_index("id").select(pl.col(n).cast(t) for n, t in ANNOTATION_SCHEMA.items())
    outside = shapely.box(0, 0, *truth.size).difference(shapely.union_all(truth.particles))
    return Annotations(cells, polygons_of(outside), truth.notes), truth.size, None


def _understood(drawn: Drawn, path: Path, classes: ClassMap, skip_unknown: bool) -> Annotations:
    """Words become types; what cannot be a cell is left out, and it is said."""
    notes = list(drawn.notes)
    boxes = drawn.boxes
    if (turned := boxes.filter((pl.col("x1") < pl.col("x0")) | (pl.col("y1") < pl.col("y0")))).height:
        raise DataError(
            f"{path}: {turned.height} boxes end before they begin, the first: {turned.row(0)}; export again"
        )
    counts = boxes.group_by("name", maintain_order=True).len().rows()
    types = {name: classes.find(name) for name, _ in counts}
    unknown = [(name, count) for name, count in counts if types[name] is None]
    if unknown and not skip_unknown:
        raise unknown_classes(unknown, path)
    for words, left in (("unknown", unknown), ("ignored", [row for row in counts if types[row[0]] == IGNORE])):
        for name, count in left:
            notes.append(boxes_said(count, f"of the {words} class {name!r}", "left out"))
    # What objects without a known class were drawn round may be cells, and these have no label.
    lost = boxes.filter(pl.col("name").is_in([name for name, _ in unknown])).select(CORNERS)
    holes = shapely.union_all([shapely.box(*corners) for corners in (*drawn.holes, *lost.iter_rows())])
    areas = tuple(part for area in drawn.areas for part in polygons_of(area.difference(holes)))
    if drawn.areas and not areas:
        notes.append("no area of complete annotation is left: objects without a known class cover them all")
    kept = {name: found for name, found in types.items() if found not in (None, IGNORE)}
    boxes = boxes.filter(pl.col("name").is_in(list(kept))).with_columns(
        pl.col("name").replace_strict(kept, return_dtype=pl.String).alias("type")
    )
    solid = boxes.filter((pl.col("x1") > pl.col("x0")) & (pl.col("y1") > pl.col("y0")))
    if flat := boxes.height - solid.height:
        notes.append(boxes_said(flat, "of zero area", "left out"))
    once = solid.unique(["type", *CORNERS], keep="first", maintain_order=True)
    if same := solid.height - once.height:
        notes.append(boxes_said(same, "given more than once", "kept once"))
    for columns, what in (
        (["id"], "the id {} is given to two different cells"),
        (list(CORNERS), "two types are given to the box {}"),
    ):
        twice = once.drop_nulls(columns).filter(pl.struct(columns).is_duplicated())
        if twice.height:
            shown = ", ".join(str(value) for value in twice.select(columns).row(0))
            rest = f" ({twice.height} boxes are like that)" if twice.height > 2 else ""
            kinds = " and ".join(dict.fromkeys(twice["type"].head(2)))
            raise DataError(f"{path}: {what.format(shown)}, {kinds}{rest}; correct the file")
    numbered = once.with_row_index("place").with_columns(
        pl.col("id").fill_null(pl.format("object-{}", pl.col("place") + 1))
    )
    return Annotations(numbered.select("id", "type", *CORNERS), areas, tuple(notes))


def _compare(size: Size | None, spacing: Spacing | None, path: Path, slide: Slide) -> None:
    if size is not None and size != slide.size:
        raise DataError(
            f"{path} belongs to a picture of {size.width} x {size.height} px, {slide.name} has {slide.size.width} x "
            f"{slide.size.height}: give the slide that was annotated, at its full size"
        )
    own = slide.spacing
    if spacing is not None and own is not None and not same_spacing(spacing, own):
        raise DataError(
            f"{path} was made at {spacing.x:g} um per pixel, {slide.name} is opened with {own.x:g}: one of them is "
            f"wrong; give the true one with --spacing {spacing.x:g} (and --believe-spacing where the slide states "
            "another), or import the annotations again"
        )


def same_spacing(one: Spacing, other: Spacing) -> bool:
    """Whether two spacings agree within 2 %, scanners' rounding."""
    return all(abs(a / b - 1) <= _SAME for a, b in ((one.x, other.x), (one.y, other.y)))


def check_cell_size(annotations: Annotations, spacing: Spacing, name: str) -> None:
    """Raise ``DataError`` when the median cell is smaller or larger (um) than any cell: the spacing is wrong then.

    Size is the root of the box's area. Platelets, megakaryocytes, osteoclasts and artefacts are not asked.
    """
    cells = annotations.cells.filter(~pl.col("type").is_in(_NO_RULER))
    if not cells.height:
        return
    pixels = cells.select(((pl.col("x1") - pl.col("x0")) * (pl.col("y1") - pl.col("y0"))).sqrt().median()).item()
    um, (low, high) = pixels * spacing.mean, CELL_UM
    if not low <= um <= high:
        raise DataError(
            f"{name}: the median box is {pixels:.0f} px = {um:.3g} um at {spacing.mean:.3g} um per pixel, and no cell "
            f"of the marrow is that {'small' if um < low else 'large'} (expected {low:g} to {high:g} um). Either the "
            f"boxes are those of another picture, or the spacing is wrong: one of about {USUAL_UM / pixels:.2g} would "
            f"fit, if that is true give --spacing {USUAL_UM / pixels:.2g} (and --believe-spacing where the slide "
            "states another)"
        )
