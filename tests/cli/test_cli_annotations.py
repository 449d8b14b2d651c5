"""The verb ``annotations``: the path of a laboratory from QuPath to tiles, and what it does with a bad slide."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import shapely
from typer.testing import CliRunner, Result

from marrowscope.annotations import Annotations, read_annotations, read_tiles, write_annotations
from marrowscope.annotations.table import CORNERS
from marrowscope.cli import build_app
from marrowscope.phantom import read_truth
from marrowscope.phantom.truth import truth_path
from marrowscope.runs import slide_identity
from marrowscope.taxonomy import WANG_2022_TYPES


def run(*arguments: object) -> Result:
    words = ["annotations", *map(str, arguments)]
    return CliRunner().invoke(build_app("annotations"), words, env={"COLUMNS": "160"})


@pytest.fixture
def labels(phantom: Path, tmp_path: Path) -> Path:
    """Thirty cells of the phantom as annotations."""
    marrow = read_truth(phantom).cells.filter("in_trail").head(30).with_row_index("id")
    write_annotations(
        Annotations(marrow.select(pl.col("id").cast(pl.String), "type", *CORNERS)), tmp_path / "labels.parquet"
    )
    return tmp_path / "labels.parquet"


@pytest.mark.parametrize(
    ("to", "name"),
    [("qupath", "smear.geojson.gz"), ("coco", "smear.json"), ("voc", "smear.xml"), ("yolo", "smear.txt")],
)
def test_out_and_in_again(to: str, name: str, phantom: Path, labels: Path, tmp_path: Path) -> None:
    out, back = tmp_path / name, tmp_path / "back.parquet"
    result = run("export", labels, "--to", to, "--slide", phantom, "-o", out)
    assert result.exit_code == 0, result.output
    result = run("import", out, "--slide", phantom, "-o", back, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    made, found = read_annotations(labels).annotations.cells, read_annotations(back).annotations.cells
    assert facts["cells"] == sum(facts["types"].values()) == 30
    assert found["type"].to_list() == made["type"].to_list()
    assert (found.select(CORNERS) - made.select(CORNERS)).select(pl.all().abs().max()).max_horizontal()[0] < 0.01
    again = run("import", out, "--slide", phantom, "-o", back)
    assert again.exit_code == 1
    assert "--force" in again.stderr


def test_tiles_of_several_slides(phantom: Path, labels: Path, tmp_path: Path) -> None:
    """One slide has labels, one has none, one is no slide: the first is cut, the others are told, exit code 1."""
    slides, given, output = tmp_path / "slides", tmp_path / "given", tmp_path / "tiles"
    slides.mkdir()
    given.mkdir()
    for name in ("P1_a.tif", "P2_b.tif"):
        shutil.copy(phantom, slides / name)
    (slides / "P3_c.tif").write_text("no slide")
    for name in ("P1_a.labels.parquet", "P1_a.parquet", "P3_c.parquet"):
        shutil.copy(labels, given / name)
    arguments = ["tiles", *sorted(slides.iterdir()), "--annotations", given, "-o", output, "--tile", 256]
    result = run(*arguments, "--tile-spacing", 0.5, "--patient-from-name", "^([^_]+)_", "--json")
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    first, second, third = facts["slides"]
    assert (first["error"], first["cells"]) == (None, 30)
    assert "has no annotations for P2_b" in second["error"]
    assert "this is no slide" in third["error"]
    assert "P2_b" in result.stderr
    made = read_tiles(output)
    assert (made.side, made.spacing, made.classes) == (256, 0.5, WANG_2022_TYPES)
    assert made.cells["owned"].sum() == facts["counts"]["cells"] == 30
    assert set(made.tiles["patient"]) == {"P1"}
    document = json.loads((output / "tiles.json").read_text())
    assert "P1_a: P1_a.labels.parquet was taken, not P1_a.parquet" in document["notes"]
    (source,) = document["sources"]
    assert source["slide_identity"] == slide_identity(slides / "P1_a.tif")
    assert source["annotations_sha256"] == hashlib.sha256(labels.read_bytes()).hexdigest()
    present = set(read_annotations(labels).annotations.cells["type"])
    lacking = [kind for kind in WANG_2022_TYPES if kind not in present]
    assert lacking
    (note,) = [note for note in document["notes"] if "have no labelled cell" in note]
    assert f"{len(lacking)} of 16 classes have no labelled cell ({', '.join(lacking)})" in note
    assert "--classes-from file" in note

    table = tmp_path / "slides.csv"
    table.write_text("slide,patient,diagnosis\nP1_a.tif,7,aml\n")
    again = [*arguments[:2], *arguments[4:], "--slide-table", table, "--classes-from", "file"]
    assert "--force" in run(*again).stderr
    result = run(*again, "--force")
    assert result.exit_code == 0, result.output
    made = read_tiles(output)
    assert set(made.tiles.select("patient", "diagnosis", "cohort").rows()) == {("7", "aml", "")}
    assert set(made.classes) == set(made.cells["type"])
    assert "have no labelled cell" not in (output / "tiles.json").read_text()


def test_refusals(phantom: Path, labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    tiles = ("tiles", phantom, "-o", out, "--annotations")
    for arguments, words in (
        (("export", labels, "--to", "coco", "--slide", phantom, "-o", tmp_path / "a.xml"), "coco files end with .json"),
        (("import", labels, "--slide", phantom, "-o", tmp_path / "a.csv"), "call it a.parquet"),
        (
            ("import", labels, "--slide", phantom, "-o", tmp_path / "a.parquet", "--spacing", "0.5"),
            "--spacing says 0.5",
        ),
        ((*tiles, labels, "--spacing", "0.5"), "states 0.25 um per pixel, --spacing says 0.5"),
        ((*tiles, labels, "--spacing", "0.5", "--force"), "--believe-spacing if the slide is known to be wrong"),
        ((*tiles, labels, "--spacing", "0.02", "--believe-spacing"), "the spacing is wrong"),
        ((*tiles, labels, "--patient-from-name", "("), "no regular expression"),
        ((*tiles, labels, "--patient-from-name", "^P[0-9]+"), "finds no patient in the name smear"),
        ((*tiles, tmp_path / "gone"), "no such file or folder"),
        ((*tiles, nothing), "has no annotations for smear"),
        (("tiles", phantom, phantom, "-o", out, "--annotations", nothing), "more than once"),
        (("tiles", phantom, tmp_path / "b.tif", "-o", out, "--annotations", labels), "about one picture and 2 slides"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1, (arguments, result.output)
        assert words in result.stderr.replace("\n", " "), (words, result.stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.parquet", "nothing"]


def test_complete_areas_reach_the_tiles(phantom: Path, labels: Path, tmp_path: Path) -> None:
    """A rectangle of the class complete round all labels: the tiles that it holds are told apart."""
    cells = read_annotations(labels).annotations.cells
    x0, y0, x1, y1 = (cells[corner].min() if corner in ("x0", "y0") else cells[corner].max() for corner in CORNERS)
    write_annotations(Annotations(cells, (shapely.box(x0, y0, x1, y1),)), labels)
    drawn = tmp_path / "smear.geojson"
    assert run("export", labels, "--to", "qupath", "--slide", phantom, "-o", drawn).exit_code == 0
    result = run("tiles", phantom, "--annotations", drawn, "-o", tmp_path / "t", "--tile", 64)
    assert result.exit_code == 0, result.output
    made = read_tiles(tmp_path / "t")
    u, v = made.tiles["u"], made.tiles["v"]
    inside = (u >= x0) & (v >= y0) & (u + 64 <= x1) & (v + 64 <= y1)
    assert 0 < inside.sum() < len(made)
    assert made.complete.tolist() == inside.to_list()
    assert f"note: smear: {inside.sum()} of {len(made)} tiles lie in areas of complete annotation" in result.stdout


def test_a_cell_without_a_class_makes_its_tile_incomplete(phantom: Path, labels: Path, tmp_path: Path) -> None:
    """All lies in one area; the class of one cell is taken away: where it lies, no tile is complete."""
    cells = read_annotations(labels).annotations.cells
    whole = shapely.box(*(f(cells[corner]) for f, corner in zip((min, min, max, max), CORNERS, strict=True)))
    write_annotations(Annotations(cells, (whole.buffer(200, join_style="mitre"),)), labels)
    drawn = tmp_path / "smear.geojson"
    assert run("export", labels, "--to", "qupath", "--slide", phantom, "-o", drawn).exit_code == 0
    command = ["tiles", phantom, "--annotations", drawn, "--tile", 128, "-o"]
    assert run(*command, tmp_path / "before").exit_code == 0
    document = json.loads(drawn.read_text())
    del document["features"][0]["properties"]["classification"]
    drawn.write_text(json.dumps(document))
    assert run(*command, tmp_path / "after").exit_code == 0
    before, after = read_tiles(tmp_path / "before"), read_tiles(tmp_path / "after")
    x0, y0, x1, y1 = (cells[corner][0] for corner in CORNERS)
    u, v = pl.col("u"), pl.col("v")
    touching = (u < x1) & (v < y1) & (u + 128 > x0) & (v + 128 > y0)
    assert before.complete.all()
    assert 0 < after.tiles.select(touching).to_series().sum() < len(after)
    assert (~after.complete).tolist() == after.tiles.select(touching).to_series().to_list()


def test_a_spacing_against_the_slide_must_be_asked_for_and_is_noted(
    phantom: Path, labels: Path, tmp_path: Path
) -> None:
    command = ["tiles", phantom, "--annotations", labels, "-o", tmp_path / "t", "--tile", 128]
    assert run(*command).exit_code == 0
    before = (tmp_path / "t" / "tiles.json").read_text()
    refused = run(*command, "--spacing", 0.3, "--force")
    assert refused.exit_code == 1
    assert "add --believe-spacing" in refused.stderr.replace("\n", " ")
    assert (tmp_path / "t" / "tiles.json").read_text() == before
    result = run(*command, "--spacing", 0.3, "--force", "--believe-spacing")
    assert result.exit_code == 0, result.output
    note = "smear: 0.3 um per pixel was believed (--believe-spacing), the slide states 0.25"
    assert note in json.loads((tmp_path / "t" / "tiles.json").read_text())["notes"]
    command = ["import", labels, "--slide", phantom, "-o", tmp_path / "i.parquet", "--spacing", 0.3, "--json"]
    assert note.removeprefix("smear: ") in json.loads(run(*command, "--believe-spacing").stdout)["notes"]


def test_what_is_not_learnt_is_said(phantom: Path, labels: Path, tmp_path: Path) -> None:
    cells = read_annotations(labels).annotations.cells
    kinds = ["smudge"] * 4 + ["blast"] * 26
    write_annotations(Annotations(cells.with_columns(type=pl.Series(kinds))), labels)
    result = run("tiles", phantom, "--annotations", labels, "-o", tmp_path / "t", "--tile", 256)
    assert result.exit_code == 0, result.output
    assert "4 cells of the type smudge shown but not learnt" in result.stdout
    made = read_tiles(tmp_path / "t")
    assert made.cells.filter("owned", pl.col("type") == "smudge").height == 4


def test_the_truth_of_a_phantom_stands_for_its_annotations(phantom: Path, aml_phantom: Path, tmp_path: Path) -> None:
    truth, file = read_truth(phantom), truth_path(phantom)
    out, back, tiles = tmp_path / "p.geojson", tmp_path / "back.parquet", tmp_path / "tiles"
    assert run("export", file, "--to", "qupath", "--slide", phantom, "-o", out).exit_code == 0
    assert run("import", out, "--slide", phantom, "-o", back).exit_code == 0
    stored = read_annotations(back).annotations
    assert stored.cells["type"].to_list() == truth.cells["type"].to_list()
    assert stored.areas
    assert shapely.union_all(stored.areas).intersection(shapely.union_all(truth.particles)).area < 1

    assert run("tiles", phantom, "--annotations", phantom.parent, "-o", tiles, "--classes-from", "all").exit_code == 0
    cut = read_tiles(tiles)
    assert cut.cells.filter("owned").height == truth.cells.height
    assert 0 < sum(cut.complete) < len(cut), "tiles at particles are not complete, those elsewhere are"

    other = run("export", file, "--to", "voc", "--slide", aml_phantom, "-o", tmp_path / "x.xml")
    assert other.exit_code == 1
    assert "belongs to a picture of" in other.stderr


def test_a_pattern_without_files_and_a_file_of_another_slide_are_noticed(phantom: Path, tmp_path: Path) -> None:
    nothing = run("tiles", "slides/*.svs", "--annotations", phantom.parent, "-o", tmp_path / "tiles")
    assert nothing.exit_code == 1
    assert "slides/*.svs: no such slide; it is a pattern that no file fits" in nothing.stderr
    other = shutil.copy(truth_path(phantom), tmp_path / "another.truth.json.gz")
    told = run("import", other, "--slide", phantom, "-o", tmp_path / "cells.parquet")
    assert told.exit_code == 0
    assert "another.truth.json.gz does not bear the slide's name" in " ".join(told.stdout.split())
    own = run("import", truth_path(phantom), "--slide", phantom, "-o", tmp_path / "own.parquet")
    assert "does not bear" not in own.stdout
