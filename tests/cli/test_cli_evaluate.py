"""The verb ``evaluate`` on two small phantoms: complete truth, partial labels, what fails, the three files."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import shapely
from polars.testing import assert_frame_equal
from rich.console import Console
from typer.testing import CliRunner, Result

from marrowscope.annotations.table import ANNOTATION_SCHEMA, Annotations, polygons_of, write_annotations
from marrowscope.cli import build_app, console
from marrowscope.phantom import PhantomOptions, read_truth, render_phantom
from marrowscope.report.verification import MATCHES_SCHEMA


def run(slides: Path, truth: Path, output: Path, *options: str) -> Result:
    arguments = ["evaluate", "--pack", "phantom-16", "--slides", str(slides), "--truth", str(truth), "-o", str(output)]
    return CliRunner().invoke(build_app("evaluate"), [*arguments, *options], env={"COLUMNS": "160"})


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    for name, seed in (("one", 1), ("two", 2)):
        render_phantom(folder / f"{name}.tif", PhantomOptions(cells=90, seed=seed))
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that the slides are counted once."""
    return tmp_path_factory.mktemp("verification")


def test_complete_truth(slides: Path, output: Path) -> None:
    result = run(slides, slides, output)
    assert result.exit_code == 0, result.output
    assert "Mean recall" in result.stdout
    facts = json.loads((output / "evaluation.json").read_text())
    assert (facts["schema"], facts["phantom"], facts["redrawn"]) == ("marrowscope.evaluation", True, "squares")
    assert [slide["name"] for slide in facts["slides"]] == ["one", "two"]
    assert facts["strict"]["complete"]
    assert facts["strict"]["macro_recall"]["value"] > 0.9
    assert facts["confusion"]["rows"][-1] == "background"
    assert facts["detection"][0]["ap50"]["value"] > 0.9
    table = pl.read_parquet(output / "matches.parquet")
    assert table.schema == pl.Schema(MATCHES_SCHEMA)
    assert table.height == sum(slide["asked"] for slide in facts["slides"])
    assert table.height == facts["strict"]["right"]["total"]
    right = table.filter(pl.col("truth") == pl.col("called")).height
    assert right == facts["strict"]["right"]["count"]
    truth = read_truth(slides / "one.tif").cells
    for row in table.filter(slide="one").iter_rows(named=True):
        assert truth["type"][int(row["id"])] == row["truth"]
    page = (output / "verification.html").read_text()
    assert "Verification on phantoms" in page
    assert "Signature" in page
    assert "<script" not in page
    assert facts["pack"]["sha256"] in page


def test_types_are_whole_at_80_columns_and_each_slide_is_told(
    slides: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "stdout", Console(width=80))
    result = run(slides, slides, output)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert any(line.strip().startswith("Orthochromatic erythroblast ") for line in lines)
    assert max(len(line) for line in lines[: next(k for k, line in enumerate(lines) if "Mean over" in line)]) <= 80
    assert not any("…" in line for line in lines)
    told = re.search(
        r"^slide 1 of 2: one, (\d+) detections, \d+ of them in the differential, ", result.stderr, re.MULTILINE
    )
    assert told
    assert int(told[1]) == json.loads((output / "evaluation.json").read_text())["slides"][0]["counted"]
    assert re.search(r"differential, (counted before|in \d+ s)", result.stderr, re.MULTILINE)
    assert re.search(r"^slide 2 of 2: two, \d+ detections, [^;]*$", result.stderr, re.MULTILINE)


def figures(facts: Any) -> Any:
    """All numbers of an evaluation, without those of the clock and the words about files."""
    if isinstance(facts, dict):
        return {k: figures(v) for k, v in facts.items() if k not in {"time", "labels", "notes", "seconds"}}
    return [figures(value) for value in facts] if isinstance(facts, list) else facts


@pytest.mark.parametrize(
    ("form", "ending", "areas"),
    [
        ("parquet", "parquet", True),
        ("qupath", "geojson", True),
        ("qupath", "geojson.gz", True),
        ("coco", "json", False),
        ("voc", "xml", False),
        ("yolo", "txt", False),
    ],
)
def test_the_format_of_the_labels_changes_no_figure(
    slides: Path, output: Path, tmp_path: Path, form: str, ending: str, areas: bool
) -> None:
    """Against the truth of the phantoms, or, where a format loses the areas, against the table without them."""
    native, exported = tmp_path / "native", tmp_path / "exported"
    native.mkdir()
    for slide in sorted(slides.glob("*.tif")):
        truth = read_truth(slide)
        cells = truth.cells.with_row_index("id").select(pl.col("id").cast(pl.String), *list(ANNOTATION_SCHEMA)[1:])
        whole = polygons_of(shapely.box(0, 0, *truth.size).difference(shapely.union_all(truth.particles)))
        table = native / f"{slide.stem}.parquet"
        write_annotations(Annotations(cells, whole if areas else ()), table)
        if form != "parquet":
            command = ["annotations", "export", str(table), "--to", form, "--slide", str(slide)]
            result = CliRunner().invoke(
                build_app("annotations"), [*command, "-o", str(exported / f"{slide.stem}.{ending}")]
            )
            assert result.exit_code == 0, result.output
    found = run(slides, native if form == "parquet" else exported, output, "--json")
    matches = pl.read_parquet(output / "matches.parquet")
    expected = run(slides, slides if areas else native, output, "--json")
    assert (found.exit_code, expected.exit_code) == (0, 0), found.output + expected.output
    facts = json.loads(found.stdout)
    assert [slide["labels"] for slide in facts["slides"]] == [f"one.{ending}", f"two.{ending}"]
    assert facts["strict"]["complete"] is areas
    assert figures(facts) == figures(json.loads(expected.stdout))
    assert matches.height > 50
    assert_frame_equal(matches.drop("id"), pl.read_parquet(output / "matches.parquet").drop("id"))


def test_the_page_gives_no_error_of_a_type_that_the_pack_cannot_name(
    slides: Path, output: Path, tmp_path: Path
) -> None:
    """Lymphocytes of one slide are labelled as mast cells; the other slide has none."""
    for slide in sorted(slides.glob("*.tif")):
        truth = read_truth(slide)
        other = {"lymphocyte": "mast_cell"} if slide.stem == "one" else {}
        cells = truth.cells.with_row_index("id").with_columns(
            pl.col("id").cast(pl.String), pl.col("type").replace(other)
        )
        whole = polygons_of(shapely.box(0, 0, *truth.size).difference(shapely.union_all(truth.particles)))
        write_annotations(Annotations(cells.select(*ANNOTATION_SCHEMA), whole), tmp_path / f"{slide.stem}.parquet")
    result = run(slides, tmp_path, output, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    pairs = [slide["differential"].get("mast_cell") for slide in facts["slides"]]
    assert pairs[0]["true"] > 0
    assert pairs[1] is None
    (error,) = [error for error in facts["differential"] if error["type"] == "mast_cell"]
    assert error["agreement"]["differences"] == []
    page = (output / "verification.html").read_text()
    table = page[page.index("Error of the differential") :]
    row = table[table.index("Mast cell") :].partition("</tr>")[0]
    assert "not assessable" in row
    assert "0.0" not in row


def test_partial_labels_missing_labels_and_a_broken_slide(slides: Path, output: Path, tmp_path: Path) -> None:
    """The counts are those of before; one slide fails for its labels, one for itself, and the third is judged."""
    folder, labels = tmp_path / "slides", tmp_path / "labels"
    folder.mkdir()
    labels.mkdir()
    for name in ("one.tif", "two.tif"):
        shutil.copy(slides / name, folder / name)
    (folder / "broken.tif").write_bytes(b"II*\0")
    truth = read_truth(slides / "one.tif").cells.with_row_index("id").with_columns(pl.col("id").cast(pl.String))
    some = truth.select(*ANNOTATION_SCHEMA).gather_every(2)
    some.write_parquet(labels / "one.labels.parquet")
    some.write_parquet(labels / "broken.labels.parquet")
    result = run(folder, labels, output, "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    broken, one, two = facts["slides"]
    assert "could not be counted" in broken["error"]
    assert "has no annotations for two" in two["error"]
    assert one["error"] is None
    assert not one["complete"]
    assert one["asked"] + one["outside"] + one["border"] == some.height
    assert not facts["strict"]["complete"]
    assert facts["strict"]["left_out"] == one["detections_without_a_label"] > 0
    assert facts["confusion"]["rows"][-1] != "background"
    assert facts["detection"] == []
    assert facts["differential"] == []
    page = (output / "verification.html").read_text()
    assert "Not in the numbers" in page
    assert "no slide states that every cell" in page


def test_labels_are_read_as_annotations_tiles_reads_them(slides: Path, output: Path, tmp_path: Path) -> None:
    """One COCO file for both slides; an unknown class is refused, or left out; so is a spacing against the slide."""
    images, entries, kinds = [], [], {"blast": 1}
    for place, slide in enumerate(sorted(slides.glob("*.tif"))):
        truth = read_truth(slide)
        images.append({"id": place, "file_name": slide.name, "width": truth.size.width, "height": truth.size.height})
        for kind, *corners in truth.cells.select("type", "x0", "y0", "x1", "y1").iter_rows():
            x0, y0, x1, y1 = corners
            own = {"id": len(entries), "image_id": place, "category_id": kinds.setdefault(kind, len(kinds) + 1)}
            entries.append(own | {"bbox": [x0, y0, x1 - x0, y1 - y0]})
    kinds["qwxz"] = len(kinds) + 1
    entries.append(entries[-1] | {"id": len(entries), "category_id": kinds["qwxz"], "bbox": [10, 10, 50, 50]})
    both = tmp_path / "both.json"
    categories = [{"id": number, "name": name} for name, number in kinds.items()]
    both.write_text(json.dumps({"images": images, "annotations": entries, "categories": categories}))
    strict = json.loads(run(slides, both, output, "--json").stdout)["slides"]
    assert strict[0]["error"] is None
    assert "'qwxz', 1 cell" in strict[1]["error"]
    result = run(slides, both, output, "--skip-unknown", "--json")
    assert result.exit_code == 0, result.output
    one, two = json.loads(result.stdout)["slides"]
    assert one["asked"] + one["outside"] + one["border"] == read_truth(slides / "one.tif").cells.height
    assert two["asked"] + two["outside"] + two["border"] == read_truth(slides / "two.tif").cells.height
    assert "1 box of the unknown class 'qwxz' was left out" in two["notes"]
    refused = run(slides, both, output, "--skip-unknown", "--spacing", "0.3")
    assert refused.exit_code == 1
    assert "one.tif states 0.25 um per pixel, --spacing says 0.3" in refused.stderr.replace("\n", " ")
    table = tmp_path / "one.txt"
    table.write_text("0 0.5 0.5 0.1 0.1")
    several = run(slides, table, output)
    assert "about one picture and 2 slides were given" in several.stderr.replace("\n", " ")


def test_a_spacing_that_is_believed_is_noted(slides: Path, tmp_path: Path) -> None:
    shutil.copy(slides / "one.tif", tmp_path / "one.tif")
    truth = slides / "one.truth.json.gz"
    result = run(tmp_path, truth, tmp_path / "out", "--spacing", "0.26", "--believe-spacing", "--json")
    assert result.exit_code == 0, result.output
    (one,) = json.loads(result.stdout)["slides"]
    assert "0.26 um per pixel was believed (--believe-spacing), the slide states 0.25" in one["notes"]
    assert one["labels"] == truth.name


def test_nothing_to_judge_is_an_error_and_writes_nothing(slides: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    result = run(slides, tmp_path / "labels", tmp_path / "out")
    assert result.exit_code == 1
    assert "none of 2 slides could be judged" in result.stderr
    assert not (tmp_path / "out" / "verification.html").exists()
    assert run(tmp_path / "labels", slides, tmp_path / "out").exit_code == 1
    assert run(tmp_path / "absent", slides, tmp_path / "out").exit_code == 1
