"""Explanations: maps add up to logits, follow the cell, cost little, and refuse what they cannot do."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from marrowscope.cells.classification import Classifier
from marrowscope.cells.explain import _log_odds, class_activation_maps, explain, looks_apart
from marrowscope.detection.engine import open_session
from marrowscope.errors import MarrowscopeError
from marrowscope.packs import load_pack
from marrowscope.packs.loading import Pack
from marrowscope.phantom import FieldOptions, render_cells

SIDE, RIM = 96, 24


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    """Phantom cells with a rim, so that crops can be cut beside the middle."""
    return render_cells(FieldOptions(), 60, seed=7, crop=SIDE + 2 * RIM).pictures[4::3]


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack("phantom-16")


def cut(cells: np.ndarray, down: int = 0, along: int = 0) -> np.ndarray:
    return np.ascontiguousarray(cells[:, RIM + down : RIM + down + SIDE, RIM + along : RIM + along + SIDE])


def without_feature_map(pack: Pack) -> Pack:
    classifier = pack.contract.classifier.model_copy(update={"feature_map": None})
    return dataclasses.replace(pack, contract=pack.contract.model_copy(update={"classifier": classifier}))


@pytest.mark.parametrize("name", ["phantom-16", "blood-11"])
def test_the_exported_maps_and_head_add_up_to_the_logits(name: str, cells: np.ndarray) -> None:
    pack = load_pack(name)
    session = open_session(pack.classifier, 1)
    side = pack.contract.classifier.crop
    crops = np.ascontiguousarray(cells[:, :side, :side])
    logits, features = session.run(["logits", pack.contract.classifier.feature_map], {"crops": crops})
    with np.load(pack.files[pack.contract.classifier.linear_head.file]) as head:
        for k in range(len(pack.contract.classes)):
            weight = np.repeat(head["weight"][k : k + 1], len(cells), axis=0)
            added = class_activation_maps(features, weight).mean(axis=(1, 2)) + head["bias"][k]
            np.testing.assert_allclose(added, logits[:, k], atol=1e-3)


@pytest.mark.parametrize("method", ["class activation", "occlusion"])
def test_types_and_probabilities_are_those_of_the_count(pack: Pack, cells: np.ndarray, method: str) -> None:
    crops = cut(cells)[:12]
    classes = pack.contract.classes
    expected = Classifier(pack, threads=1).classify(crops).probabilities
    found = explain(crops, pack, method=method, threads=1)
    assert found.method == method
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    order = np.argsort(expected, axis=1)
    assert found.types.tolist() == order[:, -1].tolist()
    assert found.others.tolist() == order[:, -2].tolist()
    assert found.maps.shape == found.other_maps.shape == found.contrast.shape == (12, SIDE, SIDE)
    named = explain(crops, pack, [classes[index] for index in order[:, -2]], method=method, threads=1)
    assert named.types.tolist() == order[:, -2].tolist()
    assert named.others.tolist() == order[:, -1].tolist()
    np.testing.assert_allclose(named.contrast, -found.contrast, atol=1e-3)


@pytest.mark.parametrize("method", ["class activation", "occlusion"])
def test_maps_follow_the_cell(pack: Pack, cells: np.ndarray, method: str) -> None:
    """A cell moved by 4 um takes its evidence with it: as a mean over cells by more than a third of the way."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2

    def middle(down: int, along: int) -> np.ndarray:
        maps = np.clip(explain(cut(cells, down, along)[:10], pack, method=method, threads=1).maps, 0, None)
        weight = maps / maps.sum(axis=(1, 2), keepdims=True)
        return np.array([(weight * y).sum((1, 2)).mean(), (weight * x).sum((1, 2)).mean()])

    down, along = middle(-16, 0) - middle(16, 0), middle(0, -16) - middle(0, 16)
    assert down[0] > 32 / 3
    assert along[1] > 32 / 3
    assert abs(down[1]) < 4
    assert abs(along[0]) < 4


def test_mirrored_cells_have_mirrored_maps(pack: Pack, cells: np.ndarray) -> None:
    crops = cut(cells)[:6]
    maps = explain(crops, pack, method="class activation", threads=1).maps
    mirrored = explain(np.ascontiguousarray(crops[:, ::-1, ::-1]), pack, method="class activation", threads=1)
    same = mirrored.types == explain(crops, pack, method="class activation", threads=1).types
    assert same.any()
    np.testing.assert_allclose(mirrored.maps[same][:, ::-1, ::-1], maps[same], atol=1e-2)


def test_another_head_gives_another_map(pack: Pack, cells: np.ndarray) -> None:
    """Sanity check of Adebayo et al. (NeurIPS 2018): weights that do not belong to the network spoil the map."""
    crops = cut(cells)
    session = open_session(pack.classifier, 1)
    logits, features = session.run(["logits", "feature_map"], {"crops": crops})
    with np.load(pack.files[pack.contract.classifier.linear_head.file]) as head:
        weight = head["weight"][logits.argmax(axis=1)]
    shuffled = np.random.default_rng(0).permuted(weight, axis=1)
    one, other = (
        class_activation_maps(features, used).reshape(len(crops), -1).argsort().argsort() for used in (weight, shuffled)
    )
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)]
    assert np.mean(correlations) < 0.5


def test_class_activation_is_trusted_only_where_positions_look_apart(
    pack: Pack, cells: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0.5 < looks_apart(pack, threads=1) < 1.1
    assert explain(cut(cells)[:2], pack, threads=1).method == "class activation"
    monkeypatch.setattr("marrowscope.cells.explain.LOOKS_APART", 1.1)
    assert explain(cut(cells)[:2], pack, threads=1).method == "occlusion"


def test_a_pack_without_a_feature_map_is_explained_by_occlusion_only(pack: Pack, cells: np.ndarray) -> None:
    bare, crops = without_feature_map(pack), cut(cells)[:2]
    assert explain(crops, bare, threads=1).method == "occlusion"
    with pytest.raises(MarrowscopeError, match="use occlusion"):
        explain(crops, bare, method="class activation")
    with pytest.raises(MarrowscopeError, match="feature map"):
        looks_apart(bare)


def test_what_cannot_be_explained_is_said(pack: Pack, cells: np.ndarray) -> None:
    crops = cut(cells)[:1]
    with pytest.raises(MarrowscopeError, match="knows no 'osteoclast'"):
        explain(crops, pack, ["osteoclast"])
    without = dataclasses.replace(pack, contract=pack.contract.model_copy(update={"classifier": None}))
    with pytest.raises(MarrowscopeError, match="no classifier of its own"):
        explain(crops, without)


@pytest.mark.parametrize("method", ["class activation", "occlusion"])
def test_no_crops_have_no_maps(pack: Pack, cells: np.ndarray, method: str) -> None:
    assert explain(cut(cells)[:0], pack, method=method, threads=1).maps.shape == (0, SIDE, SIDE)


def test_a_flat_crop_is_no_error(pack: Pack) -> None:
    flat = np.full((1, SIDE, SIDE, 3), 200, np.uint8)
    found = explain(flat, pack, method="occlusion", threads=1)
    assert np.isfinite(found.maps).all()
    assert np.abs(found.maps).max() < 1e-3


def test_what_is_expected_of_the_specimen_weighs_as_in_the_count(pack: Pack, cells: np.ndarray) -> None:
    crops, classes = cut(cells)[:6], pack.contract.classes
    shares = np.linspace(1, 3, len(classes))
    prior = tuple((shares / shares.sum()).tolist())
    classifier = pack.contract.classifier.model_copy(update={"prior": prior})
    weighed = dataclasses.replace(pack, contract=pack.contract.model_copy(update={"classifier": classifier}))
    expected = Classifier(weighed, threads=1).classify(crops).probabilities
    found = explain(crops, weighed, threads=1).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(np.log(found) - np.log(explain(crops, pack, threads=1).probabilities)).max() > 0.1


def test_the_odds_of_a_certain_class_still_move() -> None:
    logits = np.array([[80.0, 0.0, 1.0], [60.0, 0.0, 1.0], [0.5, 0.2, -1.0]])
    odds = _log_odds(log_softmax(logits, axis=1))
    assert odds[0, 0] - odds[1, 0] == pytest.approx(20, abs=1e-4)  # where a probability would be 1 both times
    likely = softmax(logits[2])
    assert odds[2] == pytest.approx(np.log(likely / (1 - likely)), abs=1e-5)
