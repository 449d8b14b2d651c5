"""Regions by a model of the overview: boxes say where, the classical judge what is countable there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import shapely

from marrowscope.geometry import Spacing
from marrowscope.regions import RegionFinding, choose_regions, find_regions
from marrowscope.regions.learned import RegionModel, find_boxes, find_regions_learned, outermost, within
from marrowscope.regions.overviews import square_overview
from marrowscope.regions.region import Region
from marrowscope.slides import MemorySlide

SketchSlide = Callable[..., tuple[object, MemorySlide]]
UM = Spacing.square(2.0)


def boxes_of(*level0: tuple[float, float, float, float], slide: MemorySlide, side: int = 512) -> RegionModel:
    """A model that has learnt one slide by heart: these boxes in level-0 pixels, wherever it looks."""
    boxes = square_overview(slide, side).from_level0(np.array(level0).reshape(-1, 4))
    scores = np.linspace(0.9, 0.8, len(boxes)).astype(np.float32)
    return RegionModel("a test", lambda picture: (boxes, scores), side)


def area_of(finding: RegionFinding) -> shapely.Geometry:
    return shapely.union_all([region.polygon for region in finding.regions])


@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (2000, 1200)])
def test_an_overview_is_square_and_keeps_the_shape(shape: tuple[int, int]) -> None:
    slide = MemorySlide(np.full((*shape, 3), 100, np.uint8), 0.5, name="grey")
    seen = square_overview(slide, 256)
    height, width = (round(side * 256 / max(shape)) for side in shape)
    assert seen.picture.shape == (256, 256, 3)
    assert (seen.picture[:height, :width] == 100).all()
    assert (seen.picture[height:] == slide.background).all()
    assert (seen.picture[:, width:] == slide.background).all()
    assert seen.scale == pytest.approx([max(shape) / 256] * 2, rel=0.02)
    there = np.array([[0.0, 0.0, shape[1], shape[0]]])
    assert seen.from_level0(there) == pytest.approx(np.array([[0, 0, width, height]]), abs=1e-6)
    assert seen.to_level0(seen.from_level0(there)) == pytest.approx(there)


def test_the_model_sees_the_overview_and_its_boxes_come_back_to_the_slide(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide()
    seen = []

    def find(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(picture)
        return np.array([[10.0, 20, 100, 200], [300, 300, 900, 900], [5, 5, 5, 9]]), np.array([0.9, 0.8, 0.7], "f4")

    boxes, scores = find_boxes(slide, RegionModel("a test", find, 512))
    assert (seen[0] == square_overview(slide, 512).picture).all()
    scale = max(slide.size) / 512
    assert boxes[0] == pytest.approx(np.array([10, 20, 100, 200]) * scale, rel=0.01)
    assert (boxes[1, 2:] == [slide.size.width, slide.size.height]).all(), "cut at the slide"
    assert scores.tolist() == pytest.approx([0.9, 0.8]), "an empty box is none"


def test_only_what_lies_in_a_box_is_counted(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide()
    classical = find_regions(slide, UM)
    left = (100.0, 100.0, 700.0, 1200.0)
    found = choose_regions(slide, UM, model=boxes_of(left, slide=slide))
    box = shapely.box(*left)
    assert found.regions
    assert area_of(found).area == pytest.approx(area_of(classical).intersection(box).area, rel=0.02)
    assert area_of(found).difference(box.buffer(1)).area < 1
    assert area_of(found).area < 0.8 * area_of(classical).area, "the other trail is left out"
    assert {region.kind for region in found.regions} == {"trail"}
    assert [outline.polygon.bounds for outline in found.outlines if outline.kind == "box"] == [pytest.approx(left)]
    assert found.notes[-1] == "regions lie in 1 box of the region model of a test"
    assert found.particles == classical.particles


@pytest.mark.parametrize(
    ("boxes", "note"),
    [
        ((), "the region model of a test found nothing: regions are those found without it"),
        (
            ((1450.0, 1700.0, 1590.0, 1790.0),),
            "nothing in the 1 box of the region model of a test can be counted: regions are those found without it",
        ),
    ],
)
def test_a_model_that_is_of_no_use_is_named_and_the_classical_regions_stand(
    boxes: tuple[tuple[float, float, float, float], ...], note: str, sketch_slide: SketchSlide
) -> None:
    _, slide = sketch_slide()
    classical = find_regions(slide, UM)
    found = find_regions_learned(slide, UM, boxes_of(*boxes, slide=slide))
    assert found.regions == classical.regions
    assert found.notes == (*classical.notes, note)


def test_a_small_slide_is_one_region_whatever_a_model_says() -> None:
    slide = MemorySlide(np.full((600, 600, 3), 200, np.uint8), 0.5, name="small")
    model = boxes_of((10.0, 10.0, 50.0, 50.0), slide=slide)
    assert find_regions_learned(slide, Spacing.square(0.5), model) == find_regions(slide, Spacing.square(0.5))


def test_the_options_overrule_the_model(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide()
    found = choose_regions(slide, UM, "whole", model=boxes_of((100.0, 100.0, 700.0, 1200.0), slide=slide))
    assert [region.kind for region in found.regions] == ["whole"]


def test_crumbs_are_left_out_and_parts_numbered_in_order() -> None:
    regions = (
        Region("trail 1", shapely.box(0, 0, 1000, 1000), 0.9, "trail"),
        Region("smear 2", shapely.box(2000, 0, 3000, 1000), 0.8, "smear"),
    )
    boxes = np.array([[0.0, 0, 300, 300], [500, 500, 2500, 900], [0, 990, 20, 1000]])
    kept = within(regions, boxes, UM)
    assert [(one.name, one.score) for one in kept] == [("trail 1", 0.9), ("trail 2", 0.9), ("trail 3", 0.8)]
    assert sum(one.polygon.area for one in kept) == pytest.approx(300 * 300 + 500 * 400 + 500 * 400)


def test_a_box_inside_a_larger_one_is_a_part_of_it() -> None:
    boxes = np.array([[0.0, 10, 40, 50], [0, 0, 100, 50], [70, 0, 109, 40], [90, 0, 190, 50], [5, 5, 99, 48]])
    assert outermost(boxes).tolist() == [1, 2, 3], "the third lies in the second by 77 %"
    assert outermost(boxes[[0, 2]]).tolist() == [0, 1]
    assert outermost(boxes[:0]).tolist() == []
