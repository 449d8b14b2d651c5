import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.geometry import Box, Spacing
from marrowscope.regions.region import Region
from marrowscope.tiles import plan_fields, tile_windows

SPACING = Spacing(0.25, 0.25)


def square(name: str, x0: float, y0: float, x1: float, y1: float, score: float = 0.9) -> Region:
    return Region(name, shapely.box(x0, y0, x1, y1), score, "trail")


def test_fields_cover_a_region_once() -> None:
    region = square("a", 100, 300, 5000, 4100)
    fields = plan_fields([region], SPACING)
    assert sum(field.owned.area for field in fields) == pytest.approx(region.polygon.area)
    assert len({(field.column, field.row) for field in fields}) == len(fields)
    side = 192 / 0.25
    assert all(field.box.width == side and field.box.x0 == field.column * side for field in fields)


def test_overlapping_regions_are_counted_once_and_under_the_better_one() -> None:
    good, poor = square("good", 0, 0, 3000, 3000, 0.9), square("poor", 1500, 0, 4500, 3000, 0.2)
    fields = plan_fields([poor, good], SPACING)
    assert sum(field.owned.area for field in fields) == pytest.approx(4500 * 3000)
    centre = np.array([[2000.0, 1500.0]])
    owners = [field.region for field in fields if field.owns(centre)[0]]
    assert owners == ["good"]


def test_better_regions_come_first_and_the_seed_draws_the_order_within_a_rank() -> None:
    regions = [square("poor", 0, 0, 8000, 8000, 0.1), square("good", 10_000, 0, 18_000, 8000, 0.9)]
    first, again, other = (plan_fields(regions, SPACING, seed=seed) for seed in (1, 1, 2))
    names = [field.region for field in first]
    assert names == sorted(names, key=["good", "poor"].index)
    assert first == again
    assert first != other
    assert {(f.column, f.row) for f in first} == {(f.column, f.row) for f in other}


@given(st.lists(st.tuples(st.floats(0, 6000), st.floats(0, 6000)), min_size=1, max_size=40))
def test_every_point_of_a_region_belongs_to_exactly_one_field(points: list[tuple[float, float]]) -> None:
    region = square("a", 50, 50, 5500, 5700)
    fields = plan_fields([region], SPACING)
    centres = np.array(points)
    owners = np.sum([field.owns(centres) for field in fields], axis=0)
    inside = shapely.contains_xy(region.polygon, centres[:, 0], centres[:, 1])
    assert (owners[inside] == 1).all()
    assert (owners <= 1).all()


@given(
    x0=st.floats(-500, 3000),
    y0=st.floats(-500, 3000),
    width=st.floats(1, 900),
    height=st.floats(1, 900),
    tile=st.sampled_from([384, 512, 768]),
    origin=st.tuples(st.integers(-300, 300), st.integers(-300, 300)),
)
def test_cores_partition_a_field_and_lie_on_the_stride(
    x0: float, y0: float, width: float, height: float, tile: int, origin: tuple[int, int]
) -> None:
    field = Box(x0, y0, x0 + width, y0 + height)
    windows = tile_windows(field, tile=tile, margin=64, stride=16, origin=origin)
    assert sum(window.core.area for window in windows) == pytest.approx(field.area)
    for window in windows:
        assert window.u % 16 == window.v % 16 == window.size.width % 16 == window.size.height % 16 == 0
        assert window.u + 64 <= window.core.x0
        assert window.v + 64 <= window.core.y0
        assert window.core.x1 <= window.u + window.size.width - 64
        assert window.core.y1 <= window.v + window.size.height - 64
        assert max(window.size) <= tile + 16


def test_a_tile_smaller_than_its_margins_is_refused() -> None:
    with pytest.raises(ValueError, match="larger tile"):
        tile_windows(Box(0, 0, 10, 10), tile=128, margin=64, stride=16)
