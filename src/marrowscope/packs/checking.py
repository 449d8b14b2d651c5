"""Run a pack's models on small inputs and hold what comes out against the contract.

Hashes say that a file is the one that was shipped; this says that it does what the contract promises: names, types,
shapes, any batch size, any tile size that is a multiple of the stride.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as runtime

from marrowscope.errors import PackError
from marrowscope.packs.anomaly import AnomalyReference
from marrowscope.packs.contract import ClassifierContract, DetectorContract, PackContract

Arrays = dict[str, NDArray[np.generic]]

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    runtime.Fail,
    runtime.InvalidArgument,
    runtime.InvalidGraph,
    runtime.InvalidProtobuf,
    runtime.NoModel,
    runtime.NoSuchFile,
    runtime.NotImplemented,
    runtime.RuntimeException,
    RuntimeError,
    ValueError,
)
"""What ONNX Runtime raises for a model that does not load or run; its own errors share no base but ``Exception``."""


def check_models(files: Mapping[str, Path], contract: PackContract) -> None:
    """Raise ``PackError`` naming the first model output that is not what the contract says.

    ``files`` gives the path of each file that the contract names.
    """
    if contract.detector is not None:
        _check_detector(files[contract.detector.file], contract.detector, contract)
    if contract.regions is not None:
        _check_boxes(files[contract.regions.file], [(1, contract.regions.side, contract.regions.side)], [])
    if contract.classifier is not None:
        _check_classifier(files, contract.classifier, contract)


def _check_detector(path: Path, detector: DetectorContract, contract: PackContract) -> None:
    names_types = ["probabilities"] if contract.classifier is None else []
    narrow = max(detector.stride, detector.tile // 2 // detector.stride * detector.stride)
    sizes = [(1, detector.tile, detector.tile), (2, detector.tile, narrow)]
    for n, found in _check_boxes(path, sizes, names_types):
        if names_types:
            _expect_shape(path, found, "probabilities", (n, found["scores"].shape[-1], len(contract.classes)))


def _check_boxes(path: Path, sizes: Sequence[tuple[int, int, int]], more: list[str]) -> list[tuple[int, Arrays]]:
    """Run ``n`` pictures of each size ``(n, height, width)``; boxes and scores must be those of a detector."""
    session, results = _open(path, "tiles"), []
    for n, height, width in sizes:
        found = _run(session, path, "tiles", (n, height, width, 3), ["boxes", "scores", *more])
        k = found["scores"].shape[-1]
        _expect_shape(path, found, "scores", (n, k))
        _expect_shape(path, found, "boxes", (n, k, 4))
        scores = found["scores"].astype(np.float64)
        if not ((scores >= 0) & (scores <= 1)).all() or (np.diff(scores, axis=1) > 0).any():
            raise PackError(f"{path}: scores must lie in 0..1 and stand best first; export the detector again")
        results.append((n, found))
    return results


def _check_classifier(files: Mapping[str, Path], classifier: ClassifierContract, contract: PackContract) -> None:
    path, anomaly = files[classifier.file], contract.anomaly
    session = _open(path, "crops")
    outputs = ["logits"]
    outputs += [classifier.feature_map] if classifier.feature_map else []
    outputs += [anomaly.features] if anomaly else []
    for n in (1, 3):
        found = _run(session, path, "crops", (n, classifier.crop, classifier.crop, 3), outputs)
        _expect_shape(path, found, "logits", (n, len(contract.classes)))
        if classifier.feature_map and classifier.linear_head:
            features = found[classifier.feature_map]
            if features.ndim != 4 or len(features) != n:
                raise PackError(f"{path}: {classifier.feature_map} must be (n, channels, h, w), found {features.shape}")
            _check_head(files[classifier.linear_head.file], features, found["logits"])
        if anomaly:
            reference = AnomalyReference.read(files[anomaly.reference.file])
            _expect_shape(path, found, anomaly.features, (n, reference.features))


def _check_head(path: Path, features: NDArray[np.generic], logits: NDArray[np.generic]) -> None:
    """The linear head must explain the logits, or pictures drawn from it would explain something else."""
    with np.load(path, allow_pickle=False) as head:
        if not {"weight", "bias"} <= set(head.files):
            raise PackError(f"{path} must hold weight and bias, found {', '.join(head.files)}; export it again")
        weight, bias = head["weight"], head["bias"]
    classes, channels = logits.shape[1], features.shape[1]
    if weight.shape != (classes, channels) or bias.shape != (classes,):
        raise PackError(
            f"{path}: weight must be {(classes, channels)} and bias {(classes,)}, found {weight.shape} and {bias.shape}"
        )
    explained = features.mean(axis=(2, 3)) @ weight.T + bias
    difference = float(np.abs(explained - logits).max())
    if difference > 1e-2 * max(1.0, float(np.abs(logits).max())):
        raise PackError(f"{path} does not give the classifier's logits (off by {difference:.3g}); export both together")


def _open(path: Path, input_name: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        raise PackError(f"{path} cannot be loaded as an ONNX model ({_first_line(error)}); export it again") from error
    inputs = {i.name: i.type for i in session.get_inputs()}
    if inputs != {input_name: "tensor(uint8)"}:
        raise PackError(f"{path} must take one uint8 input {input_name!r}, found {inputs}; export it again")
    return session


def _run(
    session: ort.InferenceSession, path: Path, input_name: str, shape: tuple[int, ...], outputs: list[str]
) -> Arrays:
    present = [output.name for output in session.get_outputs()]
    if missing := [name for name in outputs if name not in present]:
        raise PackError(f"{path} must give {', '.join(missing)}, found only {', '.join(present)}; export it again")
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    try:
        found: Arrays = dict(zip(outputs, session.run(outputs, {input_name: picture}), strict=True))
    except RUNTIME_ERRORS as error:
        raise PackError(f"{path} does not run on {input_name} of shape {shape} ({_first_line(error)})") from error
    for name, array in found.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise PackError(f"{path}: {name} must be finite float32, found {array.dtype}; export it again")
    return found


def _expect_shape(path: Path, found: Arrays, name: str, shape: tuple[int, ...]) -> None:
    if found[name].shape != shape:
        raise PackError(f"{path}: {name} must have shape {shape}, found {found[name].shape}; export it again")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
