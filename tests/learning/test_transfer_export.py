"""From a trained network to the classifier of a pack: equal to torch, measured by itself, honest about its limits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
import typer
from typer.testing import CliRunner

from marrowscope.cli.train import app
from marrowscope.errors import DataError, OutputError
from marrowscope.learning.datasets.cell_sets import CellSet, read_cell_picture, read_cell_set
from marrowscope.learning.datasets.parting import Parts, part
from marrowscope.learning.transfer import export
from marrowscope.learning.transfer.command import FILES, train_cells_command
from marrowscope.learning.transfer.export import export_network
from marrowscope.learning.transfer.folder import load_network
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.preparing import Prepare, resized
from marrowscope.learning.transfer.recipe import TransferRecipe
from marrowscope.learning.transfer.training import train_network
from marrowscope.packs.metrics import ClassifierMetrics, read_metrics

RECIPE = TransferRecipe("tried", 32, Head(), prepare=Prepare(sharpen=True), batch=8, epochs=1)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> CellSet:
    """Two classes of blots, of the words of the taxonomy."""
    folder, random = tmp_path_factory.mktemp("blots"), np.random.default_rng(0)
    for name, colour in (("lymphocyte", 90), ("monocyte", 160)):
        (folder / name).mkdir()
        for number in range(12):
            picture = random.integers(colour - 40, colour + 40, (48, 48, 3)).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number}.png"), cv2.GaussianBlur(picture, (0, 0), 2))
    return read_cell_set(folder, spacing=0.2)


@pytest.fixture(scope="module")
def parts(cells: CellSet) -> Parts:
    return part(cells, how="stratified", val=0.25, test=0.25, seed=0)


@pytest.fixture(scope="module")
def run(cells: CellSet, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_network("mobilenetv4-small", RECIPE, cells, parts, tmp_path_factory.mktemp("run")).folder


def test_the_graph_takes_pictures_and_gives_what_torch_gives(run: Path, cells: CellSet, tmp_path: Path) -> None:
    metrics = export_network(run, tmp_path, command="typed")
    session = onnxruntime.InferenceSession(tmp_path / "classifier.onnx", providers=["CPUExecutionProvider"])
    pictures = np.stack([resized(read_cell_picture(file), 32) for file in cells.files[:5]])
    logits, feature_map = session.run(["logits", "feature_map"], {"crops": pictures})
    network, facts = load_network(run)
    prepared = np.stack([RECIPE.prepare(read_cell_picture(file), 32, cells.spacing) for file in cells.files[:5]])
    with torch.no_grad():
        expected, expected_map = network.logits_and_map(torch.from_numpy(prepared))
    assert np.abs(logits - expected.numpy()).max() < 1e-4 * max(1.0, np.abs(logits).max())
    assert np.abs(feature_map - expected_map.numpy()).max() < 1e-4 * max(1.0, np.abs(feature_map).max())
    with np.load(tmp_path / "linear_head.npz") as head:
        again = feature_map.mean((2, 3)) @ head["weight"].T + head["bias"]
    assert np.allclose(again, logits, atol=1e-4 * max(1.0, np.abs(logits).max()))
    read = read_metrics(tmp_path, ClassifierMetrics)
    assert read.classes == ("monocyte", "lymphocyte")
    assert (read.crop, read.spacing, facts["spacing"]) == (32, 0.3, 0.3)  # 48 px of 0.2 um on 32 px
    assert read.test.n == 6
    assert "without start weights" in read.limits[0]
    assert metrics["command"] == "typed"


def test_a_head_that_is_not_linear_has_no_linear_head(cells: CellSet, parts: Parts, tmp_path: Path) -> None:
    deep = dataclasses.replace(
        RECIPE, head=Head("flatten", 0.1, dense=(8,)), prepare=Prepare(denoise=3, stain="reinhard")
    )
    folder = train_network("sequential-cnn", deep, cells, parts, tmp_path / "run").folder
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "linear_head.npz").write_bytes(b"of an earlier network")
    metrics = export_network(folder, tmp_path / "out", command="", types=["a", "b"])
    assert not (tmp_path / "out" / "linear_head.npz").exists()
    assert (metrics["feature_map"], metrics["spacing"], metrics["classes"]) == (None, 0.3, ["a", "b"])
    assert "denoised and normalised in stain" in metrics["limits"][0]
    with pytest.raises(DataError, match="3 types are given, the network has 2 classes: monocyte, lymphocyte"):
        export_network(folder, tmp_path / "out", command="", types=["a", "b", "c"])


def test_a_network_without_test_cells_makes_no_classifier(cells: CellSet, parts: Parts, tmp_path: Path) -> None:
    none = dataclasses.replace(parts, test=parts.test[:0])
    folder = train_network(
        "sequential-cnn", dataclasses.replace(RECIPE, prepare=Prepare()), cells, none, tmp_path / "run"
    ).folder
    with pytest.raises(DataError, match="without test cells"):
        export_network(folder, tmp_path / "out", command="")


def typed(*words: str) -> list[str]:
    command = typer.main.get_command(app)
    assert command is not None
    return ["cells", *words]


def test_the_command_walks_from_a_folder_to_a_classifier(cells: CellSet, tmp_path: Path) -> None:
    data, run = cells.files[0].parents[1], tmp_path / "run"
    words = typed("--data", str(data), "-o", str(run), "--network", "sequential-cnn", "--side", "32", "--epochs", "1")
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in run.iterdir()} == set(FILES)
    metrics = json.loads(done.stdout)
    assert (metrics["recipe"], metrics["crop"], metrics["classes"]) == ("modern", 32, ["monocyte", "lymphocyte"])
    typed_words = "--network sequential-cnn --recipe modern --side 32 --epochs 1"
    assert metrics["command"] == f"marrowscope train cells --data {data} -o {run} {typed_words}"
    with pytest.raises(OutputError, match=r"holds a training already.*--force"):
        train_cells_command(data, run, network="sequential-cnn", side=32, epochs=1)
    (cells.files[0].parent / "torn.png").write_bytes(b"no picture")
    again = CliRunner().invoke(app, [*words, "--resume"])
    (cells.files[0].parent / "torn.png").unlink()
    assert "left out: 1 picture that cannot be read (torn.png is no picture)" in again.stderr
    assert again.exit_code == 0
    assert "test cells, parted" in again.stdout
    assert "macro F1" in again.stdout


def test_the_command_takes_some_classes_alone(cells: CellSet, tmp_path: Path) -> None:
    data = str(cells.files[0].parents[1])
    words = typed("--data", data, "-o", str(tmp_path / "run"), "--network", "sequential-cnn")
    for classes, told in (("monocyte,zebra", "no class 'zebra'"), ("monocyte", "two classes")):
        done = CliRunner().invoke(app, [*words, "--classes", classes])
        assert isinstance(done.exception, DataError)
        assert told in str(done.exception)


def test_options_are_looked_at_before_the_pictures(tmp_path: Path) -> None:
    def refused(words: str, **settings: object) -> None:
        with pytest.raises(DataError, match=words):
            train_cells_command(tmp_path / "nowhere", tmp_path / "run", **settings)  # type: ignore[arg-type]

    refused("no network 'resnet'", network="resnet")
    refused("no recipe 'new'", recipe="new")
    refused("is missing; give a weights file", weights=str(tmp_path / "none.pth"))
    (tmp_path / "x.npz").write_bytes(b"no")
    refused("read for mobilenetv2 only", weights=str(tmp_path / "x.npz"))
    assert not (tmp_path / "run").exists()


def test_a_classifier_that_learned_nothing_says_so_and_is_unsure_of_an_even_guess(
    cells: CellSet, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "temperature_doubt", lambda temperature, logits, labels: f"A doubt on {len(labels)}.")
    idle = dataclasses.replace(RECIPE, learning_rate=1e-12)
    folder = train_network("sequential-cnn", idle, cells, parts, tmp_path / "run").folder
    metrics = export_network(folder, tmp_path / "out", command="")
    assert metrics["unsure_below"] >= 0.5
    told = " ".join(metrics["limits"])
    assert "A doubt on 6." in told
    assert metrics["certainty_doubt"] == "A doubt on 6."
    assert "6 test cells it is not shown to be better than calling every cell" in told
    assert "named no test cell of these rightly" in told
