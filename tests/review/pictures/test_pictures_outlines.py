"""Outlines of regions over the slide."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Point, Polygon, box

from marrowscope.geometry import Size
from marrowscope.review.pictures import NoTile, RegionOverlay, TileGrid

SIZE = Size(1000, 800)
GRID = TileGrid.of(SIZE, 128)


def overlay(*regions: Polygon | MultiPolygon, side: int = 128) -> RegionOverlay:
    grid = TileGrid.of(SIZE, side)
    colours = np.array([(200, 20, 20), (250, 240, 90), (10, 60, 200)], np.uint8)[: len(regions)]
    return RegionOverlay(regions, colours, SIZE, grid.max_zoom, side)


def joined(tiles: RegionOverlay, z: int) -> NDArray[np.uint8]:
    columns, rows = tiles.grid.shape(z)
    return np.concatenate(
        [np.concatenate([tiles.picture(z, x, y) for x in range(columns)], axis=1) for y in range(rows)]
    )


@pytest.mark.parametrize("z", range(GRID.max_zoom + 1))
def test_a_line_lies_on_the_border_with_its_casing_beside(z: int) -> None:
    seen, step = joined(overlay(box(200, 160, 648, 640)), z), GRID.step(z)
    left, top, right = 200 / step, 160 / step, 648 / step
    row = round((160 + 640) / 2 / step)
    for edge in (left, right):
        assert tuple(seen[row, int(edge)]) == (200, 20, 20, 255)
        beside = seen[row, [int(edge - 3.2), int(edge + 3.2)]]
        assert (beside[:, 3] > 60).all()
        assert (beside[:, :3] > 150).all()
    assert tuple(seen[int(top), round((left + right) / 2)]) == (200, 20, 20, 255)
    assert not seen[row, round((left + right) / 2)].any()
    assert not seen[:, int(right) + 8 :].any()


def test_holes_and_parts_are_outlined_and_a_later_region_lies_above() -> None:
    ring = Polygon(box(100, 100, 500, 500).exterior, [box(200, 200, 400, 400).exterior])
    parts = MultiPolygon([box(600, 100, 700, 200), box(800, 100, 900, 200)])
    seen = joined(overlay(ring, parts, box(50, 300, 950, 350)), GRID.max_zoom)
    assert tuple(seen[250, 200]) == (200, 20, 20, 255)
    assert not seen[250, 150].any()
    assert tuple(seen[150, 600]) == tuple(seen[150, 900]) == (250, 240, 90, 255)
    assert seen[150, 604, :3].max() < 60  # the casing of a light colour is dark
    assert tuple(seen[300, 100]) == tuple(seen[300, 200]) == (10, 60, 200, 255)


def test_tiles_meet_as_in_one_large_picture() -> None:
    shape = Point(480, 420).buffer(300).union(box(0, 300, 1000, 420))
    small, large = overlay(shape), overlay(shape, side=512)
    for z in range(2, GRID.max_zoom + 1):
        one, other = joined(small, z), joined(large, z - 2)
        height, width = (min(a, b) for a, b in zip(one.shape[:2], other.shape[:2], strict=True))
        difference = np.abs(one[:height, :width, 3].astype(int) - other[:height, :width, 3])
        assert difference.max() <= 32  # a line cut at a tile begins at another 16th of a pixel
        assert difference.mean() < 0.05


def test_a_png_shows_the_picture_and_no_region_is_clear() -> None:
    tiles = overlay(Point(400, 400).buffer(200))
    seen = cv2.imdecode(np.frombuffer(tiles.tile(1, 0, 0), np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(seen[..., [2, 1, 0, 3]], tiles.picture(1, 0, 0))
    for none in (overlay(), overlay(Polygon())):
        assert not none.picture(0, 0, 0).any()
    with pytest.raises(NoTile):
        tiles.tile(0, 0, 1)
    with pytest.raises(ValueError, match="1 regions need"):
        RegionOverlay([box(0, 0, 1, 1)], np.zeros((2, 3)), SIZE, 3)
