"""The anomaly score: what it says of near and far cells, and that a pack with a broken one is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from marrowscope.cells.classification import Classifier
from marrowscope.errors import PackError
from marrowscope.packs.anomaly import AnomalyReference
from marrowscope.packs.building import build_pack
from marrowscope.packs.contract import Anomaly, ModelFile
from marrowscope.packs.loading import Pack, sha256_of

EYE = np.eye(3, dtype=np.float32)


def reference(**changes: object) -> AnomalyReference:
    """Known cells at 1 on the first two of three axes."""
    fields = {"mean": np.zeros(3, np.float32), "projection": EYE, "known": EYE[[0, 0, 1]], "neighbours": 1}
    return AnomalyReference(**(fields | changes))  # type: ignore[arg-type]


def test_score_is_the_distance_to_the_nearest_known_cell_per_direction() -> None:
    features = np.array([[1, 0, 0], [0, 1, 0], [3, 0, 0], [1, 0, 2], [0, 0, 0]], np.float32)
    expected = np.array([0, 0, 2, 2, 1]) / 3**0.5
    np.testing.assert_allclose(reference().raw(features), expected, atol=1e-6)


def test_distances_are_taken_after_mean_and_projection() -> None:
    found = reference(mean=np.float32([1, 1, 1]), projection=2 * EYE).raw(np.array([[1.5, 1, 1.5]], np.float32))
    np.testing.assert_allclose(found, [3**-0.5], atol=1e-6)


def test_the_neighbour_counted_is_the_kth() -> None:
    features = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    np.testing.assert_allclose(reference(neighbours=2).raw(features), [0, (2 / 3) ** 0.5], atol=1e-6)
    np.testing.assert_allclose(reference(neighbours=3).raw(features), [(2 / 3) ** 0.5] * 2, atol=1e-6)


def test_no_cell_has_no_score() -> None:
    assert reference().raw(np.zeros((0, 3), np.float32)).shape == (0,)


def test_a_written_reference_gives_the_same_scores(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    before = AnomalyReference(
        random.normal(size=5).astype(np.float32),
        random.normal(size=(5, 3)).astype(np.float32),
        EYE.astype(np.float16).astype(np.float32),
        2,
    )
    before.write(tmp_path / "anomaly.npz")
    features = random.normal(size=(9, 5)).astype(np.float32)
    assert np.array_equal(AnomalyReference.read(tmp_path / "anomaly.npz").raw(features), before.raw(features))
    assert [path.name for path in tmp_path.iterdir()] == ["anomaly.npz"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": np.zeros(4, np.float32)}, r"mean \(c,\)"),
        ({"known": np.zeros((5, 2), np.float32)}, r"known \(m, d\)"),
        ({"known": np.zeros((0, 3), np.float32)}, "neighbours"),
        ({"neighbours": 4}, "neighbours"),
        ({"neighbours": 0}, "neighbours"),
        ({"projection": np.full((3, 3), np.nan, np.float32)}, "not finite"),
    ],
)
def test_arrays_that_do_not_belong_together(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reference(**changes)


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "anomaly.npz"
    if content is None:
        np.savez(path, mean=np.zeros(3))
    else:
        path.write_bytes(content)
    with pytest.raises(PackError, match=r"is no reference of an anomaly score .*; train the classifier again"):
        AnomalyReference.read(path)


@pytest.fixture
def anomalous(sources: dict[str, Path], tiny: SimpleNamespace, tmp_path: Path) -> Callable[..., Pack]:
    """The small pack with an anomaly score on the mean colour: half grey is known, the limit a tenth away from it."""

    def build(features: str = "mean", scorer: AnomalyReference | None = None) -> Pack:
        grey = np.full((1, 3), 0.5, np.float32)
        (scorer or reference(known=grey)).write(sources["classifier.onnx"].with_name("anomaly.npz"))
        files = sources | {"anomaly.npz": sources["classifier.onnx"].with_name("anomaly.npz")}
        stated = Anomaly(
            method="whitened-neighbours",
            features=features,
            reference=ModelFile(file="anomaly.npz", sha256=sha256_of(files["anomaly.npz"])),
            threshold=0.1 / 3**0.5,
            quantile=0.99,
            data="three colours",
        )
        contract = tiny.contract_for(sources, anomaly=stated)
        return build_pack(contract, files, "# tiny-4\n", tmp_path / "anomalous")

    return build


def test_the_classifier_scores_cells_by_the_pack(anomalous: Callable[..., Pack]) -> None:
    crops = np.zeros((40, 24, 24, 3), np.uint8)
    crops[::2] = 128
    crops[1::2, ..., 0] = 255
    named = Classifier(anomalous(), threads=1).classify(crops)
    assert named.probabilities.shape == (40, 4)
    assert named.anomaly is not None
    assert named.anomaly.dtype == np.float32
    np.testing.assert_allclose(named.anomaly[::2], 0, atol=0.05)
    np.testing.assert_allclose(named.anomaly[1::2], 0.75**0.5 / 0.1, rtol=1e-2)


def test_no_cells_are_scored_too(anomalous: Callable[..., Pack]) -> None:
    named = Classifier(anomalous(), threads=1).classify(np.zeros((0, 24, 24, 3), np.uint8))
    assert named.anomaly is not None
    assert named.anomaly.shape == (0,)


def test_a_pack_without_a_score_gives_none(pack: Pack) -> None:
    assert Classifier(pack, threads=1).classify(np.zeros((2, 24, 24, 3), np.uint8)).anomaly is None


def test_an_output_that_the_model_lacks_is_refused(anomalous: Callable[..., Pack]) -> None:
    with pytest.raises(PackError, match="must give layers, found only"):
        anomalous(features="layers")


def test_a_reference_for_other_features_is_refused(anomalous: Callable[..., Pack]) -> None:
    wide = AnomalyReference(np.zeros(4, np.float32), np.eye(4, 3, dtype=np.float32), EYE, 1)
    with pytest.raises(PackError, match=r"mean must have shape \(1, 4\), found \(1, 3\)"):
        anomalous(scorer=wide)
