"""Regions as GeoJSON: the rules of QuPath, whatever people draw, and every bad file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Polygon, box

from marrowscope.errors import OutputError, RegionError
from marrowscope.geometry import Box, Spacing
from marrowscope.regions import Region, RegionFinding, choose_regions, load_regions, save_regions
from marrowscope.slides import MemorySlide

UM = Spacing.square(2.0)


@pytest.fixture
def slide() -> MemorySlide:
    return MemorySlide(np.full((800, 1000, 3), 240, np.uint8), UM)


@pytest.fixture
def scanned_slide() -> MemorySlide:
    """As an MRXS: only a part of the frame was scanned."""
    slide = MemorySlide(np.full((800, 1000, 3), 240, np.uint8), UM)
    slide.bounds = Box(300, 200, 900, 700)
    return slide


def ring(*corners: tuple[float, float]) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": [[*map(list, corners), list(corners[0])]]}


def feature(geometry: dict[str, Any] | None, **properties: object) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


SQUARE = ring((100, 100), (300, 100), (300, 300), (100, 300))


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def example() -> RegionFinding:
    holed = box(420, 420, 700, 600).difference(box(500, 450, 550, 500))
    return RegionFinding(
        regions=(
            Region("trail 1", MultiPolygon([box(310, 210, 400, 300), box(410, 210, 500, 300)]), 0.9, "trail"),
            Region("trail 2", holed, 0.7, "trail"),
        ),
        outlines=(Region("blood 1", box(310, 610, 800, 690), 1.0, "blood"),),
        notes=("no particle found",),
        particles=0,
    )


def test_what_is_written_follows_the_rules_of_qupath(slide: MemorySlide, tmp_path: Path) -> None:
    save_regions(example(), tmp_path / "regions.geojson", slide)
    document = json.loads((tmp_path / "regions.geojson").read_text())
    assert document["type"] == "FeatureCollection"
    assert len(document["features"]) == 3
    for item in document["features"]:
        assert item["type"] == "Feature"
        assert str(UUID(item["id"])) == item["id"]
        assert item["properties"]["objectType"] == "annotation"
        name, colour = item["properties"]["classification"]["name"], item["properties"]["classification"]["color"]
        assert name in ("trail", "Outline: blood")
        assert len(colour) == 3
        assert all(isinstance(c, int) and 0 <= c <= 255 for c in colour)
        assert set(item["properties"]["measurements"]) == {"score", "area_mm2"}
        nested = item["geometry"]["coordinates"]
        for rings in nested if item["geometry"]["type"] == "MultiPolygon" else [nested]:
            for closed in rings:
                assert closed[0] == closed[-1]
                assert len(closed) >= 4
    assert len({item["id"] for item in document["features"]}) == 3
    assert document["features"][0]["properties"]["measurements"]["area_mm2"] == pytest.approx(2 * 90 * 90 * 4 / 1e6)


def test_what_is_written_comes_back(slide: MemorySlide, tmp_path: Path) -> None:
    path = tmp_path / "regions.geojson"
    save_regions(example(), path, slide)
    back = load_regions(path, slide)
    wanted = example()
    assert back.notes == wanted.notes
    assert back.particles == wanted.particles
    for found, region in zip((*back.regions, *back.outlines), (*wanted.regions, *wanted.outlines), strict=True):
        assert (found.name, found.score, found.kind) == (region.name, region.score, region.kind)
        assert found.polygon.symmetric_difference(region.polygon).area < 1


def test_equal_findings_give_equal_bytes(slide: MemorySlide, tmp_path: Path) -> None:
    save_regions(example(), tmp_path / "a.geojson", slide)
    save_regions(example(), tmp_path / "b.geojson", slide)
    assert (tmp_path / "a.geojson").read_bytes() == (tmp_path / "b.geojson").read_bytes()


def test_files_count_from_the_scanned_part(scanned_slide: MemorySlide, tmp_path: Path) -> None:
    path = tmp_path / "regions.geojson"
    save_regions(example(), path, scanned_slide)
    xy = np.array(json.loads(path.read_text())["features"][2]["geometry"]["coordinates"][0])
    assert xy.min(axis=0).tolist() == [10, 410]
    back = load_regions(path, scanned_slide)
    assert back.outlines[0].polygon.bounds == (310, 610, 800, 690)


def test_output_that_cannot_be_written(slide: MemorySlide, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="-o"):
        save_regions(example(), tmp_path / "file" / "regions.geojson", slide)


@pytest.mark.parametrize(
    "document",
    [
        {"type": "FeatureCollection", "features": [feature(SQUARE)]},
        feature(SQUARE),
        [feature(SQUARE)],
        SQUARE,
        {"type": "MultiPolygon", "coordinates": [SQUARE["coordinates"]]},
        {"type": "GeometryCollection", "geometries": [SQUARE, {"type": "Point", "coordinates": [1, 1]}]},
        feature({"type": "GeometryCollection", "geometries": [SQUARE]}),
        {"type": "Polygon", "coordinates": [[[*xy, 7.0] for xy in SQUARE["coordinates"][0]]]},
    ],
    ids=["collection", "feature", "list", "polygon", "multipolygon", "geometries", "feature of geometries", "3d"],
)
def test_whatever_holds_polygons(slide: MemorySlide, tmp_path: Path, document: object) -> None:
    finding = load_regions(write(tmp_path / "drawn.geojson", document), slide)
    assert [(region.kind, region.score) for region in finding.regions] == [("given", 1.0)]
    assert finding.regions[0].polygon.equals(box(100, 100, 300, 300))
    assert finding.particles is None
    assert finding.notes == ("regions were given; no particle was looked for",)


def test_gzip_and_byte_order_mark(slide: MemorySlide, tmp_path: Path) -> None:
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(json.dumps(SQUARE).encode()))
    (tmp_path / "b.geojson").write_bytes(b"\xef\xbb\xbf" + json.dumps(SQUARE).encode())
    for name in ("a.geojson.gz", "b.geojson"):
        assert load_regions(tmp_path / name, slide).regions[0].polygon.area == 200 * 200


def test_names_scores_and_classes_of_the_drawer_are_kept(slide: MemorySlide, tmp_path: Path) -> None:
    document = [
        feature(SQUARE, name="good part", measurements={"score": 0.4}),
        feature(ring((400, 100), (500, 100), (500, 200)), name="good part", classification={"name": "trail"}),
        feature(ring((600, 100), (700, 100), (700, 200)), classification={"name": "Tumor"}),
    ]
    finding = load_regions(write(tmp_path / "drawn.geojson", document), slide)
    assert [region.name for region in finding.regions] == ["good part (2)", "region 3", "good part"]
    assert [region.kind for region in finding.regions] == ["trail", "given", "given"]
    assert [region.score for region in finding.regions] == [1.0, 1.0, 0.4]


def test_self_intersections_are_repaired(slide: MemorySlide, tmp_path: Path) -> None:
    bow_tie = ring((100, 100), (300, 300), (300, 100), (100, 300))
    polygon = load_regions(write(tmp_path / "drawn.geojson", bow_tie), slide).regions[0].polygon
    assert polygon.is_valid
    assert polygon.area == pytest.approx(2 * 100 * 100)


def test_what_lies_outside_is_cut_off(slide: MemorySlide, scanned_slide: MemorySlide, tmp_path: Path) -> None:
    path = write(tmp_path / "drawn.geojson", ring((-50, -50), (120, -50), (120, 60), (-50, 60)))
    assert load_regions(path, slide).regions[0].polygon.equals(box(0, 0, 120, 60))
    assert load_regions(path, scanned_slide).regions[0].polygon.equals(box(300, 200, 420, 260))


def test_overlap_belongs_to_the_first(slide: MemorySlide, tmp_path: Path) -> None:
    inner, outer = ring((150, 150), (200, 150), (200, 200), (150, 200)), SQUARE
    finding = load_regions(write(tmp_path / "drawn.geojson", [feature(inner), feature(outer), feature(inner)]), slide)
    first, second = finding.regions
    assert first.polygon.area == 50 * 50
    assert first.polygon.intersection(second.polygon).area == 0
    assert first.polygon.area + second.polygon.area == 200 * 200


def test_cells_and_detections_are_no_regions(slide: MemorySlide, tmp_path: Path) -> None:
    document = [feature(SQUARE, objectType="annotation"), feature(ring((5, 5), (9, 5), (9, 9)), objectType="detection")]
    assert len(load_regions(write(tmp_path / "drawn.geojson", document), slide).regions) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "is no GeoJSON"),
        (b"\xff\xfe\x00", "is no GeoJSON"),
        (b"\x1f\x8bbroken", "cannot read"),
        (gzip.compress(b"{}", mtime=0)[:-6], "cannot read"),
        (b"[" * 200_000, "is no GeoJSON"),
        (b"{}", "holds no polygon"),
        (b"3", "holds no polygon"),
        (b'{"type": "FeatureCollection", "features": []}', "holds no polygon"),
        (b'{"type": "FeatureCollection", "features": 7}', "holds no polygon"),
        (json.dumps(feature(None)).encode(), "holds no polygon"),
        (json.dumps(feature({"type": "Point", "coordinates": [3, 4]})).encode(), "holds no polygon"),
        (json.dumps(feature(SQUARE, objectType="detection")).encode(), "holds no polygon"),
        (json.dumps(feature(SQUARE, classification={"name": "Outline: blood"})).encode(), "holds no polygon"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [5, 5], [9, 9], [0, 0]]]}', "holds no polygon"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [5, "a"], [9, 9], [0, 0]]]}', "cannot be read"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [5, 1]]]}', "cannot be read"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [5, 1], [0, 0]]]}', "holds no polygon"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [1e999, 5], [9, 9], [0, 0]]]}', "no number"),
        (b'{"type": "Polygon", "coordinates": 4}', "cannot be read"),
        (b'{"type": "Polygon"}', "cannot be read"),
        (b'{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 5], [9, 9], [0, 0]]]}', "no number"),
        (json.dumps(ring((5000, 100), (6000, 100), (6000, 200))).encode(), "lies on this slide"),
    ],
)
def test_bad_files_say_what_is_wrong(slide: MemorySlide, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.geojson"
    path.write_bytes(content)
    with pytest.raises(RegionError, match=message):
        load_regions(path, slide)


def test_folder_instead_of_a_file(slide: MemorySlide, tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="cannot read"):
        load_regions(tmp_path, slide)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rings=st.lists(
        st.lists(st.tuples(st.integers(-200, 1200), st.integers(-200, 1000)), min_size=4, max_size=9),
        min_size=1,
        max_size=4,
    )
)
def test_any_scribble_gives_disjoint_valid_regions_on_the_slide_or_an_error(
    slide: MemorySlide, tmp_path: Path, rings: list[list[tuple[int, int]]]
) -> None:
    path = write(tmp_path / "scribble.geojson", [feature(ring(*corners)) for corners in rings])
    try:
        finding = load_regions(path, slide)
    except RegionError:
        return
    polygons = [region.polygon for region in finding.regions]
    assert all(polygon.is_valid and isinstance(polygon, Polygon | MultiPolygon) for polygon in polygons)
    assert box(-1e-6, -1e-6, 1000 + 1e-6, 800 + 1e-6).covers(shapely.union_all(polygons))
    total = sum(polygon.area for polygon in polygons)
    assert shapely.union_all(polygons).area == pytest.approx(total, rel=1e-6, abs=1e-3)
    save_regions(finding, path, slide)
    again = load_regions(path, slide)
    assert sum(region.polygon.area for region in again.regions) == pytest.approx(total, rel=1e-3, abs=1)


def test_choosing(slide: MemorySlide, tmp_path: Path) -> None:
    path = write(tmp_path / "drawn.geojson", SQUARE)
    assert choose_regions(slide, UM, "auto").regions[0].kind == "whole"
    assert choose_regions(slide, UM, "whole").regions[0].polygon.equals(box(0, 0, 1000, 800))
    assert choose_regions(slide, UM, str(path)).regions[0].kind == "given"
    with pytest.raises(RegionError, match=r"no such file.*auto, whole"):
        choose_regions(slide, UM, "everything")


def test_whole_is_the_scanned_part(scanned_slide: MemorySlide) -> None:
    assert choose_regions(scanned_slide, UM, "whole").regions[0].polygon.equals(box(300, 200, 900, 700))
