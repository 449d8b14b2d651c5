"""QuPath, COCO, Pascal VOC and YOLO: what is written comes back, and what programs write is understood."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import numpy as np
import polars as pl
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st

from marrowscope.annotations import ANNOTATION_SCHEMA, Annotations, read_annotations
from marrowscope.annotations.coco import write_coco
from marrowscope.annotations.naming import ClassMap
from marrowscope.annotations.qupath import write_qupath
from marrowscope.annotations.reading import format_of, read_for_slide
from marrowscope.annotations.table import CORNERS
from marrowscope.annotations.voc import write_voc
from marrowscope.annotations.yolo import read_yolo, write_yolo
from marrowscope.errors import DataError, OutputError
from marrowscope.geometry import Box
from marrowscope.report.qupath import check_qupath_geojson
from marrowscope.slides import MemorySlide
from marrowscope.taxonomy import CELL_TYPES

WRITERS: dict[str, Callable[..., tuple[str, ...]]] = {
    "s.geojson": write_qupath,
    "s.geojson.gz": write_qupath,
    "s.json": write_coco,
    "s.xml": write_voc,
    "s.txt": write_yolo,
}
FORMS = dict(zip(WRITERS, ("qupath", "qupath", "coco", "voc", "yolo"), strict=True))


def slide_of(width: int = 3000, height: int = 2000, bounds: Box | None = None) -> MemorySlide:
    slide = MemorySlide(np.zeros((height, width, 3), np.uint8), 0.25, name="smear")
    if bounds is not None:
        slide.bounds = bounds
    return slide


SLIDE = slide_of()
SCANNED = slide_of(bounds=Box(100, 40, 2900, 1960))


def eighths(low: int, high: int) -> st.SearchStrategy[float]:
    """Places in steps of 1/8 px: finer ones would be the same box in a file of thousandths."""
    return st.integers(low * 8, high * 8).map(lambda steps: steps / 8)


cell = st.tuples(
    st.sampled_from(sorted(CELL_TYPES)), eighths(0, 2800), eighths(0, 1800), eighths(30, 150), eighths(30, 150)
)


@settings(max_examples=40)
@given(st.lists(cell, min_size=1, max_size=6, unique_by=lambda one: one[1:3]), st.sampled_from(sorted(WRITERS)))
@example([("artefact", 0.0, 0.0, 72.875, 30.0)], "s.txt")  # its digits put it a millionth outside
def test_round_trip(cells: list[tuple[str, float, float, float, float]], name: str) -> None:
    rows = [(f"c{i}", kind, x, y, x + w, y + h) for i, (kind, x, y, w, h) in enumerate(cells)]
    made = Annotations(pl.DataFrame(rows, schema=ANNOTATION_SCHEMA, orient="row"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        assert WRITERS[name](made, path, SCANNED) == ()
        assert format_of(path) == FORMS[name]
        found = read_for_slide(path, SCANNED)
    assert found.notes in ((), ("the only image, smear, was taken for the slide smear",))
    assert found.cells["type"].to_list() == made.cells["type"].to_list()
    np.testing.assert_allclose(found.cells.select(CORNERS), made.cells.select(CORNERS), atol=0.01)


def small(*rows: tuple[str, str, float, float, float, float]) -> Annotations:
    rows = rows or (("a", "blast", 200, 100, 260, 160),)
    return Annotations(pl.DataFrame(list(rows), schema=ANNOTATION_SCHEMA, orient="row"))


def test_qupath_takes_what_is_written(tmp_path: Path) -> None:
    own = "5f0c1a52-6d0e-4f43-9d0c-8f1b5f1f7a11"
    made = small((own, "blast", 200, 100, 260, 160), ("b", "lymphocyte", 300, 100, 340, 140))
    path = tmp_path / "s.geojson"
    write_qupath(made, path, SCANNED, kind="detection")
    assert check_qupath_geojson(path) == []
    first, second = json.loads(path.read_text())["features"]
    assert first["geometry"]["coordinates"][0][0] == [100, 60]  # from the corner of what was scanned
    assert first["properties"]["classification"] == {"name": "Blast", "color": [214, 39, 40]}
    assert (first["id"], UUID(second["id"]).version) == (own, 5)
    write_qupath(made, tmp_path / "edit.geojson", SCANNED)
    kinds = {f["properties"]["objectType"] for f in json.loads((tmp_path / "edit.geojson").read_text())["features"]}
    assert kinds == {"annotation"}
    assert read_for_slide(path, SCANNED).cells.equals(read_for_slide(tmp_path / "edit.geojson", SCANNED).cells)


def test_areas_of_complete_annotation(tmp_path: Path) -> None:
    area = shapely.box(150, 50, 900, 700)
    made = Annotations(small().cells, (area,))
    write_qupath(made, tmp_path / "s.geojson", SCANNED, kind="detection")
    found = read_for_slide(tmp_path / "s.geojson", SCANNED)
    assert found.areas[0].equals(area)
    assert len(found) == 1
    for name, writer in (("s.json", write_coco), ("s.xml", write_voc), ("s.txt", write_yolo)):
        assert "1 left out" in writer(made, tmp_path / name, SLIDE)[0]


def feature(name: object, geometry: object, kind: str | None = "annotation", own: str | None = None) -> dict:
    classification = {"name": name} if isinstance(name, str) else name
    properties = {"classification": classification} | ({} if kind is None else {"objectType": kind})
    return {"type": "Feature", "id": own, "geometry": geometry, "properties": properties}


def ring(x: float, y: float, side: float = 60) -> dict:
    points = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    return {"type": "Polygon", "coordinates": [points]}


def test_what_qupath_draws(tmp_path: Path) -> None:
    """Outlines, cells with a nucleus, points, regions, objects without a class, in the spellings of years."""
    circle = shapely.Point(500, 500).buffer(30)
    features = [
        feature("Blast", json.loads(shapely.to_geojson(circle))),
        feature({"names": ["Band neutrophil"], "color": [1, 2, 3]}, ring(100, 100), "cell"),
        feature("lymphocyte ", ring(700, 100), None),
        feature("NGS", {"type": "MultiPolygon", "coordinates": [ring(20, 900)["coordinates"]]}, "detection"),
        feature("Region*", ring(0, 0, 1500)),
        feature("Complete area", ring(0, 0, 1500)),
        feature(None, ring(5, 5)),
        feature("Blast", {"type": "Point", "coordinates": [3, 4]}),
        feature("Ignore*", ring(900, 900)),
        feature("Blast", ring(0, 0), "tmaCore"),
    ]
    path = tmp_path / "s.geojson.gz"
    path.write_bytes(gzip.compress(json.dumps(features).encode()))
    found = read_for_slide(path, SLIDE)
    assert found.cells.drop("id").rows() == [
        ("blast", pytest.approx(470), pytest.approx(470), pytest.approx(530), pytest.approx(530)),
        ("band_neutrophil", 100, 100, 160, 160),
        ("lymphocyte", 700, 100, 760, 160),
        ("segmented_neutrophil", 20, 900, 80, 960),
    ]
    (area,) = found.areas  # Region* claims nothing; what has no class may be a cell
    assert area.equals(shapely.box(0, 0, 1500, 1500) - shapely.box(5, 5, 65, 65))
    assert found.notes == (
        "objects of the class Region* (no claim that every cell there is labelled; complete is one) left out: 1",
        "objects of the kind tmaCore left out: 1",
        "objects without a class left out: 1",
        "objects without an outline (points, lines) left out: 1",
        "1 box of the ignored class 'Ignore*' was left out",
    )


@pytest.mark.parametrize(
    "geometry",
    [
        ring(float("nan"), 0),
        {"type": "Polygon"},
        {"type": "Polygon", "coordinates": []},
        {"type": "Polygon", "coordinates": [[[1]]]},
        {"type": "Polygon", "coordinates": {"a": 1}},
        {"type": "Polygon", "coordinates": [[["a", "b"], ["c", "d"]]]},
        {"type": "Polygon", "coordinates": [[[1, None], [3, 4], [1, None]]]},
    ],
)
@pytest.mark.parametrize("name", ["Blast", "complete"])
def test_damaged_outlines(geometry: dict, name: str, tmp_path: Path) -> None:
    path = tmp_path / "s.geojson"
    path.write_text(json.dumps(feature(name, geometry)))
    with pytest.raises(DataError, match="outline of object 1 cannot be read"):
        read_for_slide(path, SLIDE)


def coco(**changes: object) -> dict:
    image = {"id": 3, "file_name": "folder/smear.svs", "width": 3000, "height": 2000}
    box = {"id": 1, "image_id": 3, "category_id": 7, "bbox": [10, 20, 60, 50]}
    return {"images": [image], "annotations": [box], "categories": [{"id": 7, "name": "Blast"}]} | changes


def test_coco_of_other_programs(tmp_path: Path) -> None:
    other = {"id": 4, "file_name": "other.svs", "width": 10, "height": 10}
    outline = {"id": 2, "image_id": 3, "category_id": 7, "segmentation": [[100, 100, 160, 110, 150, 170]]}
    crowd = {"id": 3, "image_id": 3, "category_id": 7, "bbox": [1, 1, 9, 9], "iscrowd": 1}
    masked = {"id": 4, "image_id": 3, "category_id": 7, "segmentation": {"counts": "x", "size": [1, 1]}}
    elsewhere = {"id": 5, "image_id": 4, "category_id": 7, "bbox": [1, 1, 9, 9]}
    entries = [*coco()["annotations"], outline, crowd, masked, elsewhere]
    path = tmp_path / "all.json"
    path.write_text(json.dumps(coco(images=[*coco()["images"], other], annotations=entries)))
    found = read_for_slide(path, SLIDE)
    assert found.cells.rows() == [("1", "blast", 10, 20, 70, 70), ("2", "blast", 100, 100, 160, 170)]
    assert found.notes == ("crowds left out: 1", "masks without a box left out: 1")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"categories": []}, "COCO without categories"),
        ({"images": []}, "has 0 images"),
        (
            {"images": [{"file_name": "a.png"}, {"file_name": "b.png"}]},
            r"2 images \(a.png, b.png\), 0 of them named smear",
        ),
        ({"categories": [{"id": 1, "name": "blast"}]}, "has the category 7"),
        (
            {"images": [{"id": 3, "file_name": "smear.png", "width": 300, "height": 200}]},
            "300 x 200 px, smear has 3000",
        ),
        ({"annotations": [{"id": 1, "image_id": 3, "category_id": 7}]}, 'has no "bbox"'),
        ({"annotations": [{"id": 1, "image_id": 3, "category_id": 7, "bbox": [1, 2, 3]}]}, "expected .x, y, width"),
        ({"annotations": [{"id": 1, "image_id": 3, "category_id": 7, "bbox": [1, 2, -3, 4]}]}, "negative size"),
        ({"annotations": [{"id": 1, "image_id": 3, "category_id": 7, "bbox": [1, 2, "x", 4]}]}, "expected a number"),
        ({"annotations": 5}, "no list of objects"),
    ],
)
def test_bad_coco(changes: dict, words: str, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(coco(**changes)))
    with pytest.raises(DataError, match=words):
        read_for_slide(path, SLIDE)


def test_a_coco_image_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(coco(images=[coco()["images"][0] | {"file_name": "a.png"}])))
    assert read_for_slide(path, SLIDE).notes == ("the only image, a.png, was taken for the slide smear",)
    with pytest.raises(DataError, match="0 of them named smear"):
        read_for_slide(path, SLIDE, by_name=True)


VOC = (
    "<annotation><filename>x.jpg</filename><size><width>3000</width><height>2000</height></size><object><name>Blast"
    "</name><bndbox><xmin>10</xmin><ymin>20</ymin><xmax>70</xmax><ymax>75.5</ymax></bndbox></object></annotation>"
)


def test_voc_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "s.xml"
    path.write_text(VOC)
    assert read_for_slide(path, SLIDE).cells.rows() == [("object-1", "blast", 10, 20, 70, 75.5)]
    for old, new, words in (
        ("3000", "1000", "1000 x 2000 px, smear has 3000"),
        ("<name>Blast</name>", "", "object 1 has no <name>"),
        ("<xmin>10</xmin>", "", "xmin of object 1 is None"),
        ("annotation", "annotations", "root <annotations>"),
        ("</size>", "", "is no XML"),
        ("<annotation>", '<!DOCTYPE a [<!ENTITY b "c">]><annotation>', "declares entities"),
    ):
        path.write_text(VOC.replace(old, new))
        with pytest.raises(DataError, match=words):
            read_for_slide(path, SLIDE)
    path.write_bytes(VOC.replace("x.jpg", "größe").encode("latin-1"))
    with pytest.raises(DataError, match="is no XML"):
        read_for_slide(path, SLIDE)
    path.write_bytes(('<?xml version="1.0" encoding="latin-1"?>' + VOC.replace("x.jpg", "größe")).encode("latin-1"))
    assert len(read_for_slide(path, SLIDE)) == 1


def test_yolo_of_other_programs(tmp_path: Path) -> None:
    folder = tmp_path / "labels" / "train"
    folder.mkdir(parents=True)
    path = folder / "smear.txt"
    path.write_text("1 0.5 0.5 0.02 0.03\n0 0.1 0.1 0.02 0.03 0.97\n\n0 0.2 0.2 0.22 0.2 0.22 0.23\n")
    with pytest.raises(DataError, match="YOLO without names"):
        read_for_slide(path, SLIDE)
    (tmp_path / "data.yaml").write_text("nc: 2\nnames: [Blast, Lymphocyte]\n")
    found = read_for_slide(path, SLIDE)
    assert found.cells["type"].to_list() == ["lymphocyte", "blast", "blast"]
    np.testing.assert_allclose(
        found.cells.select(CORNERS), [[1470, 970, 1530, 1030], [270, 170, 330, 230], [600, 400, 660, 460]]
    )
    (folder / "classes.txt").write_text("Plasma cell\nBlast\n")  # the nearer one is believed
    assert read_for_slide(path, SLIDE).cells["type"].to_list() == ["blast", "plasma_cell", "plasma_cell"]
    with pytest.raises(DataError, match="give the slide with --slide"):
        read_yolo(path.read_text(), path, None)
    for line, words in (
        ("2 0.5 0.5 0.02 0.03", "class 2, classes.txt names 2"),
        ("0.5 0.5 0.5 0.02 0.03", "class 0.5"),
        ("0 0.5 0.5 0.02", "has 4 numbers"),
        ("0 1500 1000 60 60", "written in pixels"),
        ("0 nan 0.5 0.1 0.1", "expected a number"),
    ):
        path.write_text(line)
        with pytest.raises(DataError, match=words):
            read_for_slide(path, SLIDE)
    (folder / "classes.txt").unlink()
    (folder / "data.yaml").write_text("names: 5")
    with pytest.raises(DataError, match="names of classes"):
        read_for_slide(path, SLIDE)


def test_yolo_names_are_not_written_over(tmp_path: Path) -> None:
    write_yolo(small(), tmp_path / "a.txt", SLIDE)
    write_yolo(small(("a", "other", 200, 100, 260, 160)), tmp_path / "b.txt", SLIDE)
    assert read_for_slide(tmp_path / "b.txt", SLIDE).cells["type"].to_list() == ["other"]
    (tmp_path / "data.yaml").write_text("names: [WBC]")
    with pytest.raises(OutputError, match="other names"):
        write_yolo(small(), tmp_path / "c.txt", SLIDE)
    assert not (tmp_path / "c.txt").exists()


def test_a_class_map_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "s.geojson"
    path.write_text(json.dumps([feature("Stab", ring(0, 0)), feature("Dreck", ring(100, 0))]))
    found = read_for_slide(path, SLIDE, ClassMap({"stab": "band_neutrophil", "dreck": "ignore"}))
    assert found.cells["type"].to_list() == ["band_neutrophil"]
    assert found.notes == ("1 box of the ignored class 'Dreck' was left out",)


def test_a_table_comes_back_through_the_same_door(tmp_path: Path) -> None:
    small().cells.write_parquet(tmp_path / "smear.parquet")
    assert read_for_slide(tmp_path / "smear.parquet", SLIDE).cells.equals(small().cells)
    assert read_annotations(tmp_path / "smear.parquet").annotations.cells.equals(small().cells)
