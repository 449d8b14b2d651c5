"""Finding trails, particles and the strip of blood on sketched smears, and on a phantom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely

from marrowscope.errors import RegionError
from marrowscope.geometry import Spacing
from marrowscope.phantom import PhantomOptions, render_phantom
from marrowscope.regions import RegionFinding, find_regions, whole_slide
from marrowscope.slides import MemorySlide, open_slide, require_spacing

SketchSlide = Callable[..., tuple[object, MemorySlide]]
UM = Spacing.square(2.0)


def area_of(finding: RegionFinding) -> shapely.Geometry:
    return shapely.union_all([region.polygon for region in finding.regions])


def outlined(finding: RegionFinding, kind: str) -> shapely.Geometry:
    return shapely.union_all([outline.polygon for outline in finding.outlines if outline.kind == kind])


def share(area: shapely.Geometry, other: shapely.Geometry) -> float:
    return shapely.intersection(area, other).area / area.area


def check_usual(sketch, finding: RegionFinding) -> None:
    """Both trails, both particles, the strip left out."""
    regions = area_of(finding)
    assert share(sketch.trails(), regions) > 0.9
    assert share(regions, sketch.trails()) > 0.75
    assert share(regions, sketch.pixels(sketch.blood)) == 0
    assert share(regions, sketch.pixels(sketch.clump_area())) < 0.01
    assert finding.particles == 2
    assert share(sketch.pixels(sketch.blood), outlined(finding, "blood")) > 0.9
    assert {region.kind for region in finding.regions} == {"trail"}


STAINS = {
    "usual": {},
    "pale": {"nucleus": (0.35, 0.6, 0.2), "red_cell": (0.05, 0.13, 0.12)},
    "strong": {"nucleus": (1.1, 1.7, 0.6), "red_cell": (0.15, 0.42, 0.45)},
    "grey red cells": {"nucleus": (0.8, 1.1, 0.35), "red_cell": (0.26, 0.30, 0.22)},
    "dim yellow lamp": {"glass": (180.0, 170.0, 140.0)},
    "uneven lamp": {"shade": 0.25},
    "packed": {"nuclei": 4000.0},
}


@pytest.mark.parametrize("changes", STAINS.values(), ids=STAINS.keys())
def test_trails_are_found_whatever_stain_and_lamp(sketch_slide: SketchSlide, changes: dict[str, object]) -> None:
    sketch, slide = sketch_slide(**changes)
    check_usual(sketch, find_regions(slide, UM))


def test_the_same_slide_gives_the_same_regions(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide()
    assert find_regions(slide, UM) == find_regions(slide, UM)


def test_polygons_are_few_valid_smooth_and_on_the_slide(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide()
    finding = find_regions(slide, UM)
    frame = shapely.box(0, 0, *slide.size)
    assert 1 <= len(finding.regions) <= 30
    for region in (*finding.regions, *finding.outlines):
        assert region.polygon.is_valid
        assert frame.covers(region.polygon)
    for region in finding.regions:
        assert UM.area_mm2(region.polygon.area) >= 0.04
        assert len(shapely.get_coordinates(region.polygon)) < 400
        assert 0 < region.score <= 1
    scores = [region.score for region in finding.regions]
    assert scores == sorted(scores, reverse=True)
    assert len({region.name for region in finding.regions}) == len(scores)


def test_regions_do_not_overlap_particles_or_each_other(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide()
    finding = find_regions(slide, UM)
    total = sum(region.polygon.area for region in finding.regions)
    assert area_of(finding).area == pytest.approx(total)
    assert share(area_of(finding), outlined(finding, "particle")) < 0.01


def test_glass_alone_is_an_error_that_says_what_to_do(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide(marrow=None, blood=None, particles=())
    with pytest.raises(RegionError, match=r"no smear found.*--region whole.*FILE\.geojson"):
        find_regions(slide, UM)


def test_cellular_smear_without_particle_is_noted(sketch_slide: SketchSlide) -> None:
    sketch, slide = sketch_slide(clumps=False)
    finding = find_regions(slide, UM)
    assert finding.particles == 0
    assert "no particle found" in finding.notes
    assert {region.kind for region in finding.regions} == {"smear"}
    assert share(sketch.trails(), area_of(finding)) > 0.9


def test_diluted_smear_is_noted_and_can_still_be_counted(sketch_slide: SketchSlide) -> None:
    sketch, slide = sketch_slide(particles=(), blood=None)
    finding = find_regions(slide, UM)
    assert any("diluted" in note for note in finding.notes)
    assert share(sketch.pixels(sketch.marrow), area_of(finding)) > 0.5


def test_thick_part_is_left_out_and_noted(sketch_slide: SketchSlide) -> None:
    thick = shapely.box(1.4, 0.2, 3.0, 2.4)
    sketch, slide = sketch_slide(thick=thick)
    finding = find_regions(slide, UM)
    assert share(area_of(finding), sketch.pixels(thick)) < 0.02
    assert share(sketch.pixels(sketch.trail(sketch.particles[0])), area_of(finding)) > 0.85
    assert any("too thick" in note for note in finding.notes)


def test_smear_that_is_too_thick_everywhere_is_an_error(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide(thick=shapely.box(0, 0, 4, 4))
    with pytest.raises(RegionError, match=r"too thick.*--region whole.*check the spacing \(2 um per pixel\)"):
        find_regions(slide, UM)


def test_smear_from_edge_to_edge(sketch_slide: SketchSlide) -> None:
    sketch, slide = sketch_slide(marrow=shapely.box(-1, -1, 5, 5), blood=None)
    finding = find_regions(slide, UM)
    assert share(sketch.trails(), area_of(finding)) > 0.9
    assert share(area_of(finding), sketch.trails()) > 0.75


def test_pen_marks_and_black_borders_are_no_particles(sketch_slide: SketchSlide) -> None:
    sketch, slide = sketch_slide()
    picture = slide.read(0, 0, 0, slide.size).copy()
    cv2.line(picture, (200, 1300), (1300, 1320), (20, 40, 160), 60)
    cv2.line(picture, (50, 100), (50, 1200), (10, 110, 50), 50)
    cv2.circle(picture, (1500, 1300), 60, (25, 25, 30), -1)
    picture[:, -40:], picture[:40] = 0, 5
    finding = find_regions(MemorySlide(picture, 2.0), UM)
    assert finding.particles == 2
    assert share(sketch.trails(), area_of(finding)) > 0.9


def test_parts_that_were_not_scanned_are_no_glass(sketch_slide: SketchSlide) -> None:
    sketch, slide = sketch_slide()
    picture = slide.read(0, 0, 0, slide.size)
    framed = np.pad(picture, ((400, 700), (900, 300), (0, 0)), constant_values=255)
    finding = find_regions(MemorySlide(framed, 2.0), UM)
    trails = shapely.transform(sketch.trails(), lambda xy: np.add(xy, (900, 400)))
    assert share(trails, area_of(finding)) > 0.9
    assert finding.particles == 2


def test_anisotropic_spacing(sketch_slide: SketchSlide) -> None:
    sketch, slide = sketch_slide()
    picture = slide.read(0, 0, 0, slide.size)
    squeezed = cv2.resize(picture, (picture.shape[1] // 2, picture.shape[0]), interpolation=cv2.INTER_AREA)
    spacing = Spacing(4.0, 2.0)
    finding = find_regions(MemorySlide(squeezed, spacing), spacing)
    trails = shapely.transform(sketch.trails(), lambda xy: xy * (0.5, 1))
    assert share(trails, area_of(finding)) > 0.85
    assert share(area_of(finding), trails) > 0.7


def test_progress_rises_to_one(sketch_slide: SketchSlide) -> None:
    _, slide = sketch_slide()
    seen: list[float] = []
    find_regions(slide, UM, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_small_slide_is_one_region() -> None:
    slide = MemorySlide(np.full((900, 1000, 3), 240, np.uint8), 2.0)
    finding = find_regions(slide, UM)
    assert finding == whole_slide(slide)
    assert [region.kind for region in finding.regions] == ["whole"]
    assert finding.regions[0].polygon.equals(shapely.box(0, 0, 1000, 900))
    assert finding.notes == ("no particle was looked for",)
    assert finding.particles is None


def test_picture_is_one_region_however_large() -> None:
    slide = MemorySlide(np.full((1500, 1500, 3), 240, np.uint8), 2.0, reader="picture")
    assert [region.kind for region in find_regions(slide, UM).regions] == ["whole"]


@pytest.mark.slow
def test_phantom(tmp_path: Path) -> None:
    path = tmp_path / "phantom.tif"
    truth = render_phantom(path, PhantomOptions(cells=1000, seed=4300, stain="wright-giemsa"))
    slide = open_slide(path)
    finding = find_regions(slide, require_spacing(slide))
    slide.close()
    trails = shapely.union_all(truth.trails)
    assert share(trails, area_of(finding)) > 0.9
    assert share(area_of(finding), trails) > 0.8
    assert share(area_of(finding), truth.blood) == 0
    assert share(area_of(finding), shapely.union_all(truth.particles)) < 0.02
    assert finding.particles == len(truth.particles)
    assert not finding.notes
