"""A small pack whose models are real ONNX graphs of a few nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from marrowscope.packs.building import build_pack
from marrowscope.packs.contract import ClassifierContract, DetectorContract, ModelFile, PackContract, TrainingData
from marrowscope.packs.loading import Pack, sha256_of

CLASSES = ("lymphocyte", "monocyte", "eosinophil", "smudge")
WEIGHT = np.random.default_rng(3).normal(size=(len(CLASSES), 3)).astype(np.float32)
FILES = ("detector.onnx", "classifier.onnx", "linear_head.npz")
BIAS = np.array([0.5, -0.5, 0.0, 0.1], np.float32)


def save(
    path: Path, nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], source: str, outputs: dict[str, int]
) -> Path:
    """``source`` is the input, uint8 ``(n, h, w, 3)``; ``outputs`` maps float outputs to their rank."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(source, TensorProto.UINT8, ["n", "h", "w", 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * rank) for name, rank in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    path.write_bytes(model.SerializeToString())
    return path


def make_detector(
    path: Path,
    *,
    scores: tuple[float, float] = (1.0, 0.5),
    names: tuple[str, str] = ("boxes", "scores"),
    types: tuple[float, ...] = (),
) -> Path:
    """Two boxes a tile; their scores are the tile's brightness times ``scores``. ``types``: of every cell."""
    nodes = [
        helper.make_node("Cast", ["tiles"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["x", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "white"], ["brightness"]),
        helper.make_node("Unsqueeze", ["brightness", "last"], ["column"]),
        helper.make_node("Mul", ["column", "factors"], [names[1]]),
        helper.make_node("Unsqueeze", [names[1], "two"], ["cube"]),
        helper.make_node("Mul", ["cube", "box"], [names[0]]),
    ]
    constants = {
        "axes": np.array([1, 2, 3]),
        "white": np.array(255, np.float32),
        "last": np.array([1]),
        "factors": np.array([scores], np.float32),
        "two": np.array([2]),
        "box": np.array([[[0, 0, 20, 20]]], np.float32),
    }
    outputs = {names[0]: 3, names[1]: 2}
    if types:
        nodes += [
            helper.make_node("Mul", ["cube", "zero"], ["nothing"]),
            helper.make_node("Add", ["nothing", "types"], ["probabilities"]),
        ]
        constants |= {"zero": np.array(0, np.float32), "types": np.array([[types]], np.float32)}
        outputs["probabilities"] = 3
    return save(path, nodes, constants, "tiles", outputs)


def make_classifier(path: Path, *, weight: np.ndarray = WEIGHT, source: str = "crops") -> Path:
    """A linear classifier of the mean colour; its feature map is the picture in 0..1."""
    nodes = [
        helper.make_node("Cast", [source], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["x", "white"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["feature_map"], perm=[0, 3, 1, 2]),
        helper.make_node("ReduceMean", ["feature_map", "axes"], ["mean"], keepdims=0),
        helper.make_node("Gemm", ["mean", "weight", "bias"], ["logits"], transB=1),
    ]
    constants = {
        "white": np.array(255, np.float32),
        "axes": np.array([2, 3]),
        "weight": weight,
        "bias": np.resize(BIAS, len(weight)),
    }
    return save(path, nodes, constants, source, {"logits": 2, "feature_map": 4, "mean": 2})


def make_head(path: Path, *, weight: np.ndarray = WEIGHT) -> Path:
    np.savez(path, weight=weight, bias=np.resize(BIAS, len(weight)))
    return path


def contract_for(sources: dict[str, Path], **changes: Any) -> PackContract:
    """The contract of the small pack over the given files; ``changes`` replace its fields."""
    hashes = dict.fromkeys(FILES, "0" * 64) | {name: sha256_of(path) for name, path in sources.items()}
    fields: dict[str, Any] = {
        "name": "tiny-4",
        "version": "1.2.3",
        "title": "Four types, for tests",
        "licence": "Apache-2.0",
        "intended_use": "Tests.",
        "training_data": (TrainingData(name="none", licence="CC0", attribution="nobody", n="0 cells"),),
        "classes": CLASSES,
        "detector": DetectorContract(
            file="detector.onnx",
            sha256=hashes["detector.onnx"],
            spacing=0.5,
            tile=64,
            margin=16,
            stride=16,
            score_threshold=0.3,
        ),
        "classifier": ClassifierContract(
            file="classifier.onnx",
            sha256=hashes["classifier.onnx"],
            spacing=0.25,
            crop=24,
            feature_map="feature_map",
            linear_head=ModelFile(file="linear_head.npz", sha256=hashes["linear_head.npz"]),
        ),
    }
    return PackContract(**(fields | changes))


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """The three model files of the small pack."""
    folder = tmp_path / "models"
    folder.mkdir()
    return {
        "detector.onnx": make_detector(folder / "detector.onnx"),
        "classifier.onnx": make_classifier(folder / "classifier.onnx"),
        "linear_head.npz": make_head(folder / "linear_head.npz"),
    }


@pytest.fixture
def build(sources: dict[str, Path], tmp_path: Path) -> Callable[..., Pack]:
    """Build the small pack into a folder of ``tmp_path``, with changed contract fields."""

    def build_changed(folder: str = "tiny-4", *, force: bool = False, **changes: Any) -> Pack:
        return build_pack(contract_for(sources, **changes), sources, "# tiny-4\n", tmp_path / folder, force=force)

    return build_changed


@pytest.fixture
def pack(build: Callable[..., Pack]) -> Pack:
    return build()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Added packs of these tests live in their own folder."""
    monkeypatch.setenv("MARROWSCOPE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def tiny() -> SimpleNamespace:
    """The makers of models above: test modules cannot import one another."""
    return SimpleNamespace(
        detector=make_detector, classifier=make_classifier, head=make_head, contract_for=contract_for, weight=WEIGHT
    )
