"""What is one object, how it is scored, and what training makes of overviews."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from shapely.geometry import Polygon, box

from marrowscope.errors import DataError
from marrowscope.geometry import Size, Spacing
from marrowscope.learning.cascade.augmentation import Augmentation
from marrowscope.learning.trails.data import LabelledOverview, OverviewExamples, read_labelled
from marrowscope.learning.trails.objects import object_boxes
from marrowscope.learning.trails.scoring import area, by_object, by_slide
from marrowscope.phantom.truth import CELL_SCHEMA, Truth


def truth_of(particles: list[Polygon], trails: list[Polygon], um: float = 1.0) -> Truth:
    return Truth(
        Size(5000, 5000), Spacing.square(um), pl.DataFrame(schema=CELL_SCHEMA), box(0, 0, 5000, 5000),
        tuple(particles), tuple(trails), None, {},
    )  # fmt: skip


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, np.float64).reshape(-1, 4)


@pytest.mark.parametrize(
    ("particles", "trails", "expected"),
    [
        ([], [], []),
        ([box(0, 0, 100, 100)], [box(114, 20, 800, 80)], [(0, 0, 800, 100)]),
        # nearest where none touches, unless too far
        (
            [box(0, 0, 100, 100), box(0, 1000, 100, 1100)],
            [box(150, 600, 800, 700)],
            [(0, 0, 100, 100), (0, 600, 800, 1100)],
        ),
        ([box(0, 0, 100, 100)], [box(601, 0, 800, 100)], [(0, 0, 100, 100), (601, 0, 800, 100)]),
        # a shared trail makes one of two particles
        ([box(0, 0, 100, 100), box(300, 0, 400, 100)], [box(110, 0, 290, 50)], [(0, 0, 400, 100)]),
        ([], [box(5, 5, 50, 60)], [(5, 5, 50, 60)]),
    ],
)  # fmt: skip
def test_an_object_is_a_particle_with_its_trail(
    particles: list[Polygon], trails: list[Polygon], expected: list[tuple[float, ...]]
) -> None:
    found = object_boxes(truth_of(particles, trails))
    assert sorted(map(tuple, found.tolist())) == sorted(expected)


def test_distances_are_in_um() -> None:
    apart = [box(0, 0, 100, 100)], [box(300, 0, 800, 100)]
    assert len(object_boxes(truth_of(*apart, um=0.25))) == 1, "50 um"
    assert len(object_boxes(truth_of(*apart, um=4.0))) == 2, "800 um"


def test_objects_are_found_once() -> None:
    true = boxes((0, 0, 10, 10), (100, 0, 110, 10))
    found = boxes((0, 0, 10, 8), (0, 0, 10, 9), (100, 0, 110, 4))
    counts = by_object(found, true)
    assert (counts.hits, counts.false, counts.missed) == (1, 2, 1)
    assert counts.overlaps == pytest.approx((0.8, 0.4)), "the hit's own, and the nearest of the one that was missed"
    assert (counts.recall, counts.precision, counts.accuracy) == (0.5, pytest.approx(1 / 3), 0.25)
    both = counts + by_object(boxes(), boxes((0, 0, 1, 1)))
    assert (both.missed, both.overlaps[-1], both.iou) == (2, 0.0, pytest.approx(0.4))
    assert by_object(boxes((0, 0, 1, 1)), boxes()).false == 1


def test_a_slide_is_found_by_area() -> None:
    true = boxes((0, 0, 10, 10), (10, 0, 20, 10))
    one = by_slide(boxes((0, 0, 20, 10)), true)
    assert (one.hits, one.false, one.missed, one.iou) == (1, 0, 0, pytest.approx(1.0))
    wrong = by_slide(boxes((0, 0, 10, 10)), true)
    assert (wrong.hits, wrong.false, wrong.missed, wrong.iou) == (0, 1, 1, pytest.approx(0.5)), "0.5 is not above 0.5"
    assert by_slide(boxes(), true).false == 0
    nothing = by_slide(boxes((0, 0, 1, 1)), boxes())
    assert (nothing.false, nothing.overlaps) == (1, ())
    assert area(boxes((0, 0, 10, 10), (5, 0, 15, 10))) == 150
    assert area(boxes()) == 0


def overview(name: str, colour: int, *objects: tuple[float, float, float, float]) -> LabelledOverview:
    picture = np.full((64, 64, 3), 250, np.uint8)
    for x0, y0, x1, y1 in objects:
        picture[int(y0) : int(y1), int(x0) : int(x1)] = colour
    return LabelledOverview(name, picture, np.array(objects, np.float32).reshape(-1, 4), (250, 250, 250), 1e-4)


@pytest.mark.parametrize("mosaics", [0.0, 1.0])
def test_boxes_follow_their_objects(mosaics: float) -> None:
    small = [overview("a", 40, (8, 16, 40, 32)), overview("b", 40, (20, 4, 36, 60))]
    slides = [replace(one, picture=one.picture.repeat(4, 0).repeat(4, 1), boxes=4 * one.boxes) for one in small]
    examples = OverviewExamples(slides, 40, Augmentation(turns=True), mosaics=mosaics, smallest=0.7, seed=3)
    assert len(examples) == 40
    counts = set()
    for draw in range(len(examples)):
        tile, target = examples[draw]
        dark = tile.numpy()[0] < 145
        counts.add(len(target.boxes))
        drawn = np.zeros_like(dark)
        for x0, y0, x1, y1 in target.boxes.numpy().round().astype(int):
            drawn[y0:y1, x0:x1] = True
        assert (dark & drawn).sum() / (dark | drawn).sum() > 0.9
    assert counts == ({4} if mosaics else {1})


def test_draws_are_the_same_again_and_every_overview_has_its_turn() -> None:
    slides = [overview(str(i), 20 * i, (8, 16, 40, 32)) for i in range(5)]
    make = lambda: OverviewExamples(slides, 10, Augmentation(stain=0.1), mosaics=0, smallest=1, seed=1)  # noqa: E731
    first, again = make(), make()
    assert all((first[i][0] == again[i][0]).all() for i in range(10))
    plain = OverviewExamples(slides, 10, Augmentation(turns=False), mosaics=0, smallest=1, seed=1)
    assert sorted(int(plain[i][0].min()) for i in range(5)) == [0, 20, 40, 60, 80]


def test_crumbs_are_not_asked_for() -> None:
    slides = [overview("a", 40, (8, 16, 40, 32), (50, 50, 57, 57))]
    examples = OverviewExamples(slides, 8, Augmentation(turns=False), mosaics=1, smallest=0.9, seed=0)
    assert {len(examples[i][1].boxes) for i in range(8)} == {4}


def test_a_phantom_gives_its_overview(phantom: Path) -> None:
    one = read_labelled(phantom, 128, "smear")
    assert (one.name, one.picture.shape) == ("smear", (128, 128, 3))
    assert len(one.boxes)
    assert one.boxes.min() >= 0
    assert one.boxes.max() <= 128
    x0, y0, x1, y1 = one.boxes[0].round().astype(int)
    inside = one.picture[y0:y1, x0:x1, 1].mean()
    assert inside < one.picture[..., 1].mean() - 5, "objects are darker than the rest"


def test_a_slide_without_truth_is_named(phantom: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.tif"
    alone.write_bytes(phantom.read_bytes())
    with pytest.raises(DataError, match=r"no truth beside alone\.tif"):
        read_labelled(alone)


def test_a_slide_without_particle_has_no_boxes() -> None:
    empty = replace(overview("a", 40, (8, 16, 40, 32)), boxes=np.zeros((0, 4), np.float32))
    examples = OverviewExamples([empty], 2, Augmentation(), mosaics=0.5, smallest=0.8, seed=0)
    assert examples[0][1].boxes.shape == (0, 4)
