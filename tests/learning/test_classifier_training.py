import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch

from marrowscope.errors import DataError
from marrowscope.learning.classifier.assessment import assess, calibrate
from marrowscope.learning.classifier.augmentation import Augmentation
from marrowscope.learning.classifier.command import measure, train_classifier_command, typed_command
from marrowscope.learning.classifier.data import BalancedDraws, Cells, Splits, Views
from marrowscope.learning.classifier.export import export_classifier, folded, normalised
from marrowscope.learning.classifier.networks import ConvolutionNorm, small_network
from marrowscope.learning.classifier.recipes import ClassifierRecipe, blood_11, load_pbc
from marrowscope.learning.classifier.training import load_trained, logits_of, train_classifier
from marrowscope.learning.datasets.splits import clean_split
from marrowscope.packs.metrics import ClassifierMetrics, read_metrics

COLOURS = {"monocyte": (90, 90, 160), "eosinophil": (220, 90, 60), "platelet": (190, 120, 200)}


def _cells(n, seed):
    """Discs of three colours, noisy."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    pictures = random.normal(235, 6, (n, 40, 40, 3))
    y, x = np.mgrid[:40, :40]
    disc = np.hypot(x - 20, y - 20) < 10
    for picture, label in zip(pictures, labels, strict=True):
        picture[disc] = list(COLOURS.values())[label] + random.normal(0, 25, 3)
    return Cells(np.clip(pictures, 0, 255).astype(np.uint8), labels.astype(np.int64), 0.25)


@pytest.fixture(scope="module")
def splits():
    return Splits(_cells(48, 0), _cells(30, 1), _cells(30, 2), "coloured discs")


@pytest.fixture(scope="module")
def recipe():
    return ClassifierRecipe(
        name="discs",
        architecture="small",
        classes=tuple(COLOURS),
        load=lambda folder: pytest.fail("not to be loaded"),
        network=small_network,
        augmentation=Augmentation(stain=0.02, lamp=0.02, haze_chance=0.0),
        epochs=4,
        draws=144,
        batch=16,
        learning_rate=3e-3,
        averaging=0.8,
        crop=32,
    )


@pytest.fixture(scope="module")
def trained(recipe, splits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    return train_classifier(recipe, splits, folder, seed=1, workers=0), folder


def test_training_lowers_the_loss_and_learns_the_discs(trained, recipe, splits):
    network, folder = trained
    losses = pl.read_csv(folder / "log" / "version_0" / "metrics.csv")["loss"].drop_nulls().to_list()
    assert len(losses) == recipe.epochs
    assert losses[-1] < 0.8 * losses[0]
    assert (logits_of(network, splits.test, recipe).argmax(1) == splits.test.labels).mean() > 0.9


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(recipe, splits, trained, tmp_path):
    again = train_classifier(recipe, splits, tmp_path / "again", seed=1, workers=0)
    other = train_classifier(dataclasses.replace(recipe, epochs=1), splits, tmp_path / "other", seed=2, workers=0)
    assert torch.equal(again.head.weight, trained[0].head.weight)
    assert not torch.equal(other.head.weight, trained[0].head.weight)


def test_a_training_starts_from_an_earlier_one_at_another_scale(recipe, splits, trained, tmp_path):
    finer = dataclasses.replace(
        recipe, crop=48, spacing=recipe.spacing / 1.5, epochs=1, learning_rate=1e-6, averaging=0
    )
    start = trained[1] / "best.ckpt"
    network = train_classifier(finer, splits, tmp_path / "finer", weights=start, seed=1, workers=0)
    assert torch.allclose(network.head.weight, trained[0].head.weight, atol=1e-4)
    torch.save({"state_dict": {"network.head.weight": torch.zeros(2, 2)}}, tmp_path / "other.ckpt")
    with pytest.raises(DataError, match=r"give best\.ckpt"):
        train_classifier(finer, splits, tmp_path / "other", weights=tmp_path / "other.ckpt", workers=0)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_checkpoint_cut_short_is_refused_with_what_to_give(share, trained, recipe, tmp_path):
    whole = (trained[1] / "best.ckpt").read_bytes()
    (tmp_path / "best.ckpt").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=r"holds no weights of this network \(.+\); give best\.ckpt"):
        load_trained(recipe.network(3), tmp_path / "best.ckpt")


def _pbc_folder(folder, files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / file), np.full((20, 20, 3), 200, np.uint8))
    rows = [(file, "monocyte", "train") for file in files]
    pl.DataFrame(rows, schema=["file", "label", "split"], orient="row").write_csv(folder / "labels.csv")
    return folder


def test_pbc_has_its_clean_splits_and_pictures_the_list_does_not_name_are_dropped(tmp_path):
    clean = clean_split("pbc")
    files = [next(file for file, where in clean.items() if where == split) for split in ("train", "val", "test")]
    loaded = load_pbc(_pbc_folder(tmp_path, [*files, "images/monocyte/MO_0.jpg"]))
    assert [len(cells) for cells in (loaded.train, loaded.val, loaded.test)] == [1, 1, 1]


def test_a_pbc_folder_laid_out_otherwise_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"first is MO_1\.jpg\); expected files images/CLASS/FILE"):
        load_pbc(_pbc_folder(tmp_path, ["MO_1.jpg", "MO_2.jpg"]))


def test_a_resumed_training_ends_where_an_uninterrupted_one_does(recipe, splits, trained, tmp_path, monkeypatch):
    class InterruptError(Exception):
        pass

    def interrupted(views, draw):
        if draw[1] == 3:
            raise InterruptError
        return original(views, draw)

    original = Views.__getitem__
    monkeypatch.setattr(Views, "__getitem__", interrupted)
    with pytest.raises(InterruptError):
        train_classifier(recipe, splits, tmp_path, seed=1, workers=0)
    monkeypatch.undo()
    resumed = train_classifier(recipe, splits, tmp_path, seed=1, workers=0, resume=True)
    assert torch.allclose(resumed.head.weight, trained[0].head.weight, atol=1e-6)


def test_resuming_nothing_is_an_error(recipe, splits, tmp_path):
    with pytest.raises(DataError, match="nothing to resume"):
        train_classifier(recipe, splits, tmp_path, resume=True)


def test_the_exported_graph_gives_what_torch_gives(trained, recipe, splits, tmp_path):
    network, _ = trained
    onnx, head_path = export_classifier(network, recipe.crop, tmp_path)
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    crops = splits.test.crops(recipe.crop, recipe.spacing)[:7]
    logits, feature_map = session.run(["logits", "feature_map"], {"crops": crops})
    with torch.inference_mode():
        expected, expected_map = network(normalised(torch.from_numpy(crops)))
    assert np.allclose(logits, expected, atol=1e-4)
    assert np.allclose(feature_map, expected_map, atol=1e-4)
    with np.load(head_path) as head:
        assert np.allclose(feature_map.mean((2, 3)) @ head["weight"].T + head["bias"], logits, atol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classifier.onnx", "linear_head.npz"]


def test_folding_leaves_no_batch_norm(trained):
    norms = [type(m.norm) for m in folded(trained[0]).modules() if isinstance(m, ConvolutionNorm)]
    assert set(norms) == {torch.nn.Identity}


def test_metrics_are_what_the_builder_of_packs_reads(trained, recipe, splits, tmp_path):
    metrics = measure(trained[0], recipe, splits)
    (tmp_path / "metrics.json").write_text(json.dumps({**metrics, "command": "marrowscope train classifier"}))
    read = read_metrics(tmp_path, ClassifierMetrics)
    assert read.classes == recipe.classes
    assert sum(map(sum, read.test.confusion)) == read.test.n == len(splits.test)
    assert read.test.calibration_error.keys() == {"before", "after"}


def test_temperature_lowers_the_log_loss_of_an_overconfident_classifier():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 2000)
    logits = random.normal(0, 1, (2000, 4))
    logits[np.arange(2000), labels] += 1.5
    logits = (3 * logits).astype(np.float32)
    temperature, unsure_below = calibrate(logits, labels, coverage=0.9)
    scores = assess(logits, labels, tuple("abcd"), temperature, unsure_below)

    def log_loss(z):
        return float((np.log(np.exp(z).sum(1)) - z[np.arange(2000), labels]).mean())

    assert temperature > 1.5
    assert log_loss(logits / temperature) < log_loss(logits) - 0.1
    assert scores["calibration_error"]["after"] < scores["calibration_error"]["before"] / 2
    unsure = next(row for row in scores["unsure"] if row["below"] == unsure_below)
    assert unsure["named"]["value"] >= 0.9
    assert unsure["right"]["value"] > scores["accuracy"]["value"]


def test_a_certain_cell_is_never_unsure():
    labels = np.arange(300) % 3
    logits = (np.eye(3, dtype=np.float32)[labels]) * 9
    assert calibrate(logits, labels, coverage=0.95)[1] == 0.7


def test_the_recorded_command_names_no_folder_of_this_machine():
    command = typed_command(blood_11(), Path("/somewhere/pbc"), Path("/elsewhere/start.npz"), seed=3)
    assert command == (
        "marrowscope train classifier --recipe blood-11 --data pbc -o OUT --weights start.npz --epochs 16 --seed 3"
    )


def test_draws_are_even_over_the_classes_and_go_through_every_cell():
    labels = np.array([0] * 50 + [1] * 5 + [2] * 20)
    draws = BalancedDraws(labels, 3, 90, seed=0)
    first = list(draws)
    indices = np.array([index for index, *_ in first])
    assert np.bincount(labels[indices]).tolist() == [30, 30, 30]
    assert set(range(50, 75)) <= set(indices.tolist())
    assert {epoch for _, epoch, _ in first} == {0}
    draws.set_epoch(1)
    assert [index for index, *_ in draws] != indices.tolist()


def test_a_class_without_cells_is_an_error():
    with pytest.raises(DataError, match=r"classes number \[1\]"):
        BalancedDraws(np.array([0, 2]), 3, 9, seed=0)


def test_views_depend_on_seed_epoch_and_draw(splits):
    views = Views(splits.train, Augmentation(neighbour_chance=0.5), 32, 0.25, seed=3)
    assert torch.equal(views[(0, 1, 2)][0], views[(0, 1, 2)][0])
    assert not torch.equal(views[(0, 1, 2)][0], views[(0, 2, 2)][0])
    assert not torch.equal(views[(0, 1, 2)][0], Views(splits.train, views.augmentation, 32, 0.25, seed=4)[(0, 1, 2)][0])


def test_an_unknown_recipe_names_those_there_are(tmp_path):
    with pytest.raises(DataError, match="blood-11"):
        train_classifier_command("marrow-99", tmp_path, tmp_path)


def test_a_recipe_without_its_data_says_what_to_give(tmp_path):
    with pytest.raises(DataError, match="--data"):
        train_classifier_command("blood-11", tmp_path, tmp_path / "out")


def test_recipes_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        blood_11().epochs = 1
