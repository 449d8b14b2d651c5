"""A region model learns, and is refused what it cannot learn from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from marrowscope.errors import DataError
from marrowscope.learning.cascade.backbones import BackboneShape
from marrowscope.learning.cascade.proposals import ProposalSettings
from marrowscope.learning.trails.data import LabelledOverview
from marrowscope.learning.trails.recipes import RECIPES, TrailRecipe
from marrowscope.learning.trails.training import train_trails
from marrowscope.learning.trails.validation import draw, find_on, measures, run_fold


def small(steps: int) -> TrailRecipe:
    """Overviews of 64 px for a toy network."""
    recipe = RECIPES["tiny_trails"]()
    shape = replace(
        recipe.shape,
        backbone=BackboneShape("test_resnet", (8, 16), 16),
        proposals=ProposalSettings(((12.0, 18.0), (26.0, 34.0), (44.0, 58.0)), before=64, after=16, samples=32),
        hidden=32,
        samples=16,
        stages=(0.5, 0.6),
    )
    augmentation = replace(recipe.augmentation, stain=0.05, focus=0.0)
    return replace(recipe, side=64, shape=shape, augmentation=augmentation, mosaics=0.0, steps=steps, batch=4)


def overviews(count: int, seed: int = 0) -> list[LabelledOverview]:
    """Dark rectangles on white, one each."""
    rng, made = np.random.default_rng(seed), []
    for number in range(count):
        picture = rng.integers(235, 250, (64, 64, 3)).astype(np.uint8)
        (x0, y0), (w, h) = rng.integers(2, 22, 2), rng.integers(22, 40, 2)
        picture[y0 : y0 + h, x0 : x0 + w] = (120, 60, 130)
        box = np.array([[x0, y0, x0 + w, y0 + h]], np.float32)
        made.append(LabelledOverview(f"slide {number}", picture, box, (245, 245, 245), 1e-4))
    return made


@pytest.mark.slow
def test_it_learns_what_it_is_shown(tmp_path: Path) -> None:
    seen = overviews(24)
    results = run_fold(small(200), seen[:16], seen[16:], tmp_path / "model.pt")
    found = measures(results)
    assert found["object"]["recall"] == 1.0
    assert found["object"]["iou"] > 0.7
    assert found["slide"]["recall"] == 1.0
    again = [LabelledOverview(one.name, one.picture, one.boxes, one.glass, 2 * one.mm2) for one in seen[16:]]
    assert find_on(tmp_path / "model.pt", again)[0].mm2 == pytest.approx(2 * results[0].mm2, abs=1e-3)


def test_the_same_data_give_the_same_model_and_a_picture_shows_both(tmp_path: Path) -> None:
    seen = overviews(4)
    done: list[float] = []
    train_trails(small(2), seen, tmp_path / "a.pt", done.append)
    train_trails(small(2), seen, tmp_path / "b.pt")
    assert done == [0.5, 1.0]
    a, b = (find_on(tmp_path / name, seen, 0.0) for name in ("a.pt", "b.pt"))
    assert a == b
    result = replace(a[0], boxes=[[5.0, 5, 20, 20]], true=[[30.0, 30, 50, 60]])
    draw(seen[0].picture, result, tmp_path / "a.png")
    import cv2

    drawn = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    assert drawn[5, 12].tolist() == [220, 30, 30]
    assert drawn[30, 40].tolist() == [0, 0, 0]


def test_what_cannot_be_learnt_is_refused(tmp_path: Path) -> None:
    empty = [replace(one, boxes=np.zeros((0, 4), np.float32)) for one in overviews(2)]
    with pytest.raises(DataError, match="of 2 overviews to learn from none has a particle or a trail"):
        train_trails(small(2), empty, tmp_path / "model.pt")
    diverging = replace(small(20), learning_rate=1e18, clip=1e18)
    with pytest.raises(DataError, match=r"the loss of step \d+ is no number"):
        train_trails(diverging, overviews(4), tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"keeps layers of mobilenetv2_100 as they are and needs start weights"):
        train_trails(RECIPES["trails"](), overviews(4), tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_a_slide_without_objects_counts_only_what_was_found_on_it() -> None:
    from marrowscope.learning.trails.validation import SlideResult

    hit = SlideResult("a", [[0, 0, 10, 10]], [0.9], [[0, 0, 10, 9]], 0.1)
    empty = SlideResult("b", [[0, 0, 5, 5]], [0.9], [], 0.1)
    found = measures([hit, empty])
    assert found["object"] == pytest.approx({"recall": 1.0, "precision": 0.5, "accuracy": 0.5, "iou": 0.9})
    assert found["slide"] == pytest.approx({"recall": 1.0, "precision": 0.5, "accuracy": 0.5, "iou": 0.9})


def test_every_recipe_fits_its_own_side() -> None:
    for recipe in (make() for make in RECIPES.values()):
        coarsest = 2 * recipe.shape.backbone.strides[-1]
        assert recipe.side % coarsest == 0
        assert max(map(max, recipe.shape.proposals.sizes)) <= recipe.side
