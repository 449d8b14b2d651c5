"""The verb ``classify``: table, page, summary; trees of folders, pictures that are none, and packs that cannot."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from marrowscope.cells import pictures as pictures_module
from marrowscope.cells.classification import Classifier
from marrowscope.cells.pictures import cell_picture, find_pictures, name_pictures
from marrowscope.cli import build_app
from marrowscope.errors import SlideError
from marrowscope.packs import Pack, PackContract, load_pack
from marrowscope.packs.building import build_pack
from marrowscope.phantom import FieldOptions, render_cells

WORDS = tuple(f"word {number}" for number in range(30))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine phantom cells at 0.25 um/px in a tree: two folders with folders in them, and what is no picture."""
    top = tmp_path_factory.mktemp("cells")
    cells = render_cells(FieldOptions(), 60, seed=7, crop=128).pictures[4::6][:9]
    for number, cell in enumerate(cells):
        path = top / ("a/deep" if number % 2 else "b <i>") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.cvtColor(cell, cv2.COLOR_RGB2BGR))
    (top / "notes.txt").write_text("no picture")
    (top / ".hidden").mkdir()
    (top / ".hidden" / "x.png").write_text("no picture")
    (top / "a" / "._0.png").write_text("what another system leaves behind")
    return top


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """phantom-16's classifier as a pack without a detector that takes whole pictures and has words of its own."""
    phantom = load_pack("phantom-16")
    stated = phantom.contract.model_dump()
    stated |= {"name": "words", "detector": None, "pooled": {}, "classes": WORDS[: len(stated["classes"])]}
    stated["classifier"]["spacing"] = None
    files = {name: path for name, path in phantom.files.items() if name != "detector.onnx"}
    return build_pack(PackContract(**stated), files, "# words\n", tmp_path_factory.mktemp("pack") / "words")


def run(*arguments: object) -> Result:
    words = ["classify", *map(str, arguments), "--threads", "1"]
    return CliRunner().invoke(build_app("classify"), words, env={"COLUMNS": "160"})


def test_a_tree_becomes_a_table_and_a_page(folder: Path, tmp_path: Path) -> None:
    given = (folder, "--pack", "phantom-16", "--spacing", 0.25, "-o", tmp_path)
    result = run(*given)
    assert result.exit_code == 0, result.output
    table = pl.read_parquet(tmp_path / "classes.parquet")
    classes = load_pack("phantom-16").contract.classes
    assert table.columns == ["file", "type", "certainty", "anomaly", "unsure", "flags", *(f"p_{k}" for k in classes)]
    assert [Path(file).name for file in table["file"]] == [f"{k}.png" for k in (1, 3, 5, 7, 0, 2, 4, 6, 8)]
    probabilities = table.select(pl.col("^p_.*$")).to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert table["type"].to_list() == [classes[k] for k in probabilities.argmax(axis=1)]
    np.testing.assert_allclose(table["certainty"], probabilities.max(axis=1))
    page = (tmp_path / "classes.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 9
    assert "PHANTOM" in page
    assert "<h2>By folder</h2>" in page
    assert "&lt;i&gt;" in page
    assert "<i>" not in page
    assert "http:" not in page
    summary = json.loads((tmp_path / "classes.json").read_text())
    assert (summary["pictures"], sum(summary["types"].values()), summary["skipped"]) == (9, 9, 0)
    written = (tmp_path / "classes.parquet").stat().st_mtime_ns
    again = run(*given)
    assert again.exit_code == 0, again.output
    assert "as named before; look at" in again.output
    assert again.stdout.replace("as named before; ", "") == result.stdout
    assert json.loads(run(*given, "--json").stdout) == summary | {"output": str(tmp_path)}
    assert (tmp_path / "classes.parquet").stat().st_mtime_ns == written
    for other, words in (
        (("--specimen", "blood"), "otherwise (specimen marrow)"),
        ((folder / "a",), "(other pictures"),
    ):
        refused = run(*given, *other) if isinstance(other[0], str) else run(*other, *given[1:])
        assert refused.exit_code == 1
        assert words in refused.output
        assert "replace it with --force" in refused.output
    assert run(*given, "--force").exit_code == 0
    assert (tmp_path / "classes.parquet").stat().st_mtime_ns != written
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.html", "classes.json", "classes.parquet"]


def test_types_are_those_of_the_classifier(folder: Path) -> None:
    pack, images = load_pack("phantom-16"), find_pictures([folder], deep=True)
    crops = np.stack([cell_picture(image, 0.25, pack.contract.classifier) for image in images])
    expected = Classifier(pack, threads=1).classify(crops).probabilities
    found = name_pictures(images, pack, spacing=0.25, threads=1)
    np.testing.assert_allclose(found.table.select(pl.col("^p_.*$")).to_numpy(), expected, atol=1e-6)


def test_bad_pictures_are_named_and_stop_nothing(folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (bad / "empty.jpg").touch()
    Image.new("RGB", (1, 1)).save(bad / "one.png")
    Image.new("RGB", (900, 900)).save(bad / "wide.png")
    result = run(bad, folder, bad / "absent.png", "--pack", "phantom-16", "--spacing", 0.25, "-o", tmp_path / "o")
    assert result.exit_code == 1
    for words in (
        "broken.png",
        "too few to show a cell",
        "too large for one cell",
        "empty",
        "absent.png: no such file",
    ):
        assert words in result.output
    assert "9 of 14 pictures named; the others are in skipped.csv" in result.output
    assert pl.read_parquet(tmp_path / "o" / "classes.parquet").height == 9
    again = run(bad, folder, bad / "absent.png", "--pack", "phantom-16", "--spacing", 0.25, "-o", tmp_path / "o")
    assert again.exit_code == 1
    assert "as named before" in again.output
    assert "9 of 14 pictures named; the others are in skipped.csv" in again.output
    skipped = pl.read_csv(tmp_path / "o" / "skipped.csv")
    assert skipped.columns == ["file", "problem"]
    assert skipped.height == 5
    assert "<h2>Skipped</h2>" in (tmp_path / "o" / "classes.html").read_text(encoding="utf-8")
    none = run(bad, "--pack", "phantom-16", "--spacing", 0.25, "-o", tmp_path / "none")
    assert none.exit_code == 1
    assert "none of 4 pictures can be used; the first: " in none.output
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "I;16"])
def test_whole_pictures_of_every_kind(whole: Pack, tmp_path: Path, mode: str) -> None:
    """Whatever its scale and its way of storing, a whole picture is resized and named by the pack's own words."""
    cell = render_cells(FieldOptions(), 20, seed=7, crop=128).pictures[4]
    given, ending = tmp_path / "cells", {"CMYK": "jpg", "P": "gif"}.get(mode, "png")
    given.mkdir()
    picture = Image.fromarray(cell)
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) << 8)
    (picture if mode == "I;16" else picture.convert(mode)).save(given / f"cell.{ending}")
    result = run(given, "--pack", whole.folder, "-o", tmp_path / "o", "--json")
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert summary["pack"]["sha256"] == whole.sha256
    assert sum(summary["types"].values()) == 1
    assert set(summary["types"]) == set(whole.contract.classes)
    page = (tmp_path / "o" / "classes.html").read_text(encoding="utf-8")
    assert "Scale bar" not in page
    assert 'class="unscaled"' in page


def test_whole_pictures_are_explained(whole: Pack, folder: Path, tmp_path: Path) -> None:
    words = ["explain", str(folder / "a" / "deep"), "--pack", str(whole.folder), "-o", str(tmp_path), "--threads", "1"]
    result = CliRunner().invoke(build_app("explain"), words, env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "word " in result.stdout
    page = (tmp_path / "explanations.html").read_text(encoding="utf-8")
    assert page.count('class="map"') == 8
    assert "Scale bar" not in page
    assert 'class="evidence unscaled">' in page


def test_pictures_stream(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more pictures are decoded ahead than the limit, however many there are, and the order is kept."""
    pack, images = load_pack("phantom-16"), find_pictures([folder], deep=True) * 20
    read, named, most = [0], [0], [0]

    def counted(image: Path, spacing: float | None, contract: object) -> np.ndarray:
        read[0] += 1
        most[0] = max(most[0], read[0] - named[0])
        return np.full((pack.contract.classifier.crop,) * 2 + (3,), int(image.stem), np.uint8)

    monkeypatch.setattr(pictures_module, "cell_picture", counted)
    monkeypatch.setattr(pictures_module, "AHEAD", 8)
    monkeypatch.setattr(pictures_module, "BATCH", 4)
    found = name_pictures(images, pack, threads=1, progress=lambda done: named.__setitem__(0, done))
    assert found.table["file"].to_list() == [image.as_posix() for image in images]
    assert read[0] == len(images) == 180
    assert most[0] <= 8 + 2 * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pack", "phantom-16"), "--spacing"),
        (("--pack", "none-such"), "no pack is called"),
        (("--pack", "phantom-16", "--specimen", "bone"), "--specimen knows marrow"),
    ],
)
def test_what_is_asked_wrongly(folder: Path, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run(folder, "-o", tmp_path / "o", *arguments)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "o").exists()


def test_a_spacing_that_is_ten_times_too_small_and_a_folder_of_counts(folder: Path, tmp_path: Path) -> None:
    note = "half of the pictures are at most 3.2 um wide, less than a nucleated cell"
    for spacing, doubted in ((0.025, True), (0.25, False)):
        done = run(folder, "--pack", "phantom-16", "--spacing", spacing, "-o", tmp_path / str(spacing))
        assert (note in done.stdout) == doubted
        assert bool(json.loads((tmp_path / str(spacing) / "classes.json").read_text())["spacing_doubt"]) == doubted
    (tmp_path / "results" / "smear").mkdir(parents=True)
    (tmp_path / "results" / "smear" / "run.json").write_text("{}")
    for taken in (tmp_path / "results", tmp_path / "results" / "smear"):
        done = run(folder, "--pack", "phantom-16", "--spacing", 0.25, "-o", taken)
        assert "smear holds a count" in done.output + str(done.exception)


def test_pictures_are_found(folder: Path, tmp_path: Path) -> None:
    deep = find_pictures([folder, folder / "a" / "deep" / "1.png"], deep=True)
    assert [path.name for path in deep] == [f"{k}.png" for k in (1, 3, 5, 7, 0, 2, 4, 6, 8)]
    with pytest.raises(SlideError, match="whose own folders are not searched"):
        find_pictures([folder], deep=False)
    with pytest.raises(SlideError, match=r"no picture lies in the folder .* or in its own folders"):
        find_pictures([tmp_path], deep=True)
