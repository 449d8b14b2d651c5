"""The recipes of the papers, and what they do to pictures."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest
import torch

from marrowscope.errors import DataError
from marrowscope.learning.transfer.augmenting import Augment, flips
from marrowscope.learning.transfer.heads import Head
from marrowscope.learning.transfer.networks import NETWORKS
from marrowscope.learning.transfer.preparing import STAIN_MEAN, Prepare, reinhard, resized, sharpened
from marrowscope.learning.transfer.recipe import SCALES, TransferRecipe, from_scratch
from marrowscope.learning.transfer.recipes import RECIPES, find_recipe


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_there_for_every_network(name: str, scale: str) -> None:
    for key, network in NETWORKS.items():
        recipe = find_recipe(name, key, scale)
        assert recipe.name == name
        assert recipe.side % network.patch == 0
        assert recipe.head.pool != "token" or network.kind == "vit"


def test_what_a_paper_does_not_say_is_named_by_field() -> None:
    fields = {field.name for field in dataclasses.fields(TransferRecipe)}
    for name in RECIPES:
        told = find_recipe(name, "resnet50", "gpu").silent
        assert {key.split(".")[0] for key in told} <= fields | {"normalisation", "validation", "network"}
        assert bool(told) == (name != "modern")


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "modern"])
def test_what_is_said_of_resizing_and_patience_is_what_is_done(name: str) -> None:
    recipe = find_recipe(name, "resnet50", "gpu")
    said = recipe.silent.get("prepare.interpolation", "")
    assert recipe.prepare.interpolation == ("bilinear" if said.startswith("bilinear") else "area")
    assert (recipe.keep == "last") == (recipe.patience == 0)


def test_the_values_that_the_papers_give() -> None:
    shah = find_recipe("shah-2025", "densenet121", "gpu")
    assert shah.head == Head("average", batch_norm=True, dense=(256,), dropout=0.5)
    assert shah.frozen
    assert (shah.prepare.sharpen, shah.prepare.denoise > 0) == (True, True)
    assert all((shah.augment.flip, shah.augment.rotate, shah.augment.zoom, shah.augment.contrast))
    sequential = find_recipe("shah-2025", "sequential-cnn", "gpu")
    assert sequential.head == Head("flatten", first_dropout=0.5, dense=(128,))
    assert not sequential.frozen
    meem = find_recipe("meem-2023", "inception-resnet-v2", "gpu")
    assert (meem.batch, meem.epochs, meem.optimiser, meem.head.pool) == (32, 5, "adam", "flatten")
    senthilkumar = find_recipe("senthilkumar-2023", "vgg16", "gpu")
    assert (senthilkumar.class_weights, senthilkumar.frozen, senthilkumar.head.is_linear) == (True, False, True)
    veerasagar = find_recipe("veerasagar-2025", "efficientnet-b0", "gpu")
    assert (veerasagar.side, veerasagar.batch, veerasagar.epochs, veerasagar.learning_rate) == (224, 40, 50, 1e-3)
    assert veerasagar.augment == Augment(flip=True)
    assert veerasagar.patience > 0
    assert (find_recipe("modern", "dinobloom-s", "gpu").frozen, find_recipe("modern", "vgg16", "gpu").frozen) == (
        True,
        False,
    )


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(DataError, match="no recipe 'shah'; the recipes are: modern, shah-2025"):
        find_recipe("shah", "vgg16", "gpu")
    with pytest.raises(DataError, match="no scale 'large'; give one of smoke, cpu, gpu"):
        find_recipe("modern", "vgg16", "large")
    with pytest.raises(DataError, match="cannot be trained by: epochs 0"):
        dataclasses.replace(find_recipe("modern", "vgg16", "gpu"), epochs=0)


def test_without_start_weights_nothing_is_frozen() -> None:
    recipe = find_recipe("shah-2025", "vgg16", "gpu")
    free = from_scratch(recipe)
    assert (free.frozen, free.learning_rate, free.clip) == (False, 3e-4, 1.0)
    assert from_scratch(free) == free
    assert recipe.fingerprint() != free.fingerprint()
    assert dataclasses.replace(recipe, silent={}).fingerprint() == recipe.fingerprint()


def test_recipes_keep_the_fingerprints_that_finished_trainings_stand_for() -> None:
    """A new field must not make a finished training anew: what is not used is not told."""
    before = {
        ("modern", "mobilenetv4-small", "cpu"): "f48ce943c5b77a18",
        ("modern", "sequential-cnn", "gpu"): "0b5c09215045fcc4",
        ("shah-2025", "mobilenetv2", "cpu"): "0d2a688a475d7af1",
        ("meem-2023", "mobilenetv2", "gpu"): "f97b641139a2fe8b",
        ("senthilkumar-2023", "mobilenetv2", "smoke"): "7c19633ca291085b",
        ("veerasagar-2025", "mobilenetv2", "cpu"): "ede6b02703174d92",
    }
    assert {one: find_recipe(*one).fingerprint()[:16] for one in before} == before
    recipe = find_recipe("modern", "mobilenetv4-small", "cpu")
    assert recipe.told().keys() == {f.name for f in dataclasses.fields(recipe)} - {"silent", "unfrozen"}


def test_a_recipe_that_frees_a_part_is_another_one() -> None:
    recipe = find_recipe("shah-2025", "vgg16", "gpu")
    part = dataclasses.replace(recipe, frozen=False, unfrozen=2)
    assert part.told()["unfrozen"] == 2
    assert len({recipe.fingerprint(), part.fingerprint(), dataclasses.replace(part, unfrozen=3).fingerprint()}) == 3
    free = from_scratch(part)
    assert (free.frozen, free.unfrozen, free.learning_rate) == (False, None, 3e-4)
    with pytest.raises(DataError, match="cannot be trained by: unfrozen 2"):
        dataclasses.replace(recipe, unfrozen=2)  # frozen, and partly not
    with pytest.raises(DataError, match="cannot be trained by: unfrozen 0"):
        dataclasses.replace(part, unfrozen=0)  # that is frozen=True


def test_sharpening_is_the_kernel_of_the_paper() -> None:
    picture = np.full((5, 5, 3), 100, np.uint8)
    picture[2, 2] = 110
    assert sharpened(picture)[2, 2, 0] == 9 * 110 - 8 * 100
    assert sharpened(picture)[1, 1, 0] == 9 * 100 - 7 * 100 - 110
    assert sharpened(picture)[0, 0, 0] == 100


def test_denoising_lowers_noise_and_keeps_edges() -> None:
    random = np.random.default_rng(0)
    clean = np.full((48, 48, 3), 210, np.uint8)
    clean[12:36, 12:36] = (110, 60, 140)
    noisy = np.clip(clean + random.normal(0, 5, clean.shape), 0, 255).astype(np.uint8)
    denoised = Prepare(denoise=5)(noisy, 48, None)
    assert denoised[16:32, 16:32].std((0, 1)).mean() < 0.5 * noisy[16:32, 16:32].std((0, 1)).mean()
    assert abs(float(denoised[16:32, 16:32, 0].mean()) - 110) < 3
    assert abs(float(denoised[2:10, 2:10, 0].mean()) - 210) < 3


def test_two_stains_meet() -> None:
    random = np.random.default_rng(1)
    one = random.integers(60, 220, (32, 32, 3)).astype(np.uint8)
    other = np.clip(one * np.array([0.8, 0.7, 0.95]), 0, 255).astype(np.uint8)
    apart = np.abs(one.mean((0, 1)) - other.mean((0, 1))).max()
    matched = [reinhard(picture) for picture in (one, other)]
    assert np.abs(matched[0].mean((0, 1)) - matched[1].mean((0, 1))).max() < 0.2 * apart
    lightness = cv2.cvtColor(matched[0], cv2.COLOR_RGB2LAB)[..., 0].mean()
    assert abs(lightness - STAIN_MEAN[0]) < 6


def test_a_rim_that_was_cut_out_changes_no_stain() -> None:
    cell = np.random.default_rng(0).normal((140, 90, 170), 20, (40, 40, 3)).clip(20, 255).astype(np.uint8)
    framed = np.zeros((90, 90, 3), np.uint8)
    framed[25:65, 25:65] = cell
    normalised = reinhard(framed)
    assert np.array_equal(normalised[25:65, 25:65], reinhard(cell))
    assert not normalised[:25].any()
    black = np.zeros_like(cell)
    assert np.array_equal(reinhard(black), black)


def test_a_picture_is_squeezed_to_the_side() -> None:
    picture = np.zeros((40, 20, 3), np.uint8)
    picture[:20] = 200
    assert resized(picture, 10)[:5].min() == 200
    assert resized(picture, 10)[5:].max() == 0
    assert resized(picture, 64, "bilinear").shape == (64, 64, 3)


def views_of(augment: Augment, step: int = 0, seed: int = 0) -> torch.Tensor:
    pictures = torch.from_numpy(np.random.default_rng(7).integers(0, 256, (16, 24, 24, 3), np.uint8))
    return augment(pictures, seed, step)


STRONG = Augment(True, True, rotate=0.5, zoom=0.2, shift=0.1, contrast=0.2, brightness=0.2, stain=0.1, density=0.2,
                 lamp=0.1)  # fmt: skip


def test_views_hang_on_seed_and_step_alone() -> None:
    assert torch.equal(views_of(STRONG, 3), views_of(STRONG, 3))
    assert not torch.equal(views_of(STRONG, 3), views_of(STRONG, 4))
    assert not torch.equal(views_of(STRONG, 3, seed=1), views_of(STRONG, 3))
    assert 0 <= float(views_of(STRONG).min()) <= float(views_of(STRONG).max()) <= 255


def test_no_augmentation_changes_nothing_and_flips_move_whole_pixels() -> None:
    given = views_of(Augment())
    assert given.dtype == torch.uint8
    turned = views_of(Augment(flip=True))
    mirrored = [bool(torch.equal(turned[i], given[i].flip(1))) for i in range(16)]
    kept = [bool(torch.equal(turned[i], given[i])) for i in range(16)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert any(mirrored)
    assert any(kept)


def test_turning_and_zooming_move_a_mark_where_they_should() -> None:
    picture = torch.zeros(1, 33, 33, 3)
    picture[0, 16, 28] = 255  # 12 px to the right of the middle
    for step in range(6):
        view = Augment(rotate=0.5)(picture, 0, step)[0, :, :, 0]
        y, x = divmod(int(view.argmax()), 33)
        assert abs(np.hypot(x - 16, y - 16) - 12) < 1.2
    radii = {int(Augment(zoom=0.3)(picture, 0, step)[0, 16, :, 0].argmax()) - 16 for step in range(8)}
    assert min(radii) < 12 < max(radii)


def test_another_stain_keeps_white_glass_white_and_grey_levels_apart() -> None:
    picture = torch.full((8, 4, 4, 3), 255.0)
    picture[:, :2] = torch.tensor([120.0, 70.0, 150.0])
    views = Augment(stain=0.05, density=0.1)(picture, 0, 0)
    assert float((views[:, 2:] - 255).abs().max()) < 1e-2
    assert float(views[:, :2].std(0).mean()) > 2


def test_the_four_mirror_images() -> None:
    picture = torch.arange(4.0).reshape(1, 2, 2, 1).expand(1, 2, 2, 3)
    assert [tuple(one[0, :, :, 0].ravel().tolist()) for one in flips(picture)] == [
        (0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0),
    ]  # fmt: skip


def test_the_field_is_the_middle_of_so_many_um_where_the_spacing_is_known():
    picture = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    prepare = Prepare(field=10.0)
    assert np.array_equal(prepare(picture, 40, 0.25), picture[10:50, 20:60])
    assert prepare(picture, 40, None).shape == (40, 40, 3)
    assert np.array_equal(prepare(picture, 40, None), Prepare()(picture, 40, 0.25))
    assert np.array_equal(prepare(picture[:, :60], 60, 0.1), picture[:, :60])  # all of it is less than the field
