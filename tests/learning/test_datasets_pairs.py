"""Which pictures show the same: found whatever was done to a copy, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from marrowscope.learning.datasets.pairs import find_pairs
from marrowscope.learning.datasets.sketches import Sketch, sketch


def smear(seed: int, width: int = 180, height: int = 180) -> np.ndarray:
    """Red cells with pale centres and a few dark nuclei, at random places, with grain."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), (235, 225, 220), np.uint8)
    for _ in range(width * height // 1500):
        x, y, radius = int(rng.integers(width)), int(rng.integers(height)), int(rng.integers(14, 20))
        cv2.circle(picture, (x, y), radius, (215, 160, 150), -1)
        cv2.circle(picture, (x, y), radius // 3, (228, 195, 190), -1)
    for _ in range(max(2, width * height // 12000)):
        x, y = int(rng.integers(30, width - 30)), int(rng.integers(30, height - 30))
        for _ in range(4):
            dx, dy = rng.integers(-9, 10, 2)
            cv2.circle(picture, (x + int(dx), y + int(dy)), int(rng.integers(5, 10)), (95, 45, 125), -1)
    grain = cv2.GaussianBlur(rng.normal(0, 14, picture.shape).astype(np.float32), (0, 0), 1.5) * 2
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


OTHERS = [sketch(smear(seed)) for seed in range(100, 106)]


def kinds(*pictures: np.ndarray) -> list[tuple[int, int, str]]:
    """Pairs among the pictures and half a dozen others, which come last."""
    return [(pair.first, pair.second, pair.kind) for pair in find_pairs([*map(sketch, pictures), *OTHERS])]


def recoded(picture: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


@settings(deadline=None, max_examples=15)
@given(
    width=st.integers(100, 400),
    height=st.integers(100, 400),
    quality=st.integers(50, 100),
    gain=st.floats(0.7, 1.05),
    offset=st.floats(-20, 15),
)
def test_a_copy_is_a_twin_whatever_size_squash_brightness_and_jpeg(
    width: int, height: int, quality: int, gain: float, offset: float
) -> None:
    original = smear(1)
    copy = np.clip(original * gain + offset, 0, 255).astype(np.uint8)
    copy = recoded(cv2.resize(copy, (width, height), interpolation=cv2.INTER_AREA), quality)
    assert kinds(original, copy) == [(0, 1, "twin")]


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("quarter", range(4))
def test_turned_and_mirrored_copies(quarter: int, mirrored: bool) -> None:
    original = smear(2)
    copy = np.rot90(original, quarter)
    copy = np.ascontiguousarray(copy[:, ::-1] if mirrored else copy)
    expected = "turned" if quarter or mirrored else "twin"
    assert kinds(copy, original) == [(0, 1, expected)]


@pytest.mark.parametrize("shift", [(30, 0), (0, -40), (35, 25), (-45, 20)])
def test_crops_of_one_place_overlap(shift: tuple[int, int]) -> None:
    field = smear(3, 400, 400)
    first = field[110:290, 110:290]
    second = recoded(np.ascontiguousarray(field[110 + shift[1] : 290 + shift[1], 110 + shift[0] : 290 + shift[0]]), 90)
    found = find_pairs([sketch(first), *OTHERS, sketch(second)])
    assert [(pair.first, pair.second, pair.kind) for pair in found] == [(0, len(OTHERS) + 1, "overlap")]
    common = (1 - abs(shift[0]) / 180) * (1 - abs(shift[1]) / 180)
    assert found[0].overlap == pytest.approx(common, abs=0.02)


def test_pictures_of_one_kind_are_no_copies() -> None:
    assert kinds() == []


def test_flat_pictures_are_alike_to_nothing() -> None:
    flat = np.full((50, 50, 3), 200, np.uint8)
    assert kinds(flat, flat, smear(4)) == []


def test_nothing_and_one_picture_make_no_pair() -> None:
    assert find_pairs([]) == []
    assert find_pairs([sketch(smear(1))]) == []


def test_the_share_done_grows_to_one() -> None:
    told: list[float] = []
    find_pairs(OTHERS, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_sketch_is_small_and_knows_the_true_size() -> None:
    one: Sketch = sketch(smear(5, 180, 120), (720, 480))
    assert one.size == (720, 480)
    assert one.thumbnail.nbytes + one.detail.nbytes + one.spots.nbytes < 22_000
    assert ((one.places > 0) & (one.places < 1)).all()
