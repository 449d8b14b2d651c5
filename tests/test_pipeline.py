"""The whole line on a phantom: numbers against truth, invariance, files, resuming, bad input."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import tifffile

import marrowscope
from marrowscope.batch import count_file, count_slides, without_names
from marrowscope.cases import pool_case
from marrowscope.cells.finding import Tiling
from marrowscope.cells.table import cell_schema
from marrowscope.checkpoint import Checkpoint
from marrowscope.cli import main
from marrowscope.differential.result import Differential
from marrowscope.errors import MarrowscopeError, OutputError, RegionError, SpacingError
from marrowscope.evaluation.matching import match_boxes
from marrowscope.options import CountOptions, Progress, silent
from marrowscope.packs import load_pack
from marrowscope.phantom import read_truth, truth_path
from marrowscope.pipeline import count_slide
from marrowscope.report.content import ReportContent
from marrowscope.report.qupath import check_qupath_geojson
from marrowscope.report.writing import WRITERS
from marrowscope.runs import read_run
from marrowscope.slides import MemorySlide, open_slide

FILES = {
    "regions.geojson",
    "cells.parquet",
    "cells.geojson.gz",
    "differential.json",
    "differential.csv",
    "report.html",
    "report.pdf",
    "run.json",
}


def boxes(cells: pl.DataFrame) -> np.ndarray:
    return cells.select("x0", "y0", "x1", "y1").to_numpy()


def counted(slide: Path, pack: str = "phantom-16", **options: object) -> ReportContent:
    with open_slide(slide) as opened:
        return count_slide(opened, load_pack(pack), CountOptions(**options))


@pytest.fixture(scope="module")
def everything(phantom: Path) -> ReportContent:
    return counted(phantom, cells="all")


@pytest.fixture(scope="module")
def some(phantom: Path) -> ReportContent:
    return counted(phantom, cells=200)


def test_cells_are_found_and_named_as_the_truth_says(phantom: Path, everything: ReportContent) -> None:
    truth = read_truth(truth_path(phantom)).cells
    import shapely

    area = shapely.union_all([region.polygon for region in everything.finding.regions])
    centre_x, centre_y = (truth["x0"] + truth["x1"]).to_numpy() / 2, (truth["y0"] + truth["y1"]).to_numpy() / 2
    inside = truth.filter(pl.Series(shapely.contains_xy(area.buffer(-40), centre_x, centre_y)))
    found = match_boxes(boxes(everything.cells), boxes(inside), 0.5)
    assert inside.height > 400
    assert len(found.truth) / inside.height >= 0.97
    named = everything.cells["type"].to_numpy()[found.predicted] == inside["type"].to_numpy()[found.truth]
    assert named.mean() >= 0.95


def test_no_cell_is_counted_twice(everything: ReportContent) -> None:
    from marrowscope.detection.suppression import pairwise_iou

    overlaps = pairwise_iou(boxes(everything.cells), boxes(everything.cells))
    np.fill_diagonal(overlaps, 0)
    assert overlaps.max() <= 0.5


@pytest.mark.parametrize(
    "tiling",
    [
        Tiling(tile=384),
        Tiling(tile=768),
        Tiling(origin=(96, 160)),
        Tiling(batch=8),
        Tiling(threads=1, readers=1),
        Tiling(threads=4, readers=4),
    ],
    ids=["tile 384", "tile 768", "origin", "batch 8", "1 thread", "4 threads"],
)
@pytest.mark.parametrize("cells", [200, "all"])
def test_tiling_changes_no_count(
    phantom: Path, everything: ReportContent, some: ReportContent, tiling: Tiling, cells: int | str
) -> None:
    reference = (everything if cells == "all" else some).cells
    other = counted(phantom, cells=cells, tiling=tiling).cells
    matching = match_boxes(boxes(other), boxes(reference), 0.5)
    same = other["type"].to_numpy()[matching.predicted] == reference["type"].to_numpy()[matching.truth]
    assert abs(other.height - reference.height) <= 0.002 * reference.height
    assert same.sum() >= 0.995 * max(other.height, reference.height)


def test_counting_stops_at_the_end_of_the_field_that_reaches_the_number(
    phantom: Path, everything: ReportContent, some: ReportContent
) -> None:
    per_field = some.cells.group_by("field").len()["len"]
    assert some.differential.total >= 200
    assert some.differential.total - per_field.max() < 200
    assert some.cells.height < everything.cells.height
    assert "200 cells" in some.differential.stopped
    others = counted(phantom, cells=200, seed=1).cells
    assert others.height > 0
    assert not others.equals(some.cells)


def test_asking_for_more_cells_than_there_are_says_so(phantom: Path) -> None:
    content = counted(phantom, cells=100_000)
    assert "all regions counted" in content.differential.stopped


def test_a_count_of_blood_says_that_the_rest_of_the_report_is_for_marrow(phantom: Path) -> None:
    differential = counted(phantom, "blood-11", cells=40, specimen="blood").differential
    assert "Counted as blood" in " ".join(flag.text for flag in differential.flags)
    assert differential.phantom, "a generated slide is one, whatever the pack that counts it was made for"
    assert not any("Counted as blood" in flag.text for flag in counted(phantom, cells=40).differential.flags)


def test_an_aml_with_a_pack_that_knows_no_blasts_reads_not_assessable(aml_phantom: Path) -> None:
    with open_slide(aml_phantom) as slide:
        differential = count_slide(slide, load_pack("blood-11"), CountOptions(cells=200)).differential
    rows = {row.type: row for row in differential.rows}
    assert differential.partial
    assert differential.title.startswith("Partial differential")
    assert not rows["blast"].assessable
    assert rows["blast"].percent is None
    verdicts = {flag.verdict for flag in differential.flags if "blast" in flag.code}
    assert verdicts == {"not assessable"}
    assert all(ratio.withheld for ratio in differential.ratios)
    assert not any("below" in flag.text for flag in differential.flags)


def test_adaptive_counting_ends_with_a_decision_and_its_own_intervals(aml_phantom: Path, phantom: Path) -> None:
    differential = counted(aml_phantom, cells="precise").differential
    assert differential.convention.interval == "sequence"
    assert "decided" in differential.stopped
    assert {flag.verdict for flag in differential.flags if flag.code == "blasts-20"} == {"above"}
    with open_slide(phantom) as slide, pytest.raises(MarrowscopeError, match="--cells"):
        count_slide(slide, load_pack("blood-11"), CountOptions(cells="precise"))


@pytest.mark.realdata
def test_real_marrow_fields_are_counted_as_a_partial_differential(data_folder: Path, tmp_path: Path) -> None:
    mosaic = data_folder / "segpc" / "mosaic.tif"
    with pytest.raises(SpacingError, match="--spacing"):
        count_file(mosaic, tmp_path, load_pack("blood-11"))
    outcome = count_file(mosaic, tmp_path, load_pack("blood-11"), CountOptions(cells="all"), spacing=0.05)
    assert outcome.differential is not None
    assert 250 < outcome.differential.total < 450
    assert outcome.differential.partial
    assert check_qupath_geojson(tmp_path / "cells.geojson.gz") == []


def test_the_files_of_a_run(phantom: Path, tmp_path: Path) -> None:
    outcome = count_file(phantom, tmp_path / "out", load_pack("phantom-16"), CountOptions(cells=150))
    folder = tmp_path / "out"
    assert {path.name for path in folder.iterdir()} == FILES
    differential = Differential.model_validate_json((folder / "differential.json").read_bytes())
    assert differential == outcome.differential
    cells = pl.read_parquet(folder / "cells.parquet")
    assert dict(cells.schema) == cell_schema(load_pack("phantom-16").contract.classes)
    assert check_qupath_geojson(folder / "cells.geojson.gz") == []
    with gzip.open(folder / "cells.geojson.gz") as handle:
        assert len(json.load(handle)["features"]) == cells.height
    run = json.loads((folder / "run.json").read_text())
    assert run["pack"]["sha256"] == load_pack("phantom-16").sha256
    assert "PHANTOM" in (folder / "report.html").read_text()


def test_the_same_question_is_answered_from_the_folder_and_another_is_not(phantom: Path, tmp_path: Path) -> None:
    pack, folder = load_pack("phantom-16"), tmp_path / "out"
    first = count_file(phantom, folder, pack, CountOptions(cells=100))
    stamp = (folder / "report.html").stat().st_mtime_ns
    again = count_file(phantom, folder, pack, CountOptions(cells=100))
    assert again.earlier
    assert again.differential == first.differential
    assert (folder / "report.html").stat().st_mtime_ns == stamp
    with pytest.raises(OutputError, match=r"made otherwise \(cells 100, specimen marrow\).*--force"):
        count_file(phantom, folder, pack, CountOptions(cells=120, specimen="blood"))
    assert (folder / "report.html").stat().st_mtime_ns == stamp
    assert not count_file(phantom, folder, pack, CountOptions(cells=120), force=True).earlier


def test_a_folder_of_another_slide_is_not_overwritten(phantom: Path, aml_phantom: Path, tmp_path: Path) -> None:
    pack = load_pack("phantom-16")
    count_file(phantom, tmp_path, pack, CountOptions(cells=50))
    with pytest.raises(OutputError, match="another slide"):
        count_file(aml_phantom, tmp_path, pack, CountOptions(cells=50))


def test_one_broken_slide_does_not_stop_the_others(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.tif"
    broken.write_bytes(phantom.read_bytes()[:5000])
    with pytest.raises(SystemExit) as leaving:
        main(["count", str(broken), str(phantom), "-o", str(tmp_path / "out"), "--pack", "phantom-16", "--cells", "60"])
    assert leaving.value.code == 1
    shown = capsys.readouterr()
    assert "broken" in shown.err
    assert "1 of 2 slides counted" in shown.err
    assert (tmp_path / "out" / "smear" / "run.json").exists()
    assert not (tmp_path / "out" / "broken").exists()


def test_two_slides_of_one_name_get_two_folders(phantom: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        shutil.copy(phantom, tmp_path / place / "smear.tif")
    outcomes = count_slides(
        [tmp_path / "a/smear.tif", tmp_path / "b/smear.tif"],
        tmp_path / "out",
        load_pack("phantom-16"),
        CountOptions(cells=50),
    )
    assert len({outcome.folder for outcome in outcomes}) == 2
    assert all(outcome.differential for outcome in outcomes)


def test_smears_of_a_case_are_pooled_and_tested(phantom: Path, aml_phantom: Path) -> None:
    pack, options = load_pack("phantom-16"), CountOptions(cells=150)
    smears = [counted(slide, cells=150) for slide in (phantom, aml_phantom)]
    case = pool_case("case 17", smears, pack, options)
    assert case.differential.total == sum(smear.differential.total for smear in smears)
    assert case.differential.agreement is not None
    assert case.differential.agreement.p_value < 0.001
    assert case.cells["cell_id"].is_unique().all()
    assert case.cells.height == sum(smear.cells.height for smear in smears)
    assert "case 17" in case.slide.label
    with pytest.raises(MarrowscopeError, match="two slides"):
        pool_case("case 17", smears[:1], pack, options)


def test_a_case_on_the_command_line(phantom: Path, aml_phantom: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(
            [
                "count",
                str(phantom),
                str(aml_phantom),
                "-o",
                str(tmp_path),
                "--pack",
                "phantom-16",
                "--cells",
                "60",
                "--case",
                "case 17",
            ]
        )
    assert leaving.value.code == 0
    assert {"case 17", "smear", "aml"} <= {path.name for path in tmp_path.iterdir()}
    assert Differential.model_validate_json((tmp_path / "case 17" / "differential.json").read_bytes()).agreement


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", "..", " ", "smear"])
def test_a_case_keeps_to_its_own_folder(phantom: Path, tmp_path: Path, name: str) -> None:
    pack = load_pack("phantom-16")
    with pytest.raises(OutputError, match="--case"):
        count_slides([phantom, phantom.with_name("other.tif")], tmp_path / "out", pack, case=name)
    assert list(tmp_path.iterdir()) == []


def test_a_case_never_takes_the_folder_of_a_slide_counted_before(phantom: Path, tmp_path: Path) -> None:
    pack = load_pack("phantom-16")
    count_file(phantom, tmp_path / "first", pack, CountOptions(cells=30))
    with pytest.raises(OutputError, match="another name"):
        count_slides([phantom, phantom], tmp_path, pack, case="first")
    assert read_run(tmp_path / "first") is not None


def test_a_case_with_a_failed_or_doubled_smear_is_not_pooled_and_says_why(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, copy = tmp_path / "broken.tif", tmp_path / "copy.tif"
    broken.write_bytes(phantom.read_bytes()[:5000])
    shutil.copy(phantom, copy)
    for slides, reason in (([phantom, broken], "broken could not be counted"), ([phantom, copy], "same slide")):
        with pytest.raises(SystemExit) as leaving:
            main(
                [
                    "count",
                    *map(str, slides),
                    "-o",
                    str(tmp_path / reason),
                    "--pack",
                    "phantom-16",
                    "--cells",
                    "30",
                    "--case",
                    "case 17",
                ]
            )
        assert leaving.value.code == 1
        shown = capsys.readouterr()
        assert reason in shown.err
        assert "smear" in shown.out
        assert not (tmp_path / reason / "case 17").exists()


def test_memory_does_not_grow_with_the_number_of_slides(phantom: Path, tmp_path: Path) -> None:
    outcomes = count_slides([phantom], tmp_path, load_pack("phantom-16"), CountOptions(cells=30))
    assert outcomes[0].content is None
    assert outcomes[0].differential is not None


@pytest.mark.parametrize("missing", ["report.pdf", "regions.geojson", "cells.parquet"])
def test_a_folder_that_lost_a_file_is_counted_again(phantom: Path, tmp_path: Path, missing: str) -> None:
    pack, folder = load_pack("phantom-16"), tmp_path / "out"
    count_file(phantom, folder, pack, CountOptions(cells=30))
    (folder / missing).unlink()
    again = count_file(phantom, folder, pack, CountOptions(cells=30))
    assert not again.earlier
    assert (folder / missing).is_file()


def test_a_failure_while_drawing_leaves_no_old_file_beside_new_ones(
    phantom: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack, folder = load_pack("phantom-16"), tmp_path / "out"
    count_file(phantom, folder, pack, CountOptions(cells=30))

    def no_room(content: ReportContent, path: Path) -> None:
        raise OutputError("no room")

    monkeypatch.setitem(WRITERS, "report.html", no_room)
    with pytest.raises(OutputError, match="no room"):
        count_file(phantom, folder, pack, CountOptions(cells=60), force=True)
    left = {path.name for path in folder.iterdir()}
    assert not left & {"run.json", "report.html", "report.pdf"}


def test_a_slide_coarser_than_the_models_is_noted_and_flagged_first() -> None:
    slide = MemorySlide(np.full((500, 600, 3), 238, np.uint8), 0.5)
    content = count_slide(slide, load_pack("phantom-16"))
    assert any("0.5 um per pixel" in note for note in content.quality)
    assert "0.5 um per pixel" in content.differential.flags[0].text


def test_a_spacing_that_the_red_cells_contradict_is_the_first_flag(phantom: Path) -> None:
    with open_slide(phantom, 0.5) as slide:
        flags = count_slide(slide, load_pack("phantom-16"), CountOptions(cells=50)).differential.flags
    assert "red cells" in flags[0].text


@pytest.mark.parametrize(
    "options", [{"cells": 0}, {"cells": "prcise"}, {"seed": -1}, {"tiling": Tiling(tile=128)}], ids=str
)
def test_options_that_cannot_be_are_refused_in_words(options: dict[str, object]) -> None:
    slide = MemorySlide(np.full((500, 600, 3), 238, np.uint8), 0.25)
    with pytest.raises(MarrowscopeError):
        count_slide(slide, load_pack("phantom-16"), CountOptions(**options))


def test_a_slide_without_a_smear_says_what_to_type_and_leaves_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "glass.tif"
    tifffile.imwrite(
        path,
        np.full((9000, 9000, 3), 240, np.uint8),
        tile=(256, 256),
        photometric="rgb",
        resolution=(40_000, 40_000),
        resolutionunit="CENTIMETER",
    )
    with pytest.raises(RegionError, match="--region"):
        count_file(path, tmp_path / "out", load_pack("phantom-16"))
    assert not (tmp_path / "out").exists()


def test_messages_lose_names_and_nothing_else() -> None:
    slide, region = Path("/data/a.svs"), Path("/data/Appleseed.geojson")
    message = "/data/a.svs is damaged at a tile; a.svs, /data/Appleseed.geojson"
    assert without_names(message, [slide, region], "slide-1") == "slide-1 is damaged at slide-1 tile; slide-1, slide-1"
    assert without_names("a damaged pack", [Path("/x/pa.svs")], "slide-1") == "a damaged pack"


def test_pseudonyms_keep_the_name_of_a_slide_out_of_everything(
    phantom: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slide = tmp_path / "Appleseed Jonathan 1774.tif"
    shutil.copy(phantom, slide)
    bad = tmp_path / "Birdwhistell Ray.tif"
    bad.write_text("no slide")
    with pytest.raises(SystemExit):
        main(
            [
                "count",
                str(slide),
                str(bad),
                "-o",
                str(tmp_path / "out"),
                "--pack",
                "phantom-16",
                "--cells",
                "60",
                "--pseudonymous",
            ]
        )
    shown = capsys.readouterr()
    for word in ("Appleseed", "Jonathan", "Birdwhistell"):
        assert word not in shown.out + shown.err
        for path in (tmp_path / "out").rglob("*"):
            assert word not in path.name
            if path.is_file():
                content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
                assert word.encode() not in content, path.name


def test_a_picture_without_spacing_is_refused_with_the_option_that_helps(tmp_path: Path) -> None:
    path = tmp_path / "field.png"
    cv2.imwrite(str(path), np.full((600, 800, 3), 240, np.uint8))
    with pytest.raises(SpacingError, match="--spacing"):
        count_file(path, tmp_path / "out", load_pack("phantom-16"))
    assert not (tmp_path / "out").exists()


def test_an_empty_field_gives_a_report_of_nothing(tmp_path: Path) -> None:
    slide = MemorySlide(np.full((900, 1200, 3), 238, np.uint8), 0.25)
    content = count_slide(slide, load_pack("phantom-16"))
    assert content.cells.height == 0
    assert content.differential.total == 0
    assert all(row.percent is None for row in content.differential.rows)


def test_a_file_in_place_of_the_output_folder(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="-o"):
        count_file(phantom, tmp_path / "out" / "smear", load_pack("phantom-16"), CountOptions(cells=50))


def test_an_interrupt_leaves_nothing_half_written_and_the_next_run_finishes(phantom: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "marrowscope",
        "count",
        str(phantom),
        "-o",
        str(tmp_path),
        "--pack",
        "phantom-16",
        "--all",
    ]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    until = time.monotonic() + 60
    while not (tmp_path / "smear").is_dir() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.02)  # an interrupt while Python still imports is Python's own (it dies of the signal)
    time.sleep(0.3)
    running.send_signal(signal.SIGINT)
    _, shown = running.communicate(timeout=60)
    written = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    if running.returncode != 0:  # on a fast machine the count may have been finished
        assert running.returncode == 130, shown
        assert "again" in shown
        assert "run.json" not in written
        assert written <= FILES
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert {path.name for path in (tmp_path / "smear").iterdir()} == FILES


def test_a_count_goes_on_from_its_checkpoint_and_ends_with_the_same_cells(
    phantom: Path, everything: ReportContent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marrowscope.checkpoint.EVERY_SECONDS", 0.0)

    def stop(stage: str, done: float, words: str = "") -> None:
        if stage == "counting" and done > 0.5:
            raise KeyboardInterrupt

    def count(checkpoint: Checkpoint, progress: Progress = silent) -> ReportContent:
        with open_slide(phantom) as slide:
            options = CountOptions(cells="all")
            return count_slide(slide, load_pack("phantom-16"), options, checkpoint=checkpoint, progress=progress)

    checkpoint = Checkpoint(tmp_path / ".counting.parquet", "question")
    with pytest.raises(KeyboardInterrupt):
        count(checkpoint, stop)
    saved = Checkpoint(checkpoint.path, "question").load()
    assert saved is not None
    assert 0 < saved[0].height < everything.cells.height
    assert Checkpoint(checkpoint.path, "another question").load() is None
    resumed = count(Checkpoint(checkpoint.path, "question"))
    assert resumed.cells.drop("field").equals(everything.cells.drop("field"))
    assert resumed.differential == everything.differential
    assert set(resumed.crops) >= set(everything.crops)


def test_five_lines_of_python(phantom: Path, tmp_path: Path) -> None:
    result = marrowscope.count(phantom, output=tmp_path, pack="phantom-16", cells=60)
    assert result.differential.total >= 60
    assert result.cells.height >= 60
    assert (tmp_path / "smear" / "report.html").exists()
    assert marrowscope.count(phantom, pack="phantom-16", cells=60).differential == result.differential
