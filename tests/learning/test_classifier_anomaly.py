import numpy as np
import onnxruntime
import pytest
import torch

from marrowscope.learning.classifier.anomaly import features_of, fit_reference, known_crops, write_anomaly
from marrowscope.learning.classifier.augmentation import Augmentation
from marrowscope.learning.classifier.data import Cells, Splits
from marrowscope.learning.classifier.export import compared_layers, export_classifier, normalised
from marrowscope.learning.classifier.networks import mobilenet_v2, small_network
from marrowscope.learning.classifier.recipes import ClassifierRecipe
from marrowscope.packs.anomaly import AnomalyReference


def clouds(seed, centres, n=200):
    """Cells about centres, in twenty features of which most are noise that all share."""
    random = np.random.default_rng(seed)
    points = random.normal(0, 0.3, (len(centres) * n, 20))
    points[:, : len(centres[0])] += np.repeat(np.array(centres, float), n, axis=0)
    return (points * np.arange(1, 21)).astype(np.float32)  # features of very different scale


KNOWN = ([3, 0, 0], [0, 3, 0])


AXIS = np.eye(20, dtype=np.float32)[7] * 8  # the eighth feature, in its scale
LABELS = np.repeat([0, 1], 200)


def test_cells_of_a_type_that_was_not_there_score_higher():
    reference = fit_reference(clouds(0, KNOWN), LABELS, directions=5)
    usual, strange = reference.raw(clouds(1, KNOWN)), reference.raw(clouds(2, ([0, 0, 3],)))
    assert 0.2 < np.median(usual) < 1
    assert (strange > np.quantile(usual, 0.95)).mean() > 0.9


def test_what_varies_within_a_class_counts_for_little():
    def blown(cells):
        return cells + np.repeat(np.random.default_rng(9).normal(0, 6, (len(cells), 1)), 20, axis=1) * AXIS

    reference = fit_reference(blown(clouds(0, KNOWN)), LABELS, directions=20)
    usual, moved = (reference.raw(cells) for cells in (clouds(1, KNOWN), clouds(1, KNOWN) + 6 * AXIS))
    assert np.median(moved) < 1.5 * np.median(usual)
    plain = fit_reference(clouds(0, KNOWN), LABELS, directions=20)
    assert np.median(plain.raw(clouds(1, KNOWN) + 6 * AXIS)) > 3 * np.median(usual)


def test_the_scale_of_a_feature_does_not_matter():
    features, cells = clouds(0, KNOWN), clouds(1, KNOWN)
    factors = np.geomspace(1, 100, 20).astype(np.float32)
    plain = fit_reference(features, LABELS, directions=5).raw(cells)
    scaled = fit_reference(features * factors, LABELS, directions=5).raw(cells * factors)
    np.testing.assert_allclose(plain, scaled, atol=5e-3)


def test_a_feature_that_never_changes_is_left_out_of_the_score():
    features = np.hstack([clouds(0, KNOWN), np.ones((400, 1), np.float32)])
    odd = features.copy()
    odd[:, -1] += 1e-4  # rounding, that division by its deviation would make the greatest difference of all
    reference = fit_reference(features, LABELS, directions=5)
    np.testing.assert_allclose(reference.raw(features), reference.raw(odd), atol=1e-2)


def test_layers_compared_lie_between_the_first_and_the_feature_map():
    assert compared_layers(mobilenet_v2(3)) == [10, 13, 16]
    assert compared_layers(small_network(3)) == [3, 4, 5]


@pytest.fixture(scope="module")
def recipe():
    return ClassifierRecipe(
        name="noise",
        architecture="small",
        classes=("monocyte", "eosinophil"),
        load=lambda folder: pytest.fail("not to be loaded"),
        network=small_network,
        augmentation=Augmentation(),
        epochs=1,
        draws=1,
        crop=32,
    )


@pytest.fixture(scope="module")
def splits():
    random = np.random.default_rng(0)

    def cells(n):
        return Cells(random.integers(0, 256, (n, 40, 40, 3), np.uint8), np.arange(n) % 2, 0.25)

    return Splits(cells(30), cells(20), cells(10), "noise")


@pytest.fixture(scope="module")
def exported(recipe, tmp_path_factory):
    torch.manual_seed(0)
    network = small_network(2).eval()
    folder = tmp_path_factory.mktemp("exported")
    export_classifier(network, recipe.crop, folder)
    return network, folder


def test_the_graph_gives_the_averages_of_those_layers(exported, splits, recipe):
    network, folder = exported
    crops = splits.test.crops(recipe.crop, recipe.spacing)
    x, expected = normalised(torch.from_numpy(crops)), []
    with torch.inference_mode():
        for index, layer in enumerate(network.features):
            x = layer(x)
            if index in (3, 4, 5):
                expected.append(x.mean((2, 3)))
    np.testing.assert_allclose(features_of(folder / "classifier.onnx", crops), torch.cat(expected, 1), atol=1e-4)


def test_known_cells_are_plain_and_augmented_and_even_over_the_classes(splits, recipe):
    crops, labels = known_crops(recipe, splits.train, seed=3)
    assert crops.shape == (60, 32, 32, 3)
    assert np.bincount(labels).tolist() == [30, 30]
    plain = {crop.tobytes() for crop in splits.train.crops(32, 0.25)}
    assert [crop.tobytes() in plain for crop in crops] == [True] * 30 + [False] * 30
    assert np.array_equal(known_crops(recipe, splits.train, seed=3)[0], crops)
    assert not np.array_equal(known_crops(recipe, splits.train, seed=4)[0], crops)


def test_the_threshold_is_that_of_the_validation_cells(exported, splits, recipe):
    _, folder = exported
    metrics = write_anomaly(folder, recipe, splits, seed=0)
    reference = AnomalyReference.read(folder / "anomaly.npz")
    raw = reference.raw(features_of(folder / "classifier.onnx", splits.val.crops(32, 0.25)))
    assert metrics["threshold"] == pytest.approx(np.quantile(raw, 0.99), abs=1e-5)
    assert metrics["n_validation"] == 20
    assert metrics["above"]["of"] == 10
    outputs = [output.name for output in onnxruntime.InferenceSession(folder / "classifier.onnx").get_outputs()]
    assert metrics["features"] in outputs
