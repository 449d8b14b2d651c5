from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely

from marrowscope.cells.finding import CellFinder, Tiling
from marrowscope.errors import PackError
from marrowscope.geometry import Box
from marrowscope.packs import load_pack
from marrowscope.packs.anomaly import AnomalyReference
from marrowscope.packs.metrics import DetectorMetrics, read_metrics
from marrowscope.packs.recipes import BLOOD_11, PHANTOM_16, RECIPES, cook, read_recipe
from marrowscope.regions.region import Region
from marrowscope.slides import open_slide, require_spacing
from marrowscope.taxonomy import PBC_TYPES, PHANTOM_TYPES, unseen_types
from marrowscope.tiles.fields import CountingField

DETECTOR = {
    "spacing": 0.5,
    "architecture": "a graph of seven nodes",
    "training": "nothing at all, 0 epochs",
    "tile": 64,
    "margin": 16,
    "stride": 16,
    "score_threshold": 0.35,
    "limits": ["Finds two cells in every tile."],
    "evaluations": [
        {
            "data": "nobody's test split",
            "n": "12 cells in 3 pictures",
            "measured": [{"name": "AP50", "value": 0.912, "low": 0.85, "high": 0.96}, {"name": "speed", "value": 3.0}],
            "note": "Small.",
        }
    ],
}
CLASSIFIER = {
    "spacing": 0.25,
    "crop": 24,
    "classes": ["lymphocyte", "monocyte", "eosinophil", "smudge"],
    "temperature": 1.25,
    "unsure_below": 0.4,
    "training_data": "40 cells of nobody",
    "n_train": 40,
    "architecture": "a line through colours",
    "command": "marrowscope train classifier --recipe tiny --data /home/someone/cells",
    "specimens": {
        "blood": {"prior": [0.7, 0.1, 0.1, 0.1], "confusion": [[10, 0, 0, 0], [5, 5, 0, 0], [1, 0, 9, 0], [0, 0, 0, 0]]}
    },
    "test": {
        "n": 30,
        "confusion": [[9, 1, 0, 0], [2, 8, 0, 0], [0, 0, 10, 0], [0, 0, 0, 0]],
        "calibration_error": {"before": 0.11, "after": 0.02},
        "unsure": [
            {
                "below": below,
                "named": {"value": named, "of": 30, "interval": [0.5, 0.99]},
                "right": {"value": right, "of": 25, "interval": [0.6, 0.98]},
            }
            for below, named, right in ((0.0, 1.0, 0.9), (0.4, 0.9, 0.95))
        ],
        "per_class": {"more": "than a pack needs"},
    },
}
ANOMALY = {
    "method": "whitened-neighbours",
    "features": "mean",
    "quantile": 0.99,
    "threshold": 0.25,
    "n_validation": 200,
    "above": {"value": 0.02, "of": 50, "interval": [0.003, 0.105]},
}
EYE = np.eye(3, dtype=np.float32)
EYES = np.eye(4, dtype=int).tolist()
RECIPE = BLOOD_11.model_copy(update={"limits": ("Made by hand.",), "version": "0.1.0"})


@pytest.fixture
def trained(sources: dict[str, Path]) -> tuple[Path, Path]:
    """Two folders as training leaves them."""
    folder = sources["detector.onnx"].parent
    detector, classifier = folder.parent / "out-detector", folder.parent / "out-classifier"
    detector.mkdir()
    classifier.mkdir()
    sources["detector.onnx"].rename(detector / "detector.onnx")
    sources["classifier.onnx"].rename(classifier / "classifier.onnx")
    sources["linear_head.npz"].rename(classifier / "linear_head.npz")
    (detector / "metrics.json").write_text(json.dumps(DETECTOR))
    (classifier / "metrics.json").write_text(json.dumps(CLASSIFIER))
    return detector, classifier


def test_trained_models_become_a_pack(trained: tuple[Path, Path], tmp_path: Path) -> None:
    pack = cook("mine", RECIPE, *trained, tmp_path / "mine")
    contract = load_pack(pack.folder).contract
    assert contract.name == "mine"
    assert (contract.detector.tile, contract.detector.score_threshold) == (64, 0.35)
    assert contract.classifier is not None
    assert (contract.classifier.temperature, contract.classifier.unsure_below) == (1.25, 0.4)
    assert contract.confusion is not None
    assert contract.confusion.counts[1] == (2, 8, 0, 0)
    assert contract.confusion.data == "test split, 30 cells; 40 cells of nobody"


@pytest.mark.parametrize(("stated", "below"), [({}, 0.5), ({"unsure_below": 0.7}, 0.7)])
def test_a_detector_that_names_types_says_when_it_is_unsure(
    trained: tuple[Path, Path],
    tiny: SimpleNamespace,
    phantom: Path,
    tmp_path: Path,
    stated: dict[str, float],
    below: float,
) -> None:
    """Every cell is a lymphocyte with certainty 0.6."""
    folder, _ = trained
    tiny.detector(folder / "detector.onnx", types=(0.6, 0.2, 0.1, 0.1))
    (folder / "metrics.json").write_text(
        json.dumps(DETECTOR | {"classes": CLASSIFIER["classes"], "margin": 0, "confusion": EYES, **stated})
    )
    pack = load_pack(cook("mine", RECIPE, folder, None, tmp_path / "mine").folder)
    assert pack.contract.unsure_below == below
    assert f'a cell whose largest probability is below {below:.2f} is "unsure".' in pack.card
    assert "(chosen" not in pack.card
    area = shapely.box(0, 0, 256, 256)
    with open_slide(phantom) as slide:
        finder = CellFinder(slide, require_spacing(slide), pack, [Region("all", area, 1.0, "given")], Tiling(threads=1))
        (found,) = finder.find([CountingField(0, 0, Box(0, 0, 256, 256), area, "all")])
    assert len(found.boxes) > 0
    assert set(found.flags["unsure"].tolist()) == {below > 0.6}


def test_card_says_how_the_threshold_was_chosen(trained: tuple[Path, Path], tmp_path: Path) -> None:
    stated = DETECTOR | {"threshold_chosen": "chosen on validation data"}
    (trained[0] / "metrics.json").write_text(json.dumps(stated))
    card = cook("mine", RECIPE, *trained, tmp_path / "mine").card
    assert "Detections that score below 0.35 (chosen on validation data) are dropped." in card


def test_card_says_what_a_reader_must_know(trained: tuple[Path, Path], tmp_path: Path) -> None:
    card = cook("mine", RECIPE, *trained, tmp_path / "mine").card
    for text in (
        "# mine 0.1.0",
        "Trained on 40 cells: 40 cells of nobody.",
        "Not for diagnosis",
        "CC BY 4.0",
        "Acevedo",
        "never 0 %): blast, promyelocyte",
        "| AP50 | 0.912 | 0.850 to 0.960 |",
        "| accuracy | 0.900 | 0.744 to 0.965 |",
        "expected calibration error, after calibration | 0.020",
        "| Monocyte | 10 | 0.800 (0.490 to 0.943) | 0.889 (0.565 to 0.980) | 0.842 | Lymphocyte (2) |",
        "| Smudged or bare nucleus | 0 | none |",
        "- Made by hand.",
        "- Finds two cells in every tile.",
        "Small.",
        "Detections that score below 0.35 are dropped.",
        "| 0.00 | 1.000 (0.500 to 0.990) | 0.900 (0.600 to 0.980) |",
        "| **0.40** | 0.900 (0.500 to 0.990) | 0.950 (0.600 to 0.980) |",
        "It has no anomaly score",
        "`marrowscope train classifier --recipe tiny --data cells`",
    ):
        assert text in card
    assert "phantom" not in card
    assert "nan" not in card


def test_a_pack_expects_the_mix_of_its_specimen_where_its_recipe_says_so(
    trained: tuple[Path, Path], tmp_path: Path
) -> None:
    pack = cook("mine", RECIPE, *trained, tmp_path / "mine")
    blood = pack.for_specimen("blood").contract
    assert blood.classifier is not None
    assert blood.classifier.prior == (0.7, 0.1, 0.1, 0.1)
    assert blood.confusion is not None
    assert blood.confusion.counts[1] == (5, 5, 0, 0)
    assert "| Monocyte | 10.0 % | 0.500 | 1.000 |" in pack.card
    phantoms = cook("phantoms", PHANTOM_16, *trained, tmp_path / "phantoms")
    assert not phantoms.contract.specimens
    assert phantoms.for_specimen("blood") == phantoms


def test_an_anomaly_score_joins_the_pack_and_its_card(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, classifier = trained
    (classifier / "metrics.json").write_text(json.dumps(CLASSIFIER | {"anomaly": ANOMALY}))
    with pytest.raises(PackError, match=r"there is no .*anomaly\.npz; train and export"):
        cook("mine", RECIPE, *trained, tmp_path / "mine")
    AnomalyReference(np.zeros(3, np.float32), EYE, EYE, 1).write(classifier / "anomaly.npz")
    pack = cook("mine", RECIPE, *trained, tmp_path / "mine")
    anomaly = load_pack(pack.folder).contract.anomaly
    assert anomaly is not None
    assert (anomaly.threshold, anomaly.data) == (0.25, "validation split, 200 cells")
    assert "99% of 200 validation cells; of the test cells 0.020 (0.003 to 0.105) are." in pack.card
    assert "no anomaly score" not in pack.card


def test_results_on_other_cells_stand_on_the_card(trained: tuple[Path, Path], tmp_path: Path) -> None:
    _, classifier = trained
    (classifier / "metrics.json").write_text(json.dumps(CLASSIFIER | {"anomaly": ANOMALY}))
    AnomalyReference(np.zeros(3, np.float32), EYE, EYE, 1).write(classifier / "anomaly.npz")
    for file, data in (("elsewhere.json", "tecom, a rapid stain"), ("unknown.json", "blasts, left out")):
        measured = [{"name": "balanced accuracy", "value": 0.71, "low": 0.6, "high": 0.8}]
        (classifier / file).write_text(json.dumps([{"data": data, "n": "12 cells", "measured": measured}]))
    card = cook("mine", RECIPE, *trained, tmp_path / "mine").card
    own, elsewhere = card.split("## Cells of other laboratories")
    assert "Measured on tecom, a rapid stain (12 cells):\n\n| measure" in elsewhere
    assert "| balanced accuracy | 0.710 | 0.600 to 0.800 |" in elsewhere
    assert "Measured on blasts, left out (12 cells)" in own.split("## What it does not know")[1]
    (classifier / "elsewhere.json").write_text('{"data": 1}')
    with pytest.raises(PackError, match=r"elsewhere\.json is no list of evaluations: .*; measure again or delete it"):
        cook("mine", RECIPE, *trained, tmp_path / "mine")


def test_card_of_a_phantom_pack_says_phantom_at_the_top(trained: tuple[Path, Path], tmp_path: Path) -> None:
    card = cook("phantoms", PHANTOM_16, *trained, tmp_path / "phantoms").card
    assert "measured on phantoms" in card.split("## Purpose")[0]
    assert "Promonocytes are counted among monocytes." in card


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, c: (d / "metrics.json").unlink(), r"holds no metrics\.json; give a folder that marrowscope train"),
        (lambda d, c: (c / "metrics.json").write_text("{"), "is no ClassifierMetrics: Invalid JSON"),
        (lambda d, c: (d / "metrics.json").write_text("{}"), "is no DetectorMetrics: spacing: Field required"),
        (lambda d, c: (c / "linear_head.npz").unlink(), r"there is no .*linear_head\.npz; train and export"),
    ],
)
def test_incomplete_training_is_refused(trained: tuple[Path, Path], tmp_path: Path, change: Any, message: str) -> None:
    change(*trained)
    with pytest.raises(PackError, match=message):
        cook("mine", RECIPE, *trained, tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("classes", ["lymphocyte", "monocyte", "eosinophil", "blastoid"], "unknown cell types"),
        ("classes", ["lymphocyte", "monocyte", "eosinophil"], "confusion counts must be 3 x 3"),
    ],
)
def test_metrics_that_break_the_contract(
    trained: tuple[Path, Path], tmp_path: Path, field: str, value: object, message: str
) -> None:
    (trained[1] / "metrics.json").write_text(json.dumps(CLASSIFIER | {field: value}))
    with pytest.raises(PackError, match=message):
        cook("mine", RECIPE, *trained, tmp_path / "mine")


def test_own_recipe_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(PHANTOM_16.model_dump_json())
    assert read_recipe(path) == PHANTOM_16
    path.write_text('{"version": "1.0.0"}')
    with pytest.raises(PackError, match=r"is no recipe of a pack: title: Field required \(and 3 more\)"):
        read_recipe(path)
    with pytest.raises(PackError, match="cannot be read"):
        read_recipe(tmp_path / "absent.json")


def test_built_in_recipes_state_every_licence() -> None:
    assert set(RECIPES) == {"phantom-16", "blood-11"}
    for recipe in RECIPES.values():
        assert recipe.licence == "Apache-2.0"
        assert all(data.licence in {"Apache-2.0", "MIT", "CC BY 4.0"} for data in recipe.training_data)
    assert PHANTOM_16.phantom
    assert not BLOOD_11.phantom


def test_what_the_built_in_packs_cannot_see() -> None:
    assert unseen_types(PHANTOM_TYPES, PHANTOM_16.pooled) == ("mast_cell", "promonocyte")
    assert {"blast", "plasma_cell"} <= set(unseen_types(PBC_TYPES, BLOOD_11.pooled))


def test_unreadable_metrics(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").mkdir()
    with pytest.raises(PackError, match="cannot be read"):
        read_metrics(tmp_path, DetectorMetrics)
