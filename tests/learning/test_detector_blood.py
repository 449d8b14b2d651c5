"""The source of ``blood-11``: which tiles are phantoms, and on what it is judged."""

from __future__ import annotations

import numpy as np
import pytest

from marrowscope.learning.datasets.boxes import BoxPicture
from marrowscope.learning.detector.augment import Variation
from marrowscope.learning.detector.blood import PHANTOM_EVERY, BloodSource
from marrowscope.learning.detector.borders import LEAST_SEEN
from marrowscope.learning.detector.cutouts import Cutout, Cutouts
from marrowscope.learning.detector.phantoms import PhantomSource, render
from marrowscope.phantom import FieldOptions

TINT = (240, 170, 120)


def _field(source: str, boxes: list[list[int]]) -> BoxPicture:
    pixels = np.full((70, 90, 3), TINT, np.uint8)
    return BoxPicture(source, "made", "train", pixels, np.array(boxes, np.float32), np.zeros((0, 4), np.float32))


@pytest.fixture(scope="module")
def source() -> BloodSource:
    cutout = Cutout(np.full((20, 20, 3), 90, np.uint8), np.ones((20, 20), np.uint8), np.array(TINT, np.float32))
    judged = [_field("txl_pbc", [[30, 20, 55, 44], [0, 0, 12, 20]]), _field("bccd", [[70, 50, 90, 70]])]
    return BloodSource(
        [_field("bccd", [[30, 20, 55, 44]])],
        {"val": judged, "test": judged},
        Cutouts([cutout], [cutout], [cutout]),
        PhantomSource(1_000_000, variation=Variation(), finer=(0.8, 1.35), least_visible=0.15),
    )


def test_one_tile_in_so_many_is_a_phantom_and_all_boxes_lie_on_their_tile(source: BloodSource) -> None:
    for number in (0, 1, 3 * PHANTOM_EVERY):
        pixels, boxes = source.tile(number, np.random.default_rng(number))
        assert pixels.shape == (256, 256, 3)
        assert ((boxes >= 0) & (boxes <= 256)).all()
        if len(boxes):
            assert (boxes[:, 2:] - boxes[:, :2]).min() >= LEAST_SEEN
    of_phantom, _ = source.tile(PHANTOM_EVERY, np.random.default_rng(5))
    of_blood, _ = source.composer(np.random.default_rng(5))
    assert not np.array_equal(of_phantom, of_blood)
    just_blood, _ = source.tile(1, np.random.default_rng(5))
    assert np.array_equal(just_blood, of_blood)


def test_a_test_counts_all_labels_or_ignores_those_at_the_border(source: BloodSource) -> None:
    counts = {name: [(len(f.boxes), len(f.ignored)) for f in fields] for name, fields in source.tests().items()}
    assert list(counts.values()) == [[(2, 0)], [(1, 1)], [(1, 0)], [(0, 1)]]
    assert [("TXL" in name, "ignored" in name) for name in counts] == [
        (True, False),
        (True, True),
        (False, False),
        (False, True),
    ]
    assert [len(field.boxes) for field in source.validation()] == [1, 0]


def test_a_phantom_rendered_finer_shows_the_same_cells_larger() -> None:
    boxes = [
        render(FieldOptions(spacing=spacing), side, seed=810_000, least_visible=0.99).boxes
        for spacing, side in ((0.25, 210), (0.21, 250))
    ]
    sides = [np.sort((found[:, 2:] - found[:, :2]).max(axis=1)) for found in boxes]
    assert np.median(sides[1]) / np.median(sides[0]) == pytest.approx(0.25 / 0.21, rel=0.1)
