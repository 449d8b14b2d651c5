"""Bad annotations: each a clear error or a stated skip."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely

from marrowscope.annotations import read_annotations, write_annotations
from marrowscope.annotations.drawn import slide_facts
from marrowscope.annotations.naming import IGNORE, ClassMap, read_class_map
from marrowscope.annotations.qupath import write_qupath
from marrowscope.annotations.reading import check_spacing, format_of, read_for_slide
from marrowscope.errors import DataError, SpacingError
from marrowscope.slides import MemorySlide
from marrowscope.taxonomy import CELL_TYPES

SLIDE = MemorySlide(np.zeros((1000, 1000, 3), np.uint8), 0.25, name="smear")


def write(path: Path, *objects: tuple[str, tuple[float, float, float, float], str | None]) -> Path:
    features = [
        {
            "type": "Feature",
            "id": own,
            "geometry": {"type": "Polygon", "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]]},
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, (x0, y0, x1, y1), own in objects
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


BOX = (10, 10, 60, 60)
NEXT = (110, 10, 160, 60)
THIRD = (200, 100, 250, 160)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"  \n", "is empty"),
        (b'{"type": "FeatureColl', "is no JSON"),
        (b'{"a": 1}', "neither GeoJSON features nor COCO"),
        (b"[]", "neither GeoJSON features nor COCO"),
        (b"x0;y0;class\n1;2;blast", "begins with 'x0;y0;class'"),
        (b"\x1f\x8b\x08 damaged", "cannot be read"),
        (b"\xff\xfe\x00\x01\x80", "is no text"),
        (b"[" * 100_000, "is no JSON"),
    ],
)
def test_no_annotations_at_all(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "s.geojson"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        format_of(path)
    with pytest.raises(DataError, match="no such file; expected QuPath"):
        format_of(tmp_path / "nowhere.json")


def test_unknown_classes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.geojson", ("Myelocyt", BOX, None), ("Blast", NEXT, None), ("qwxz", (0, 70, 50, 99), None)
    )
    with pytest.raises(DataError) as caught:
        read_for_slide(path, SLIDE)
    for words in ("'Myelocyt', 1 cell (near: myelocyte", "'qwxz', 1 cell", '"Myelocyt,myelocyte"', "--skip-unknown"):
        assert words in str(caught.value)
    found = read_for_slide(path, SLIDE, skip_unknown=True)
    assert found.cells["type"].to_list() == ["blast"]
    assert found.notes == (
        "1 box of the unknown class 'Myelocyt' was left out",
        "1 box of the unknown class 'qwxz' was left out",
    )


def test_a_skipped_object_is_a_hole_in_an_area_of_complete_annotation(tmp_path: Path) -> None:
    objects = [("Blast", NEXT, None), ("Dirt", (300, 300, 340, 340), None), ("complete", (0, 0, 500, 500), None)]
    path = write(
        tmp_path / "s.geojson", *objects, ("qwxz", BOX, None), ("", THIRD, None), ("qwxz", (400, 0, 400, 50), None)
    )
    dirt = ClassMap({"dirt": IGNORE})  # no cell, as the laboratory says itself: no hole
    (area,) = read_for_slide(path, SLIDE, dirt, skip_unknown=True).areas
    assert area.equals(shapely.box(0, 0, 500, 500) - shapely.box(*BOX) - shapely.box(*THIRD))
    covered = read_for_slide(write(path, *objects, ("", (0, 0, 900, 900), None)), SLIDE, dirt)
    assert covered.areas == ()
    assert "no area of complete annotation is left: objects without a known class cover them all" in covered.notes


def test_maps(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text('class,type\nStab,Band neutrophil\n"Seg, mature",NGS\n\nDreck,ignore\n')
    found = read_class_map(path)
    assert [found.find(word) for word in ("STAB", "seg,  mature", "dreck", "Blast", "was")] == [
        "band_neutrophil",
        "segmented_neutrophil",
        IGNORE,
        "blast",
        None,
    ]
    path.write_text('{"Blast": "lymphocyte"}')
    assert read_class_map(path).find("blast") == "lymphocyte"  # one's own map goes first
    for text, words in (
        ("Stab,bandneutrophile", "the taxonomy lacks .near: band_neutrophil"),
        ("Stab", "line 1 of .* has 1 parts"),
        ("a,blast\nA,lymphocyte", "to blast and to lymphocyte"),
        ("", "maps no class"),
        ('{"a": 1}', "something that is no name"),
        ('{"a": ', "cannot be read as a map"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=words):
            read_class_map(path)


def test_every_name_of_the_taxonomy_is_known() -> None:
    for cell_type in CELL_TYPES.values():
        assert ClassMap().find(cell_type.name) == cell_type.name
        assert ClassMap().find(cell_type.title.upper()) == cell_type.name
    for cell_type in CELL_TYPES.values():
        for alias in cell_type.aliases.values():
            assert ClassMap().find(alias) == cell_type.name


def test_boxes_that_are_no_cells(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.geojson",
        ("Blast", BOX, "a"),
        ("Blast", BOX, "a"),
        ("Blast", (70, 70, 70, 90), "b"),
        ("Blast", (1500, 10, 1560, 60), "c"),
        ("Blast", (-20, 500, 30, 550), "d"),
    )
    found = read_for_slide(path, SLIDE)
    assert found.cells["id"].to_list() == ["a", "d"]
    assert found.cells.row(1)[2:] == (0, 500, 30, 550)
    assert found.notes == (
        "1 box of zero area was left out",
        "1 box given more than once was kept once",
        "1 box wholly outside the slide was left out",
        "1 box partly outside the slide was clipped to it",
    )
    with pytest.raises(DataError, match="none of its 1 boxes lies on smear"):
        read_for_slide(write(path, ("Blast", (1500, 10, 1560, 60), None)), SLIDE)


def test_contradictions(tmp_path: Path) -> None:
    path = tmp_path / "s.geojson"
    with pytest.raises(DataError, match="the id a is given to two different cells, blast and lymphocyte"):
        read_for_slide(write(path, ("Blast", BOX, "a"), ("Lymphocyte", NEXT, "a")), SLIDE)
    with pytest.raises(DataError, match=r"two types are given to the box 10.0, 10.0, 60.0, 60.0, blast and lymphocyte"):
        read_for_slide(write(path, ("Blast", BOX, "a"), ("Lymphocyte", BOX, "b")), SLIDE)


def test_impossible_cells(tmp_path: Path) -> None:
    path = write(tmp_path / "s.geojson", ("Blast", (10, 10, 20, 20), None), ("Blast", (40, 40, 52, 52), None))
    with pytest.raises(
        DataError, match=r"the median box is 11 px = 2.75 um .* one of about 1.3 would fit.*--spacing 1.3"
    ):
        read_for_slide(path, SLIDE)
    assert len(read_for_slide(path, MemorySlide(np.zeros((99, 99, 3), np.uint8), 1.3))) == 2
    unknown = read_for_slide(path, MemorySlide(np.zeros((99, 99, 3), np.uint8)))
    assert unknown.notes == ("the slide states no spacing: the size of its cells could not be checked",)
    with pytest.raises(DataError, match="that large"):
        read_for_slide(write(path, ("Blast", (10, 10, 600, 600), None)), SLIDE)
    assert len(read_for_slide(write(path, ("Platelet", (10, 10, 19, 19), None)), SLIDE)) == 1


def test_spacings_that_contradict(tmp_path: Path, phantom: Path) -> None:
    found = read_for_slide(write(tmp_path / "s.geojson", ("Blast", BOX, None)), SLIDE)
    write_annotations(found, tmp_path / "s.parquet", slide=slide_facts("smear", SLIDE.size, SLIDE.spacing))
    write_qupath(found, tmp_path / "t.geojson", SLIDE)
    other = MemorySlide(np.zeros((1000, 1000, 3), np.uint8), 0.5, name="smear")
    larger = MemorySlide(np.zeros((1000, 1001, 3), np.uint8), 0.25, name="smear")
    for name in ("s.parquet", "t.geojson"):
        assert read_for_slide(tmp_path / name, SLIDE).cells.drop("id").equals(found.cells.drop("id"))
        with pytest.raises(DataError, match=r"made at 0.25 um per pixel, smear is opened with 0.5"):
            read_for_slide(tmp_path / name, other)
        with pytest.raises(DataError, match="belongs to a picture of 1000 x 1000 px, smear has 1001 x 1000"):
            read_for_slide(tmp_path / name, larger)
    assert read_annotations(tmp_path / "s.parquet").slide["spacing"] == [0.25, 0.25]
    with pytest.raises(SpacingError, match=r"states 0.25 um per pixel, --spacing says 0.5.* --believe-spacing"):
        check_spacing(phantom, 0.5)
    believed = ("0.5 um per pixel was believed (--believe-spacing), the slide states 0.25",)
    assert check_spacing(phantom, 0.5, believe=True) == believed
    assert check_spacing(phantom, 0.251) == check_spacing(phantom, None) == ()
