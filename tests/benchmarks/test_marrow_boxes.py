"""The boxed marrow fields and the benchmark that reads them."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import shapely

from marrowscope.errors import DataError
from marrowscope.evaluation.matching import overlapping_pairs
from marrowscope.geometry import Size
from marrowscope.report.qupath import check_qupath_geojson

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TRUTH = sorted((BENCHMARKS / "marrow_boxes").glob("*.geojson"))
SIZE = Size(2560, 1920)
DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("marrow_detection")


def _field(
    benchmark: ModuleType, cells: list[list[float]], uncertain: list[bool], ignored: list[list[float]]
) -> object:
    truth = importlib.import_module("marrow_truth")
    return truth.MarrowField(
        "made",
        np.array(cells, float).reshape(-1, 4),
        np.array(uncertain, bool),
        ("",) * len(cells),
        tuple(shapely.box(*box) for box in ignored),
    )


def test_six_fields_are_there() -> None:
    assert [path.stem for path in TRUTH] == ["102", "108", "202", "207", "212", "215"]


@pytest.mark.parametrize("path", TRUTH, ids=lambda path: path.stem)
def test_boxes_are_valid_inside_the_picture_and_of_the_size_of_cells(benchmark: ModuleType, path: Path) -> None:
    assert check_qupath_geojson(path, SIZE) == []
    field = benchmark.read_truth(path)
    assert len(field.cells) > 0
    assert (field.cells >= 0).all()
    assert (field.cells <= np.tile(SIZE, 2)).all()
    sides_um = 0.05 * (field.cells[:, 2:] - field.cells[:, :2])
    whole = ~field.uncertain
    assert sides_um[whole].min() > 6, "smaller than a lymphocyte's nucleus"
    assert sides_um[whole].max() < 30, "larger than a plasma cell"
    first, second, _ = overlapping_pairs(field.cells, field.cells, 0.5)
    assert (first == second).all(), "one cell boxed twice"
    for shape in field.ignored:
        assert shape.is_valid
        assert shape.area > 0
        assert shape.within(shapely.box(0, 0, *SIZE))


@pytest.mark.parametrize("path", TRUTH, ids=lambda path: path.stem)
def test_doubt_has_a_reason_and_cells_at_the_border_are_in_doubt(benchmark: ModuleType, path: Path) -> None:
    field = benchmark.read_truth(path)
    assert [reason != "" for reason in field.reasons] == field.uncertain.tolist()
    at_border = (field.cells[:, :2] == 0).any(axis=1) | (field.cells[:, 2:] == SIZE).any(axis=1)
    assert field.uncertain[at_border].all()


@pytest.mark.realdata
@pytest.mark.skipif(not (DATA / "segpc" / "fields").is_dir(), reason=f"no marrow fields in {DATA}")
@pytest.mark.parametrize("path", TRUTH, ids=lambda path: path.stem)
def test_every_box_holds_a_dark_nucleus(benchmark: ModuleType, path: Path) -> None:
    picture = cv2.imread(str(DATA / "segpc" / "fields" / f"{path.stem}.jpg"))
    assert picture.shape[1::-1] == SIZE
    green, background = picture[..., 1], np.median(picture[..., 1])
    for x0, y0, x1, y1 in benchmark.read_truth(path).cells.astype(int).tolist():
        assert (green[y0:y1, x0:x1] < 0.6 * background).mean() > 0.1, (x0, y0, x1, y1)


def test_uncertain_cells_count_only_in_the_strict_figure(benchmark: ModuleType) -> None:
    field = _field(benchmark, [[0, 0, 100, 100], [200, 0, 300, 100]], [False, True], [])
    found = benchmark.Found(np.array([[0, 0, 100, 100], [200, 0, 300, 100]], float), np.array([0.9, 0.8]))
    none = benchmark.Found(np.zeros((0, 4)), np.zeros(0))
    assert benchmark.judge(found, field, 0.5, 0.5, strict=False).counts.tolist() == [1, 0, 0]
    assert benchmark.judge(none, field, 0.5, 0.5, strict=False).counts.tolist() == [0, 0, 1]
    assert benchmark.judge(found, field, 0.5, 0.5, strict=True).counts.tolist() == [2, 0, 0]
    assert benchmark.judge(none, field, 0.5, 0.5, strict=True).counts.tolist() == [0, 0, 2]


def test_a_detection_on_an_ignored_region_is_neither_right_nor_wrong(benchmark: ModuleType) -> None:
    field = _field(benchmark, [[0, 0, 100, 100]], [False], [[100, 0, 400, 100]])
    boxes = np.array([[210, 10, 290, 90], [60, 0, 130, 100], [500, 0, 600, 100]], float)
    judged = benchmark.judge(benchmark.Found(boxes, np.array([0.9, 0.8, 0.7])), field, 0.5, 0.5, strict=False)
    assert judged.false().boxes.tolist() == boxes[1:].tolist(), "less than half of its area on the region: wrong"
    assert judged.counts.tolist() == [0, 2, 1]
    on_both = benchmark.Found(np.array([[0, 0, 110, 100]], float), np.array([0.9]))
    assert benchmark.judge(on_both, field, 0.5, 0.5, strict=False).counts.tolist() == [1, 0, 0]


def test_a_score_below_the_threshold_is_a_miss_and_says_so(benchmark: ModuleType) -> None:
    field = _field(benchmark, [[0, 0, 100, 100]], [False], [])
    judged = benchmark.judge(
        benchmark.Found(np.array([[0, 0, 100, 100]], float), np.array([0.3])), field, 0.5, 0.5, strict=False
    )
    assert judged.counts.tolist() == [0, 0, 1]
    assert benchmark.explain_missed(judged, judged.missed()[0]) == "box right, score too low (IoU 1.00, score 0.30)"


def test_watershed_tells_touching_cells_apart_and_leaves_grey_red_cells_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    watershed = importlib.import_module("watershed")
    picture = np.full((800, 1200, 3), (190, 185, 188), np.uint8)
    for centre, colour in (((300, 400), (140, 40, 90)), ((480, 400), (140, 40, 90)), ((900, 400), (150, 150, 160))):
        cv2.circle(picture, centre, 100, colour, -1)
    boxes = watershed.watershed_boxes(picture, 0.05)
    expected = [[200, 300, 390, 500], [390, 300, 580, 500]]
    assert len(boxes) == 2
    assert boxes[np.argsort(boxes[:, 0])] == pytest.approx(np.array(expected), abs=16)


@pytest.mark.parametrize("text", ["{", "[]", '{"features": [{}]}'])
def test_another_file_is_refused_with_its_name(benchmark: ModuleType, tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.geojson"
    path.write_text(text)
    with pytest.raises(DataError, match=r"other\.geojson holds no marrow boxes"):
        benchmark.read_truth(path)


def test_an_unknown_class_is_refused(benchmark: ModuleType, tmp_path: Path) -> None:
    document = json.loads(TRUTH[0].read_text())
    document["features"][0]["properties"]["classification"]["name"] = "Platelet"
    path = tmp_path / "102.geojson"
    path.write_text(json.dumps(document))
    with pytest.raises(DataError, match="Platelet"):
        benchmark.read_truth(path)
