"""Pages of the four studies from jobs whose outputs are drawn at random with a known skill, and from one real one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.special import expit, softmax

from marrowscope.errors import DataError
from marrowscope.studies.cell_studies.blocks import RANDOM, paper_blocks
from marrowscope.studies.cell_studies.figures import write_pngs
from marrowscope.studies.cell_studies.finished import Entry, FinishedJob, class_key, entries, read_job, title_of
from marrowscope.studies.cell_studies.paper_tables import senthilkumar_section_5_2, shah_table_2
from marrowscope.studies.cell_studies.tables import compare, pairs_table, scores_table
from marrowscope.studies.page import Figure, Page, Table, html, markdown, write_page

SEVEN = ("BAS", "EOS", "HAC", "LYT", "MON", "NGB", "NGS")
DRAWN = "outputs drawn at random with a known skill, no network was trained"


def draw_job(
    folder: Path,
    network: str = "convnext-small",
    *,
    skill: float = 2.0,
    start: str = "tiny.pth, sha256 00",
    classes: tuple[str, ...] = SEVEN,
    seed: int = 0,
    cells: int = 210,
    sigmoid: bool = False,
    source: str = DRAWN,
    **facts: Any,
) -> Path:
    """A finished job's folder: the logit of the true class is ``skill`` higher, all are twice too sure."""
    generator = np.random.default_rng([seed, *network.encode()])
    labels = np.tile(np.arange(len(classes)), cells // len(classes) + 1)[:cells]
    logits = 2 * (generator.normal(size=(cells, len(classes))) + skill * np.eye(len(classes))[labels])
    outputs = expit(logits - 3) if sigmoid else softmax(logits, axis=1)
    split = np.where(np.arange(cells) < cells // 3, "val", "test")
    table = {"row": np.arange(cells), "file": [f"cell-{n}.png" for n in range(cells)], "split": split, "label": labels}
    table |= {f"p_{k}": outputs[:, k].astype(np.float32) for k in range(len(classes))}
    table |= {f"logit_{k}": logits[:, k].astype(np.float32) for k in range(len(classes))}
    folder.mkdir(parents=True)
    pl.DataFrame(table).write_parquet(folder / "predictions.parquet")
    epochs = np.arange(1, 6)
    pl.DataFrame(
        {
            "epoch": epochs,
            "train_loss": 2.0 / epochs,
            "train_accuracy": 1 - 0.8 / epochs,
            "val_loss": 2.2 / epochs,
            "val_accuracy": 1 - 0.85 / epochs,
            "seconds": [3.0] * 5,
        }
    ).write_csv(folder / "history.csv")
    told = {
        "network": network,
        "recipe": {"name": "shah-2025", "keep": "last", "silent": {"batch": "32: the usual value"}},
        "start": start,
        "seed": seed,
        "classes": list(classes),
        "source": source,
        "cells": {"train": 630, "val": cells // 3, "test": cells - cells // 3},
        "parameters": {"all": 5_000_000, "learnt": 1_200_000},
        "flops": 2_400_000_000,
        "best_epoch": 4,
        "seconds": 90.0,
        "images_per_second": 123.4,
        "feed_share": 0.034,
        "peak_memory_mb": 512.0,
        "energy": {"kwh": 0.00125, "how": "estimate of a test"},
        "device": "a test",
        **facts,
    }
    (folder / "facts.json").write_text(json.dumps(told))
    return folder


def page_of(paper: str, jobs: list[FinishedJob]) -> Page:
    return Page(
        f"{paper}: ours beside the paper", (f"The data are {DRAWN}.",), "pytest", tuple(paper_blocks(paper, jobs))
    )


def tables_of(page: Page) -> dict[str, Table]:
    return {block.title: block for block in page.blocks if isinstance(block, Table)}


def row_of(table: Table, label: str) -> dict[str, str]:
    return dict(zip(table.head, next(row for row in table.rows if row[0] == label), strict=True))


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> list[FinishedJob]:
    folder = tmp_path_factory.mktemp("jobs")
    made = [
        draw_job(folder / "small-0", "convnext-small", skill=2.4),
        draw_job(folder / "small-1", "convnext-small", skill=2.4, seed=1),
        draw_job(folder / "vgg16", "vgg16", skill=1.2),
        draw_job(folder / "sequential", "sequential-cnn", skill=0.9, start="random"),
        draw_job(folder / "resnet", "resnet50", skill=1.0, start="random"),
    ]
    return [read_job(path) for path in made]


def test_the_page_of_shah_stands_in_its_form_and_says_what_it_lacks(jobs: list[FinishedJob], tmp_path: Path) -> None:
    page = page_of("shah-2025", jobs)
    found = tables_of(page)
    first = found["Table 1: training and validation accuracy"]
    row = row_of(first, "ConvNeXtSmall")
    assert (row["validation accuracy, paper"], row["training accuracy, ours"][:5]) == ("0.85", "0.800")
    assert "±" in row["test accuracy, ours"]  # two seeds
    assert row_of(first, "VGG16")["test accuracy, ours"].count("(") == 1  # one seed, its interval
    assert row_of(first, "Xception")["test accuracy, ours"] == "not run"
    third = found["Table 3: all classes, paper / ours"]
    assert ("NGS Segmented neutrophil", "f1-score") in [row[:2] for row in third.rows]
    assert len(third.rows) == 21
    assert any("0.89 is printed, its precision and recall give 0.79" in note for note in third.notes)
    for title in (
        "Scores on the test cells",
        "Top-1 and element-wise accuracy",
        "Cost",
        "McNemar's test between networks",
    ):
        assert title in found
    cost = row_of(found["Cost"], "ConvNeXtSmall")
    assert (cost["GFLOP a picture"], cost["energy, Wh"], cost["training, minutes"]) == (
        "2.40",
        "1.25",
        "1.5 ± 0.0",
    )
    assert "ConvNeXtSmall" in " ".join(found)  # by class, of the best
    assert found["Where the paper is silent"].rows == (("shah-2025", "batch", "32: the usual value"),)
    words = markdown(page, "page")
    assert "most likely a misprint" in words
    assert html(page).count("<svg") == sum(isinstance(block, Figure) for block in page.blocks)


def test_networks_from_random_weights_stand_apart(jobs: list[FinishedJob]) -> None:
    """ResNet50 began at random; so did the sequential network, but as in its paper."""
    found = tables_of(page_of("shah-2025", jobs))
    own = [title for title in found if RANDOM in title]
    assert len(own) >= 6
    apart, beside = found[f"Scores on the test cells, {RANDOM}"], found["Scores on the test cells"]
    assert [row[0] for row in apart.rows] == ["ResNet50"]
    assert [row[0] for row in beside.rows] == ["ConvNeXtSmall", "VGG16", "Sequential model"]
    assert row_of(found["Table 1: training and validation accuracy"], "ResNet50")["test accuracy, ours"] == "not run"
    assert RANDOM == "random initialisation: not the paper's transfer learning"
    texts = [block.title for block in page_of("shah-2025", jobs).blocks]
    assert "Random initialisation: not the paper's transfer learning" in texts
    assert not any(RANDOM in block.title for block in page_of("shah-2025", jobs[:3]).blocks)


def test_numbers_of_the_page_are_those_of_the_outputs(jobs: list[FinishedJob]) -> None:
    job = next(job for job in jobs if job.network == "vgg16")
    right = (job.test.probabilities.argmax(axis=1) == job.test.labels).mean()
    row = row_of(scores_table([Entry("VGG16", (job,))], "x"), "VGG16")
    assert row["top-1"].startswith(f"{right:.3f} (")
    assert row["test cells"] == "140"
    assert float(row["temperature"]) == pytest.approx(2, abs=0.5)  # drawn twice too sure
    assert float(row["ECE, with temperature"][:5]) < float(row["ECE"][:5])


def test_mcnemar_is_of_the_same_cells_only(jobs: list[FinishedJob], tmp_path: Path) -> None:
    other = read_job(draw_job(tmp_path / "other", "densenet121", cells=140))
    (pairs,) = compare(entries([*jobs, other]))
    assert "DenseNet121" not in pairs.labels
    assert (len(pairs.labels), pairs.n) == (4, 140)
    a, b = pairs.labels.index("ConvNeXt-small"), pairs.labels.index("VGG16")
    assert pairs.gain[a, b] == -pairs.gain[b, a] > 0
    test = pairs.tests[min(a, b), max(a, b)]
    assert pairs.gain[a, b] == pytest.approx(100 * (test.only_first - test.only_second) / 140)
    table = pairs_table(pairs, "x")
    assert f"{test.only_second} : {test.only_first}, p" in row_of(table, "VGG16")["ConvNeXt-small"]
    assert compare(entries([other])) == []


def test_the_page_of_meem_shows_both_accuracies_of_one_network(tmp_path: Path) -> None:
    classes = tuple(f"C{k:02d}" for k in range(21))
    job = read_job(draw_job(tmp_path / "job", "inception-resnet-v2", classes=classes, cells=630, skill=1.6))
    table = tables_of(page_of("meem-2023", [job]))["Table 3: evaluation"]
    paper, ours = row_of(table, "Validation, paper"), row_of(table, "Test, InceptionResNetV2")
    assert (paper["Accuracy (element-wise)"], paper["never yes"]) == ("0.9619", "0.9524")
    top1 = float(ours["Top-1"].split()[0])
    assert float(ours["Accuracy (element-wise)"]) > 0.95 > top1 + 0.1
    assert float(ours["Recall"]) <= top1 + 1e-3
    assert any("= 0.9619" in note for note in table.notes)
    assert row_of(table, "Training, InceptionResNetV2")["Loss"] == "0.5000"  # of epoch 4, which was kept


def test_the_page_of_senthilkumar_has_an_arm_a_row_and_figures_that_agree(tmp_path: Path) -> None:
    two = ("ALL", "HEM")
    jobs = [
        read_job(draw_job(tmp_path / "one", "vgg16", classes=two, source="one set"), arm="first set"),
        read_job(
            draw_job(tmp_path / "both", "vgg16", classes=two, sigmoid=True, source="both"), arm="both sets jointly"
        ),
    ]
    page = page_of("senthilkumar-2023", jobs)
    table = tables_of(page)["Section 5.2: comparison"]
    paper = row_of(table, "VGG16, paper")
    assert (paper["Accuracy (%)"], paper["F1 (%)"]) == ("84.56", "94.16")
    row = row_of(table, "VGG16, first set, ours")
    wrong, right = (float(row[name].split()[0]) for name in ("Misclassification", "Accuracy (%)"))
    assert wrong + right == pytest.approx(100, abs=0.11)
    assert "VGG16, both sets jointly, ours" in [row[0] for row in table.rows]
    assert any("at most 81.04, not 96.24" in note for note in table.notes)
    cells = tables_of(page)["Section 4.2: cells"]
    assert row_of(cells, "Testing data") == {
        "Data": "Testing data",
        "paper": "2,586",
        "first set": "140",
        "both sets jointly": "140",
    }
    seven = senthilkumar_section_5_2(entries([read_job(draw_job(tmp_path / "seven", "vgg16"))]))
    assert any("no class of ALL cells" in note for note in seven.notes)


def test_the_page_of_veerasagar_has_the_interval_it_lacks(tmp_path: Path) -> None:
    page = page_of("veerasagar-2025", [read_job(draw_job(tmp_path / "job", "efficientnet-b0"))])
    table = tables_of(page)["Sections 7.2 and 8.1: accuracy"]
    assert row_of(table, "EfficientNetB0 or VGG16, paper")["test accuracy, %"] == "82.58 (75.2 to 88.1)"
    assert row_of(table, "EfficientNetB0, ours")["test cells"] == "140"
    assert row_of(table, "VGG16, ours")["test accuracy, %"] == "not run"


def test_a_network_that_the_paper_lacks_is_called_by_its_name(tmp_path: Path) -> None:
    written = markdown(page_of("meem-2023", [read_job(draw_job(tmp_path / "job", "mobilenetv4-small"))]), "page")
    assert "## By class: MobileNetV4-small\n" in written
    assert "| Test, MobileNetV4-small |" in written
    assert "](page/bars-mobilenetv4-small.svg)" in written  # files are called as keys are
    assert not re.search(r"mobilenetv4-small(?!\.svg)", written)
    assert entries([read_job(tmp_path / "job")], names={"mobilenetv4-small": "Ours"})[0].label == "Ours"


def test_data_without_hairy_cells_are_not_passed_off_as_such(tmp_path: Path) -> None:
    job = read_job(draw_job(tmp_path / "job", "vgg16", classes=("basophil", "eosinophil", "platelet")))
    table = shah_table_2(entries([job]))
    assert "Table 2: hairy cells in the paper, " in table.title
    assert any("cannot be held against" in note for note in table.notes)
    assert not any("(hairy" in head.lower() for head in table.head)


def test_a_page_without_any_job_shows_the_paper_alone() -> None:
    for paper in ("shah-2025", "meem-2023", "senthilkumar-2023", "veerasagar-2025"):
        page = page_of(paper, [])
        assert "paper" in markdown(page, "x")
        assert not any(isinstance(block, Figure) for block in page.blocks)


def test_figures_are_written_as_svg_and_png(jobs: list[FinishedJob], tmp_path: Path) -> None:
    page = page_of("shah-2025", jobs[1:3])
    written = write_page(page, tmp_path / "page.md")
    pictures = write_pngs(page, tmp_path / "page.md")
    names = {path.stem for path in written if path.suffix == ".svg"}
    assert {path.stem for path in pictures} == names
    assert {
        "curves-accuracy",
        "curves-loss",
        "reliability",
        "mcnemar",
        "confusion-convnextsmall",
        "bars-vgg16",
    } <= names
    assert len(names) == sum(isinstance(block, Figure) for block in page.blocks)
    for path in pictures:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000


def test_titles_and_keys_of_classes() -> None:
    assert class_key("HAC") == class_key("hairy_cell") == "HAC"
    assert class_key("NGS") == class_key("segmented_neutrophil") == "segmented_neutrophil"
    assert (title_of("NGS"), title_of("some_word"), title_of("ABE")) == ("Segmented neutrophil", "some word", "ABE")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "facts.json").unlink(), r"holds no facts\.json: the training is not finished"),
        (lambda folder: (folder / "facts.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "facts.json").write_text("{}"), "lacks network, recipe, start, classes"),
        (lambda folder: _without(folder, "p_6"), "lacks p_6 for the 7 classes"),
        (lambda folder: _with(folder, pl.lit("val").alias("split")), "no test cell"),
        (lambda folder: _with(folder, pl.lit(float("nan")).alias("p_0")), "no numbers"),
    ],
)
def test_folders_that_are_no_finished_job(spoil: Any, message: str, tmp_path: Path) -> None:
    folder = draw_job(tmp_path / "job")
    spoil(folder)
    with pytest.raises(DataError, match=message):
        read_job(folder)


def _without(folder: Path, column: str) -> None:
    pl.read_parquet(folder / "predictions.parquet").drop(column).write_parquet(folder / "predictions.parquet")


def _with(folder: Path, column: pl.Expr) -> None:
    table = pl.read_parquet(folder / "predictions.parquet")
    table.with_columns(column).write_parquet(folder / "predictions.parquet")


def test_a_real_training_becomes_a_page(tmp_path: Path) -> None:
    """The smallest network, two epochs on a few phantom cells: its folder is what the tables read."""
    from marrowscope.learning.datasets.cell_sets import read_cell_set
    from marrowscope.learning.datasets.generated import write_generated_cells
    from marrowscope.learning.datasets.parting import part
    from marrowscope.learning.transfer.recipes import find_recipe
    from marrowscope.learning.transfer.training import train_network

    write_generated_cells(tmp_path / "cells", ("HAC", "LYT", "EOS"), 15, seed=3, side=48)
    cells = read_cell_set(tmp_path / "cells")
    parts = part(cells, how="stratified", val=0.2, test=0.4, seed=0)
    recipe = replace(find_recipe("shah-2025", "sequential-cnn", "smoke"), side=48, epochs=2)
    train_network("sequential-cnn", recipe, cells, parts, tmp_path / "job", threads=1, silent=True)
    job = read_job(tmp_path / "job")
    assert (job.start, job.random, job.cells("test")) == ("random", False, len(parts.test))
    assert job.test.rows.tolist() == parts.test.tolist()
    found = tables_of(page_of("shah-2025", [job]))
    first = row_of(found["Table 1: training and validation accuracy"], "Sequential model")
    assert first["training accuracy, ours"] == f"{job.kept('train_accuracy'):.3f}"
    assert row_of(found["Table 2: hairy cells"], "Sequential model")["recall, ours"] != "–"
    cost = row_of(found["Cost"], "Sequential model")
    assert (cost["epochs"], float(cost["GFLOP a picture"]) > 0) == ("2", True)
    assert "–" not in (cost["pictures a second"], cost["peak memory, MB"], cost["training, minutes"])
    assert ("shah-2025", "batch") in [row[:2] for row in found["Where the paper is silent"].rows]
