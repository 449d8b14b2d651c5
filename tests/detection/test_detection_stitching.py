import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.detection.corner_distance import corner_distances, stitch_by_corners
from marrowscope.detection.stitching import Stitcher, fuse, stitch_field
from marrowscope.detection.suppression import pairwise_iou, suppress
from marrowscope.detection.table import Detections
from marrowscope.geometry import Box, Size
from marrowscope.tiles.grid import TileWindow


def detections(*rows: tuple[float, float, float, float, float]) -> Detections:
    table = np.array(rows, float).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4].astype(np.float32))


boxes = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(5, 40), st.floats(5, 40), st.floats(0.01, 1)),
    min_size=1,
    max_size=25,
).map(lambda rows: detections(*[(x, y, x + w, y + h, s) for x, y, w, h, s in rows]))


def test_overlap_of_known_boxes() -> None:
    a = np.array([[0.0, 0.0, 10.0, 10.0]])
    b = np.array([[5.0, 0.0, 15.0, 10.0], [10.0, 10.0, 20.0, 20.0], [0.0, 0.0, 10.0, 10.0]])
    assert pairwise_iou(a, b)[0] == pytest.approx([1 / 3, 0.0, 1.0])


@given(boxes)
def test_suppression_leaves_no_overlap_and_ignores_the_order_of_the_input(found: Detections) -> None:
    kept = suppress(found.boxes, found.scores, 0.5)
    overlaps = pairwise_iou(found.boxes[kept], found.boxes[kept]) - np.eye(len(kept))
    assert overlaps.max(initial=0) <= 0.5 + 1e-9
    reverse = np.arange(len(found))[::-1]
    again = suppress(found.boxes[reverse], found.scores[reverse], 0.5)
    assert {tuple(found.boxes[i]) for i in kept} == {tuple(found.boxes[reverse][i]) for i in again}


def test_a_cell_on_the_seam_is_counted_once() -> None:
    left = TileWindow(0, 0, Size(200, 200), Box(50, 50, 100, 150))
    right = TileWindow(50, 0, Size(200, 200), Box(100, 50, 150, 150))
    on_the_seam = detections((90.0, 80.0, 110.1, 100.0, 0.9)), detections((89.9, 80.0, 110.0, 100.0, 0.8))
    joined, sources = stitch_field([(left, on_the_seam[0]), (right, on_the_seam[1])], 0.5)
    assert len(joined) == 1
    assert joined.scores[0] == pytest.approx(0.9)
    assert joined.boxes[0, 0] == pytest.approx(90.0 * 0.9 / 1.7 + 89.9 * 0.8 / 1.7)
    assert sources.tolist() == [0]


def test_a_cell_in_the_margin_belongs_to_the_other_tile() -> None:
    left = TileWindow(0, 0, Size(200, 200), Box(50, 50, 100, 150))
    joined, _ = stitch_field([(left, detections((110, 80, 130, 100, 0.9), (60, 60, 80, 80, 0.7)))], 0.5)
    assert joined.boxes.tolist() == [[60, 60, 80, 80]]


def test_conflicting_classes_are_averaged() -> None:
    one = Detections(np.array([[0.0, 0, 10, 10]]), np.array([0.9], np.float32), np.array([[0.6, 0.4]], np.float32))
    two = Detections(np.array([[0.5, 0, 10, 10]]), np.array([0.5], np.float32), np.array([[0.0, 1.0]], np.float32))
    fused, _ = fuse(Detections.concatenate([one, two]), 0.5)
    assert fused.probabilities is not None
    assert fused.probabilities[0].tolist() == pytest.approx([0.3, 0.7])


def test_the_stitcher_guards_the_border_of_fields() -> None:
    stitcher = Stitcher(0.5)
    assert stitcher.admit(0, 0, np.array([[90.0, 0, 110, 20]])).tolist() == [True]
    assert stitcher.admit(1, 0, np.array([[90.1, 0, 110, 20], [115.0, 0, 130, 20]])).tolist() == [False, True]
    assert stitcher.admit(5, 0, np.array([[90.1, 0, 110, 20]])).tolist() == [True]


def test_corner_distance_uses_two_pairs_without_a_common_corner() -> None:
    left = np.array([[0.0, 0, 10, 20]])
    right = np.array([[12.0, 0, 20, 20], [12.0, 0, 20, 29]])
    assert corner_distances(left, right)[0].tolist() == pytest.approx([2.0, (2 + np.hypot(2, 9)) / 2])


def test_corner_distances_of_many_boxes_are_those_of_each_pair() -> None:
    rng = np.random.default_rng(0)
    corner, size = rng.uniform(0, 100, (2, 7, 2)), rng.uniform(5, 30, (2, 7, 2))
    one, other = np.concatenate([corner, corner + size], axis=2)
    for (i, a), (j, b) in product(enumerate(one), enumerate(other)):
        four = [[(box[x], box[y]) for x, y in ((0, 1), (2, 1), (2, 3), (0, 3))] for box in (a, b)]
        pairs = sorted((math.dist(p, q), k, m) for (k, p), (m, q) in product(enumerate(four[0]), enumerate(four[1])))
        first = pairs[0]
        second = next(pair for pair in pairs if pair[1] != first[1] and pair[2] != first[2])
        assert corner_distances(one, other)[i, j] == pytest.approx((first[0] + second[0]) / 2)


def test_corner_stitching_joins_a_cut_cell_and_can_join_two_neighbours() -> None:
    tiles = {(0, 0): detections((600, 100, 640, 150, 0.9)), (1, 0): detections((640, 101, 660, 149, 0.6))}
    joined = stitch_by_corners(tiles)
    assert joined.boxes.tolist() == [[600, 100, 660, 150]]
    assert joined.scores.tolist() == pytest.approx([0.9])
    apart = {(0, 0): detections((600, 100, 630, 150, 0.9)), (1, 0): detections((645, 100, 690, 150, 0.8))}
    assert len(stitch_by_corners(apart)) == 1  # two whole cells, 15 px apart: the flaw that ownership avoids
    assert len(stitch_by_corners({})) == 0


def test_corner_stitching_joins_four_parts_and_keeps_the_best_of_each_cell() -> None:
    tiles = {
        (0, 0): detections((630, 630, 640, 640, 0.3), (100, 100, 130, 130, 0.8)),
        (1, 0): detections((640, 630, 652, 640, 0.5)),
        (0, 1): detections((630, 640, 640, 655, 0.9)),
        (1, 1): detections((640, 640, 652, 655, 0.4), (900, 900, 930, 930, 0.05)),
    }
    joined = stitch_by_corners(tiles)
    found = sorted(
        (round(float(score), 2), box) for score, box in zip(joined.scores, joined.boxes.tolist(), strict=True)
    )
    assert found == [(0.8, [100, 100, 130, 130]), (0.9, [630, 630, 652, 655])]


def test_a_malformed_table_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 4\)"):
        Detections(np.zeros((3, 4)), np.zeros(2, np.float32))
