"""Encoded pictures show what was encoded."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from marrowscope.review.pictures.encoding import encode_jpeg, encode_png, encode_png_labels


def test_a_jpeg_keeps_red_red() -> None:
    red = np.full((16, 24, 3), (220, 30, 20), np.uint8)
    seen = cv2.imdecode(np.frombuffer(encode_jpeg(red), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert seen.shape == red.shape
    assert np.abs(seen.astype(int) - red).max() < 6


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (64, 64)])
def test_a_png_comes_back_bit_for_bit(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    picture = rng.integers(0, 256, (*shape, 4), dtype=np.uint8)
    picture[shape[0] // 2 :] = picture[-1]  # rows that repeat the one above
    seen = cv2.imdecode(np.frombuffer(encode_png(picture), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(seen, picture[..., [2, 1, 0, 3]])


@pytest.mark.parametrize("colours", [3, 256, 300])
def test_labels_and_palette_show_the_same_as_their_colours(colours: int) -> None:
    rng = np.random.default_rng(colours)
    palette = rng.integers(0, 256, (colours, 4), dtype=np.uint8)
    labels = rng.integers(0, colours, (20, 30)).astype(np.uint8 if colours <= 256 else np.uint16)
    labels[5:9] = labels[4]
    seen = cv2.imdecode(np.frombuffer(encode_png_labels(labels, palette), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(seen, palette[labels][..., [2, 1, 0, 3]])
