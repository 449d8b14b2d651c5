"""Packs without a detector: any words as classes, whole pictures, no counting; and a detector taken from a pack."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from typer.testing import CliRunner, Result

from marrowscope.batch import count_slides
from marrowscope.cells.classification import Classifier
from marrowscope.cells.explain import explain
from marrowscope.cli import build_app
from marrowscope.cli.packs import app
from marrowscope.errors import PackError
from marrowscope.packs import Pack, load_pack
from marrowscope.packs.building import build_pack
from marrowscope.packs.checking import check_models
from marrowscope.pipeline import count_slide
from marrowscope.slides import open_slide

METRICS: dict[str, Any] = {
    "spacing": None,
    "crop": 24,
    "classes": ["ALL", "HEM", "left/over", "x y"],
    "titles": ["Lymphoblast", "Normal", "Left over", "Another"],
    "temperature": 1.5,
    "unsure_below": 0.4,
    "training_data": "40 cells of nobody, split by patient",
    "n_train": 40,
    "architecture": "a line through colours",
    "command": "marrowscope train network",
    "test": {"n": 4, "confusion": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]},
}
AT_SPACING = METRICS | {"spacing": 0.25, "classes": ["lymphocyte", "monocyte", "eosinophil", "smudge"], "titles": []}


@pytest.fixture
def run_folder(sources: dict[str, Path]) -> Callable[..., Path]:
    """A folder as training leaves it, with these metrics."""

    def make(metrics: dict[str, Any]) -> Path:
        folder = sources["classifier.onnx"].parent
        (folder / "metrics.json").write_text(json.dumps(metrics))
        return folder

    return make


def build(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["build", *map(str, arguments)])


@pytest.fixture
def whole(run_folder: Callable[..., Path], tmp_path: Path) -> Pack:
    """A pack of whole pictures with words of its own, built without a recipe."""
    built = build("--name", "ours", "--classifier", run_folder(METRICS), "-o", tmp_path / "ours")
    assert built.exit_code == 0, built.exception
    return load_pack(tmp_path / "ours")


def test_a_classifier_alone_becomes_a_pack(whole: Pack) -> None:
    contract = whole.contract
    assert contract.detector is None
    assert contract.classifier is not None
    assert contract.classifier.spacing is None
    assert contract.title_of("ALL") == "Lymphoblast"
    assert contract.free_words == contract.classes
    assert set(whole.files) == {"classifier.onnx", "linear_head.npz"}
    check_models(whole.files, contract)
    for text in (
        "4 classes: Lymphoblast, Normal, Left over, Another.",
        "`marrowscope classify`",
        "whole pictures of single cells, of any scale, resized to 24 px",
        "| Left over | 1 | 0.000 (0.000 to 0.793) | none | 0.000 | Normal (1) |",
        "licences of the data stand above",
        "40 cells of nobody, split by patient",
    ):
        assert text in whole.card
    assert "not assessable" not in whole.card
    assert "## Detector" not in whole.card


def test_a_poor_classifier_is_told_when_a_pack_is_built_of_it(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    confusion = [[3, 0, 0, 0], [0, 0, 4, 0], [0, 4, 0, 0], [0, 0, 0, 0]]
    poor = METRICS | {"test": {"n": 11, "confusion": confusion}}
    done = build("--name", "ours", "--classifier", run_folder(poor), "-o", tmp_path / "poor")
    assert done.exit_code == 0
    assert "note: of 11 held-out cells 27% were named rightly (95 % interval 10% to 57%)" in done.stderr
    fair = build("--name", "ours", "--classifier", run_folder(METRICS), "-o", tmp_path / "fair")
    assert "note:" not in fair.output


def test_faultless_cells_have_no_interval_without_width(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    confusion = np.diag([3, 3, 3, 3]).tolist()
    folder = run_folder(METRICS | {"test": {"n": 12, "confusion": confusion}})
    assert build("--name", "ours", "--classifier", folder, "-o", tmp_path / "ours").exit_code == 0
    card = load_pack(tmp_path / "ours").card
    assert "| accuracy | 1.000 | 0.758 to 1.000 |" in card
    assert "| macro F1 | 1.000 |  |" in card


def test_certainties_that_are_not_calibrated_are_said_to_be_so_wherever_they_stand(
    run_folder: Callable[..., Path], tmp_path: Path
) -> None:
    doubt = "Of 36 validation cells 1 was named wrongly; fewer than 10 tell little."
    validation = {"n": 36, "confusion": [[35, 1], [0, 0]]}
    folder = run_folder(METRICS | {"certainty_doubt": doubt, "validation": validation, "limits": [doubt]})
    assert build("--name", "ours", "--classifier", folder, "-o", tmp_path / "ours").exit_code == 0
    pack = load_pack(tmp_path / "ours")
    assert "Probabilities are not calibrated: temperature 1.500" in pack.card
    assert "36 validation cells, of which 1 got a wrong name" in pack.card
    assert f"- {doubt}" in pack.card
    picture = tmp_path / "cells" / "cell.png"
    picture.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)).save(picture)
    for verb, page, facts in (
        ("classify", "classes.html", "classes.json"),
        ("explain", "explanations.html", "explanations.json"),
    ):
        words = [verb, str(picture), "--pack", str(tmp_path / "ours"), "-o", str(tmp_path / verb)]
        done = CliRunner().invoke(build_app(verb), words)
        assert done.exit_code == 0, done.output
        assert f"note: {doubt}" in done.stdout
        assert doubt in (tmp_path / verb / page).read_text()
        assert json.loads((tmp_path / verb / facts).read_text())["certainty_doubt"] == doubt
    assert "calibrated probability" not in (tmp_path / "classify" / "classes.html").read_text()


def test_it_names_and_explains_but_does_not_count(whole: Pack, phantom: Path, tmp_path: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (3, 24, 24, 3), np.uint8)
    assert Classifier(whole).classify(crops).probabilities.shape == (3, 4)
    assert explain(crops, whole).maps.shape == (3, 24, 24)
    words = r"no detector to find them on a slide: use marrowscope classify PICTURES --pack ours, .*--detector blood-11"
    with pytest.raises(PackError, match=words):
        count_slides([phantom], tmp_path / "counted", whole)
    with open_slide(phantom) as slide, pytest.raises(PackError, match=words):
        count_slide(slide, whole)
    assert not (tmp_path / "counted").exists()


def test_list_show_and_verify(whole: Pack, own_home: Path) -> None:
    CliRunner().invoke(app, ["add", str(whole.folder)])
    rows = {row["name"]: row for row in json.loads(CliRunner().invoke(app, ["list", "--json"]).stdout)}
    assert (rows["ours"]["counts"], rows["blood-11"]["counts"]) == (False, True)
    assert "Lymphoblast" in CliRunner().invoke(app, ["show", "ours"]).stdout
    assert "is whole" in CliRunner().invoke(app, ["verify", "ours"]).stdout


def test_a_network_without_a_linear_head(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = run_folder(METRICS | {"feature_map": None})
    (folder / "linear_head.npz").unlink()
    assert build("--name", "ours", "--classifier", folder, "-o", tmp_path / "o").exit_code == 0
    pack = load_pack(tmp_path / "o")
    assert set(pack.files) == {"classifier.onnx"}
    assert explain(np.zeros((1, 24, 24, 3), np.uint8), pack).method == "occlusion"


def test_a_detector_is_taken_from_a_pack(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    given = ("--name", "mine", "--classifier", run_folder(AT_SPACING), "--detector", "blood-11", "-o", tmp_path / "m")
    assert build(*given).exit_code == 0
    mine, blood = load_pack(tmp_path / "m"), load_pack("blood-11")
    assert mine.contract.detector == blood.contract.detector
    assert "Taken from the pack blood-11 0.2.0, whose card says of it:" in mine.card
    assert "Detections that score below 0.40" in mine.card
    assert mine.card.count("## Detector") == 1
    sources = [source.name for source in mine.contract.training_data]
    assert not [name for name in sources if "start of the classifier" in name]  # blood-11's classifier is not in it
    assert "TXL-PBC (through the pack blood-11 0.2.0, whose detector this is)" in sources
    assert not mine.contract.phantom
    again = build(
        "--name", "mine", "--classifier", run_folder(AT_SPACING), "--detector", tmp_path / "m", "-o", tmp_path / "n"
    )
    assert again.exit_code == 0
    assert load_pack(tmp_path / "n").contract.detector == blood.contract.detector


def test_a_pack_with_a_taken_detector_counts(run_folder: Callable[..., Path], phantom: Path, tmp_path: Path) -> None:
    given = ("--name", "mine", "--classifier", run_folder(AT_SPACING), "--detector", "phantom-16", "-o", tmp_path / "m")
    assert build(*given).exit_code == 0
    pack = load_pack(tmp_path / "m")
    assert pack.contract.phantom
    (outcome,) = count_slides([phantom], tmp_path / "counted", pack)
    assert outcome.error is None
    assert outcome.differential is not None


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (METRICS, "unknown cell types .*without a detector any words may be classes"),
        (AT_SPACING | {"spacing": None}, "whole pictures at no spacing, .*: leave the detector out, or train"),
        (AT_SPACING | {"spacing": 4.0}, "crops reach 48 um from a cell's centre but the margin only"),
    ],
)
def test_what_cannot_count_takes_no_detector(
    run_folder: Callable[..., Path], tmp_path: Path, metrics: dict[str, Any], words: str
) -> None:
    given = ("--name", "mine", "--classifier", run_folder(metrics), "--detector", "blood-11", "-o", tmp_path / "m")
    with pytest.raises(PackError, match=words):
        raise build(*given).exception  # type: ignore[misc]
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "a pack needs models: give --classifier RUN"),
        (("--detector", "blod-11"), "neither a folder nor a pack: blod-11; packs are .*blood-11"),
        (("--detector", "blood-11"), "blood-11 only finds cells: give a folder with a classifier"),
    ],
)
def test_what_build_asks_for(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(PackError, match=words):
        raise build("--name", "mine", "-o", tmp_path / "m", *arguments).exception  # type: ignore[misc]


def test_phantoms_are_told_without_a_recipe(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = run_folder(METRICS | {"training_data": "90 phantom cells"})
    build("--name", "ours", "--classifier", folder, "-o", tmp_path / "o")
    assert load_pack(tmp_path / "o").contract.phantom


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"detector": None, "classifier": None}, "needs a classifier"),
        ({"classes": ("lymphocyte", "monocyte", "eosinophil", "ALL")}, "unknown cell types"),
        ({"titles": ("one",)}, "titles must be 4"),
        ({"detector": None, "classes": ("a", "b", "c", "two\nlines")}, "String should match pattern"),
    ],
)
def test_contracts_that_contradict_themselves(
    sources: dict[str, Path], tiny: SimpleNamespace, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        tiny.contract_for(sources, **changes)


def test_detectorless_at_a_spacing(sources: dict[str, Path], tiny: SimpleNamespace, tmp_path: Path) -> None:
    """Types of the taxonomy at a spacing, as a pack that may be given a detector later."""
    del sources["detector.onnx"]
    pack = build_pack(tiny.contract_for(sources, detector=None), sources, "# tiny-4\n", tmp_path / "tiny-4")
    assert pack.contract.title_of("smudge") == "Smudged or bare nucleus"
    assert pack.contract.cell_pictures == (0.25, 24)
    assert "blast" in pack.contract.cannot_see
    with pytest.raises(PackError, match="no detector"):
        _ = pack.detector


def test_own_start_weights_are_told(run_folder: Callable[..., Path], tmp_path: Path) -> None:
    folder = run_folder(METRICS | {"start": "mobilenetv2_imagenet.npz"})
    assert build("--name", "ours", "--classifier", folder, "-o", tmp_path / "ours").exit_code == 0
    start = load_pack(tmp_path / "ours").contract.training_data[-1]
    assert start.name == "start of the classifier"
    assert "mobilenetv2_imagenet.npz" in start.attribution
