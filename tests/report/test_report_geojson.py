"""Cells for QuPath: the rules of its GeoJSON, identity, coordinates, and the checker itself."""

from __future__ import annotations

import gzip
import hashlib
import json
import uuid
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.cells.table import FLAGS
from marrowscope.geometry import Box, Size
from marrowscope.report import geojson
from marrowscope.report.geojson import NAMESPACE, cell_uuids, write_cells_geojson
from marrowscope.report.qupath import check_qupath_geojson
from marrowscope.taxonomy import CELL_TYPES


def read(path):
    return json.loads(gzip.decompress(path.read_bytes()))["features"]


@pytest.mark.parametrize("shape", ["normal", "partial", "all types", "empty", "one"])
def test_files_follow_the_rules_of_qupath(content_of, tmp_path, shape):
    content = content_of(shape)
    path = tmp_path / "cells.geojson.gz"
    write_cells_geojson(content, path)
    assert check_qupath_geojson(path, content.slide.size) == []
    assert len(read(path)) == len(content.cells)


def test_a_feature_holds_what_the_table_says(content_of, tmp_path):
    content = content_of("normal")
    write_cells_geojson(content, tmp_path / "cells.geojson.gz")
    for feature, row in zip(read(tmp_path / "cells.geojson.gz"), content.cells.iter_rows(named=True), strict=True):
        (ring,) = feature["geometry"]["coordinates"]
        x0, y0, x1, y1 = (row[name] for name in ("x0", "y0", "x1", "y1"))
        np.testing.assert_allclose(ring, [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]], atol=0.0501)
        classification = feature["properties"]["classification"]
        assert classification["name"] == CELL_TYPES[row["type"]].title
        assert "#{:02x}{:02x}{:02x}".format(*classification["color"]) == CELL_TYPES[row["type"]].colour
        measurements = feature["properties"]["measurements"]
        for name in ("score", "certainty", "anomaly", *(f"p_{name}" for name in content.pack.classes)):
            assert measurements[name] == pytest.approx(row[name], abs=0.000501)
        assert [flag for flag in FLAGS if measurements[flag]] == row["flags"]


def test_cells_have_no_anomaly_where_the_pack_has_no_score_of_it(content_of, tmp_path):
    write_cells_geojson(content_of("partial"), tmp_path / "cells.geojson.gz")
    assert not any(
        "anomaly" in feature["properties"]["measurements"] for feature in read(tmp_path / "cells.geojson.gz")
    )


def test_coordinates_count_from_the_corner_of_the_bounds(content_of, tmp_path):
    content = content_of("one")
    bounds = Box(1000.0, 250.5, content.slide.size.width, content.slide.size.height)
    write_cells_geojson(content, tmp_path / "whole.geojson.gz")
    write_cells_geojson(replace(content, slide=replace(content.slide, bounds=bounds)), tmp_path / "cut.geojson.gz")
    whole, cut = (
        np.array(read(tmp_path / name)[0]["geometry"]["coordinates"][0])
        for name in ("whole.geojson.gz", "cut.geojson.gz")
    )
    np.testing.assert_allclose(whole - cut, np.tile([1000.0, 250.5], (5, 1)), atol=0.101)


def test_the_same_cells_have_the_same_ids_and_bytes_in_every_run(content_of, tmp_path):
    content = content_of("normal")
    for name in ("one.geojson.gz", "two.geojson.gz"):
        write_cells_geojson(content, tmp_path / name)
    assert (tmp_path / "one.geojson.gz").read_bytes() == (tmp_path / "two.geojson.gz").read_bytes()


@given(st.text(), st.lists(st.integers(min_value=0, max_value=2**62), min_size=1, max_size=5))
def test_ids_are_version_5_uuids_of_label_and_number(label, numbers):
    slide = hashlib.sha256(label.encode()).hexdigest()
    assert list(cell_uuids(label, numbers)) == [str(uuid.uuid5(NAMESPACE, f"{slide}/{number}")) for number in numbers]


def test_blocks_join_without_a_seam(content_of, tmp_path, monkeypatch):
    content = content_of("normal")
    write_cells_geojson(content, tmp_path / "one.geojson.gz")
    monkeypatch.setattr(geojson, "BLOCK", 53)
    write_cells_geojson(content, tmp_path / "blocks.geojson.gz")
    assert len(content.cells) == 530
    assert read(tmp_path / "blocks.geojson.gz") == read(tmp_path / "one.geojson.gz")


def test_cells_without_a_number_are_refused(content_of, tmp_path):
    content = content_of("normal")
    broken = replace(content, cells=content.cells.with_columns(score=pl.lit(float("nan"), pl.Float32)))
    with pytest.raises(ValueError, match="not finite"):
        write_cells_geojson(broken, tmp_path / "cells.geojson.gz")
    assert list(tmp_path.iterdir()) == []


GOOD = {
    "type": "Feature",
    "id": "3f2504e0-4f89-51d3-9a0c-0305e82c3301",
    "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]},
    "properties": {
        "objectType": "detection",
        "classification": {"name": "Blast", "color": [214, 39, 40]},
        "measurements": {"score": 0.5},
    },
}


def spoilt(*keys, value):
    """GOOD with one value changed, or removed where ``value`` is None."""
    feature = json.loads(json.dumps(GOOD))
    place = feature
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return feature


@pytest.mark.parametrize(
    ("feature", "fault"),
    [
        (spoilt("type", value="Detection"), "is no Feature"),
        (spoilt("id", value=None), "no UUID"),
        (spoilt("id", value="cell-7"), "no UUID"),
        (spoilt("geometry", value={"type": "Point", "coordinates": [1, 1]}), "no polygon"),
        (spoilt("geometry", "coordinates", value=[]), "without rings"),
        (spoilt("geometry", "coordinates", value=[[[0, 0], [9, 0], [9, 9], [0, 9]]]), "not closed"),
        (spoilt("geometry", "coordinates", value=[[[0, 0], [9, "x"], [9, 9], [0, 0]]]), "no list of points"),
        (spoilt("geometry", "coordinates", value=[[[990, 0], [999, 0], [999, 9], [990, 0]]]), "outside the slide"),
        (spoilt("properties", value=None), "no properties"),
        (spoilt("properties", "objectType", value=None), "objectType"),
        (spoilt("properties", "objectType", value="annotation"), "objectType"),
        (spoilt("properties", "classification", value=None), "no classification"),
        (spoilt("properties", "classification", "name", value=""), "without a name"),
        (spoilt("properties", "classification", "color", value=None), "color"),
        (spoilt("properties", "classification", "color", value=[0, 0, 256]), "color"),
        (spoilt("properties", "measurements", "score", value="high"), "no number"),
        (spoilt("properties", "measurements", value=[1]), "no object"),
    ],
)
def test_the_checker_names_each_fault(tmp_path, feature, fault):
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [GOOD, feature]}))
    found = check_qupath_geojson(path, Size(100, 100))
    assert any(line.startswith("feature 1 ") and fault in line for line in found), found
    assert not any(line.startswith("feature 0 ") for line in found)


def test_the_checker_finds_an_id_used_twice_and_lists_no_end_of_faults(tmp_path):
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [GOOD, GOOD]}))
    assert check_qupath_geojson(path) == [f"feature 1 has the id {GOOD['id']} of an earlier one"]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [{}] * 500}))
    assert len(check_qupath_geojson(path)) == 21


@pytest.mark.parametrize("text", ["", "{", "[]", '{"type":"Feature"}', '{"type":"FeatureCollection"}'])
def test_the_checker_names_files_of_another_kind(tmp_path, text):
    path = tmp_path / "cells.geojson"
    path.write_text(text)
    assert len(check_qupath_geojson(path)) == 1


def test_the_checker_names_a_truncated_gzip_file_and_a_missing_one(content_of, tmp_path):
    write_cells_geojson(content_of("normal"), tmp_path / "cells.geojson.gz")
    cut = tmp_path / "cut.geojson.gz"
    cut.write_bytes((tmp_path / "cells.geojson.gz").read_bytes()[:-900])
    assert "cannot be read" in check_qupath_geojson(cut)[0]
    assert "cannot be read" in check_qupath_geojson(tmp_path / "none.geojson")[0]


def test_cells_outside_of_the_counted_fields_have_a_class_of_their_own(content_of, tmp_path):
    content = content_of("normal")
    first = pl.arange(pl.len()) == 0
    flags = pl.when(first).then(pl.lit(["reviewed", "outside"])).otherwise(pl.col("flags"))
    write_cells_geojson(replace(content, cells=content.cells.with_columns(flags=flags)), tmp_path / "cells.geojson.gz")
    assert check_qupath_geojson(tmp_path / "cells.geojson.gz", content.slide.size) == []
    outside, inside = (feature["properties"] for feature in read(tmp_path / "cells.geojson.gz")[:2])
    assert outside["classification"]["name"].endswith(" outside of the counted fields")
    assert (outside["measurements"]["outside"], outside["measurements"]["reviewed"]) == (1, 1)
    assert (inside["measurements"]["outside"], inside["measurements"]["reviewed"]) == (0, 0)
    assert not inside["classification"]["name"].endswith("fields")
