"""Training on coloured discs: what it leaves, that it goes on where it stopped, and what it refuses; and its feed."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path

import cv2
import numpy as np
import polars as pl
import pytest
import torch

from marrowscope.errors import DataError
from marrowscope.learning.datasets.cell_sets import CellSet, read_cell_set
from marrowscope.learning.datasets.parting import Parts, part
from marrowscope.learning.transfer.augmenting import Augment
from marrowscope.learning.transfer.feed import Feed, class_weights, prepared_pictures, unlearnable
from marrowscope.learning.transfer.fitting import RunningAverage
from marrowscope.learning.transfer.folder import Trained, load_network
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.measuring import EnergyMeter, flops
from marrowscope.learning.transfer.networks import build
from marrowscope.learning.transfer.preparing import Prepare
from marrowscope.learning.transfer.recipe import TransferRecipe
from marrowscope.learning.transfer.training import predict, train_network

COLOURS = {"eosinophil": (220, 90, 60), "lymphocyte": (90, 60, 160), "monocyte": (90, 160, 90)}


def write_discs(folder: Path, per_class: int) -> CellSet:
    """Pictures of discs in a colour a class, noisy."""
    random = np.random.default_rng(per_class)
    y, x = np.mgrid[:40, :40]
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            picture = random.normal(235, 6, (40, 40, 3))
            picture[np.hypot(x - 20, y - 20) < 10] = colour + random.normal(0, 8, 3)
            clipped = np.clip(picture, 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{number:03d}.png"), clipped[..., ::-1])
    return read_cell_set(folder)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> CellSet:
    return write_discs(tmp_path_factory.mktemp("discs"), 20)


@pytest.fixture(scope="module")
def parts(cells: CellSet) -> Parts:
    return part(cells, how="stratified", val=0.2, test=0.3, seed=0)


RECIPE = TransferRecipe(
    name="discs",
    side=32,
    head=Head("flatten", first_dropout=0.1, dense=(16,)),
    augment=Augment(flip=True, rotate=0.5, stain=0.02),
    learning_rate=3e-3,
    optimiser="adamw",
    schedule="cosine",
    warm_up=0.2,
    batch=5,
    epochs=10,
    keep="val_macro_f1",
    sampling="balanced",
    label_smoothing=0.05,
    ema=0.5,
    clip=1.0,
    flips_at_test=True,
)


@pytest.fixture(scope="module")
def trained(cells: CellSet, parts: Parts, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_network("sequential-cnn", RECIPE, cells, parts, tmp_path_factory.mktemp("run"), seed=1)


def weights_of(folder: Path) -> torch.Tensor:
    return load_network(folder)[0].head.linear.weight


def test_training_learns_the_discs_and_says_what_it_cost(trained: Trained, cells: CellSet, parts: Parts) -> None:
    assert sorted(path.name for path in trained.folder.iterdir()) == [
        "facts.json", "history.csv", "model.pt", "predictions.parquet",
    ]  # fmt: skip
    history = pl.read_csv(trained.folder / "history.csv")
    assert history.columns[:5] == ["epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    assert history["epoch"].to_list() == [*range(1, 11)]
    assert history["train_loss"][-1] < 0.8 * history["train_loss"][0]
    found = pl.read_parquet(trained.folder / "predictions.parquet")
    test = found.filter(pl.col("split") == "test")
    assert test["row"].to_list() == parts.test.tolist()
    assert found["label"].to_list() == cells.labels[found["row"].to_numpy()].tolist()
    shares = test.select("p_0", "p_1", "p_2").to_numpy()
    assert np.allclose(shares.sum(1), 1, atol=1e-5)
    assert (shares.argmax(1) == test["label"].to_numpy()).mean() > 0.85
    facts = trained.facts
    assert facts["cells"] == {"train": 30, "val": 12, "test": 18}
    assert facts["parameters"]["learnt"] == facts["parameters"]["all"] > 20_000
    assert 0 <= facts["feed_share"] < 1
    assert facts["images_per_second"] > 1
    assert (facts["start"], facts["frozen"], facts["classes"]) == ("random", False, list(cells.classes))
    assert facts["recipe"]["epochs"] == 10


def test_the_stored_network_gives_the_stored_logits(trained: Trained, cells: CellSet, parts: Parts) -> None:
    network, _ = load_network(trained.folder)
    pictures = prepared_pictures(cells, 32, RECIPE.prepare)
    logits = predict(network, pictures, parts.test, mirrored=True)
    stored = pl.read_parquet(trained.folder / "predictions.parquet").filter(pl.col("split") == "test")
    assert np.allclose(logits, stored.select("logit_0", "logit_1", "logit_2").to_numpy(), atol=1e-5)
    assert not np.allclose(logits, predict(network, pictures, parts.test, mirrored=False), atol=1e-3)


def test_a_finished_training_is_given_back_and_another_is_refused(
    trained: Trained, cells: CellSet, parts: Parts
) -> None:
    before = (trained.folder / "model.pt").stat().st_mtime_ns
    again = train_network("sequential-cnn", RECIPE, cells, parts, trained.folder, seed=1)
    assert again.facts == trained.facts
    assert (trained.folder / "model.pt").stat().st_mtime_ns == before
    with pytest.raises(DataError, match=r"another network, recipe, seed.*--force"):
        train_network("sequential-cnn", RECIPE, cells, parts, trained.folder, seed=2)


def test_a_broken_training_goes_on_as_if_nothing_had_been(
    trained: Trained, cells: CellSet, parts: Parts, tmp_path: Path
) -> None:
    def broken(stage: str, done: float, words: str) -> None:
        if words.startswith("epoch 3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_network("sequential-cnn", RECIPE, cells, parts, tmp_path, seed=1, progress=broken)
    with pytest.raises(DataError, match="not finished"):
        load_network(tmp_path)
    with pytest.raises(DataError, match="another network"):
        train_network("sequential-cnn", RECIPE, cells, parts, tmp_path, seed=2)
    epochs = set[str]()
    resumed = train_network(
        "sequential-cnn", RECIPE, cells, parts, tmp_path, seed=1, progress=lambda a, b, words: epochs.add(words[:7])
    )
    assert "epoch 2" not in epochs
    assert "epoch 3" in epochs
    assert torch.equal(weights_of(resumed.folder), weights_of(trained.folder))
    assert len(pl.read_csv(tmp_path / "history.csv")) == 10


def test_another_seed_gives_another_network(trained: Trained, cells: CellSet, parts: Parts, tmp_path: Path) -> None:
    short = dataclasses.replace(RECIPE, epochs=1)
    other = train_network("sequential-cnn", short, cells, parts, tmp_path, seed=2)
    assert not torch.equal(weights_of(other.folder), weights_of(trained.folder))
    anew = train_network("sequential-cnn", short, cells, parts, tmp_path, seed=3, resume=False)
    assert anew.facts["seed"] == 3


def test_a_frozen_base_keeps_the_weights_of_its_file(cells: CellSet, parts: Parts, tmp_path: Path) -> None:
    start = build("mobilenetv4-small", 9, Head(), weights=None, seed=9, side=32)
    torch.save({"state_dict": start.state_dict()}, tmp_path / "start.pth")
    recipe = dataclasses.replace(
        RECIPE, head=Head("average", batch_norm=True, dense=(16,), dropout=0.2), frozen=True, epochs=1, ema=0.0
    )
    result = train_network("mobilenetv4-small", recipe, cells, parts, tmp_path / "run", weights=tmp_path / "start.pth")
    network, facts = load_network(tmp_path / "run")
    assert all(torch.equal(value, start.base.state_dict()[name]) for name, value in network.base.state_dict().items())
    assert facts["frozen"]
    assert facts["start"].startswith("start.pth, sha256 ")
    assert facts["parameters"]["learnt"] < 0.05 * facts["parameters"]["all"]
    without = train_network("mobilenetv4-small", recipe, cells, parts, tmp_path / "random")
    assert (without.facts["frozen"], without.facts["recipe"]["frozen"]) == (False, False)
    assert result.facts["recipe"]["learning_rate"] == 3e-3


def test_a_loss_that_is_no_number_is_told_with_advice(cells: CellSet, parts: Parts, tmp_path: Path) -> None:
    wild = dataclasses.replace(RECIPE, learning_rate=1e30, optimiser="sgd", clip=0.0, ema=0.0, warm_up=0.0)
    with pytest.raises(DataError, match=r"is no number: the learning rate 1e\+30 may be too high"):
        train_network("sequential-cnn", wild, cells, parts, tmp_path)


def test_training_stops_early_when_the_validation_loss_falls_no_more(
    cells: CellSet, parts: Parts, tmp_path: Path
) -> None:
    still = dataclasses.replace(
        RECIPE, learning_rate=1e-20, schedule="constant", optimiser="sgd", ema=0.0, patience=2, epochs=9,
        keep="val_loss", class_weights=True, loss="binary cross entropy",
    )  # fmt: skip
    result = train_network("sequential-cnn", still, cells, parts, tmp_path)
    assert (result.facts["epochs"], result.facts["best_epoch"]) == (3, 1)
    found = pl.read_parquet(tmp_path / "predictions.parquet")
    assert np.allclose(found["p_0"], 1 / (1 + np.exp(-found["logit_0"].to_numpy())), atol=1e-6)


def test_without_validation_cells_the_last_epoch_is_kept(cells: CellSet, tmp_path: Path) -> None:
    rows = np.arange(len(cells))
    halves = Parts(rows[::2], rows[:0], rows[1::2], "halves")
    result = train_network("sequential-cnn", dataclasses.replace(RECIPE, epochs=2), cells, halves, tmp_path)
    assert result.facts["best_epoch"] == 2
    assert pl.read_csv(tmp_path / "history.csv")["val_loss"].null_count() == 2


def test_a_class_without_training_cells_is_told(cells: CellSet) -> None:
    number = cells.classes.index("lymphocyte")
    assert unlearnable(cells, np.flatnonzero(cells.labels != number)) == [
        "lymphocyte: no cell to learn from (20 cells elsewhere), so no network can name it"
    ]
    assert unlearnable(cells, np.arange(len(cells))) == []
    with pytest.raises(DataError, match="two classes or more need cells to learn from; found cells of"):
        unlearnable(cells, np.flatnonzero(cells.labels == 0))


def test_a_damaged_model_is_told(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no training"):
        load_network(tmp_path)
    (tmp_path / "facts.json").write_text(json.dumps(trained.facts))
    (tmp_path / "model.pt").write_bytes((trained.folder / "model.pt").read_bytes()[:1000])
    with pytest.raises(DataError, match=r"model.pt cannot be read.*--force"):
        load_network(tmp_path)


def test_prepared_pictures_are_kept_by_content(cells: CellSet, tmp_path: Path) -> None:
    few = cells.take(np.arange(4))
    one = prepared_pictures(few, 24, Prepare(), tmp_path)
    assert one.shape == (4, 24, 24, 3)
    assert np.array_equal(one, prepared_pictures(few, 24, Prepare()))
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    prepared_pictures(few, 24, Prepare(), tmp_path)
    assert [path.stat().st_mtime_ns for path in tmp_path.iterdir()] == [before]
    prepared_pictures(few, 24, Prepare(sharpen=True), tmp_path)
    prepared_pictures(few.take(np.array([1, 0, 2, 3])), 24, Prepare(), tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_the_feed_deals_every_picture_once_or_every_class_alike() -> None:
    labels = np.array([0] * 12 + [1] * 3 + [2] * 5)
    pictures = np.arange(20, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    rows = np.arange(20)
    feed = Feed(pictures, labels, rows, 4, sampling="as given", seed=3)
    first = [int(picture[0, 0, 0]) for batch, _ in feed for picture in batch]
    assert sorted(first) == list(range(20))
    assert first != [int(p[0, 0, 0]) for batch, _ in _of_epoch(feed, 1) for p in batch]
    assert first == [int(p[0, 0, 0]) for batch, _ in _of_epoch(feed, 0) for p in batch]
    balanced = Feed(pictures, labels, rows, 5, sampling="balanced", seed=3)
    drawn = torch.cat([found for _, found in balanced])
    assert sorted(int((drawn == label).sum()) for label in range(3)) == [6, 7, 7]
    in_order = Feed(pictures, labels, rows[5:], 4)
    assert torch.cat([batch[:, 0, 0, 0] for batch, _ in in_order]).tolist() == list(range(5, 20))
    for batch, found in in_order:
        assert found.tolist() == labels[batch[:, 0, 0, 0].numpy()].tolist()
    with pytest.raises(DataError, match="no picture to take batches of"):
        Feed(pictures, labels, rows[:0], 4)


def _of_epoch(feed: Feed, epoch: int) -> Feed:
    feed.set_epoch(epoch)
    return feed


def test_class_weights_make_classes_count_alike() -> None:
    weights = class_weights(np.array([0] * 6 + [1] * 3), 3)
    assert weights.tolist() == pytest.approx([0.75, 1.5, 0.0])


def test_flops_are_those_of_the_layers() -> None:
    network = build("sequential-cnn", 2, Head(), weights=None, seed=0, side=16)
    convolutions = 2 * 9 * (3 * 16 * 256 + 16 * 32 * 64 + 32 * 64 * 16)
    assert flops(network) == convolutions + 2 * 64 * 2


def test_the_energy_meter_sends_nothing_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("codecarbon")
    sent: list[object] = []

    def refuse(*given: object) -> None:
        sent.append(given)
        raise OSError("no way out")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".codecarbon.config").write_text("[codecarbon]\nsave_to_api = true\nsave_to_file = true\n")
    meter = EnergyMeter()
    meter.start()
    np.linalg.svd(np.random.default_rng(0).random((300, 300)))
    found = meter.stop()
    assert found["kwh"] is None or 0 <= found["kwh"] < 0.01
    assert "CodeCarbon" in found["how"]
    assert not sent
    assert [path.name for path in tmp_path.iterdir()] == [".codecarbon.config"]


def test_the_running_average_forgets_the_beginning_in_few_steps_and_follows_slowly_in_many() -> None:
    average = RunningAverage(0.999)._kwargs["multi_avg_fn"]
    kept, count = [torch.zeros(1), torch.zeros(1, dtype=torch.long)], 0
    for count in range(1, 31):
        average(kept, [torch.ones(1), torch.tensor([count])], torch.tensor(count))
    assert kept[0] > 0.999
    assert kept[1] == 30
    average(kept, [torch.zeros(1), torch.tensor([31])], torch.tensor(100_000))
    assert kept[0] == pytest.approx(0.999, abs=2e-3)


def test_a_short_training_with_a_long_average_names_cells(cells: CellSet, parts: Parts, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, ema=0.999, epochs=12, head=Head("flatten"), learning_rate=1e-3)
    trained = train_network("sequential-cnn", recipe, cells, parts, tmp_path)
    found = pl.read_parquet(trained.folder / "predictions.parquet").filter(pl.col("split") == "test")
    called = found.select(f"p_{k}" for k in range(3)).to_numpy().argmax(1)
    assert (called == found["label"].to_numpy()).mean() > 0.8
