"""The measures behind the regions: rasters, stain, focus, outlines, pictures."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from marrowscope.geometry import Box, Size, Spacing
from marrowscope.regions import Region, RegionFinding, find_regions, whole_slide
from marrowscope.regions.focus import look_at_focus, sharpness
from marrowscope.regions.look import look_closer
from marrowscope.regions.outlines import outline
from marrowscope.regions.picture import draw_regions, round_length
from marrowscope.regions.rasters import (
    RASTER_UM,
    Part,
    blur_within,
    close,
    drop_small,
    fill_small,
    grow,
    opened,
    parts,
    ramp,
)
from marrowscope.regions.region import areas_only
from marrowscope.regions.stain import Stain
from marrowscope.regions.survey import OVERVIEW_UM, read_overview, survey
from marrowscope.slides import MemorySlide
from marrowscope.slides.sampling import Sampler

MM2 = RASTER_UM**2 / 1e6


def disc(shape: tuple[int, int], row: int, column: int, radius: float) -> np.ndarray:
    y, x = np.indices(shape)
    return np.hypot(y - row, x - column) <= radius


def test_grow_and_shrink_by_um() -> None:
    mask = disc((101, 101), 50, 50, 20)
    assert disc((101, 101), 50, 50, 24).sum() == pytest.approx(grow(mask, 4 * RASTER_UM).sum(), rel=0.05)
    assert disc((101, 101), 50, 50, 16).sum() == pytest.approx(grow(mask, -4 * RASTER_UM).sum(), rel=0.06)
    nothing = np.zeros((9, 9), bool)
    assert not grow(nothing, 50.0).any()
    assert grow(~nothing, -50.0).all()


def test_close_bridges_and_open_cuts() -> None:
    mask = np.zeros((60, 60), bool)
    mask[20:40, 5:28] = mask[20:40, 32:55] = True
    assert len(parts(mask)) == 2
    assert len(parts(close(mask, 4 * RASTER_UM))) == 1
    mask[29:31, 28:32] = True
    assert len(parts(mask)) == 1
    assert len(parts(opened(mask, 3 * RASTER_UM))) == 2


def test_small_parts_and_holes_go_by_area() -> None:
    mask = np.zeros((50, 50), bool)
    mask[5:35, 5:35] = True
    mask[10:12, 10:12] = mask[20:26, 20:26] = False
    mask[45, 45] = True
    kept = drop_small(mask, 2 * MM2)
    assert not kept[45, 45]
    assert kept[5, 5]
    filled = fill_small(mask, 20 * MM2)
    assert filled[10:12, 10:12].all()
    assert not filled[20:26, 20:26].any()
    assert not filled[40:44, 40:44].any()


def test_parts_are_ordered_by_area_and_know_their_place() -> None:
    mask = disc((80, 90), 20, 20, 5) | disc((80, 90), 50, 60, 12)
    large, small = parts(mask)
    assert large.mask.sum() > small.mask.sum()
    rebuilt = np.zeros_like(mask)
    for part in (large, small):
        rebuilt[part.place] |= part.mask
    assert (rebuilt == mask).all()
    assert large.of(np.indices(mask.shape)[0]).mean() == pytest.approx(50)


def test_mean_within_a_mask_knows_nothing_of_the_outside() -> None:
    raster = np.full((40, 40), 7.0, np.float32)
    raster[:, 20:] = 1000
    mask = np.zeros((40, 40), bool)
    mask[:, :20] = True
    assert blur_within(raster, mask, 64.0)[:, :20] == pytest.approx(7.0, rel=1e-4)


def test_ramp_rises_and_falls() -> None:
    values = np.array([0, 1, 2, 3, 4], np.float32)
    assert ramp(values, 1, 3).tolist() == [0, 0, 0.5, 1, 1]
    assert ramp(values, 3, 1).tolist() == [1, 1, 0.5, 0, 0]


@settings(max_examples=40, deadline=None)
@given(
    discs=st.lists(st.tuples(st.integers(5, 55), st.integers(5, 75), st.integers(2, 15)), min_size=1, max_size=6),
    across=st.floats(0.1, 4.0),
    down=st.floats(0.1, 4.0),
)
def test_outlines_are_valid_and_as_large_as_the_mask(
    discs: list[tuple[int, int, int]], across: float, down: float
) -> None:
    mask = np.zeros((60, 80), bool)
    for row, column, radius in discs:
        mask |= disc(mask.shape, row, column, radius)
    spacing = Spacing(across, down)
    slide = MemorySlide(np.zeros((4, 4, 3), np.uint8), spacing)
    slide.bounds = Box(0, 0, 80 * RASTER_UM / across, 60 * RASTER_UM / down)
    for part in parts(mask):
        polygon = outline(part, slide, spacing)
        assert polygon.is_valid
        area = polygon.area * across * down / RASTER_UM**2
        around = np.pad(part.mask, 1)
        border = (around & ~(cv2.erode(around.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)).sum()
        assert abs(area - fill_small(part.mask, 0.01).sum()) <= 1.5 * border


def test_outline_lies_where_the_mask_lies_and_keeps_large_holes() -> None:
    spacing = Spacing.square(0.5)
    slide = MemorySlide(np.zeros((4, 4, 3), np.uint8), spacing)
    slide.bounds = Box(0, 0, 100_000, 100_000)
    mask = np.ones((40, 60), bool)
    mask[15:25, 20:30] = False
    polygon = outline(Part(mask, 100, 200), slide, spacing)
    um = shapely.transform(polygon, lambda xy: xy * 0.5)
    assert um.bounds == pytest.approx((3200, 1600, 3200 + 960, 1600 + 640), abs=1)
    assert len(polygon.interiors) == 1
    hole = shapely.Polygon(um.interiors[0])
    assert hole.centroid.coords[0] == pytest.approx((3200 + 400, 1600 + 320), abs=2)
    assert hole.area == pytest.approx(160 * 160, rel=0.1)


def absorbing(*densities: tuple[float, float, float]) -> np.ndarray:
    """A picture of one pixel per absorbance on glass of (240, 236, 230)."""
    return np.rint(np.exp(-np.array([densities])) * (240, 236, 230)).astype(np.uint8)


@pytest.mark.parametrize("red_cell", [(0.05, 0.26, 0.28), (0.26, 0.30, 0.22), (0.15, 0.42, 0.45)])
def test_red_cells_are_no_nuclear_matter_and_nuclei_are(red_cell: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(3)
    cells = rng.poisson(0.6, (300, 300, 1)) * np.array(red_cell)
    nuclei = (rng.random((300, 300, 1)) < 0.03) * np.array((0.8, 1.4, 0.5))
    light = np.exp(-(cells + nuclei)) * (240, 236, 230) + rng.normal(0, 1, (300, 300, 3))
    stain = Stain.of(np.clip(light, 0, 255).astype(np.uint8), OVERVIEW_UM)
    _, green, nuclear = stain.measure(absorbing((0, 0, 0), red_cell, (0.8, 1.4, 0.5)), 0, 0, OVERVIEW_UM)
    assert green[0] == pytest.approx([0, red_cell[1], 1.4], abs=0.06)
    assert nuclear[0, :2].max() < 0.12
    assert nuclear[0, :2].min() > -0.2
    assert nuclear[0, 2] > 0.7


def test_blank_slides_have_a_stain_too() -> None:
    for value in (0, 128, 255):
        stain = Stain.of(np.full((200, 150, 3), value, np.uint8), OVERVIEW_UM)
        assert all(np.isfinite(raster).all() for raster in stain.measure(absorbing((0, 0, 0)), 0, 0, OVERVIEW_UM))


def texture(seed: int, shape: tuple[int, int] = (400, 600)) -> np.ndarray:
    """Discs of cell size at 0.5 um per pixel, edges as sharp as a lens draws them."""
    rng = np.random.default_rng(seed)
    picture = np.full((*shape, 3), 235, np.uint8)
    low, high = (0, 0, 5, 60), (shape[1], shape[0], 12, 200)
    for x, y, radius, shade in rng.integers(low, high, (shape[0] * shape[1] // 900, 4)).tolist():
        cv2.circle(picture, (x, y), radius, (shade,) * 3, -1, cv2.LINE_AA)
    return picture


def test_sharpness_falls_with_blur_and_not_with_light_or_content() -> None:
    sharp = sharpness(texture(1))
    blurred = [sharpness(cv2.GaussianBlur(texture(1), (0, 0), um / 0.5)) for um in (0.7, 1.0, 1.5)]
    assert sharp > 0.25 > blurred[1] > blurred[2]
    assert blurred == sorted(blurred, reverse=True)
    assert sharpness((texture(1) * 0.6).astype(np.uint8)) == pytest.approx(sharp, rel=0.05)
    assert sharpness(texture(2)) == pytest.approx(sharp, rel=0.15)


def test_focus_is_found_where_it_is() -> None:
    picture = texture(4, (1600, 3200))
    picture[:, 1600:] = cv2.GaussianBlur(picture[:, 1600:], (0, 0), 4)
    slide = MemorySlide(picture, 0.5)
    focus = look_at_focus(slide, np.ones((50, 100), bool))
    assert focus is not None
    assert focus.shape == (50, 100)
    assert focus[:, :40].min() > 0.8
    assert focus[:, 70:].max() < 0.1


def test_places_without_anything_on_them_say_nothing_about_focus() -> None:
    assert np.isnan(sharpness(np.full((128, 128, 3), 240, np.uint8)))
    picture = texture(5, (1600, 1600))
    picture[:500] = 235
    focus = look_at_focus(MemorySlide(picture, 0.5), np.ones((50, 50), bool))
    assert focus is not None
    assert focus.min() > 0.8
    hopeless = look_at_focus(MemorySlide(np.full_like(picture, 200), 0.5), np.ones((50, 50), bool))
    assert hopeless is not None
    assert hopeless.max() == 0


def test_focus_of_a_coarse_slide_is_not_judged() -> None:
    slide = MemorySlide(texture(4), 1.0)
    assert look_at_focus(slide, np.ones((25, 37), bool)) is None
    assert look_at_focus(MemorySlide(texture(4), 0.5), np.zeros((12, 18), bool)) is None


class CountingSlide(MemorySlide):
    """Remembers how many pixels were read at once."""

    largest = 0

    def read(self, level: int, x: int, y: int, size: Size) -> np.ndarray:
        self.largest = max(self.largest, size.area)
        return super().read(level, x, y, size)


def test_reads_stay_small_where_there_is_no_pyramid() -> None:
    picture = np.full((3000, 6000, 3), 230, np.uint8)
    slide = CountingSlide(picture, 0.5)
    slide.levels = slide.levels[:1]
    assert read_overview(slide).shape == (188, 375, 3)
    assert slide.largest <= 4096 * 4096
    wanted = np.zeros((94, 188), np.float32)
    wanted[40, 90] = 1
    slide.largest = 0
    look = look_closer(slide, Stain.of(picture[::16, ::16], OVERVIEW_UM), wanted)
    assert slide.largest <= 1100 * 1100
    assert np.isfinite(look.nuclear).sum() == 32 * 32
    assert np.isfinite(look.nuclear[40, 90])


@pytest.mark.parametrize("spacing", [Spacing.square(0.5), Spacing.square(0.27), Spacing(0.1, 0.25)])
def test_an_overview_read_in_squares_is_the_overview_read_at_once(spacing: Spacing) -> None:
    slide = CountingSlide(np.random.default_rng(3).integers(0, 255, (1500, 9000, 3), np.uint8), spacing)
    slide.levels = slide.levels[:1]
    seen = read_overview(slide)
    assert slide.largest < 1500 * 9000
    sampler = Sampler(slide, OVERVIEW_UM)
    assert (seen == sampler.read(0, 0, sampler.size)).all()


def test_survey_counts_dark_pixels(sketch_slide: Callable[..., tuple[object, MemorySlide]]) -> None:
    sketch, slide = sketch_slide()
    seen = survey(read_overview(slide), slide.background)
    x, y = (round(v * 1000 / RASTER_UM) for v in (sketch.particles[1][0], sketch.particles[1][1] + 0.8))
    assert 0.02 < seen.nuclear[y - 8 : y + 8, x - 8 : x + 8].mean() < 0.3
    assert seen.nuclear[seen.blood].mean() < 0.006


def test_picture_shows_regions_in_colour_and_fades_the_rest() -> None:
    picture = np.full((600, 900, 3), (200, 150, 190), np.uint8)
    slide = MemorySlide(picture, 2.0, name="slide 7")
    inside = shapely.box(100, 100, 400, 500).difference(shapely.box(200, 200, 250, 250))
    finding = RegionFinding(
        (Region("trail 1", inside, 0.9, "trail"),),
        (
            Region("particle 1", shapely.box(500, 100, 600, 200), 1.0, "particle"),
            Region("blood 1", shapely.MultiPolygon([shapely.box(500, 400, 800, 500)]), 1.0, "blood"),
            Region("smear 1", shapely.box(50, 50, 850, 580), 1.0, "smear"),
        ),
    )
    drawn = draw_regions(slide, Spacing.square(2.0), finding)
    assert drawn.dtype == np.uint8
    assert drawn.shape[0] > 600
    assert drawn.shape[1] > 900
    colours = {tuple(colour) for colour in drawn.reshape(-1, 3)[::1].tolist()}
    assert (200, 150, 190) in colours
    assert {(0, 150, 110), (255, 145, 0), (200, 30, 45)} <= colours
    assert (drawn == draw_regions(slide, Spacing.square(2.0), finding)).all()


def test_picture_of_a_large_slide_stays_small(sketch_slide: Callable[..., tuple[object, MemorySlide]]) -> None:
    _, slide = sketch_slide()
    drawn = draw_regions(slide, Spacing.square(2.0), find_regions(slide, Spacing.square(2.0)))
    assert max(drawn.shape) <= 2000
    tiny = MemorySlide(np.full((40, 30, 3), 240, np.uint8), 0.25)
    assert draw_regions(tiny, Spacing.square(0.25), whole_slide(tiny)).ndim == 3


def test_only_areas_are_kept_however_deep_they_lie() -> None:
    squares = [shapely.box(0, 0, 1, 1), shapely.box(2, 0, 3, 1)]
    line = shapely.LineString([(0, 0), (9, 9)])
    mixed = shapely.GeometryCollection([shapely.MultiPolygon(squares), line, shapely.Point(5, 5)])
    assert areas_only(mixed).equals(shapely.MultiPolygon(squares))
    assert areas_only(shapely.GeometryCollection([squares[0], line])).geom_type == "Polygon"
    assert areas_only(line).is_empty


@given(st.floats(1e-3, 1e7))
def test_scale_bars_have_round_lengths(largest: float) -> None:
    length = round_length(largest)
    assert length <= largest * (1 + 1e-9)
    assert length > largest / 2.5 * (1 - 1e-9)
    assert f"{length:.0e}"[0] in "125"
