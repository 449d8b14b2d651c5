"""A region model from slides to a pack: trained, exported, measured, built in, asked."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from marrowscope.cli import main
from marrowscope.detection.regions import open_region_model
from marrowscope.errors import PackError
from marrowscope.packs import load_pack
from marrowscope.packs.contract import RegionContract
from marrowscope.packs.loading import sha256_of
from marrowscope.packs.metrics import DetectorMetrics, Evaluation, Measured, RegionMetrics
from marrowscope.packs.recipes import PackRecipe, cook
from marrowscope.pipeline import region_model

RECIPE = PackRecipe(
    version="1.0.0",
    title="Four types",
    licence="CC0",
    intended_use="Tests.",
    training_data=(),
    limits=("Made by hand.",),
)


@pytest.fixture
def trained(sources: dict[str, Path]) -> Path:
    """A detector's folder as training leaves it; it names no types, the classifier's folder beside does."""
    folder = sources["detector.onnx"].parent
    metrics = DetectorMetrics(
        spacing=0.5, architecture="seven nodes", training="nothing", evaluations=(), tile=64, margin=16,
        score_threshold=0.3,
    )  # fmt: skip
    (folder / "metrics.json").write_text(metrics.model_dump_json())
    classifier = folder / "classifier"
    classifier.mkdir()
    for name in ("classifier.onnx", "linear_head.npz"):
        sources[name].rename(classifier / name)
    counts = [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 2]]
    words: dict[str, Any] = {
        "spacing": 0.25, "crop": 24, "classes": ["lymphocyte", "monocyte", "eosinophil", "smudge"], "temperature": 1.0,
        "unsure_below": 0.4, "training_data": "nobody's", "n_train": 4, "architecture": "a line", "command": "none",
        "test": {"n": 8, "confusion": counts},
    }  # fmt: skip
    (classifier / "metrics.json").write_text(json.dumps(words))
    return folder


@pytest.fixture
def run(tiny: SimpleNamespace, tmp_path: Path) -> Path:
    """A region model's folder as training leaves it, of a few nodes."""
    folder = tmp_path / "run"
    folder.mkdir()
    model = tiny.detector(folder / "regions.onnx")
    metrics = RegionMetrics(
        contract=RegionContract(file="regions.onnx", sha256=sha256_of(model), side=64, score_threshold=0.4),
        architecture="seven nodes",
        training="4 overviews of 64 px with 4 objects (phantoms)",
        evaluations=(
            Evaluation(
                data="held-out slides, phantoms, by object",
                n="2 objects on 1 slide",
                measured=(Measured(name="recall", value=0.5, low=0.095, high=0.905), Measured(name="IoU", value=0.75)),
            ),
        ),
        limits=("The region model has not seen a real slide.",),
    )
    (folder / "metrics.json").write_text(metrics.model_dump_json())
    return folder


def test_a_trained_region_model_goes_into_a_pack_with_its_figures(trained: Path, run: Path, tmp_path: Path) -> None:
    built = cook("mine", RECIPE, trained, trained / "classifier", tmp_path / "mine", regions=run)
    loaded = load_pack(built.folder)
    assert loaded.contract.regions == RegionContract(
        file="regions.onnx", sha256=sha256_of(run / "regions.onnx"), side=64, score_threshold=0.4
    )
    assert (built.folder / "regions.onnx").read_bytes() == (run / "regions.onnx").read_bytes()
    for text in (
        "## Where it counts",
        "Seven nodes. Trained on 4 overviews of 64 px with 4 objects (phantoms).",
        "an overview of the slide, 64 px on its longer side",
        "score below 0.40 are dropped",
        "Measured on held-out slides, phantoms, by object (2 objects on 1 slide):",
        "| recall | 0.500 | 0.095 to 0.905 |",
        "| IoU | 0.750 |  |",
        "- The region model has not seen a real slide.",
    ):
        assert text in loaded.card
    without = cook("mine", RECIPE, trained, trained / "classifier", tmp_path / "without")
    assert without.contract.regions is None
    assert "## Where it counts" not in without.card


def test_another_model_than_the_measured_one_is_refused(
    trained: Path, run: Path, tiny: SimpleNamespace, tmp_path: Path
) -> None:
    tiny.detector(run / "regions.onnx", scores=(0.9, 0.5))
    with pytest.raises(PackError, match=r"regions\.onnx is not the model that metrics\.json beside it was measured on"):
        cook("mine", RECIPE, trained, trained / "classifier", tmp_path / "mine", regions=run)
    (run / "regions.onnx").unlink()
    with pytest.raises(PackError, match=r"there is no .*regions\.onnx"):
        cook("mine", RECIPE, trained, trained / "classifier", tmp_path / "mine", regions=run)
    with pytest.raises(PackError, match="is no RegionMetrics"):
        cook("mine", RECIPE, trained, trained / "classifier", tmp_path / "mine", regions=trained)
    assert not (tmp_path / "mine").exists()


@pytest.mark.slow
def test_from_three_phantoms_to_a_pack_that_is_asked(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained, measured, exported, built in; the pack finds what torch finds."""
    from marrowscope.learning.cascade.inference import load_cascade, predict
    from marrowscope.learning.trails.data import read_labelled
    from marrowscope.phantom import PhantomOptions, render_phantom

    slides = tmp_path / "slides"
    slides.mkdir()
    for seed in (1, 2, 3):
        render_phantom(slides / f"P{seed}.tif", PhantomOptions(cells=60, seed=seed, spacing=0.5, blood_strip=False))
    run, made = tmp_path / "run", tmp_path / "mine"
    arguments = ["train", "regions", "--data", str(slides), "-o", str(run), "--recipe", "tiny_trails", "--seed", "4"]
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--threads", "1"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "held-out slides, phantoms, by object (1 object on 1 slide)" in said
    assert "recall" in said
    assert {path.name for path in run.iterdir()} == {"model.pt", "regions.onnx", "metrics.json"}
    metrics = RegionMetrics.model_validate_json((run / "metrics.json").read_bytes())
    assert metrics.training.startswith("2 overviews of 256 px with 2 objects (phantoms), 3 steps of 2, seed 4")
    assert metrics.contract.sha256 == sha256_of(run / "regions.onnx")

    (tmp_path / "recipe.json").write_text(RECIPE.model_dump_json())
    arguments = ["packs", "build", "--name", "mine", "--detector", str(trained), "--regions", str(run), "-o", str(made)]
    arguments += ["--classifier", str(trained / "classifier"), "--recipe", str(tmp_path / "recipe.json")]
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 0
    model = region_model(load_pack(made), threads=1)
    assert model is not None
    assert (model.name, model.side) == ("mine 1.0.0", 256)
    overviews = [read_labelled(path, side=256).picture for path in sorted(slides.glob("*.tif"))]
    boxes, scores = model.find(overviews[0])
    assert boxes.shape == (len(scores), 4)
    assert (scores >= metrics.contract.score_threshold).all()

    theirs = list(predict(load_cascade(run / "model.pt"), overviews, least_score=0.05))
    assert any(len(one) for one in theirs)
    every = metrics.contract.model_copy(update={"score_threshold": 0.05})
    model = open_region_model(run / "regions.onnx", every, "mine", threads=1)
    for picture, torch_found in zip(overviews, theirs, strict=True):
        boxes, scores = model.find(picture)
        assert sorted(scores.tolist()) == pytest.approx(sorted(torch_found.scores.tolist()), abs=2e-3)
        away = np.abs(boxes[:, None] - torch_found.boxes[None]).max(axis=2)
        assert away.min(axis=1).max(initial=0.0) < 0.6
