"""The verb ``regions``: table, JSON, files."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from marrowscope.cli import build_app


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app("regions"), ["regions", *arguments], env={"COLUMNS": "160"})


def test_table_files_and_json(phantom: Path, tmp_path: Path) -> None:
    result = run(str(phantom), "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "trail 1" in result.stdout
    assert "to scan" in result.stdout
    folder = tmp_path / phantom.stem
    picture = cv2.imread(str(folder / "regions.png"))
    assert 300 < max(picture.shape) <= 2000
    written = json.loads((folder / "regions.geojson").read_text())

    facts = json.loads(run(str(phantom), "--json").stdout)
    assert facts["files"] == []
    assert facts["regions"]
    for rank, row in enumerate(facts["regions"], 1):
        assert row["rank"] == rank
        xy = np.vstack([np.array(r).reshape(-1, 2) for r in rings(written["features"][rank - 1]["geometry"])])
        assert row["x_mm"] == pytest.approx(xy[:, 0].min() * 0.25 / 1000, abs=1e-3)
        assert row["y_mm"] == pytest.approx(xy[:, 1].min() * 0.25 / 1000, abs=1e-3)
        assert row["width_mm"] == pytest.approx(np.ptp(xy[:, 0]) * 0.25 / 1000, abs=1e-3)
    assert facts["regions_mm2"] == pytest.approx(sum(row["area_mm2"] for row in facts["regions"]), abs=1e-3)
    assert facts["share_of_slide"] == pytest.approx(facts["regions_mm2"] / facts["slide_mm2"], abs=1e-3)


def rings(geometry: dict[str, list]) -> list[list]:
    nested = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return [ring for polygon in nested for ring in polygon]


def test_given_regions_come_back(phantom: Path, tmp_path: Path) -> None:
    assert run(str(phantom), "-o", str(tmp_path)).exit_code == 0
    again = run(str(phantom), "--region", str(tmp_path / phantom.stem / "regions.geojson"), "--json")
    fresh = run(str(phantom), "--json")
    assert [row["name"] for row in json.loads(again.stdout)["regions"]] == [
        row["name"] for row in json.loads(fresh.stdout)["regions"]
    ]


def test_whole_and_missing_spacing(tmp_path: Path) -> None:
    path = tmp_path / "field.png"
    cv2.imwrite(str(path), np.full((200, 300, 3), 230, np.uint8))
    result = run(str(path), "--spacing", "0.1")
    assert result.exit_code == 0
    assert "whole" in result.stdout
    assert "no particle was looked for" in result.stdout
    result = run(str(path))
    assert result.exit_code == 1
    assert "--spacing" in result.stderr


def test_bad_region_file_and_bad_slide(phantom: Path, tmp_path: Path) -> None:
    for arguments, words in (
        ((str(phantom), "--region", "nowhere.geojson"), "no such file"),
        ((str(tmp_path / "nothing.svs"),), "no such file"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1
        assert words in result.stderr


@pytest.mark.realdata
def test_real_mosaic_is_one_region(data_folder: Path) -> None:
    path = data_folder / "segpc" / "mosaic.tif"
    if not path.exists():
        pytest.skip("segpc/mosaic.tif is not here")
    facts = json.loads(run(str(path), "--spacing", "0.05", "--json").stdout)
    assert [row["kind"] for row in facts["regions"]] == ["whole"]
    assert facts["share_of_slide"] == 1.0


def test_the_record_of_a_finished_count_is_left_alone(tmp_path: Path) -> None:
    slide, folder = tmp_path / "field.png", tmp_path / "results" / "field"
    cv2.imwrite(str(slide), np.full((200, 300, 3), 230, np.uint8))
    folder.mkdir(parents=True)
    record = {"run.json": "{}", "regions.geojson": "counted in", "regions.png": "drawn before the count"}
    for name, text in record.items():
        (folder / name).write_text(text)
    result = run(str(slide), "--spacing", "0.1", "-o", str(tmp_path / "results"))
    assert result.exit_code == 0, result.output
    assert {name: (folder / name).read_text() for name in record} == record
    assert json.loads((folder / "regions-preview.geojson").read_text())["features"]
    assert cv2.imread(str(folder / "regions-preview.png")).shape[2] == 3
    assert f"{folder} holds a finished count: its regions.geojson stays as it is\n" in result.stdout
    assert f"look at {folder / 'regions-preview.png'}\n" in result.stdout


def test_names_are_printed_as_they_are(tmp_path: Path) -> None:
    slide = tmp_path / "smear [a1].png"
    cv2.imwrite(str(slide), np.full((200, 300, 3), 230, np.uint8))
    drawn = {
        "type": "Feature",
        "properties": {"name": "edge [/red]"},
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 100], [0, 0]]]},
    }
    (tmp_path / "drawn.geojson").write_text(json.dumps(drawn))
    output = tmp_path / ("long name " * 20) / "x [" / "red]"
    result = run(str(slide), "--spacing", "0.1", "--region", str(tmp_path / "drawn.geojson"), "-o", str(output))
    assert result.exit_code == 0, result.output
    assert "smear [a1]: where to count" in result.stdout
    assert "edge [/red]" in result.stdout
    assert f"look at {output / 'smear [a1]' / 'regions.png'}\n" in result.stdout
