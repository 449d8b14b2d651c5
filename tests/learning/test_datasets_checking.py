"""Every finding of the check, each on a small folder made to have just that fault."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from marrowscope.errors import DataError
from marrowscope.learning.datasets.checking import check_data
from marrowscope.learning.datasets.contact_sheet import write_contact_sheet
from marrowscope.learning.datasets.findings import CheckReport, Finding, as_json
from marrowscope.learning.datasets.gathering import gather
from marrowscope.learning.datasets.inspecting import inspect_picture, read_reduced

DATA = Path(os.environ.get("MARROWSCOPE_DATA", Path(__file__).parents[2] / "../shared/data"))
needs_data = pytest.mark.skipif(
    not all((DATA / name / "boxes.csv").is_file() for name in ("txl_pbc", "bccd")), reason=f"no box data in {DATA}"
)


def cell(seed: int, side: int = 96) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def write(folder: Path, pictures: dict[str, np.ndarray]) -> Path:
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), pixels)
    return folder


def kinds(report: CheckReport) -> dict[str, int]:
    return {finding.kind: finding.count for finding in report.findings}


def one(report: CheckReport, kind: str) -> Finding:
    (finding,) = [finding for finding in report.findings if finding.kind == kind]
    return finding


def test_a_clean_folder_passes_without_findings(tmp_path: Path) -> None:
    write(tmp_path, {f"{label}/{n}.png": cell(10 * n + k) for n in range(3) for k, label in enumerate(("a", "b"))})
    told: list[tuple[str, float]] = []
    report = check_data([tmp_path], progress=lambda stage, done: told.append((stage, done)))
    assert report.passed
    assert report.findings == ()
    assert report.sets == {tmp_path.name: 6}
    assert [(row.label, row.count, row.share) for row in report.classes] == [("a", 3, 0.5), ("b", 3, 0.5)]
    assert told[-1] == ("done", 1.0)
    assert [done for _, done in told] == sorted(done for _, done in told)


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    write(folder, {f"{label}/{n}.png": cell(10 * n + k) for n in range(3) for k, label in enumerate(("a", "b"))})
    (folder / "Blast").mkdir()
    (folder / "Blast" / "notes.txt").write_text("not yet")
    (folder / ".cache").mkdir()
    (folder / "images").mkdir()
    found = one(check_data([folder]), "empty-class")
    assert (found.severity, found.count, found.items) == ("warning", 1, ("cells/Blast",))
    assert "remove it" in found.advice
    write(folder, {"Blast/deep/1.png": cell(99)})
    assert "empty-class" not in kinds(check_data([folder]))


def test_an_empty_class_of_a_split_is_named_and_a_table_needs_no_folders(tmp_path: Path) -> None:
    split = tmp_path / "split"
    write(split, {f"{part}/1.png": cell(seed) for seed, part in enumerate(("train/a", "train/b", "test/a"))})
    (split / "test" / "b").mkdir()
    assert one(check_data([split]), "empty-class").items == ("split/test/b",)
    table = write(tmp_path / "table", {"a/1.png": cell(7)})
    (table / "labels.csv").write_text("file,label\na/1.png,a\n")
    (table / "b").mkdir()
    assert "empty-class" not in kinds(check_data([table]))


def test_links_that_lead_nowhere_and_garbage_are_unreadable(tmp_path: Path) -> None:
    write(tmp_path, {f"a/{n}.png": cell(n) for n in range(2)})
    (tmp_path / "a/huge.png").write_bytes((tmp_path / "a/0.png").read_bytes()[:16] + b"\x7f\xff\xff\xff" * 2 + bytes(9))
    (tmp_path / "a/lost.png").symlink_to("nowhere.png")
    (tmp_path / "a/itself.png").symlink_to("itself.png")
    (tmp_path / "table.csv").mkdir()
    (tmp_path / "labels.csv").write_text(f"file,label\na/0.png,a\n{'x' * 3000}.png,a\nb\0.png,a\n")
    report = check_data([tmp_path])
    unreadable = [item for finding in report.findings if finding.kind == "unreadable" for item in finding.items]
    assert sorted(Path(item).name for item in unreadable) == ["huge.png", "itself.png", "lost.png"]
    assert kinds(report)["missing"] == 2


def test_pictures_that_move_are_looked_at_too(tmp_path: Path) -> None:
    write(tmp_path / "set[1]", {"train/a/1.png": cell(1), "train/a/2.png": cell(2)})
    (tmp_path / "set[1]/test/a").mkdir(parents=True)
    Image.fromarray(cell(1)[..., ::-1]).save(tmp_path / "set[1]/test/a/1.webp", lossless=True)
    (tmp_path / "set[1]/more.csv").write_text("file,split\n")
    assert "leak" in kinds(check_data([tmp_path / "set[1]"]))


def test_copies_within_and_across_sets_are_warnings(tmp_path: Path) -> None:
    first = write(tmp_path / "first", {"a.png": cell(1), "b.bmp": cell(1), "c.png": cell(2), "d.png": cell(3)})
    small = cv2.resize(cell(2), (64, 80), interpolation=cv2.INTER_AREA)
    second = write(tmp_path / "second", {"e.jpg": small, "f.png": cv2.flip(cell(3), 1), "g.png": cell(4)})
    report = check_data([first, second])
    assert report.passed
    assert kinds(report) == {"exact-copies": 1, "twin-copies": 1, "turned-copies": 1, "squashed": 1}
    assert one(report, "exact-copies").items == ("first/a.png | first/b.bmp",)
    assert one(report, "twin-copies").items == ("second/e.jpg",)
    assert "pictures of second are in first" in one(report, "twin-copies").words
    assert {finding.severity for finding in report.findings} == {"warning"}


def test_a_copy_in_another_split_is_a_leak(tmp_path: Path) -> None:
    write(
        tmp_path, {"images/a.png": cell(1), "images/b.jpg": cell(1), "images/c.png": cell(2), "images/d.png": cell(1)}
    )
    (tmp_path / "labels.csv").write_text(
        "file,label,split\nimages/a.png,x,test\nimages/b.jpg,x,train\nimages/c.png,x,train\nimages/d.png,x,val\n"
    )
    report = check_data([tmp_path])
    assert not report.passed
    name = tmp_path.name
    found = {finding.words.split(" (")[0]: finding.items for finding in report.findings if finding.kind == "leak"}
    assert found == {
        f"pictures of {name} test are also in {name} train": (f"{name}/images/a.png",),
        f"pictures of {name} test are also in {name} val": (f"{name}/images/a.png",),
        f"pictures of {name} val are also in {name} train": (f"{name}/images/d.png",),
    }
    assert report.findings[0].severity == "error"


def test_leaks_are_seen_across_folders_and_voc_lists(tmp_path: Path) -> None:
    ours = write(tmp_path / "ours", {"train/x/1.png": cell(1), "valid/x/2.png": cell(2)})
    voc = write(tmp_path / "voc", {"images/1.png": cell(1), "images/9.png": cell(9)})
    (voc / "boxes.csv").write_text("file,class,xmin,ymin,xmax,ymax\nimages/1.png,x,1,1,9,9\nimages/9.png,x,1,1,9,9\n")
    (voc / "ImageSets" / "Main").mkdir(parents=True)
    (voc / "ImageSets" / "Main" / "test.txt").write_text("1\n9\n")
    assert one(check_data([ours, voc]), "leak").words == "pictures of voc test are also in ours train (1 exact)"


def test_copies_called_different_names_are_a_conflict(tmp_path: Path) -> None:
    write(tmp_path, {"blast/1.png": cell(1), "lymphocyte/2.png": cell(1), "blast/3.png": cell(3)})
    report = check_data([tmp_path])
    assert not report.passed
    assert "blast / lymphocyte 1" in one(report, "label-conflict").words


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    write(tmp_path, {f"{n}.jpg": cell(n) for n in range(4)} | {"flat.png": np.full((50, 50, 3), 9, np.uint8)})
    (tmp_path / "0.jpg").write_bytes(b"")
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    whole = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "labels.csv").write_text("file,label\n3.jpg,x\n4.jpg,x\n")
    report = check_data([tmp_path])
    problems = {finding.words: finding.items for finding in report.findings if finding.severity == "error"}
    name = tmp_path.name
    assert problems == {
        "files: is empty (0 bytes)": (f"{name}/0.jpg",),
        "files: is no picture": (f"{name}/1.jpg",),
        "files: is truncated: the file ends before the picture does": (f"{name}/2.jpg",),
        "files: shows nothing: all pixels are alike": (f"{name}/flat.png",),
        "files are listed in a table but not there": (str(tmp_path / "4.jpg"),),
    }


def test_boxes_outside_empty_and_twice(tmp_path: Path) -> None:
    write(tmp_path, {"a.png": cell(1), "b.png": cell(2)})
    rows = ["a.png,1,1,96,97", "a.png,-3,1,9,9", "a.png,1,1,99,9", "b.png,5,5,5,9", "b.png,9,9,4,4", "b.png,1,1,4,4"]
    (tmp_path / "boxes.csv").write_text("\n".join(["file,xmin,ymin,xmax,ymax", *rows, rows[-1]]) + "\n")
    assert kinds(check_data([tmp_path])) == {"box-outside": 2, "box-empty": 2, "box-twice": 1}


def test_tiny_and_odd_sizes(tmp_path: Path) -> None:
    write(tmp_path, {f"{n}.png": cell(n) for n in range(5)})
    write(tmp_path, {"tiny.png": cell(8, 20), "large.png": cell(9, 400), "long.png": cell(7, 200)[:40]})
    report = check_data([tmp_path])
    assert kinds(report) == {"tiny": 1, "odd-size": 2}
    assert one(report, "odd-size").items == (f"{tmp_path.name}/large.png", f"{tmp_path.name}/long.png")


def test_rare_and_absent_classes(tmp_path: Path) -> None:
    write(tmp_path, {f"train/a/{n}.png": cell(n, 40) for n in range(25)} | {"test/b/1.png": cell(99, 40)})
    report = check_data([tmp_path])
    assert report.passed
    assert "the largest is 25 times the smallest (b, n = 1)" in one(report, "imbalance").words
    assert one(report, "absent-class").items == ("a (test)", "b (train)")


def _red_cells(seed: int, diameter: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    picture = np.full((240, 240, 3), (220, 235, 240), np.uint8)
    for x in range(diameter, 240 - diameter, int(1.6 * diameter)):
        for y in range(diameter, 240 - diameter, int(1.6 * diameter)):
            centre = (x + int(rng.integers(-4, 5)), y + int(rng.integers(-4, 5)))
            cv2.circle(picture, centre, diameter // 2, (140, 145, 205), -1, cv2.LINE_AA)
    return np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)


def test_a_spacing_that_red_cells_contradict(tmp_path: Path) -> None:
    write(tmp_path, {f"{n}.png": _red_cells(n, 36) for n in range(8)})
    report = check_data([tmp_path], spacing=0.2)
    assert report.sizes[0].spacing == pytest.approx(0.2, rel=0.1)
    assert "spacing" not in kinds(report)
    wrong = check_data([tmp_path], spacing=0.5)
    assert not wrong.passed
    words = one(wrong, "spacing").words
    assert float(words.split("would measure ")[1].split(" um")[0]) == pytest.approx(18, rel=0.1)


def test_sizes_of_different_spacing_in_one_set(tmp_path: Path) -> None:
    write(tmp_path, {f"a{n}.png": _red_cells(n, 36) for n in range(8)})
    write(tmp_path, {f"b{n}.png": _red_cells(20 + n, 24)[:200] for n in range(8)})
    finding = one(check_data([tmp_path]), "mixed-spacing")
    assert finding.severity == "warning"
    assert [item.split(":")[0] for item in finding.items] == ["240 x 240", "240 x 200"]


def test_json_and_contact_sheet_hold_every_finding(tmp_path: Path) -> None:
    write(tmp_path / "set", {"train/a/1.png": cell(1), "test/b/2 <x>.png": cell(1), "test/b/3.png": cell(2, 20)})
    report = check_data([tmp_path / "set"])
    plain = json.loads(json.dumps(as_json(report)))
    assert [finding["kind"] for finding in plain["findings"]] == [finding.kind for finding in report.findings]
    assert plain["findings"][0]["pairs"][0]["how"] == "exact"
    write_contact_sheet(tmp_path / "sheet.html", report, [tmp_path / "set"])
    html = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg") == 2, "a pair is shown once, though it is in three findings"
    assert "2 &lt;x&gt;.png" in html
    assert "<script" not in html
    assert "http" not in html
    assert all(finding.advice in html.replace("&#39;", "'") for finding in report.findings)


def test_sets_side_by_side_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, {"one/1.png": cell(1), "two/x/1.png": cell(2), "two/y/2.png": cell(3)})
    (tmp_path / "one" / "labels.csv").write_text("file,label\n1.png,x\n")
    found = {(one.name, one.set_name, one.label) for one in gather([tmp_path]).pictures}
    assert found == {("one/1.png", "one", "x"), ("two/x/1.png", "two", "x"), ("two/y/2.png", "two", "y")}
    assert len(gather([tmp_path, tmp_path / "one"]).pictures) == 3, "a picture given twice is one picture"


def test_no_picture_and_no_table_say_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture"):
        gather([tmp_path])
    (tmp_path / "boxes.csv").write_text("file,xmin,ymin,xmax,ymax\na.png,one,2,3,4\n")
    with pytest.raises(DataError, match="no number"):
        gather([tmp_path])


def test_large_jpegs_are_read_reduced_but_keep_their_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "large.jpg"), cell(1, 2400))
    pixels, size = read_reduced(tmp_path / "large.jpg")
    assert size == (2400, 2400)
    assert pixels.shape == (1200, 1200, 3)
    seen = inspect_picture(tmp_path / "large.jpg")
    assert seen.sketch is not None
    assert seen.sketch.size == (2400, 2400)


@pytest.mark.realdata
@pytest.mark.slow
@needs_data
@pytest.mark.timeout(1800)
def test_the_known_leaks_of_the_public_sets() -> None:
    report = check_data([DATA / "txl_pbc", DATA / "bccd"])
    assert not report.passed
    across = {
        finding.kind: finding for finding in report.findings if "pictures of txl_pbc are in bccd" in finding.words
    }
    exact = {name for pair in across["exact-copies"].pairs for name in (pair.first, pair.second) if "bccd/" in name}
    assert len(exact) == 221
    assert len({pair.first for pair in one(report, "squashed").pairs}) >= 67
    leaked = {
        name: {
            item
            for finding in report.findings
            if finding.kind == "leak" and words in finding.words
            for item in finding.items
        }
        for name, words in (
            ("bccd", "of bccd test are also in txl_pbc"),
            ("txl_pbc", "of txl_pbc test are also in bccd"),
        )
    }
    assert len(leaked["bccd"]) >= 33
    assert len(leaked["txl_pbc"]) >= 21
