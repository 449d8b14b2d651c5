"""Training end to end on phantom tiles of 128 px: what is written, what is refused, what a break changes (nothing)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import timm
import timm.models._hub
import torch
from safetensors.torch import save_file
from torchvision.ops import box_iou

from marrowscope.annotations.cutting import TilePart, write_tiles
from marrowscope.annotations.tiles import LabelledTiles
from marrowscope.errors import DataError
from marrowscope.geometry import Size
from marrowscope.learning.cascade import training
from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.cascade.backbones import (
    HUB,
    RGB_MEAN,
    RGB_SPREAD,
    BackboneShape,
    Pyramid,
    expected_colours,
    load_start_weights,
)
from marrowscope.learning.cascade.data import TileExamples, together
from marrowscope.learning.cascade.inference import load_cascade, predict
from marrowscope.learning.cascade.network import CascadeRCNN, LossSettings
from marrowscope.learning.cascade.recipes import RECIPES, CascadeRecipe, modern, paper, plain, tiny
from marrowscope.learning.cascade.training import train_cascade, training_steps
from marrowscope.phantom import FieldOptions, render_field

SIDE = 128
CLASSES = ("lymphocyte", "polychromatic_erythroblast")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> LabelledTiles:
    """Four fields of a phantom with their truth: lymphocytes, erythroblasts, and types that are not trained."""
    parts = []
    for number, seed in enumerate((3, 5, 6, 7)):
        field = render_field(FieldOptions(spacing=0.25), Size(SIDE, SIDE), seed=seed)
        cells = field.cells.filter(pl.col("visible") >= 0.2).with_row_index("id")
        cells = cells.with_columns(pl.col("id").cast(pl.String), owned=pl.col("visible") >= 0.5)
        parts.append(TilePart("smear", SIDE * number, 0, field.picture, cells))
    folder = tmp_path_factory.mktemp("phantoms") / "tiles"
    return write_tiles(folder, spacing=0.25, side=SIDE, classes=CLASSES, tiles=parts)


ROWS = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def trained(tiles: LabelledTiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``tiny``, uninterrupted."""
    return train_cascade(tiny(), tiles, ROWS, tmp_path_factory.mktemp("whole"), silent=True)


WILD = replace(tiny(), optimiser="sgd", learning_rate=1e30, clip=0.0)
"""Its loss is no number after a step."""


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    stored: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["weights"]
    return stored


def test_a_trained_cascade_looks_at_pictures(trained: Path, tiles: LabelledTiles) -> None:
    stored = torch.load(trained, weights_only=True)
    assert stored["facts"] == {"steps": 6, "tiles": 4, "cells": 6}
    assert (stored["recipe"], stored["spacing"]) == ("tiny", 0.25)
    network = load_cascade(trained)
    assert network.shape == tiny().shape(CLASSES)
    assert not network.training
    (found,) = predict(network, [tiles.picture(0)], least_score=0.0)
    assert found.probabilities is not None
    assert found.probabilities.shape == (len(found), 2)


def test_the_first_losses_are_pinned(tiles: LabelledTiles) -> None:
    torch.manual_seed(0)
    network = CascadeRCNN(tiny().shape(CLASSES))
    batch, targets = together([TileExamples(tiles, ROWS, tiny().augmentation, 0)[number] for number in (0, 1)])
    losses = network.losses(batch, targets, LossSettings(), 0)
    found = {name: float(value.detach()) for name, value in losses.items()}
    expected = {"objectness": 0.6942, "proposals": 0.009111, "types_0": 1.101, "boxes_0": 0.206}
    expected |= {"types_1": 1.102, "boxes_1": 0.1811, "types_2": 1.101, "boxes_2": 0.1396}
    assert found == pytest.approx(expected, rel=2e-3)


def test_a_broken_training_goes_on_as_if_nothing_had_happened(
    trained: Path, tiles: LabelledTiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended after step 3, resumed from the checkpoint of step 2: weights equal those of :func:`trained` bit by bit."""
    monkeypatch.setattr(training, "SAVED_EVERY", 2)
    part = train_cascade(tiny(), tiles, ROWS, tmp_path, silent=True, limit=3)
    assert torch.load(part, weights_only=True)["facts"]["steps"] == 3
    expected = weights_of(trained)
    assert not all(torch.equal(value, expected[name]) for name, value in weights_of(part).items())
    resumed = train_cascade(tiny(), tiles, ROWS, tmp_path, silent=True, resume=True)
    assert torch.load(resumed, weights_only=True)["facts"]["steps"] == 6
    for name, value in weights_of(resumed).items():
        assert torch.equal(value, expected[name]), name
    assert not (tmp_path / "work").exists()  # the checkpoints take several times the model's place


def test_a_training_broken_off_before_its_first_checkpoint_is_not_taken_for_another(
    tiles: LabelledTiles, tmp_path: Path
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "mark.txt").write_text("of another recipe")
    with pytest.raises(DataError, match="is of another recipe"):
        train_cascade(tiny(), tiles, ROWS, tmp_path, silent=True, resume=True)


def test_a_finished_training_stays_as_it_is(trained: Path, tiles: LabelledTiles) -> None:
    written = trained.stat()
    assert train_cascade(tiny(), tiles, ROWS, trained.parent, silent=True, resume=True) == trained
    found = trained.stat()
    assert (found.st_mtime_ns, found.st_ino) == (written.st_mtime_ns, written.st_ino)
    for recipe, rows in ((replace(tiny(), learning_rate=1e-4), ROWS), (tiny(), (0, 1, 2))):
        with pytest.raises(DataError, match=r"model\.pt is of another recipe.*with --force in place of --resume"):
            train_cascade(recipe, tiles, rows, trained.parent, silent=True, resume=True)
    assert not (trained.parent / "work").exists()


def test_a_checkpoint_of_another_recipe_or_of_other_labels_is_refused(
    tiles: LabelledTiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "SAVED_EVERY", 3)
    train_cascade(tiny(), tiles, ROWS, tmp_path, silent=True, limit=3)
    assert (tmp_path / "work" / "last.ckpt").is_file()
    for recipe, rows in ((replace(tiny(), learning_rate=1e-4), ROWS), (tiny(), (0, 1, 2))):
        with pytest.raises(DataError, match=r"work is of another recipe.*with --force in place of --resume"):
            train_cascade(recipe, tiles, rows, tmp_path, silent=True, resume=True)
    with pytest.raises(DataError, match="lower learning rate"):  # crashes before its first checkpoint
        train_cascade(WILD, tiles, ROWS, tmp_path, silent=True)
    assert not list((tmp_path / "work").glob("*.ckpt"))  # or the old one would now pass for the new recipe's


def test_complete_tiles_are_another_training_and_the_others_are_the_same(tiles: LabelledTiles) -> None:
    known = replace(tiles, tiles=tiles.tiles.with_columns(complete=pl.Series([False, False, False, True])))
    of_rows = [training.recipe_fingerprint(tiny(), given, [0, 1, 2]) for given in (tiles, known)]
    assert of_rows[0] == of_rows[1]
    assert training.recipe_fingerprint(tiny(), tiles, ROWS) != training.recipe_fingerprint(tiny(), known, ROWS)


@pytest.mark.slow
def test_one_tile_is_learnt_by_heart(tiles: LabelledTiles, tmp_path: Path) -> None:
    recipe = replace(tiny(), steps=60, batch=1, average=0.0, augmentation=Augmentation(False), learning_rate=3e-3)
    only = replace(tiles, classes=("polychromatic_erythroblast",))
    row = 1
    batch, targets = together([TileExamples(only, [row], recipe.augmentation, 0)[0]])
    torch.manual_seed(0)
    start = CascadeRCNN(recipe.shape(only.classes))
    end = load_cascade(train_cascade(recipe, only, [row], tmp_path, silent=True))
    before, after = (
        float(torch.stack(list(network.losses(batch, targets, LossSettings(), 0).values())).sum().detach())
        for network in (start, end)
    )
    assert after < before / 2
    (found,) = predict(end, [only.picture(row)])
    best = box_iou(targets[0].boxes.double(), torch.from_numpy(found.boxes))[:, 0]
    assert best.max() > 0.5


def test_what_cannot_be_trained_on_is_refused(tiles: LabelledTiles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0\.25 um per pixel.*--tile-spacing 0\.5"):
        train_cascade(replace(tiny(), spacing=0.5), tiles, ROWS, tmp_path, silent=True)
    with pytest.raises(DataError, match="hold no lymphocyte"):
        train_cascade(tiny(), tiles, [1, 3], tmp_path, silent=True)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_every_step_is_told_and_nothing_is_printed(
    tiles: LabelledTiles, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, float, str]] = []
    recipe = replace(tiny(), steps=2)
    train_cascade(recipe, tiles, ROWS, tmp_path, progress=lambda *words: told.append(words))
    assert [(stage, done) for stage, done, _ in told] == [("training", 0.0), ("training", 0.5), ("training", 1.0)]
    assert told[0][2] == "step 0 of 2"
    assert told[1][2].startswith("step 1 of 2, loss ")
    assert float(told[1][2].removeprefix("step 1 of 2, loss ")) > 0
    assert capfd.readouterr() == ("", "")


def test_a_loss_that_is_no_number_ends_the_training(tiles: LabelledTiles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lower learning rate"):
        train_cascade(WILD, tiles, ROWS, tmp_path, silent=True)
    assert not (tmp_path / "model.pt").exists()


def test_other_files_are_no_cascade(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(DataError, match="missing"):
        load_cascade(path)
    for content in (b"", b"nothing", b"PK\x03\x04 half a file"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no trained cascade"):
            load_cascade(path)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(DataError, match="of this version"):
        load_cascade(path)


def pyramid_and_file(folder: Path, name: str, suffix: str) -> tuple[Pyramid, Path, dict[str, torch.Tensor]]:
    torch.manual_seed(9)
    weights: dict[str, torch.Tensor] = timm.create_model(name).state_dict()
    path = folder / f"start{suffix}"
    if suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"state_dict": weights} if suffix == ".pt" else weights, path)
    strides = (8, 16)
    return Pyramid(BackboneShape(name, strides, 16)), path, weights


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_weights_of_timm_start_a_pyramid(name: str, suffix: str, tmp_path: Path) -> None:
    """The layers of test_convnext have other names in a network that gives feature maps (stages_0 for stages.0)."""
    pyramid, path, weights = pyramid_and_file(tmp_path, name, suffix)
    key = {"test_resnet": "layer2.0.conv1.weight", "test_convnext": "stages.1.blocks.0.mlp.fc1.weight"}[name]
    body = pyramid.body.state_dict()
    inside = key if key in body else key.replace("stages.", "stages_", 1)
    assert not torch.equal(body[inside], weights[key])
    load_start_weights(pyramid, name, path)
    assert torch.equal(pyramid.body.state_dict()[inside], weights[key])


def test_frozen_norm_takes_its_statistics_from_the_weights_and_keeps_them(tmp_path: Path) -> None:
    _, path, weights = pyramid_and_file(tmp_path, "test_resnet", ".pth")
    weights["conv1.1.running_mean"].fill_(0.5)
    torch.save(weights, path)
    frozen = Pyramid(BackboneShape("test_resnet", (8, 16), 16, frozen_norm=True))
    load_start_weights(frozen, "test_resnet", path)
    frozen.train()(torch.randn(2, 3, 64, 64))
    assert torch.equal(frozen.body.state_dict()["conv1.1.running_mean"], weights["conv1.1.running_mean"])


def test_folded_layers_start_a_pyramid_and_frozen_ones_do_not_learn(tmp_path: Path) -> None:
    """An npz with batch norm folded in: each norm adds the bias and does nothing else."""
    whole = timm.create_model("mobilenetv2_100", features_only=True, out_indices=(2, 3))
    layers = {}
    for number, part in enumerate(part for part in whole.modules() if isinstance(part, torch.nn.Conv2d)):
        layers[f"{number:02}_CONV_2D.weight"] = part.weight.detach().numpy()
        layers[f"{number:02}_CONV_2D.bias"] = np.full(part.out_channels, 0.1, np.float32)
    path = tmp_path / "folded.npz"
    np.savez(path, **layers)
    pyramid = Pyramid(BackboneShape("mobilenetv2_100", (8, 16), 16, frozen_norm=True, frozen_to=4)).eval()
    load_start_weights(pyramid, "mobilenetv2_100", path)
    x = torch.rand(1, 3, 64, 64)
    stem = torch.nn.functional.conv2d(x, whole.conv_stem.weight, stride=2, padding=1)
    expected = (stem + 0.1).clamp(0, 6)
    body: Any = pyramid.body
    assert torch.allclose(body.bn1(body.conv_stem(x)), expected, atol=1e-5)
    learns = {name: parameter.requires_grad for name, parameter in body.named_parameters()}
    assert not any(on for name, on in learns.items() if name.startswith(("conv_stem", "blocks.0.", "blocks.1.")))
    assert all(on for name, on in learns.items() if name.startswith(("blocks.2.", "blocks.3.", "blocks.4.")))
    folder = tmp_path / "weights"
    folder.mkdir()
    with pytest.raises(DataError, match="holds no weights of mobilenetv2_100"):
        load_start_weights(pyramid, "mobilenetv2_100", folder)
    path.replace(folder / "mobilenetv2_100.npz")
    load_start_weights(pyramid, "mobilenetv2_100", folder)
    np.savez(path, **dict(list(layers.items())[:8]))
    with pytest.raises(DataError, match=r"4 layers.*one norm to each"):
        load_start_weights(pyramid, "mobilenetv2_100", path)


def test_the_file_that_is_taken_says_which_colours_it_expects(tmp_path: Path) -> None:
    """A folder may hold weights of several networks from several sources."""
    for name in ("mobilenetv2_100.pth", "resnet50.npz", "resnet18.safetensors", "resnet18.npz"):
        (tmp_path / name).touch()
    of_timm, folded = (RGB_MEAN, RGB_SPREAD), ((127.5,) * 3, (127.5,) * 3)
    assert expected_colours("mobilenetv2_100", tmp_path) == of_timm
    assert expected_colours("resnet50", tmp_path) == folded
    assert expected_colours("resnet18", tmp_path) == of_timm  # load_start_weights takes the .safetensors
    assert expected_colours("resnet18", tmp_path / "resnet18.npz") == folded
    assert expected_colours("resnet18", HUB) == of_timm
    with pytest.raises(DataError, match="holds no weights of resnet101"):
        expected_colours("resnet101", tmp_path)


def test_a_recipe_that_keeps_layers_asks_for_weights(tiles: LabelledTiles, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs start weights.*--weights hub.*--recipe scratch"):
        train_cascade(modern(), tiles, ROWS, tmp_path, silent=True)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    pyramid, path, weights = pyramid_and_file(tmp_path, "test_resnet", ".pth")
    convnext, other, _ = pyramid_and_file(tmp_path, "test_convnext", ".safetensors")
    del convnext
    with pytest.raises(DataError, match=r"not of timm's test_resnet; .*--weights"):
        load_start_weights(pyramid, "test_resnet", other)
    weights["conv1.0.weight"] = weights["conv1.0.weight"][:3]
    torch.save(weights, path)
    with pytest.raises(DataError, match=r"another shape of 'conv1\.0\.weight'"):
        load_start_weights(pyramid, "test_resnet", path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="no weights that can be read"):
        load_start_weights(pyramid, "test_resnet", path)
    torch.save([1, 2], path)
    with pytest.raises(DataError, match="no state dict"):
        load_start_weights(pyramid, "test_resnet", path)
    with pytest.raises(DataError, match="--weights"):
        load_start_weights(pyramid, "test_resnet", tmp_path / "nowhere.pth")


def test_a_hub_that_cannot_be_reached_is_named_with_the_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(timm.models._hub, "hf_hub_download", unreachable)
    with pytest.raises(DataError, match=r"weights of test_resnet cannot be downloaded .*--weights FILE"):
        load_start_weights(Pyramid(BackboneShape("test_resnet", (8, 16), 16)), "test_resnet", HUB)


def test_networks_that_timm_lacks_are_refused() -> None:
    with pytest.raises(DataError, match="timm has no network 'resnet-9000'"):
        Pyramid(BackboneShape("resnet-9000"))
    with pytest.raises(DataError, match=r"no maps of stride \[3\]"):
        Pyramid(BackboneShape("test_resnet", (3, 8)))


@pytest.mark.parametrize("make", RECIPES.values(), ids=RECIPES)
def test_a_recipe_has_anchors_for_each_map_of_its_backbone(make: Callable[[], CascadeRecipe]) -> None:
    recipe = make()
    assert RECIPES[recipe.name] is make
    assert len(recipe.proposals.sizes) == len(recipe.backbone.strides) + 1


def test_the_paper_takes_ten_steps_a_tile_for_each_learning_rate() -> None:
    assert training_steps(paper(), 7) == 3 * 10 * 7
    assert training_steps(plain(), 7) == plain().steps
    module = training.CascadeTraining(
        replace(paper(), backbone=tiny().backbone, proposals=tiny().proposals),
        tiny().shape(CLASSES),
        LossSettings(),
        210,
    )
    made: Any = module.configure_optimizers()
    optimiser, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    assert (optimiser.param_groups[0]["weight_decay"], optimiser.param_groups[0]["momentum"]) == (1e-4, 0.9)
    rates = []
    for _ in range(210):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    assert rates == pytest.approx([5e-4] * 70 + [5e-5] * 70 + [5e-6] * 70)


@pytest.mark.slow
def test_an_iteration_of_the_paper(tiles: LabelledTiles, tmp_path: Path) -> None:
    """ResNet-101 by the code path of the full scale."""
    weights = tmp_path / "resnet101.pth"
    torch.save(timm.create_model("resnet101").state_dict(), weights)
    path = train_cascade(paper(), tiles, ROWS, tmp_path, weights=weights, silent=True, limit=1)
    network = load_cascade(path)
    assert network.pyramid.strides == (4, 8, 16, 32, 64)
    assert sum(name.endswith("conv2.weight") for name in network.pyramid.body.state_dict()) == 3 + 4 + 23 + 3
    assert torch.load(path, weights_only=True)["facts"]["steps"] == 1
    (found,) = predict(network, [tiles.picture(0)], least_score=0.0)
    assert len(found) > 0


@pytest.mark.parametrize("content", [b"hello\n", b"", b"\x80\x02garbage", b"PK\x03\x04 no archive"])
def test_a_file_of_something_else_is_no_file_of_weights(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"holds no weights that can be read \(\w+\); give a \.safetensors or \.pth"):
        load_start_weights(Pyramid(BackboneShape("test_resnet")), "test_resnet", path)
