"""Bars, overview and gallery: positions, lengths, well-formed SVG."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import cv2
import numpy as np
import polars as pl
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from marrowscope.cells.gallery import PER_TYPE
from marrowscope.differential.result import TypeRow
from marrowscope.geometry import Box, Spacing
from marrowscope.report.bars import INSET, WIDTH, Axis, axis_labels, interval_bar, shared_axis
from marrowscope.report.gallery import gallery_views, middle
from marrowscope.report.pictures import OVERVIEW_PIXELS, draw_overview

SVG = "{http://www.w3.org/2000/svg}"


def row(**values):
    known = {"count": 5, "percent": 5.0, "percent_rounded": 5.0, "low": 2.2, "high": 11.2} | values
    return TypeRow(type="blast", title="Blast", lineage="blast", assessable=known["count"] is not None, **known)


@given(st.floats(0, 100), st.floats(0, 100))
def test_the_axis_keeps_order_and_stays_inside(one, other):
    axis = Axis(100.0)
    assert INSET <= axis.at(one) <= WIDTH - INSET
    if one < other:
        assert axis.at(one) <= axis.at(other)


def test_the_axis_ends_at_the_first_tick_that_holds_every_row():
    assert shared_axis([row(high=11.2)]).end == 20
    assert shared_axis([row(high=11.2, reference_low=0.0, reference_high=35.0)]).end == 40
    assert shared_axis([]).end == 10
    assert shared_axis([row(high=100.0)]).end == 100


def test_a_bar_shows_interval_estimate_and_reference_range():
    axis = Axis(20.0)
    bar = ElementTree.fromstring(interval_bar(row(reference_low=0.0, reference_high=5.0), axis))
    band = bar.find(f"{SVG}rect")
    assert float(band.get("x")) == axis.at(0)
    assert float(band.get("x")) + float(band.get("width")) == pytest.approx(axis.at(5), abs=0.02)
    assert float(bar.find(f"{SVG}circle").get("cx")) == axis.at(5)
    span = next(path for path in bar.iter(f"{SVG}path") if path.get("class") == "span")
    assert span.get("d").startswith(f"M{axis.at(2.2)} 10.0H{axis.at(11.2)}")


def test_the_bar_of_an_unseen_type_has_no_estimate_and_no_interval():
    bar = interval_bar(row(count=None, percent=None, percent_rounded=None, low=None, high=None), Axis(20.0))
    assert "dot" not in bar
    assert "span" not in bar
    ElementTree.fromstring(axis_labels(Axis(20.0)))


@pytest.mark.parametrize("shape", ["normal", "empty", "one", "all types", "strip", "tower"])
def test_the_overview_is_well_formed_and_holds_the_whole_picture(content_of, shape):
    content = content_of(shape)
    overview = draw_overview(content)
    svg = ElementTree.fromstring(overview.svg)
    left, top, width, height = map(float, svg.get("viewBox").split())
    picture = svg.find(f"{SVG}image")
    assert float(picture.get("width")) <= OVERVIEW_PIXELS
    assert left + width >= float(picture.get("width"))
    assert top + height >= float(picture.get("height"))
    data = base64.b64decode(picture.get("href").removeprefix("data:image/jpeg;base64,"))
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert decoded.shape[:2] == (int(picture.get("height")), int(picture.get("width")))
    numbers = [text.text for text in svg.iter(f"{SVG}text")][:-1]
    regions = len(content.finding.regions)
    assert numbers == [str(place) for place in range(1, min(regions, 20) + 1)] if regions > 1 else numbers == []
    assert {"blood"} <= set(overview.shows)


def test_the_scale_bar_is_as_long_as_it_says(content_of):
    content = replace(content_of("normal"), slide=replace(content_of("normal").slide, spacing=Spacing(0.5, 0.25)))
    svg = ElementTree.fromstring(draw_overview(content).svg)
    bar = next(path for path in svg.iter(f"{SVG}path") if path.get("class") == "ov-scale")
    length = float(re.search(r"h([\d.]+)", bar.get("d")).group(1))
    millimetres = float([text.text for text in svg.iter(f"{SVG}text")][-1].removesuffix(" mm"))
    um_per_pixel = 0.5 * content.overview_downsample[0] * content.overview.shape[1] / OVERVIEW_PIXELS
    assert length * um_per_pixel == pytest.approx(1000 * millimetres, rel=0.002)


def test_counted_fields_are_cut_to_the_regions(content_of):
    content = content_of("one")
    region = replace(content.finding.regions[0], polygon=shapely.box(1000, 1000, 2000, 2000))
    finding = replace(content.finding, regions=(region,), outlines=())
    drawn = draw_overview(replace(content, finding=finding, fields=(Box(0, 0, 1500, 1500), Box(1500, 0, 9000, 1500))))
    path = next(p for p in ElementTree.fromstring(drawn.svg).iter(f"{SVG}path") if p.get("class") == "ov-fields")
    points = np.array(
        [[float(v) for v in pair.split()] for pair in re.findall(r"[\d.]+ [\d.]+", path.get("d"))] or [[0, 0]]
    )
    factor = content.overview_downsample[0] * content.overview.shape[1] / OVERVIEW_PIXELS
    np.testing.assert_allclose(
        [points.min(0) * factor, points.max(0) * factor], [[1000, 1000], [2000, 1500]], atol=factor
    )


def test_regions_that_were_counted_out_are_not_shaded(content_of):
    content = content_of("one")
    region = replace(content.finding.regions[0], polygon=shapely.box(1000, 1000, 2000, 2000))
    finding = replace(content.finding, regions=(region,))
    assert "fields" not in draw_overview(replace(content, finding=finding, fields=(Box(0, 0, 3000, 3000),))).shows
    assert "fields" in draw_overview(replace(content, finding=finding, fields=(Box(0, 0, 3000, 1900),))).shows


def test_galleries_hold_the_least_certain_cells_of_each_type(content_of):
    content = content_of("all types")
    galleries = gallery_views(content)
    assert [gallery.type for gallery in galleries] == list(content.pack.classes)
    for gallery in galleries:
        least = content.cells.filter(pl.col("type") == gallery.type).sort("certainty", "cell_id").head(PER_TYPE)
        assert [cell.cell_id for cell in gallery.cells] == least["cell_id"].to_list()
        for cell in gallery.cells:
            assert cell.unsure == ("unsure" in cell.words)


def test_cells_without_a_picture_are_left_out(content_of):
    content = content_of("normal")
    assert gallery_views(replace(content, crops={})) == ()


@pytest.mark.parametrize(("size", "side", "expected"), [((96, 96), 40, 40), ((96, 96), 96, 96), ((20, 30), 40, None)])
def test_the_middle_of_a_crop_stays_in_the_middle(size, side, expected):
    crop = np.zeros((*size, 3), np.uint8)
    crop[size[0] // 2, size[1] // 2] = 255
    cut = middle(crop, side)
    assert cut.shape[:2] == ((expected, expected) if expected else size)
    assert cut[cut.shape[0] // 2, cut.shape[1] // 2].all()
